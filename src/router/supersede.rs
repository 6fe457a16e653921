//! What follows when another claim excludes a session of this node.
//!
//! The session is closed. Under `reject-newer` it is looked at more closely, because there the older claim
//! wins, and what is old may be over:
//!
//! - It may be the claim of an earlier connection of the same client, which the client's resume token has
//!   proven. Then the session stays, and the owner of the earlier one is asked to let go until the
//!   directory shows it no more: it may have stood still, or behind a partition, when it was asked first.
//! - It may have been released while its owner was hidden: a section that is shown again is as old as it
//!   was when it was hidden. So the owner is asked whether it has that session, and only then the newer
//!   one is closed. Otherwise both would lose.

use std::sync::Arc;

use tokio::time::{sleep, timeout};

use crate::config::Takeover;
use crate::directory::{Lost, Owned};
use crate::id::NodeName;
use crate::limits;
use crate::router::{Router, Told};
use crate::session::{CloseReason, Session};

impl Router {
    /// Closes the sessions that other claims exclude, or makes the others let go.
    pub(crate) fn supersede(self: &Arc<Self>, lost: Vec<Lost>) {
        for Lost { key, stamp, winner, winner_stamp, excluded } in lost {
            let registry = &self.parts.registry;
            let disputed = match self.parts.replica.takeover() {
                Takeover::RejectNewer => registry.get(key).filter(|session| session.stamp() == stamp),
                _ => registry.supersede(key, stamp, &winner, winner_stamp, excluded),
            };
            disputed.into_iter().for_each(|session| self.dispute(session));
        }
    }

    /// Settles with the owner of an older claim which session stays, in the background and once at a time.
    fn dispute(self: &Arc<Self>, session: Arc<Session>) {
        let key = session.key();
        if !self.disputing.lock().expect(NOT_POISONED).insert(key) {
            return;
        }
        let router = Arc::clone(self);
        tokio::spawn(async move {
            let parts = &router.parts;
            let own = (session.stamp(), parts.me.clone());
            let other = |held: &Owned| (held.stamp, held.owner.clone()) != own;
            let older = || parts.replica.lookup(key).filter(other);
            while session.closing().is_none()
                && let Some(held) = older()
            {
                if session.succeeds(held.stamp) {
                    router.insist(&session, held.owner.clone()).await;
                }
                // Whoever let go releases its claim only then, and what was released before shows by then.
                sleep(limits::RELEASE_LINGER).await;
                if !session.succeeds(held.stamp) && older().as_ref() == Some(&held) {
                    router.give_way(&session, held).await;
                }
            }
            router.disputing.lock().expect(NOT_POISONED).remove(&key);
        });
    }

    /// Asks the owner of an earlier connection of the same client to let go.
    async fn insist(&self, session: &Session, owner: NodeName) {
        let (user, device) = (&session.names().user, session.key().device);
        let yields = self.make_yield(owner, user, device, session.stamp(), false);
        // Should it not answer, it is asked again.
        let _ = timeout(limits::TAKEOVER_TIMEOUT, yields).await;
    }

    /// Closes the session if the owner of the older claim has that session.
    async fn give_way(self: &Arc<Self>, session: &Session, held: Owned) {
        let Owned { owner, stamp, .. } = held;
        let names = self.names([(session.key(), owner.clone())]).await;
        if let Told::Here(_) = names.of(&owner, session.key()) {
            session.close(CloseReason::Superseded { owner, stamp });
        }
    }
}

const NOT_POISONED: &str = "no panic happens under this lock";
