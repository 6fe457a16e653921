//! What follows when another claim excludes a session of this node: it is closed, or its [`Dispute`] is carried out over
//! the links.

use std::sync::Arc;

use tokio::time::{Instant, sleep_until};

use crate::directory::policy::{self, Fate, Opposition};
use crate::directory::{Lost, Rival};
use crate::metrics::label::Task;
use crate::ownership::{Dispute, DisputeEffect as Effect, Ending};
use crate::router::Router;
use crate::router::decisions::{self, Asker, Why};
use crate::router::owner::Succession as _;
use crate::session::Session;

impl Router {
    /// Closes the sessions that other claims exclude, or makes the others let go.
    pub(crate) fn supersede(self: &Arc<Self>, lost: Vec<Lost>) {
        for Lost { key, stamp, winner, winner_stamp, rival } in lost {
            let held = self.parts.registry.get(key).filter(|session| session.stamp() == stamp);
            let Some(session) = held else { continue };
            match policy::fate(self.parts.replica.takeover(), session.succeeds(), winner_stamp) {
                Fate::Closes => {
                    if session.close(Ending::of(rival, winner.clone(), winner_stamp).into()) {
                        let by = (&winner, winner_stamp);
                        decisions::ended(&self.parts.me, &session, Why::Lost, rival, by);
                        self.hand_over(&session);
                    }
                }
                Fate::Disputed => self.dispute(session),
            }
        }
    }

    /// Settles with the owner of an older claim which session stays, in the background and once at a time
    /// for each session.
    fn dispute(self: &Arc<Self>, session: Arc<Session>) {
        if !session.begin_dispute() {
            return;
        }
        let router = Arc::clone(self);
        tokio::spawn(async move {
            let settled = router.parts.vitals.contained(Task::Dispute, router.settle_disputes(&session));
            if settled.await.is_err() {
                session.end_dispute(); // Or no claim would ever be disputed again.
            }
        });
    }

    async fn settle_disputes(self: &Arc<Self>, session: &Arc<Session>) {
        loop {
            let key = session.key();
            let mut dispute =
                Dispute::new(self.parts.me.clone(), key.device, session.stamp(), session.succeeds());
            self.settle_dispute(session, &mut dispute).await;
            session.end_dispute();
            // An older claim that was found before the end of the dispute was left to this task.
            if self.look(session, &dispute) == Opposition::None || !session.begin_dispute() {
                return;
            }
        }
    }

    async fn settle_dispute(self: &Arc<Self>, session: &Arc<Session>, dispute: &mut Dispute) {
        let mut effects = dispute.begin();
        let mut deadline = Instant::now();
        loop {
            let (mut opposition, mut asked) = (None, None);
            for effect in effects {
                match effect {
                    Effect::Look => opposition = Some(self.look(session, dispute)),
                    Effect::Start(timer) => deadline = Instant::now() + timer.after(self.parts.push_timeout),
                    Effect::Ask(ask) => {
                        let asker = Asker {
                            names: session.names().clone(),
                            stamp: Some(session.stamp()),
                            resumed: session.succeeds(),
                        };
                        asked = Some(self.requester.ask(asker, ask, deadline));
                    }
                    Effect::Close(ending) => {
                        if session.close(ending.clone().into())
                            && let Some((winner, stamp)) = ending.successor()
                        {
                            let (why, rival) = (Why::Disputed, Rival::SameDevice);
                            decisions::ended(&self.parts.me, session, why, rival, (&winner, stamp));
                        }
                        self.hand_over(session);
                        self.parts.replica.yielded(session.key(), session.stamp());
                    }
                    Effect::Over => return,
                }
            }
            effects = match (opposition, asked) {
                (Some(opposition), _) => dispute.looked(opposition),
                (None, Some(asked)) => {
                    let (number, answer) = asked.await;
                    dispute.answered(number, &answer)
                }
                (None, None) => {
                    sleep_until(deadline).await;
                    dispute.elapsed()
                }
            };
        }
    }

    fn look(&self, session: &Session, dispute: &Dispute) -> Opposition {
        dispute.opposition(session.over().is_some(), self.parts.replica.rival(session.key()))
    }
}
