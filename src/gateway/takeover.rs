//! The door of the takeover policy: who may connect although the user has sessions already.
//!
//! | policy | refused with |
//! |---|---|
//! | `exclusive-device` | 429 when the user has as many other devices as it may |
//! | `reject-newer` | 409 when the device is connected, unless the client resumes that very session; 429 as above |
//! | `one-per-user`, `max-per-user=N` | nothing: the new session takes the place of older ones |
//!
//! What the directory shows here decides: simultaneous connects may let a few too many in. Which of
//! them stays then is decided where sessions are claimed, and nobody is closed here.

use crate::config::Takeover;
use crate::directory::Owned;
use crate::gateway::Gateway;
use crate::gateway::error::ApiError;
use crate::id::{SessionKey, Stamp};

/// Admits a client that wants to be the session `key`, and `resumed` the one that was claimed with
/// that stamp.
pub(super) fn admit(gateway: &Gateway, key: &SessionKey, resumed: Option<Stamp>) -> Result<(), ApiError> {
    let config = &gateway.config;
    check(config.takeover, config.limits.max_sessions_per_user, &shown(gateway, key), resumed)
}

/// What the directory shows of a user.
struct Shown {
    /// Its sessions.
    sessions: usize,
    /// The session of the same device, if there is one.
    device: Option<Owned>,
}

fn shown(gateway: &Gateway, key: &SessionKey) -> Shown {
    let sessions = gateway.replica.user(&key.user);
    let device = gateway.replica.hasher().device(&key.device);
    let held = sessions.iter().find(|(held, _)| held.device == device);
    Shown { sessions: sessions.len(), device: held.map(|(_, owned)| owned.clone()) }
}

fn check(
    policy: Takeover,
    sessions_max: usize,
    shown: &Shown,
    resumed: Option<Stamp>,
) -> Result<(), ApiError> {
    debug_assert!(shown.device.is_none() || shown.sessions > 0, "a session that is shown counts");
    match policy {
        Takeover::OnePerUser | Takeover::MaxPerUser(_) => Ok(()),
        Takeover::RejectNewer if shown.device.as_ref().is_some_and(|held| !held.admits(resumed)) => {
            Err(ApiError::session_exists())
        }
        Takeover::ExclusiveDevice | Takeover::RejectNewer => {
            if shown.device.is_some() || shown.sessions < sessions_max {
                return Ok(());
            }
            Err(ApiError::too_many_sessions(sessions_max))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::ClaimState;
    use crate::id::{Incarnation, NodeName};

    const MOST: usize = 2;

    fn decide(
        policy: Takeover,
        sessions: usize,
        device: Option<u64>,
        resumed: Option<u64>,
    ) -> Option<&'static str> {
        decide_of(policy, sessions, device.map(|stamp| (stamp, ClaimState::Connected)), resumed)
    }

    fn decide_of(
        policy: Takeover,
        sessions: usize,
        device: Option<(u64, ClaimState)>,
        resumed: Option<u64>,
    ) -> Option<&'static str> {
        let device = device.map(|(stamp, state)| Owned {
            owner: NodeName::new("n1").unwrap(),
            incarnation: Incarnation(1),
            stamp: Stamp::from_raw(stamp),
            state,
        });
        let shown = Shown { sessions, device };
        check(policy, MOST, &shown, resumed.map(Stamp::from_raw)).err().map(|error| error.code())
    }

    #[test]
    fn a_user_with_all_its_sessions_is_refused_a_further_one_but_not_a_takeover() {
        let full = Some("too_many_sessions");
        assert_eq!(decide(Takeover::ExclusiveDevice, MOST - 1, None, None), None);
        assert_eq!(decide(Takeover::ExclusiveDevice, MOST, None, None), full);
        assert_eq!(decide(Takeover::ExclusiveDevice, MOST, None, Some(5)), full);
        assert_eq!(decide(Takeover::ExclusiveDevice, MOST, Some(5), None), None);
        assert_eq!(decide(Takeover::RejectNewer, MOST - 1, None, None), None);
        assert_eq!(decide(Takeover::RejectNewer, MOST, None, None), full);
        assert_eq!(decide(Takeover::RejectNewer, MOST, Some(5), Some(5)), None);
    }

    #[test]
    fn a_connected_device_stays_where_newer_ones_are_rejected() {
        let exists = Some("session_exists");
        assert_eq!(decide(Takeover::RejectNewer, 1, Some(5), None), exists);
        assert_eq!(decide(Takeover::RejectNewer, MOST, Some(5), None), exists);
        for another in [4, 6] {
            assert_eq!(decide(Takeover::RejectNewer, 1, Some(5), Some(another)), exists, "{another}");
        }
        assert_eq!(decide(Takeover::RejectNewer, 1, Some(5), Some(5)), None);
        assert_eq!(decide(Takeover::RejectNewer, 1, None, Some(5)), None, "it is gone");
    }

    #[test]
    fn a_session_that_has_yielded_is_of_the_client_for_which_it_did() {
        let yielded = |resumed| decide_of(Takeover::RejectNewer, 1, Some((5, ClaimState::Yielded)), resumed);
        assert_eq!(yielded(None), Some("session_exists"));
        assert_eq!(yielded(Some(4)), Some("session_exists"));
        assert_eq!(yielded(Some(5)), None, "its new connection may have failed");
        assert_eq!(yielded(Some(6)), None, "its new claim is not known here yet");
    }

    #[test]
    fn where_older_sessions_make_room_nobody_is_refused() {
        for policy in [Takeover::OnePerUser, Takeover::MaxPerUser(1), Takeover::MaxPerUser(MOST)] {
            for (sessions, device) in [(0, None), (1, Some(5)), (MOST, None), (MOST + 1, Some(5))] {
                assert_eq!(decide(policy, sessions, device, None), None, "{policy} with {sessions}");
            }
        }
    }
}
