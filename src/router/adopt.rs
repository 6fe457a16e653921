//! A node that stops leaves the sessions that it keeps to others, which keep them for the clients until they are back.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::debug;

use crate::id::{Incarnation, SessionKey, Stamp};
use crate::key::Key;
use crate::position::Segment;
use crate::push::Outcome;
use crate::router::operation::Adoption;
use crate::router::{Claimant, Keeping, Operation, Router};
use crate::session::{CloseReason, Returning, Session};

impl Router {
    /// From now on this node keeps no sessions of nodes that stop.
    pub(crate) fn stop_adopting(&self) {
        self.adoptions.close();
    }

    /// Waits until all sessions are here that it was about to keep. Only after [`stop_adopting`](Self::stop_adopting).
    pub(crate) async fn until_adopted(&self) {
        self.adoptions.wait().await;
    }

    /// Leaves a session that is kept to another node, which takes it over. Returns whether one did, or it is over.
    pub(crate) async fn leave_to_another(&self, session: &Session, incarnation: Incarnation) -> bool {
        let (Some(kept), None) = (session.keep(), session.over()) else { return true };
        let adoption = Adoption {
            owner: self.parts.me.clone(),
            incarnation,
            stamp: session.stamp(),
            seconds: kept.seconds,
            login: session.login(),
        };
        for node in self.parts.roster.keepers(session.key()) {
            let operation = Operation::Adopt(adoption.clone());
            let deadline = Instant::now() + self.parts.push_timeout;
            let outcome = self.requester.perform_at(&node, session.names(), &operation, deadline).await;
            debug!(key = %session.names(), %node, outcome = outcome.as_str(), "a session was left to another node");
            if outcome == Outcome::Delivered || session.over().is_some() {
                return true;
            }
        }
        false
    }

    /// The latest claim of a session that this node knows of, shown or not.
    fn latest(&self, key: Key) -> Option<Stamp> {
        let shown = self.parts.replica.lookup(key).map(|held| held.stamp);
        let here = self.parts.registry.get(key).map(|session| session.stamp());
        let yielded = self.yielded(key).map(|(_, stamp)| stamp);
        shown.max(here).max(yielded).max(self.parts.copies.outclaimed(key))
    }

    /// Keeps a session whose owner stops, until its client is back: claims it, has what the owner owes handed over, and parks
    /// it.
    pub(super) async fn keep(self: &Arc<Self>, names: SessionKey, adoption: Adoption) -> Outcome {
        let _counted = self.adoptions.token();
        if self.adoptions.is_closed() {
            return Outcome::Overloaded; // It stops itself: another node is asked.
        }
        let key = self.parts.replica.hasher().key(&names);
        let Adoption { owner, incarnation, stamp, seconds, login } = adoption;
        if self.latest(key) > Some(stamp) {
            return Outcome::NoSession; // The client is elsewhere already.
        }
        if !self.parts.registry.has_parking() {
            return Outcome::Overloaded;
        }
        let token = Segment::of(&owner, incarnation, stamp);
        let returning = Returning { token: Some(token), after: Vec::new() };
        let kept = Some(Keeping { seconds, returning });
        let claimant = Claimant { resumed: Some(stamp), kept, login, away: true };
        let Ok(lease) = self.open(names, claimant, None).await else { return Outcome::NoSession };
        lease.session().close(CloseReason::ClientGone);
        Outcome::Delivered
    }
}
