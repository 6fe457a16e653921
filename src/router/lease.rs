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

use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};
use tracing::debug;

use crate::id::{NodeName, SessionKey, Stamp};
use crate::limits;
use crate::push::Outcome;
use crate::receipt::Answer;
use crate::replica::Replica;
use crate::router::Router;
use crate::session::{CloseReason, Permit, Registry, Session};

/// The right of one connection to be its key's session. Dropping it ends the session and releases
/// the claim.
pub(crate) struct Lease {
    session: Arc<Session>,
    registry: Arc<Registry>,
    replica: Arc<Replica>,
    _permit: Permit,
}

impl Router {
    /// Makes this node the owner of `key`. `resumed` is the stamp that the client brings from an
    /// earlier connection.
    pub(crate) async fn open(
        self: &Arc<Self>,
        key: SessionKey,
        resumed: Option<Stamp>,
        permit: Permit,
    ) -> Lease {
        let parts = &self.parts;
        // Whoever made the last session of this node yield told who owns the key now, perhaps
        // before the directory shows it.
        let yielded = parts.registry.get(&key).and_then(|held| match held.closing() {
            Some(CloseReason::Superseded { owner, stamp }) => Some((owner, stamp)),
            _ => None,
        });
        let resumed = resumed.max(yielded.as_ref().map(|(_, stamp)| *stamp));
        let mut session = None;
        let claimed = parts.replica.claim(&key, parts.clock.now_ms(), resumed, |stamp| {
            let opened = Arc::new(Session::new(key.clone(), stamp, parts.outbox));
            parts.registry.insert(&opened);
            session = Some(opened);
        });
        // From here on the lease cleans up, also when the caller gives up while this waits.
        let lease = Lease {
            session: session.expect("a claim registers its session"),
            registry: Arc::clone(&parts.registry),
            replica: Arc::clone(&parts.replica),
            _permit: permit,
        };
        let shown = claimed.previous.map(|owned| (owned.owner, owned.stamp));
        if let Some((owner, _)) = shown.into_iter().chain(yielded).max_by_key(|(_, stamp)| *stamp) {
            parts.metrics.takeovers.increment(1);
            let yields = self.make_yield(owner, &key, claimed.stamp);
            if timeout(limits::TAKEOVER_TIMEOUT, yields).await.is_err() {
                parts.metrics.takeover_timeouts.increment(1);
                debug!(%key, "the previous owner did not answer; the stamp decides");
            }
        }
        lease
    }

    /// Asks the previous owner to let go, and whoever it had to let go for itself: the directory may
    /// be behind by more than one takeover.
    async fn make_yield(&self, mut owner: NodeName, key: &SessionKey, stamp: Stamp) {
        for _ in 0..=limits::HOPS_MAX {
            if owner == self.parts.me {
                return;
            }
            let Some(answer) = self.request_yield(&owner, key, stamp) else { return };
            owner = match answer.await {
                Ok(Answer::Outcomes(outcomes)) => match outcomes.into_iter().next() {
                    Some(Outcome::Moved { owner: next, .. }) if next != owner => next,
                    _ => return,
                },
                _ => return,
            };
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
            _ => end.release(),
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
