//! The door of the takeover policy: who may connect although the user has sessions already.
//!
//! | policy | refused with |
//! |---|---|
//! | `exclusive-device` | 429 when the user has as many other devices as it may |
//! | `reject-newer` | 409 when the device is connected, unless the client resumes that very session; 429 as above |
//! | `one-per-user`, `max-per-user=N` | nothing: the new session takes the place of older ones |
//!
//! What the directory shows here decides ([`policy::admit`]): simultaneous connects may let a few too many in. Which of
//! them stays then is decided where sessions are claimed, and nobody is closed here.

use crate::directory::policy;
use crate::gateway::clients::admission::Refusal;
use crate::gateway::parts::Gateway;
use crate::id::{SessionKey, Stamp};

/// Admits a client that wants to be the session `key`, and `resumed` the one that was claimed with
/// that stamp.
pub(super) fn admit(gateway: &Gateway, key: &SessionKey, resumed: Option<Stamp>) -> Result<(), Refusal> {
    let (config, replica) = (&gateway.config, &gateway.replica);
    let sessions_max = config.limits.max_sessions_per_user;
    let (shown, device) = (replica.user(&key.user), replica.hasher().device(&key.device));
    policy::admit(config.takeover, sessions_max, &shown, device, resumed).map_err(|refusal| match refusal {
        policy::Refusal::SessionExists => Refusal::SessionExists,
        policy::Refusal::TooManySessions => Refusal::TooManySessions { sessions_max },
    })
}
