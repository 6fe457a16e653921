//! What follows when another claim excludes a session of this node.
//!
//! The session is closed, with one exception: under `reject-newer` the older claim wins, and it may be
//! that of an earlier connection of the same client, which the client's resume token has proven. Then
//! the session stays, and the owner of the earlier one is asked to let go until the directory shows it
//! no more: it may have stood still, or behind a partition, when it was asked first.

use std::sync::Arc;

use tokio::time::{sleep, timeout};

use crate::directory::Lost;
use crate::limits;
use crate::router::Router;
use crate::session::Session;

impl Router {
    /// Closes the sessions that other claims exclude, or makes the others let go.
    pub(crate) fn supersede(self: &Arc<Self>, lost: Vec<Lost>) {
        for Lost { key, stamp, winner, winner_stamp, excluded } in lost {
            let registry = &self.parts.registry;
            if let Some(session) = registry.supersede(key, stamp, &winner, winner_stamp, excluded) {
                self.insist(session);
            }
        }
    }

    /// Asks whoever holds an earlier connection of the client of `session` to let go, in the background
    /// and once at a time.
    fn insist(self: &Arc<Self>, session: Arc<Session>) {
        let key = session.key();
        if !self.insisting.lock().expect(NOT_POISONED).insert(key) {
            return;
        }
        let router = Arc::clone(self);
        tokio::spawn(async move {
            let parts = &router.parts;
            let earlier = || parts.replica.lookup(key).filter(|held| session.succeeds(held.stamp));
            while session.closing().is_none()
                && let Some(held) = earlier()
            {
                let user = &session.names().user;
                let yields = router.make_yield(held.owner, user, key.device, session.stamp(), false);
                // Should it not answer, it is asked again.
                let _ = timeout(limits::TAKEOVER_TIMEOUT, yields).await;
                // Whoever let go releases its claim only then.
                sleep(limits::RELEASE_LINGER).await;
            }
            router.insisting.lock().expect(NOT_POISONED).remove(&key);
        });
    }
}

const NOT_POISONED: &str = "no panic happens under this lock";
