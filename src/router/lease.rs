//! Opening a session: claim its key, register it, make the previous owner let go.
//!
//! ```text
//!   claim (above every stamp seen) ─► register ─► Yield to the previous owner ─► the client is told
//! ```
//!
//! The claim comes before the client is told that it is connected, so that a push that follows the
//! client's own knowledge finds it. The previous owner answers a [`Yield`](Errand::Yield) once
//! nothing is delivered at the old connection any more, and sends later pushes on with `Moved`.
//! Should it not answer in time the claim stands all the same: the stamp decides.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::debug;

use crate::config::Takeover;
use crate::directory::Rival;
use crate::directory::policy::{self, Ask, Claiming, Door};
use crate::id::{NodeName, SessionKey, Stamp, UserId};
use crate::key::{DeviceHash, Key};
use crate::limits;
use crate::membership::member::MemberState;
use crate::push::Outcome;
use crate::replica::{Held, Replica};
use crate::router::attempt::{Patience, Pending};
use crate::router::frame::Recipients;
use crate::router::{Errand, Router};
use crate::session::{CloseReason, Permit, Registry, Replaced, Session};
use crate::vital::finally;

/// The right of one connection to be its key's session. Dropping it ends the session and releases
/// the claim.
pub(crate) struct Lease {
    session: Arc<Session>,
    registry: Arc<Registry>,
    replica: Arc<Replica>,
    _permit: Permit,
}

impl Router {
    /// Makes this node the owner of the session `names`. `resumed` is the stamp that the client
    /// brings from an earlier connection.
    ///
    /// # Errors
    /// [`Held`], only under [`Takeover::RejectNewer`].
    pub(crate) async fn open(
        self: &Arc<Self>,
        names: SessionKey,
        resumed: Option<Stamp>,
        permit: Permit,
    ) -> Result<Lease, Held> {
        let parts = &self.parts;
        let key = parts.replica.hasher().key(&names);
        let policy = parts.replica.takeover();
        let below = match policy {
            Takeover::RejectNewer => self.make_way(&names, key, resumed).await?,
            _ => None,
        };
        // Whoever made the last session of this node yield told who owns the key now, perhaps
        // before the directory shows it.
        let yielded = parts.registry.get(key).and_then(|held| match held.closing() {
            Some(CloseReason::Superseded { owner, stamp }) => Some((owner, stamp)),
            _ => None,
        });
        let seen = yielded.as_ref().map(|(_, stamp)| *stamp);
        let user = names.user.clone();
        let (mut session, mut replaced) = (None, None);
        let claimed = parts.replica.claim(key, parts.clock.now_ms(), seen, resumed, below, |stamp| {
            let opened = Arc::new(Session::new(names, key, stamp, resumed, parts.outbox));
            replaced = parts.registry.insert(&opened);
            session = Some(opened);
        })?;
        replaced.into_iter().for_each(Replaced::close);
        // From here on the lease cleans up, also when the caller gives up while this waits.
        let lease = Lease {
            session: session.expect("a claim registers its session"),
            registry: Arc::clone(&parts.registry),
            replica: Arc::clone(&parts.replica),
            _permit: permit,
        };
        parts.metrics.takeovers.increment(claimed.excluded as u64);
        self.supersede(claimed.lost);
        let (me, device, stamp) = (&parts.me, key.device, claimed.stamp);
        let claiming = Claiming { me, device, stamp, resumed, yielded: yielded.as_ref() };
        let asked = policy::asked_after(policy, claiming, claimed.displaced);
        if !asked.is_empty() {
            let yields = asked.into_iter().map(|Ask { owner, device, below, rival }| {
                self.make_yield(owner, &user, device, below, rival)
            });
            let deadline = Instant::now() + limits::TAKEOVER_TIMEOUT;
            // Each of them gives up at its own deadline, in the same tick: which came first says nothing.
            let _ = timeout_at(deadline, join_all(yields)).await;
            if Instant::now() >= deadline {
                parts.metrics.takeover_timeouts.increment(1);
                debug!(key = %lease.session.names(), "a previous owner did not answer; the stamp decides");
            }
        }
        Ok(lease)
    }

    /// Settles before the claim, under `reject-newer`, with the owner of the session that is shown. Returns below which stamp
    /// claims do not stand against the client.
    async fn make_way(
        &self,
        names: &SessionKey,
        key: Key,
        resumed: Option<Stamp>,
    ) -> Result<Option<Stamp>, Held> {
        let replica = &self.parts.replica;
        let Some(held) = replica.lookup(key) else { return Ok(None) };
        match policy::door(replica.takeover(), Some(&held), resumed) {
            Door::Open => Ok(None),
            Door::Own { below } => {
                // Should it not answer, its claim is known to be of the same client all the same.
                self.end_earlier(held.owner, names, key, below).await;
                Ok(Some(below))
            }
            Door::Doubtful { below } => {
                let patience = Patience::until(Instant::now() + limits::TAKEOVER_TIMEOUT);
                if self.confirms(names, key, &held, patience).await { Err(Held) } else { Ok(Some(below)) }
            }
            Door::Shut => Err(Held),
        }
    }

    /// Asks the owner of an earlier session of the same client to end it, if it is below that stamp.
    pub(crate) async fn end_earlier(&self, owner: NodeName, names: &SessionKey, key: Key, below: Stamp) {
        let yields = self.make_yield(owner, &names.user, key.device, below, Rival::SameDevice);
        let _ = timeout(limits::TAKEOVER_TIMEOUT, yields).await;
    }

    /// Asks the previous owner to let go, and whoever it had to let go for itself: the directory may
    /// be behind by more than one takeover.
    pub(super) async fn make_yield(
        &self,
        mut owner: NodeName,
        user: &UserId,
        device: DeviceHash,
        stamp: Stamp,
        rival: Rival,
    ) {
        let deadline = Instant::now() + limits::TAKEOVER_TIMEOUT;
        for _ in 0..=limits::HOPS_MAX {
            if owner == self.parts.me {
                return;
            }
            let pending = self.request_yield(&owner, user, device, stamp, rival);
            owner = match self.outcomes(pending, 1, Patience::until(deadline)).await.pop() {
                Some((_, Outcome::Moved { owner: next, .. })) if next != owner => next,
                _ => return,
            };
        }
    }

    fn request_yield(
        &self,
        owner: &NodeName,
        user: &UserId,
        device: DeviceHash,
        stamp: Stamp,
        rival: Rival,
    ) -> Pending {
        // Nobody waits for a peer that may be gone: the stamp decides.
        match self.parts.roster.state(owner) {
            Some(MemberState::Alive | MemberState::Unreachable) => {
                let recipients = Recipients::Devices { user: user.clone(), devices: vec![device] };
                let claimant = self.parts.me.clone();
                self.send(owner, recipients, &Errand::Yield { owner: claimant, stamp, rival })
            }
            _ => Pending::Settled(Outcome::Unreachable),
        }
    }
}

impl Lease {
    /// The session.
    pub(crate) fn session(&self) -> &Arc<Session> {
        &self.session
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Whoever pushes from now on learns that the session is over.
        self.session.close(CloseReason::ClientGone);
        let end = End {
            session: Arc::clone(&self.session),
            registry: Arc::clone(&self.registry),
            replica: Arc::clone(&self.replica),
        };
        match (self.session.closing(), Handle::try_current()) {
            (Some(CloseReason::Superseded { .. }), Ok(runtime)) => {
                runtime.spawn(async move {
                    sleep(limits::RELEASE_LINGER).await;
                    end.release();
                });
            }
            _ => finally(|| end.release()),
        }
    }
}

struct End {
    session: Arc<Session>,
    registry: Arc<Registry>,
    replica: Arc<Replica>,
}

impl End {
    fn release(self) {
        self.replica.release(self.session.key(), self.session.stamp());
        self.registry.remove(&self.session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Takeover, Tuning};
    use crate::id::{DeviceId, Incarnation};
    use crate::key::KeyHasher;
    use crate::session::OutboxLimits;

    #[test]
    fn the_end_of_a_session_that_lingers_leaves_the_claim_of_the_one_after_the_next() {
        let name = NodeName::new("n1").unwrap();
        let hasher = KeyHasher::new(&[0; 32]);
        let names = SessionKey::new(UserId::new("u").unwrap(), DeviceId::new("d").unwrap());
        let key = hasher.key(&names);
        let registry = Arc::new(Registry::new(name.clone(), 9));
        let (takeover, tuning) = (Takeover::default(), Tuning::default());
        let replica = Arc::new(Replica::new(name, Incarnation(1), hasher, takeover, tuning));
        let faster = Some(Stamp::from_raw(10 << 16));
        let open = || {
            let mut opened = None;
            let claimed = replica.claim(key, 5, faster, None, None, |stamp| {
                let limits = OutboxLimits { messages_max: 1, bytes_max: 1 };
                let session = Arc::new(Session::new(names.clone(), key, stamp, None, limits));
                registry.insert(&session);
                opened = Some(session);
            });
            claimed.unwrap();
            opened.unwrap()
        };
        let end = |session: &Arc<Session>| {
            let session = Arc::clone(session);
            End { session, registry: Arc::clone(&registry), replica: Arc::clone(&replica) }.release();
        };
        let first = open();
        let second = open();
        end(&second);
        let third = open();
        assert_ne!(first.stamp(), third.stamp(), "its end would take the claim of the other one");
        end(&first);
        assert_eq!(replica.lookup(key).map(|owned| owned.stamp), Some(third.stamp()));
        end(&third);
        assert_eq!(replica.lookup(key), None);
    }
}
