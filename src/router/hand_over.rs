//! What a session owes its client goes to the session's next owner.
//!
//! ```text
//!   the session is superseded ──► its tail is final ──► its next owner takes it, part by part ──► forgotten here
//!                                        ▲                        │ it does not, or is not reached
//!                                        └──── look again, as long as the session is kept ◄──────┘
//! ```
//!
//! Whoever asked the session to let go is answered when its tail is there. A tail that does not get there in time for that, or
//! that nobody asked for, because two nodes did not reach each other, follows when they do.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use crate::id::{NodeName, SessionKey};
use crate::limits;
use crate::metrics::label::{Dropped, HandedOver, Task};
use crate::push::Outcome;
use crate::receipt::Reply;
use crate::router::frame::Recipients;
use crate::router::operation::Adoption;
use crate::router::owner::Succession;
use crate::router::requester::Patience;
use crate::router::{Operation, Router};
use crate::session::Session;

impl Succession for Router {
    fn hand_over(&self, session: &Arc<Session>) -> bool {
        if session.successor().is_none() {
            return false;
        }
        let (Some(kept), Some(router)) = (session.keep(), self.this.upgrade()) else { return false };
        if session.begin_hand_over() {
            let session = Arc::clone(session);
            let keep = Duration::from_secs(kept.seconds.into());
            let work = async move { router.keep_handing_over(&session, keep).await };
            tokio::spawn(self.parts.vitals.contained(Task::HandOver, work));
        }
        true
    }

    fn adopt(&self, names: SessionKey, adoption: Adoption, reply: Reply) {
        let Some(router) = self.this.upgrade() else { return reply.answer(Outcome::NoSession) };
        let work = async move { reply.answer(router.keep(names, adoption).await) };
        tokio::spawn(self.parts.vitals.contained(Task::HandOver, work));
    }
}

impl Router {
    async fn keep_handing_over(&self, session: &Arc<Session>, keep: Duration) {
        let gives_up = Instant::now() + keep;
        let mut pause = limits::HAND_OVER_AGAIN_MIN;
        let mut next = session.successor().map(|(owner, _)| owner);
        loop {
            if let Some(owner) = next
                && self.hand_over_to(session, owner).await
            {
                session.handed_over();
                self.parts.metrics.handovers.with(HandedOver::Done).increment(1);
                return;
            }
            if Instant::now() >= gives_up {
                let messages = session.unacknowledged();
                if messages > 0 {
                    let key = session.names();
                    warn!(%key, messages, "nobody has taken what was kept for a client, and its time is over");
                }
                session.forget(Dropped::Expired);
                self.parts.metrics.handovers.with(HandedOver::Failed).increment(1);
                return;
            }
            sleep(pause).await;
            pause = (2 * pause).min(limits::HAND_OVER_AGAIN_MAX);
            let (me, stamp) = (&self.parts.me, session.stamp());
            next = self.parts.replica.lookup_other(session.key(), me, stamp).map(|owned| owned.owner);
        }
    }

    /// Hands all of it over to that node, or to where that node says that the session is. Returns whether it is there.
    async fn hand_over_to(&self, session: &Session, mut owner: NodeName) -> bool {
        for _ in 0..=limits::HOPS_MAX {
            let Some(tail) = session.tail() else { return true };
            let parts = tail.parts(limits::HAND_OVER_MESSAGES_MAX, limits::HAND_OVER_BYTES_MAX);
            let mut outcome = Outcome::Delivered;
            for part in parts {
                let operation = Operation::HandOver(Arc::new(part));
                let recipients = Recipients::Session(session.names().clone());
                let pending = self.requester.send(&owner, recipients, &operation);
                let patience = Patience::until(Instant::now() + self.parts.push_timeout);
                let mut outcomes = self.requester.outcomes(pending, 1, patience).await;
                outcome = outcomes.pop().map_or(Outcome::Unreachable, |(_, outcome)| outcome);
                if outcome != Outcome::Delivered {
                    break;
                }
            }
            debug!(key = %session.names(), %owner, outcome = outcome.as_str(), "a session was handed over");
            match outcome {
                Outcome::Delivered => return true,
                Outcome::Moved { owner: next, .. } if next != owner => owner = next,
                _ => return false,
            }
        }
        false
    }
}
