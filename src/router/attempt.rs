//! One request to one owner: how it gets there, and what comes back.

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::id::{DeviceId, NodeName};
use crate::mesh::{Link, Recipients, Refused};
use crate::push::{Outcome, Tally};
use crate::receipt::Answer;
use crate::router::route::{self, Wanted, Way};
use crate::router::{Errand, Router};

/// One request to one owner, under way.
pub(super) struct Attempt {
    pub(super) owner: NodeName,
    pub(super) sessions: Vec<Wanted>,
    pub(super) pending: Pending,
}

/// Where the answer to a request will come from.
pub(super) enum Pending {
    /// The answer will come.
    Answer(oneshot::Receiver<Answer>),
    /// It will come from a peer that passes the request on, or that has no link to the owner either.
    Relayed(Relayed),
    /// There will be none to wait for.
    Settled(Outcome),
}

/// A request that goes over a third node.
pub(super) struct Relayed {
    answer: oneshot::Receiver<Answer>,
    owner: NodeName,
    recipients: Recipients,
    errand: Errand,
    /// Who may be asked next.
    others: Vec<NodeName>,
}

impl Router {
    /// How a request would reach `owner` now.
    pub(crate) fn way(&self, owner: &NodeName) -> Way {
        let parts = &self.parts;
        if *owner == parts.me {
            return Way::Here;
        }
        let linked = parts.links.get(owner).is_some();
        route::way(linked, parts.roster.state(owner), || parts.roster.relays(owner))
    }

    /// Sends a request on its way to its owner.
    pub(super) fn send(&self, owner: &NodeName, recipients: Recipients, errand: &Errand) -> Pending {
        let parts = &self.parts;
        match self.way(owner) {
            Way::Here => {
                let (done, answer) = oneshot::channel();
                parts.owner.execute(&recipients, errand, move |answer| {
                    let _ = done.send(answer); // Whoever asked may have stopped waiting.
                });
                Pending::Answer(answer)
            }
            Way::Direct { awaited } => {
                let link = parts.links.get(owner).ok_or(Outcome::Unreachable);
                match link.and_then(|link| self.request(&link, None, recipients, errand)) {
                    Ok(answer) if awaited => Pending::Answer(answer),
                    Ok(_) => Pending::Settled(Outcome::Unreachable),
                    Err(outcome) => Pending::Settled(outcome),
                }
            }
            Way::Relay(relays) => self.relay(owner, recipients, errand, relays),
            Way::Nowhere => Pending::Settled(Outcome::Unreachable),
        }
    }

    /// Asks the first of the peers that has a link to pass a request on.
    fn relay(
        &self,
        owner: &NodeName,
        recipients: Recipients,
        errand: &Errand,
        mut relays: Vec<NodeName>,
    ) -> Pending {
        while !relays.is_empty() {
            let Some(link) = self.parts.links.get(&relays.remove(0)) else { continue };
            return match self.request(&link, Some(owner.clone()), recipients.clone(), errand) {
                Err(outcome) => Pending::Settled(outcome),
                Ok(answer) => {
                    self.parts.metrics.mesh_relayed.with("asked").increment(1);
                    let (owner, errand) = (owner.clone(), errand.clone());
                    Pending::Relayed(Relayed { answer, owner, recipients, errand, others: relays })
                }
            };
        }
        Pending::Settled(Outcome::Unreachable)
    }

    fn request(
        &self,
        link: &Link,
        relay_to: Option<NodeName>,
        recipients: Recipients,
        errand: &Errand,
    ) -> Result<oneshot::Receiver<Answer>, Outcome> {
        self.parts.metrics.mesh_requests.with("sent").increment(1);
        let sent = link.request(relay_to, recipients, errand.action(), errand.payload());
        sent.map_err(|refused| match refused {
            Refused::Closed => Outcome::Unreachable,
            Refused::Overloaded => {
                self.parts.metrics.mesh_overloaded.increment(1);
                Outcome::Overloaded
            }
        })
    }

    /// Waits for the answer until `deadline`.
    pub(super) async fn answer(&self, pending: Pending, deadline: Instant) -> Result<Answer, Outcome> {
        let mut pending = pending;
        loop {
            let (answer, relayed) = match pending {
                Pending::Settled(outcome) => return Err(outcome),
                Pending::Answer(answer) => (answer, None),
                Pending::Relayed(Relayed { answer, owner, recipients, errand, others }) => {
                    (answer, Some((owner, recipients, errand, others)))
                }
            };
            match (timeout_at(deadline, answer).await, relayed) {
                // Nothing was sent on, so that asking another one can not deliver twice.
                (Ok(Ok(Answer::NotRelayed)), Some((owner, recipients, errand, others))) => {
                    pending = self.relay(&owner, recipients, &errand, others);
                }
                (Ok(Ok(Answer::Overloaded)), _) => return Err(Outcome::Overloaded),
                (Ok(Ok(answer)), _) => return Ok(answer),
                // The link broke, or nobody answered in time.
                (Ok(Err(_)) | Err(_), _) => return Err(Outcome::Unreachable),
            }
        }
    }

    /// The outcome of each of so many sessions, with the name of its device where the owner told it.
    pub(super) async fn outcomes(
        &self,
        pending: Pending,
        sessions: usize,
        deadline: Instant,
    ) -> Vec<(Option<DeviceId>, Outcome)> {
        match self.answer(pending, deadline).await {
            Ok(Answer::Outcomes(outcomes)) if outcomes.len() == sessions => {
                outcomes.into_iter().map(|outcome| (None, outcome)).collect()
            }
            Ok(Answer::Named(outcomes)) if outcomes.len() == sessions => {
                outcomes.into_iter().map(|named| (named.device, named.outcome)).collect()
            }
            // An answer that does not fit the question says nothing.
            Ok(_) => vec![(None, Outcome::Unreachable); sessions],
            Err(outcome) => vec![(None, outcome); sessions],
        }
    }

    /// The counts of a broadcast's receiver, if it told them in time.
    pub(super) async fn tally(&self, pending: Pending, deadline: Instant) -> Option<Tally> {
        match self.answer(pending, deadline).await {
            Ok(Answer::Tally(tally)) => Some(tally),
            _ => None,
        }
    }
}
