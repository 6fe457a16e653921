//! From a push at any node to the sockets: look up, forward, follow, answer.
//!
//! ```text
//!   push(target) ─► view lookup ─► plan: devices by owner ─┬─ this node ──► Owner ──► Session
//!                                                          └─ another ────► Link ───► its Owner
//!   outcomes ◄──── follow: done, or moved and tried again at most HOPS_MAX times ◄──── answers
//! ```
//!
//! Everything is queued before a call of [`Router::push`] returns its future, so that for each user
//! the order of calls is the order of delivery; the future only waits. A broadcast is not ordered
//! against pushes to one user, and neither is what follows a session to another node. The decisions are pure and stand in
//! `route.rs`; what the owner does is in `owner.rs`.

use std::future::Future;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::copies::Copies;
use crate::directory::Owned;
use crate::id::{DeviceId, Incarnation, LoginId, MessageId, NodeName, SessionKey, UserId};
use crate::key::Key;
use crate::limits;
use crate::membership::member::MemberState;
use crate::membership::roster::Roster;
use crate::mesh::Links;
use crate::metrics::Metrics;
use crate::position::Writer;
use crate::push::{
    BroadcastReport, Knowledge, Message, Outcome, Payload, PushReport, SessionReport, Target, Wait,
};
use crate::replica::Replica;
use crate::session::{OutboxLimits, Registry, Store};
use crate::trace::Tracer;
use crate::vital::Vitals;
use crate::wire::Clock;

mod absent;
mod adopt;
mod attributes;
mod decisions;
mod fanout;
pub(crate) mod frame;
mod hand_over;
mod handed;
mod lease;
mod names;
mod open;
mod operation;
mod owner;
mod questions;
mod relay;
mod requester;
mod requests;
mod route;
mod supersede;
mod taking_over;
mod under_way;

pub(crate) use crate::replica::HeldByAnother;
use frame::Recipients;
pub(crate) use lease::{Claimant, Keeping, Lease};
pub(crate) use names::{Names, NamesAnswer};
pub(crate) use operation::Operation;
pub(crate) use owner::Owner;
use requester::{Patience, Pending, Requester};
pub(crate) use requests::Requests;
pub(crate) use route::Route;
use route::{Destination, Follow, Hop};
use under_way::UnderWay;

/// What a router works with.
pub(crate) struct RouterParts {
    pub(crate) me: NodeName,
    pub(crate) replica: Arc<Replica>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) links: Arc<Links>,
    pub(crate) roster: Arc<Roster>,
    pub(crate) owner: Arc<Owner>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) vitals: Vitals,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) push_timeout: Duration,
    pub(crate) outbox: OutboxLimits,
    /// What is kept for clients that are away.
    pub(crate) store: Arc<Store>,
    /// How long a client that came back waits for what it missed.
    pub(crate) resume_timeout: Duration,
    /// What other nodes hold of it.
    pub(crate) copies: Arc<Copies>,
    /// The boot of this node.
    pub(crate) incarnation: Incarnation,
    /// Who numbers the messages that are kept here.
    pub(crate) writer: Writer,
    /// Makes the ids of this boot's messages differ from all others.
    pub(crate) id_prefix: u64,
    pub(crate) tracer: Tracer,
}

/// Routes pushes from this node.
pub(crate) struct Router {
    parts: RouterParts,
    requester: Requester,
    next_id: AtomicU64,
    under_way: Arc<UnderWay>,
    /// Sessions of nodes that stop which this node is about to keep.
    adoptions: TaskTracker,
    /// For work in the background.
    this: Weak<Self>,
}

impl Router {
    /// A router over these parts.
    pub(crate) fn new(parts: RouterParts) -> Arc<Self> {
        let requester = Requester {
            me: parts.me.clone(),
            links: Arc::clone(&parts.links),
            roster: Arc::clone(&parts.roster),
            owner: Arc::clone(&parts.owner),
            metrics: Arc::clone(&parts.metrics),
            tracer: parts.tracer.clone(),
        };
        Arc::new_cyclic(|router: &Weak<Self>| {
            parts.owner.hand_over_by(router.clone());
            let this = router.clone();
            let adoptions = TaskTracker::new();
            Self { parts, requester, next_id: AtomicU64::new(0), under_way: Arc::default(), adoptions, this }
        })
    }

    /// Closes the link to that boot of a peer.
    pub(crate) fn hang_up(&self, peer: &NodeName, incarnation: Incarnation) {
        let link = self.parts.links.get(peer).filter(|link| link.peer().incarnation == incarnation);
        link.into_iter().for_each(|link| link.hang_up());
    }

    /// Nobody waits any more for what a peer was asked: it may be gone.
    pub(crate) fn give_up(&self, peer: &NodeName) {
        self.requester.give_up(peer);
    }

    /// The route that a request to `owner` would take now.
    pub(crate) fn route(&self, owner: &NodeName) -> Route {
        self.requester.route(owner)
    }

    /// A message with the caller's `id`, which makes it idempotent, or with one of its own.
    pub(crate) fn message(&self, id: Option<MessageId>, payload: Payload) -> Message {
        let idempotent = id.is_some();
        let id = id.unwrap_or_else(|| {
            let seq = self.next_id.fetch_add(1, Ordering::Relaxed);
            own_id(self.parts.id_prefix, seq)
        });
        Message::new(id, idempotent, payload)
    }

    /// Pushes to a session or to all sessions of a user. Dropping the future stops the waiting, not
    /// the push, unless the session has to be followed to another node.
    pub(crate) fn push(
        self: &Arc<Self>,
        target: Target,
        message: Message,
    ) -> impl Future<Output = PushReport> + Send + 'static {
        let id = message.id.clone();
        // Before the look-up: what is known only after it was not looked at.
        let knowledge = self.knowledge();
        let wait = message.terms().wait;
        let span = self.parts.tracer.push(&message);
        let message = message.traced(span.context());
        let sessions = self.run(target, Operation::Push(Arc::new(message)));
        // Not an async block: that would have room for the work twice.
        sessions.map(move |sessions| {
            let report = PushReport { id, sessions, knowledge, wait };
            span.ends(Some(&report.best()));
            report
        })
    }

    /// Makes the spans of pushes.
    pub(crate) fn tracer(&self) -> &Tracer {
        &self.parts.tracer
    }

    /// What this node keeps for clients that are away.
    pub(crate) fn store(&self) -> &Store {
        &self.parts.store
    }

    /// What other nodes hold of it, and this one for them.
    pub(crate) fn copies(&self) -> &Copies {
        &self.parts.copies
    }

    /// How much of its cluster this node knows.
    pub(crate) fn knowledge(&self) -> Knowledge {
        self.parts.roster.knowledge()
    }

    /// Asks the owners of these sessions for the names, all at once, within the push timeout.
    pub(crate) async fn names(&self, sessions: impl IntoIterator<Item = (Key, NodeName)>) -> Names {
        let hasher = self.parts.replica.hasher();
        Names::ask(&self.requester, hasher, self.parts.push_timeout, sessions).await
    }

    /// The devices that a user is connected with, as far as their owners tell the names, and the owners.
    pub(crate) async fn devices(self: &Arc<Self>, user: &UserId) -> Vec<(Option<DeviceId>, NodeName)> {
        let sessions = self.parts.replica.user(user);
        let names = self.names(sessions.iter().map(|(key, owned)| (*key, owned.owner.clone()))).await;
        sessions
            .into_iter()
            .map(|(key, owned)| (names.of(&owned.owner, key), owned.owner))
            .filter(|(answer, _)| *answer != NamesAnswer::Gone)
            .map(|(answer, owner)| (answer.names().map(|names| names.device), owner))
            .collect()
    }

    /// Closes a session, or all sessions of a user, with 4002; with a `login` only those of it, of which alone it reports then.
    /// `Delivered` means closed.
    pub(crate) fn disconnect(
        self: &Arc<Self>,
        target: Target,
        login: Option<LoginId>,
    ) -> impl Future<Output = PushReport> + Send + 'static {
        let id = self.message(None, Payload::text("")).id;
        let knowledge = self.knowledge();
        let of_login = login.is_some();
        let sessions = self.run(target, Operation::Disconnect(login));
        sessions.map(move |mut sessions| {
            // Those of other logins say that nobody of this one is there.
            sessions.retain(|session| !of_login || session.outcome != Outcome::NoSession);
            PushReport { id, sessions, knowledge, wait: Wait::Receipt }
        })
    }

    fn run(
        self: &Arc<Self>,
        target: Target,
        operation: Operation,
    ) -> impl Future<Output = Vec<SessionReport>> + Send + 'static {
        let (scope, sessions) = self.find(target);
        let sent = self.dispatch(&scope, &operation, sessions);
        Arc::clone(self).collect(scope, operation, sent)
    }

    /// The sessions that are meant, as the directory shows them now.
    fn find(&self, target: Target) -> (Scope, Vec<(NodeName, Destination)>) {
        let replica = &self.parts.replica;
        let destination =
            |device, name, owned: Owned| (owned.owner, Destination { device, name, stamp: owned.stamp });
        match target {
            Target::User(user) => {
                let sessions = replica.user(&user).into_iter();
                let sessions = sessions.map(|(key, owned)| destination(key.device, None, owned)).collect();
                (Scope { user, session: None }, sessions)
            }
            Target::Session(names) => {
                let key = replica.hasher().key(&names);
                let found = replica.lookup(key);
                let sessions = found.map(|owned| destination(key.device, Some(names.device.clone()), owned));
                let user = names.user.clone();
                (Scope { user, session: Some(names) }, sessions.into_iter().collect())
            }
        }
    }

    /// Sends the operation to each owner once.
    fn dispatch(
        &self,
        scope: &Scope,
        operation: &Operation,
        sessions: impl IntoIterator<Item = (NodeName, Destination)>,
    ) -> Vec<Sent> {
        let plan = route::plan(sessions, limits::SESSIONS_PER_USER_CEILING);
        plan.into_iter()
            .map(|(owner, sessions)| {
                let pending = self.requester.send(&owner, scope.recipients(&sessions), operation);
                Sent { owner, sessions, pending }
            })
            .collect()
    }

    /// Waits for the answers and reports what became of each session.
    fn collect(
        self: Arc<Self>,
        scope: Scope,
        operation: Operation,
        sent: Vec<Sent>,
    ) -> impl Future<Output = Vec<SessionReport>> + Send + 'static {
        let deadline = Instant::now() + self.parts.push_timeout;
        let patience = Patience::of(sent.len(), deadline);
        // Not an `async fn`: every push would have room for the arguments twice.
        async move {
            let follow = |sent| self.follow(&scope, &operation, sent, patience);
            let mut reports = if sent.len() <= 1 {
                follow(sent).await
            } else {
                // Side by side: a session that moved must not wait for an owner that is slow.
                let all = join_all(sent.into_iter().map(|one| follow(vec![one]))).await;
                all.into_iter().flatten().collect()
            };
            reports.sort_by(|a, b| a.device.cmp(&b.device));
            reports
        }
    }

    /// Waits for the answer to one request, if there is one, and follows those of its sessions that moved.
    async fn follow(
        &self,
        scope: &Scope,
        operation: &Operation,
        mut sent: Vec<Sent>,
        patience: Patience,
    ) -> Vec<SessionReport> {
        let mut reports = Vec::new();
        for number in 0.. {
            let mut moved = Vec::new();
            for Sent { owner: asked, sessions, pending } in sent {
                let outcomes = self.requester.outcomes(pending, sessions.len(), patience).await;
                for (destination, (name, outcome)) in sessions.into_iter().zip(outcomes) {
                    let Destination { device, name: known, stamp } = destination;
                    let name = name.or(known);
                    let visible = || {
                        let user = self.parts.replica.hasher().user(&scope.user);
                        self.parts.replica.lookup_other(Key { user, device }, &asked, stamp)
                    };
                    match route::follow(outcome, &Hop { owner: &asked, stamp, number }, visible) {
                        Follow::Done(outcome) => {
                            let node = (outcome != Outcome::NoSession).then(|| asked.clone());
                            reports.push(SessionReport { device: name, node, outcome });
                        }
                        Follow::Retry { owner, stamp } => {
                            moved.push((owner, Destination { device, name, stamp }))
                        }
                    }
                }
            }
            if moved.is_empty() {
                break;
            }
            sent = self.dispatch(scope, operation, moved);
        }
        if matches!(operation, Operation::Push(_)) {
            reports.iter().for_each(|report| self.parts.metrics.pushed(&report.outcome));
        }
        reports
    }

    /// Pushes to every session of the cluster: once to each member, which delivers to its own. A node that
    /// joins does not know all members: whoever calls this asks [`Roster::knowledge`] first.
    pub(crate) fn broadcast(
        self: &Arc<Self>,
        message: Message,
    ) -> impl Future<Output = BroadcastReport> + Send + 'static {
        let id = message.id.clone();
        let span = self.parts.tracer.push(&message);
        let operation = Operation::Push(Arc::new(message.traced(span.context())));
        let members = self.parts.roster.members();
        let others = members
            .iter()
            .filter(|(_, entry)| {
                matches!(entry.state, MemberState::Alive | MemberState::Unreachable | MemberState::Suspect)
            })
            .map(|(name, _)| name);
        let asked: Vec<_> = std::iter::once(&self.parts.me)
            .chain(others)
            .map(|name| (name.clone(), self.requester.send(name, Recipients::All, &operation)))
            .collect();
        let patience = Patience::of(asked.len(), Instant::now() + self.parts.push_timeout);
        let router = Arc::clone(self);
        async move {
            let mut nodes = Vec::new();
            for (name, pending) in asked {
                let tally = router.requester.tally(pending, patience).await;
                router.parts.metrics.broadcast(tally.as_ref());
                nodes.push((name, tally));
            }
            nodes.sort_by(|a, b| a.0.cmp(&b.0));
            span.ends(None);
            BroadcastReport { id, nodes }
        }
    }
}

/// The id of a message that its caller gave none.
fn own_id(prefix: u64, seq: u64) -> MessageId {
    let mut digits = [0; 2 * u64::BITS as usize / 4 + 1];
    let mut rest = &mut digits[..];
    write!(rest, "{prefix:016x}-{seq:x}").expect("all digits of both fit");
    let left = rest.len();
    let id = std::str::from_utf8(&digits[..digits.len() - left]).expect("digits are ASCII");
    MessageId::new(id).expect("hexadecimal digits are a valid message id")
}

/// A request that was sent to an owner, and may not be answered yet.
struct Sent {
    owner: NodeName,
    sessions: Vec<Destination>,
    pending: Pending,
}

/// The scope of an operation: a user, or one session of a user. It stays the same while sessions are followed.
struct Scope {
    user: UserId,
    /// The one session that is meant, if it is one.
    session: Option<SessionKey>,
}

impl Scope {
    fn recipients(&self, sessions: &[Destination]) -> Recipients {
        match &self.session {
            Some(names) => Recipients::Session(names.clone()),
            None => Recipients::Devices {
                user: self.user.clone(),
                devices: sessions.iter().map(|destination| destination.device).collect(),
            },
        }
    }
}

/// The bound that every call of this module keeps, beside the caller's own timeout.
const _: () = assert!(limits::TAKEOVER_TIMEOUT.as_millis() <= limits::PUSH_TIMEOUT.as_millis());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_ours_is_a_prefix_of_full_length_and_a_number() {
        assert_eq!(own_id(0x1f, 0xff).as_str(), "000000000000001f-ff");
        assert_eq!(own_id(u64::MAX, u64::MAX).as_str(), "ffffffffffffffff-ffffffffffffffff");
    }
}
