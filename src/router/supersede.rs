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
//!
//! The owner is asked about that very claim and not about the key: it may hold a later session of the key,
//! which asks in turn about the one here, and then both would lose as well.

use std::sync::Arc;

use tokio::time::{Instant, sleep};

use crate::directory::policy::{self, Fate, Standing};
use crate::directory::{Lost, Owned, Rival};
use crate::id::{NodeName, SessionKey, Stamp};
use crate::key::Key;
use crate::limits;
use crate::push::Outcome;
use crate::router::attempt::Patience;
use crate::router::frame::Recipients;
use crate::router::{Errand, Router};
use crate::session::{CloseReason, Session};

impl Router {
    /// Closes the sessions that other claims exclude, or makes the others let go.
    pub(crate) fn supersede(self: &Arc<Self>, lost: Vec<Lost>) {
        for Lost { key, stamp, winner, winner_stamp, rival } in lost {
            let held = self.parts.registry.get(key).filter(|session| session.stamp() == stamp);
            let Some(session) = held else { continue };
            match policy::fate(self.parts.replica.takeover(), session.succeeds(), winner_stamp) {
                Fate::Closes => _ = session.close(close_reason(rival, &winner, winner_stamp)),
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
            loop {
                router.settle_dispute(&session).await;
                session.end_dispute();
                // An older claim that was found before the end of the dispute was left to this task.
                if router.standing(&session) == Standing::Undisputed || !session.begin_dispute() {
                    return;
                }
            }
        });
    }

    async fn settle_dispute(&self, session: &Session) {
        loop {
            match self.standing(session) {
                Standing::Undisputed => return,
                // Should its owner not answer, it is asked again.
                Standing::Insists(held, below) => {
                    self.end_earlier(held.owner, session.names(), session.key(), below).await;
                    sleep(limits::RELEASE_LINGER).await;
                }
                Standing::Doubtful(held) => {
                    sleep(limits::RELEASE_LINGER).await;
                    if self.standing(session) == Standing::Doubtful(held.clone()) {
                        self.give_way(session, held).await;
                    }
                }
            }
        }
    }

    fn standing(&self, session: &Session) -> Standing {
        if session.closing().is_some() {
            return Standing::Undisputed;
        }
        let held = self.parts.replica.rival(session.key());
        policy::standing(&self.parts.me, session.stamp(), session.succeeds(), held)
    }

    /// Whether the owner of a claim has the session of that very claim.
    pub(super) async fn confirms(
        &self,
        names: &SessionKey,
        key: Key,
        held: &Owned,
        patience: Patience,
    ) -> bool {
        let confirm = Errand::Confirm { stamp: held.stamp };
        let recipients = Recipients::Devices { user: names.user.clone(), devices: vec![key.device] };
        let asked = self.send(&held.owner, recipients, &confirm);
        matches!(self.outcomes(asked, 1, patience).await.pop(), Some((_, Outcome::Delivered)))
    }

    /// Closes the session if the owner of the older claim has the session of that very claim.
    pub(crate) async fn give_way(&self, session: &Session, held: Owned) {
        let patience = Patience::until(Instant::now() + self.parts.push_timeout);
        if self.confirms(session.names(), session.key(), &held, patience).await {
            let Owned { owner, stamp, .. } = held;
            session.close(CloseReason::Superseded { owner, stamp });
            self.parts.replica.yielded(session.key(), session.stamp());
        }
    }
}

/// Why a session is closed that the claim of `owner` takes the place of.
pub(super) fn close_reason(rival: Rival, owner: &NodeName, stamp: Stamp) -> CloseReason {
    match rival {
        Rival::SameDevice => CloseReason::Superseded { owner: owner.clone(), stamp },
        Rival::OtherDevice => CloseReason::Excluded,
    }
}
