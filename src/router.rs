//! From a push at any node to the sockets: look up, forward, follow, answer.
//!
//! ```text
//!   push(target) ─► view lookup ─► plan: devices by owner ─┬─ this node ──► Owner ──► Session
//!                                                          └─ another ────► Link ───► its Owner
//!   outcomes ◄──── follow: settled, or moved and tried again at most HOPS_MAX times ◄──── answers
//! ```
//!
//! Everything is queued before a call of [`Router::push`] returns its future, so that for each user
//! the order of calls is the order of delivery; the future only waits. A broadcast is not ordered
//! against pushes to one user, and neither is what follows a session to another node. The decisions are pure and stand in
//! `route.rs`; what the owner does is in `owner.rs`.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::id::{DeviceId, MessageId, NodeName, SessionKey, Stamp, UserId};
use crate::limits;
use crate::membership::member::MemberState;
use crate::membership::roster::Roster;
use crate::mesh::{Links, Recipients};
use crate::metrics::Metrics;
use crate::push::{BroadcastReport, Message, Outcome, Payload, PushReport, SessionReport, Tally, Target};
use crate::receipt::Answer;
use crate::replica::Replica;
use crate::session::{OutboxLimits, Registry};
use crate::wire::Clock;

mod errand;
mod lease;
mod owner;
mod route;

pub(crate) use errand::Errand;
pub(crate) use lease::Lease;
pub(crate) use owner::Owner;
use route::{Follow, Tried};

/// What a router works with.
pub(crate) struct RouterParts {
    pub(crate) me: NodeName,
    pub(crate) replica: Arc<Replica>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) links: Arc<Links>,
    pub(crate) roster: Arc<Roster>,
    pub(crate) owner: Arc<Owner>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) push_timeout: Duration,
    pub(crate) outbox: OutboxLimits,
    /// Makes the ids of this boot's messages differ from all others.
    pub(crate) id_prefix: u64,
}

/// Routes pushes from this node.
pub(crate) struct Router {
    parts: RouterParts,
    next_id: AtomicU64,
}

/// One request to one owner, under way.
struct Attempt {
    owner: NodeName,
    sessions: Vec<(DeviceId, Stamp)>,
    answer: Pending,
}

enum Pending {
    /// The answer will come.
    Answer(oneshot::Receiver<Answer>),
    /// There will be none to wait for.
    Settled(Outcome),
}

impl Router {
    /// A router over these parts.
    pub(crate) fn new(parts: RouterParts) -> Arc<Self> {
        Arc::new(Self { parts, next_id: AtomicU64::new(0) })
    }

    /// A message with the caller's `id`, which makes it idempotent, or with one of its own.
    pub(crate) fn message(&self, id: Option<MessageId>, payload: Payload) -> Message {
        let idempotent = id.is_some();
        let id = id.unwrap_or_else(|| {
            let seq = self.next_id.fetch_add(1, Ordering::Relaxed);
            MessageId::new(format!("{:016x}-{seq:x}", self.parts.id_prefix))
                .expect("hexadecimal digits are a valid message id")
        });
        Message { id, idempotent, payload }
    }

    /// Pushes to a session or to all sessions of a user. Dropping the future stops the waiting, not
    /// the push, unless the session has to be followed to another node.
    pub(crate) fn push(
        self: &Arc<Self>,
        target: Target,
        message: Message,
    ) -> impl Future<Output = PushReport> + Send + 'static {
        let id = message.id.clone();
        let sessions = self.run(target, Errand::Push(Arc::new(message)));
        async move { PushReport { id, sessions: sessions.await } }
    }

    /// Closes a session, or all sessions of a user, with 4002. `Delivered` means closed.
    pub(crate) fn disconnect(
        self: &Arc<Self>,
        target: Target,
    ) -> impl Future<Output = PushReport> + Send + 'static {
        let id = self.message(None, Payload::text("")).id;
        let sessions = self.run(target, Errand::Disconnect);
        async move { PushReport { id, sessions: sessions.await } }
    }

    fn run(
        self: &Arc<Self>,
        target: Target,
        errand: Errand,
    ) -> impl Future<Output = Vec<SessionReport>> + Send + 'static {
        let (user, sessions) = match target {
            Target::User(user) => {
                let sessions = self.parts.replica.user(&user);
                (user, sessions)
            }
            Target::Session(SessionKey { user, device }) => {
                let key = SessionKey::new(user, device);
                let owned = self.parts.replica.lookup(&key);
                (key.user, owned.map(|owned| (key.device, owned)).into_iter().collect())
            }
            Target::All => unreachable!("broadcast is a call of its own"),
        };
        let sessions = sessions.into_iter().map(|(device, owned)| (device, owned.owner, owned.stamp));
        let attempts = self.dispatch(&user, &errand, sessions);
        let router = Arc::clone(self);
        async move { router.settle(user, errand, attempts).await }
    }

    /// Sends the errand to each owner once.
    fn dispatch(
        &self,
        user: &UserId,
        errand: &Errand,
        sessions: impl IntoIterator<Item = (DeviceId, NodeName, Stamp)>,
    ) -> Vec<Attempt> {
        let plan = route::plan(sessions);
        plan.into_iter()
            .map(|(owner, sessions)| {
                let devices = sessions.iter().map(|(device, _)| device.clone()).collect();
                let recipients = Recipients::Sessions { user: user.clone(), devices };
                let answer = self.send(&owner, recipients, errand);
                Attempt { owner, sessions, answer }
            })
            .collect()
    }

    fn send(&self, owner: &NodeName, recipients: Recipients, errand: &Errand) -> Pending {
        if *owner == self.parts.me {
            let (done, answer) = oneshot::channel();
            self.parts.owner.execute(&self.parts.me, &recipients, errand, move |answer| {
                let _ = done.send(answer); // Whoever asked may have stopped waiting.
            });
            return Pending::Answer(answer);
        }
        let Some(link) = self.parts.links.get(owner) else {
            return Pending::Settled(Outcome::Unreachable);
        };
        self.parts.metrics.mesh_requests.with("sent").increment(1);
        match link.request(recipients, errand.action(), errand.payload()) {
            Err(_) => {
                self.parts.metrics.mesh_overloaded.increment(1);
                Pending::Settled(Outcome::Overloaded)
            }
            // It is sent all the same, but nobody waits for a peer that may be gone.
            Ok(_) if self.parts.roster.state(owner) == Some(MemberState::Suspect) => {
                Pending::Settled(Outcome::Unreachable)
            }
            Ok(answer) => Pending::Answer(answer),
        }
    }

    /// Waits for the answers and reports what became of each session.
    async fn settle(&self, user: UserId, errand: Errand, attempts: Vec<Attempt>) -> Vec<SessionReport> {
        let deadline = Instant::now() + self.parts.push_timeout;
        // Side by side: a session that moved must not wait for an owner that is slow.
        let settled =
            join_all(attempts.into_iter().map(|attempt| self.follow(&user, &errand, attempt, deadline)));
        let mut reports: Vec<_> = settled.await.into_iter().flatten().collect();
        reports.sort_by(|a, b| a.device.cmp(&b.device));
        reports
    }

    /// Waits for one owner's answer, and follows those of its sessions that moved.
    async fn follow(
        &self,
        user: &UserId,
        errand: &Errand,
        first: Attempt,
        deadline: Instant,
    ) -> Vec<SessionReport> {
        let (mut reports, mut attempts) = (Vec::new(), vec![first]);
        for hop in 0.. {
            let mut moved = Vec::new();
            for Attempt { owner: tried, sessions, answer } in attempts {
                let outcomes = answer.outcomes(sessions.len(), deadline).await;
                for ((device, stamp), outcome) in sessions.into_iter().zip(outcomes) {
                    let key = SessionKey::new(user.clone(), device);
                    let visible = self.parts.replica.lookup(&key);
                    match route::follow(outcome, &Tried { owner: &tried, stamp, hop }, visible) {
                        Follow::Settled(outcome) => {
                            let node = (outcome != Outcome::NoSession).then(|| tried.clone());
                            reports.push(SessionReport { device: key.device, node, outcome });
                        }
                        Follow::Retry { owner, stamp } => moved.push((key.device, owner, stamp)),
                    }
                }
            }
            if moved.is_empty() {
                break;
            }
            attempts = self.dispatch(user, errand, moved);
        }
        if matches!(errand, Errand::Push(_)) {
            reports.iter().for_each(|report| self.parts.metrics.pushed(&report.outcome));
        }
        reports
    }

    /// Pushes to every session of the cluster: once to each member, which delivers to its own.
    pub(crate) fn broadcast(
        self: &Arc<Self>,
        message: Message,
    ) -> impl Future<Output = BroadcastReport> + Send + 'static {
        let id = message.id.clone();
        let errand = Errand::Push(Arc::new(message));
        let members = self.parts.roster.members();
        let others = members
            .iter()
            .filter(|(_, entry)| {
                matches!(entry.state, MemberState::Alive | MemberState::Unreachable | MemberState::Suspect)
            })
            .map(|(name, _)| name);
        let asked: Vec<_> = std::iter::once(&self.parts.me)
            .chain(others)
            .map(|name| (name.clone(), self.send(name, Recipients::All, &errand)))
            .collect();
        let deadline = Instant::now() + self.parts.push_timeout;
        let metrics = Arc::clone(&self.parts.metrics);
        async move {
            let mut nodes = Vec::new();
            for (name, pending) in asked {
                let tally = pending.tally(deadline).await;
                metrics.broadcast(tally.as_ref());
                nodes.push((name, tally));
            }
            nodes.sort_by(|a, b| a.0.cmp(&b.0));
            BroadcastReport { id, nodes }
        }
    }

    fn request_yield(
        &self,
        owner: &NodeName,
        key: &SessionKey,
        stamp: Stamp,
    ) -> Option<oneshot::Receiver<Answer>> {
        let link = self.parts.links.get(owner)?;
        if self.parts.roster.state(owner) != Some(MemberState::Alive) {
            return None;
        }
        let recipients = Recipients::Sessions { user: key.user.clone(), devices: vec![key.device.clone()] };
        self.parts.metrics.mesh_requests.with("sent").increment(1);
        link.request(recipients, Errand::Yield(stamp).action(), Bytes::new()).ok()
    }
}

impl Pending {
    async fn answer(self, deadline: Instant) -> Result<Answer, Outcome> {
        match self {
            Pending::Settled(outcome) => Err(outcome),
            Pending::Answer(answer) => match timeout_at(deadline, answer).await {
                Ok(Ok(answer)) => Ok(answer),
                // The link broke, or nobody answered in time.
                Ok(Err(_)) | Err(_) => Err(Outcome::Unreachable),
            },
        }
    }

    async fn outcomes(self, sessions: usize, deadline: Instant) -> Vec<Outcome> {
        match self.answer(deadline).await {
            Ok(Answer::Outcomes(outcomes)) if outcomes.len() == sessions => outcomes,
            // An answer that does not fit the question says nothing.
            Ok(_) => vec![Outcome::Unreachable; sessions],
            Err(outcome) => vec![outcome; sessions],
        }
    }

    async fn tally(self, deadline: Instant) -> Option<Tally> {
        match self.answer(deadline).await {
            Ok(Answer::Tally(tally)) => Some(tally),
            _ => None,
        }
    }
}

/// The bound that every call of this module keeps, beside the caller's own timeout.
const _: () = assert!(limits::TAKEOVER_TIMEOUT.as_millis() <= limits::PUSH_TIMEOUT.as_millis());
