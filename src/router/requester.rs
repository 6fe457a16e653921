//! Requests to owners: how one gets there, and what comes back.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::id::{DeviceId, NodeName, SessionKey};
use crate::limits;
use crate::membership::roster::Roster;
use crate::mesh::{Features, Link, Links, Refused};
use crate::metrics::Metrics;
use crate::metrics::label::{Direction, RelayStep};
use crate::push::{Outcome, Tally};
use crate::receipt::{Answer, Done};
use crate::router::frame::{self, Recipients};
use crate::router::operation::Operation;
use crate::router::owner::Owner;
use crate::router::route::{self, Route};
use crate::trace::{Span, Tracer};

/// Sends requests to owners, this node among them, and waits for the answers.
pub(super) struct Requester {
    pub(super) me: NodeName,
    pub(super) links: Arc<Links>,
    pub(super) roster: Arc<Roster>,
    pub(super) owner: Arc<Owner>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) tracer: Tracer,
}

/// For how long a call waits for the answers of those that it asks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    deadline: Instant,
    /// Whether it asks several.
    several: bool,
}

/// The answer to a request that was sent over a link.
pub(super) struct Asked {
    answer: oneshot::Receiver<Answer>,
    link: Arc<Link>,
    at: Instant,
    span: Span,
}

/// Where the answer to a request will come from.
pub(super) enum Pending {
    /// From this node.
    Here(oneshot::Receiver<Answer>),
    /// From the owner.
    Answer(Asked),
    /// It will come from a peer that passes the request on, or that has no link to the owner either.
    Relayed(Box<Relayed>),
    /// There will be none to wait for: the outcome is known.
    Known(Outcome),
}

/// A request that goes over a third node.
pub(super) struct Relayed {
    asked: Asked,
    owner: NodeName,
    recipients: Recipients,
    operation: Operation,
    /// Who may be asked next.
    others: Vec<NodeName>,
}

impl Patience {
    /// Waits for one answer until then.
    pub(super) fn until(deadline: Instant) -> Self {
        Self { deadline, several: false }
    }

    /// Waits for so many answers until then, but no longer for a peer that is silent than the answers of
    /// the others are worth.
    pub(super) fn of(asked: usize, deadline: Instant) -> Self {
        Self { deadline, several: asked > 1 }
    }
}

impl Asked {
    /// Waits for the answer. `None`: the link broke, or there was none in time.
    async fn wait(mut self, patience: Patience) -> Option<Answer> {
        let answer = self.answer(patience).await;
        match &answer {
            // The spans at the sessions say what became of it.
            Some(answer) if *answer != Answer::Overloaded => {}
            Some(_) => self.span.ends(Some(&Outcome::Overloaded)),
            None => self.span.ends(Some(&Outcome::Unreachable)),
        }
        answer
    }

    async fn answer(&mut self, patience: Patience) -> Option<Answer> {
        let mut silent_at = self.at + limits::OTHERS_WAIT_MAX;
        loop {
            let until = if patience.several { silent_at.min(patience.deadline) } else { patience.deadline };
            if let Ok(answer) = timeout_at(until, &mut self.answer).await {
                return answer.ok();
            }
            // A peer that is well is heard soon after it was asked, also one that takes its time.
            silent_at = self.link.heard().max(self.at) + limits::OTHERS_WAIT_MAX;
            if Instant::now() >= silent_at.min(patience.deadline) {
                return None;
            }
        }
    }
}

/// What an answer that came, or did not come, says to whoever waits.
fn told(answer: Option<Answer>) -> Result<Answer, Outcome> {
    match answer {
        Some(Answer::Overloaded) => Err(Outcome::Overloaded),
        Some(answer) => Ok(answer),
        // The link broke, or nobody answered in time.
        None => Err(Outcome::Unreachable),
    }
}

impl Requester {
    /// Nobody waits any more for what a peer was asked: it may be gone.
    pub(super) fn give_up(&self, peer: &NodeName) {
        if let Some(link) = self.links.get(peer) {
            link.give_up();
        }
    }

    /// The route that a request to `owner` would take now.
    pub(super) fn route(&self, owner: &NodeName) -> Route {
        self.linked_route(owner).0
    }

    /// Whether that node has said that it knows attributes.
    pub(super) fn knows_attributes(&self, owner: &NodeName) -> Option<bool> {
        self.links.get(owner).map(|link| link.features().has(Features::ATTRIBUTES))
    }

    /// The same, with the link of a direct one.
    fn linked_route(&self, owner: &NodeName) -> (Route, Option<Arc<Link>>) {
        if *owner == self.me {
            return (Route::Here, None);
        }
        let link = self.links.get(owner);
        let route = route::route(link.is_some(), self.roster.state(owner), || self.roster.relays(owner));
        (route, link)
    }

    /// Sends a request on its way to its owner.
    pub(super) fn send(&self, owner: &NodeName, recipients: Recipients, operation: &Operation) -> Pending {
        match self.linked_route(owner) {
            (Route::Here, _) => {
                let (done, answer) = oneshot::channel();
                self.owner.execute(&recipients, operation, Done::Waiting(done));
                Pending::Here(answer)
            }
            // Nobody would read the answer, which is all that a question is for.
            (Route::Direct { awaited: false }, _) if operation.is_question() => {
                Pending::Known(Outcome::Unreachable)
            }
            (Route::Direct { awaited }, Some(link)) => {
                match self.request(link, None, recipients, operation) {
                    Ok(asked) if awaited => Pending::Answer(asked),
                    Ok(_) => Pending::Known(Outcome::Unreachable),
                    Err(outcome) => Pending::Known(outcome),
                }
            }
            (Route::Relay(relays), _) => match self.relay(owner, recipients, operation, relays) {
                Ok(relayed) => Pending::Relayed(Box::new(relayed)),
                Err(outcome) => Pending::Known(outcome),
            },
            (Route::Direct { .. } | Route::Nowhere, _) => Pending::Known(Outcome::Unreachable),
        }
    }

    /// Asks the first of the peers that has a link to pass a request on.
    fn relay(
        &self,
        owner: &NodeName,
        recipients: Recipients,
        operation: &Operation,
        mut relays: Vec<NodeName>,
    ) -> Result<Relayed, Outcome> {
        while !relays.is_empty() {
            let Some(link) = self.links.get(&relays.remove(0)) else { continue };
            let asked = self.request(link, Some(owner.clone()), recipients.clone(), operation)?;
            self.metrics.mesh_relayed.with(RelayStep::Asked).increment(1);
            let (owner, operation) = (owner.clone(), operation.clone());
            return Ok(Relayed { asked, owner, recipients, operation, others: relays });
        }
        Err(Outcome::Unreachable)
    }

    fn request(
        &self,
        link: Arc<Link>,
        relay_to: Option<NodeName>,
        recipients: Recipients,
        operation: &Operation,
    ) -> Result<Asked, Outcome> {
        self.metrics.mesh_requests.with(Direction::Sent).increment(1);
        let span = match operation {
            Operation::Push(message) => self.tracer.hop(message, &link.peer().name, relay_to.as_ref()),
            _ => Span::none(),
        };
        let (action, payload) =
            operation.sent(link.features(), span.context()).ok_or(Outcome::Unreachable)?;
        let sent = frame::request(&link, relay_to, recipients, action, payload);
        sent.map(|answer| Asked { answer, link, at: Instant::now(), span }).map_err(|refused| match refused {
            Refused::Closed => Outcome::Unreachable,
            Refused::Overloaded => {
                self.metrics.mesh_overloaded.increment(1);
                Outcome::Overloaded
            }
        })
    }

    /// Waits for the answer.
    pub(super) async fn answer(&self, pending: Pending, patience: Patience) -> Result<Answer, Outcome> {
        match pending {
            Pending::Known(outcome) => Err(outcome),
            Pending::Here(answer) => {
                told(timeout_at(patience.deadline, answer).await.ok().and_then(Result::ok))
            }
            Pending::Answer(asked) => told(asked.wait(patience).await),
            // Boxed, so that a push has no room for what it seldom needs.
            Pending::Relayed(relayed) => Box::pin(self.relayed(*relayed, patience)).await,
        }
    }

    /// The same, over one third node after the other.
    async fn relayed(&self, mut relayed: Relayed, patience: Patience) -> Result<Answer, Outcome> {
        loop {
            let Relayed { asked, owner, recipients, operation, others } = relayed;
            let answer = asked.wait(patience).await;
            if answer != Some(Answer::NotRelayed) {
                return told(answer);
            }
            // Nothing was sent on, so that asking another one cannot deliver twice.
            relayed = self.relay(&owner, recipients, &operation, others)?;
        }
    }

    /// The outcome of each of so many sessions, with the name of its device where the owner told it.
    pub(super) async fn outcomes(
        &self,
        pending: Pending,
        sessions: usize,
        patience: Patience,
    ) -> Vec<(Option<DeviceId>, Outcome)> {
        match self.answer(pending, patience).await {
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

    /// The outcome of the only session that is asked.
    pub(super) async fn outcome(&self, pending: Pending, deadline: Instant) -> Outcome {
        let mut outcomes = self.outcomes(pending, 1, Patience::until(deadline)).await;
        outcomes.pop().map_or(Outcome::Unreachable, |(_, outcome)| outcome)
    }

    /// Has an operation performed at one session of a node, and waits until then for the outcome.
    pub(super) async fn perform_at(
        &self,
        owner: &NodeName,
        names: &SessionKey,
        operation: &Operation,
        deadline: Instant,
    ) -> Outcome {
        let pending = self.send(owner, Recipients::Session(names.clone()), operation);
        self.outcome(pending, deadline).await
    }

    /// The counts of a broadcast's receiver, if it told them in time.
    pub(super) async fn tally(&self, pending: Pending, patience: Patience) -> Option<Tally> {
        match self.answer(pending, patience).await {
            Ok(Answer::Tally(tally) | Answer::TallyKept(tally)) => Some(tally),
            _ => None,
        }
    }
}
