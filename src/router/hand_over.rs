//! What a session owes its client goes to the session's next owner.
//!
//! ```text
//!   the session is superseded ──► its tail is final ──► its next owner takes it, part by part ──► forgotten here
//!                                        ▲                        │ it does not, or is not reached
//!                                        └──── look again, as long as the session is kept ◄──────┘
//! ```
//!
//! Whoever asked the session to let go is answered when its tail is there, or was offered and nobody was there yet to take it. A
//! tail that does not get there in time for that, or that nobody asked for, because two nodes did not reach each other, follows
//! when they do.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep};
use tracing::warn;

use crate::id::{NodeName, SessionKey};
use crate::key::Key;
use crate::limits;
use crate::metrics::label::{Dropped, HandedOver, Task};
use crate::push::Outcome;
use crate::receipt::Reply;
use crate::router::decisions;
use crate::router::operation::Adoption;
use crate::router::owner::Succession;
use crate::router::route::Route;
use crate::router::under_way::{End, Running};
use crate::router::{Operation, Router};
use crate::session::Session;

impl Succession for Router {
    fn hand_over(&self, session: &Arc<Session>) {
        if session.successor().is_none() {
            return;
        }
        let (Some(kept), Some(router)) = (session.keep(), self.this.upgrade()) else { return };
        if let Some(running) = self.under_way.begin(session.key(), || session.begin_hand_over()) {
            let session = Arc::clone(session);
            let keep = Duration::from_secs(kept.seconds.into());
            let work = async move { router.keep_handing_over(&session, keep, &running).await };
            tokio::spawn(self.parts.vitals.contained(Task::HandOver, work));
        }
    }

    fn offer(&self, key: Key, asker: &NodeName) -> Option<BoxFuture<'static, bool>> {
        self.under_way.offer(key, asker).map(FutureExt::boxed)
    }

    fn adopt(&self, names: SessionKey, adoption: Adoption, reply: Reply) {
        let Some(router) = self.this.upgrade() else { return reply.answer(Outcome::NoSession) };
        let work = async move { reply.answer(router.keep(names, adoption).await) };
        tokio::spawn(self.parts.vitals.contained(Task::HandOver, work));
    }
}

impl Router {
    async fn keep_handing_over(&self, session: &Arc<Session>, keep: Duration, running: &Running) {
        let gives_up = Instant::now() + keep;
        let mut pause = limits::HAND_OVER_AGAIN_MIN;
        let mut next = session.successor().map(|(owner, _)| owner);
        loop {
            let mut this_try = running.begin_try();
            let end = match this_try.asker.take().or(next) {
                Some(owner) => self.hand_over_to(session, owner).await,
                None => End::Failed,
            };
            let is_over = matches!(end, End::Taken(_));
            if is_over {
                session.handed_over();
                self.parts.metrics.handovers.with(HandedOver::Done).increment(1);
            }
            running.end_try(this_try, end);
            if is_over {
                // Another one who asks before the claim is released has to know that it is elsewhere.
                return sleep(limits::RELEASE_LINGER).await;
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
            tokio::select! {
                () = running.asked() => {}
                () = sleep(pause) => pause = (2 * pause).min(limits::HAND_OVER_AGAIN_MAX),
            }
            let (me, stamp) = (&self.parts.me, session.stamp());
            next = self.parts.replica.lookup_other(session.key(), me, stamp).map(|owned| owned.owner);
        }
    }

    /// Hands all of it over to that node, or to where that node says that the session is.
    async fn hand_over_to(&self, session: &Session, mut owner: NodeName) -> End {
        let asked = owner.clone();
        for _ in 0..=limits::HOPS_MAX {
            let Some(tail) = session.tail() else { return End::Taken(self.parts.me.clone()) };
            let (mut outcome, messages) = (Outcome::Delivered, tail.messages());
            let relayed = matches!(self.requester.route(&owner), Route::Relay(_));
            for part in tail.parts(limits::HAND_OVER_MESSAGES_MAX, limits::HAND_OVER_BYTES_MAX) {
                let operation = Operation::HandOver(Arc::new(part));
                let deadline = Instant::now() + self.parts.push_timeout;
                outcome = self.requester.perform_at(&owner, session.names(), &operation, deadline).await;
                if !outcome.is_handed_over() {
                    break;
                }
            }
            decisions::handed_over(&self.parts.me, session, messages, (&owner, relayed), &outcome);
            match outcome {
                Outcome::Delivered => return End::Taken(owner),
                // It is not kept there, and so nobody takes over what others hold of it.
                Outcome::Buffered => {
                    session.drop_copies();
                    return End::Taken(owner);
                }
                // Who names this very session knows of no other one.
                Outcome::Moved { stamp, .. } if stamp == session.stamp() => return End::Nobody(asked),
                Outcome::Moved { owner: next, .. } if next != owner => owner = next,
                Outcome::Moved { .. } | Outcome::NoSession => return End::Nobody(asked),
                _ => return End::Failed,
            }
        }
        End::Failed
    }
}
