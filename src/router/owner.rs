//! The owner's side: performs operations at the sessions that live here, whoever asks.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::timeout;

use crate::attributes::Change;
use crate::directory::Rival;
use crate::id::{LoginId, NodeName, SessionKey, Stamp, UserId};
use crate::key::{DeviceHash, Key};
use crate::limits;
use crate::metrics::label::Task;
use crate::ownership::{self, Ending};
use crate::push::{Outcome, Tally};
use crate::receipt::{Answer, Done, Reply, gather_named};
use crate::replica::Replica;
use crate::router::decisions::{self, Why};
use crate::router::fanout::Fanout;
use crate::router::frame::Recipients;
use crate::router::operation::{Adoption, Operation};
use crate::session::{CloseReason, Registry, Session};
use crate::trace::Tracer;
use crate::vital::Vitals;
use crate::wire::Threads;

/// How sessions go on at their next owners.
pub(super) trait Succession: Send + Sync {
    /// Hands over what a session owes its client, if it goes on elsewhere.
    fn hand_over(&self, session: &Arc<Session>);

    /// Has all that this node owes for a key offered to a node that asks, and tells whether that one has all of it, or has no
    /// session that could take it. `None`: nothing is owed.
    fn offer(&self, key: Key, asker: &NodeName) -> Option<BoxFuture<'static, bool>>;

    /// Keeps a session for its client, whose owner stops, and answers when it does.
    fn adopt(&self, names: SessionKey, adoption: Adoption, reply: Reply);
}

/// Performs operations at this node's sessions.
pub(crate) struct Owner {
    me: NodeName,
    registry: Arc<Registry>,
    replica: Arc<Replica>,
    fanout: Fanout,
    vitals: Vitals,
    tracer: Tracer,
    /// Weak, because it holds this.
    succession: OnceLock<Weak<dyn Succession>>,
}

impl Owner {
    /// The owner's side of the node `me`.
    pub(crate) fn new(
        me: NodeName,
        registry: Arc<Registry>,
        replica: Arc<Replica>,
        threads: &Threads,
        vitals: &Vitals,
        tracer: Tracer,
    ) -> Self {
        let fanout = Fanout::new(Arc::clone(&registry), threads, vitals);
        let succession = OnceLock::new();
        Self { me, registry, replica, fanout, vitals: vitals.clone(), tracer, succession }
    }

    /// What sessions owe goes to their next owners by way of `succession`.
    pub(super) fn hand_over_by(&self, succession: Weak<dyn Succession>) {
        let _ = self.succession.set(succession);
    }

    fn succession(&self) -> Option<Arc<dyn Succession>> {
        self.succession.get()?.upgrade()
    }

    /// Performs the operation at the recipients. `done` is completed once, when the last session has answered,
    /// possibly before this returns.
    pub(crate) fn execute(&self, recipients: &Recipients, operation: &Operation, done: Done) {
        match recipients {
            Recipients::All => match operation {
                Operation::Push(message) => {
                    self.fanout.push(message, done.traced(self.tracer.socket(message)))
                }
                // Nothing else is for everybody.
                _ => done.complete(Answer::Tally(Tally::default())),
            },
            Recipients::Session(names) => {
                if let Operation::Adopt(adoption) = operation {
                    return self.adopt(names.clone(), adoption.clone(), Reply::only(done));
                }
                let key = self.replica.hasher().key(names);
                self.serve_at(
                    &names.user,
                    key,
                    self.registry.get_named(key, names),
                    operation,
                    Reply::only(done),
                );
            }
            Recipients::Devices { user, devices } => self.execute_at(user, devices, operation, done),
            Recipients::Keys(keys) => {
                // One that is closing is as good as gone.
                let held = |key: &Key| self.registry.get(*key).filter(|held| held.over().is_none());
                let names = |key: &Key| held(key).map(|session| session.names().clone());
                done.complete(Answer::Sessions(keys.0.iter().map(names).collect()));
            }
        }
    }

    fn execute_at(&self, user: &UserId, devices: &[DeviceHash], operation: &Operation, done: Done) {
        let hash = self.replica.hasher().user(user);
        let key = |device: &DeviceHash| Key { user: hash, device: *device };
        let find = |device: &DeviceHash| {
            self.registry.get(key(device)).filter(|session| session.names().user == *user)
        };
        let name = |session: &Option<Arc<Session>>| Some(session.as_ref()?.names().device.clone());
        if let [device] = devices {
            let session = find(device);
            let reply = Reply::named(name(&session), done);
            return self.serve_at(user, key(device), session, operation, reply);
        }
        let sessions: Vec<_> = devices.iter().map(find).collect();
        let replies = gather_named(sessions.iter().map(name), done);
        for ((device, session), reply) in devices.iter().zip(sessions).zip(replies) {
            self.serve_at(user, key(device), session, operation, reply);
        }
    }

    fn serve_at(
        &self,
        user: &UserId,
        key: Key,
        session: Option<Arc<Session>>,
        operation: &Operation,
        reply: Reply,
    ) {
        match session {
            Some(session) => self.serve(&session, operation, reply),
            None => self.answer_yield(key, operation, self.elsewhere(user, key, operation), reply),
        }
    }

    fn serve(&self, session: &Arc<Session>, operation: &Operation, reply: Reply) {
        match operation {
            Operation::Push(message) => {
                if session.offer(message, reply.traced(self.tracer.socket(message)))
                    && let Some(timing) = session.time_acks()
                {
                    tokio::spawn(self.vitals.contained(Task::HandOver, timing));
                }
            }
            Operation::Yield { owner, stamp, rival } => {
                let Some(answer) = self.make_yield(session, owner, *stamp, *rival) else {
                    let stays = ownership::stays(&self.me, session.stamp(), *rival);
                    return reply.answer(self.told(session, operation, stays));
                };
                if let Some(succession) = self.succession() {
                    succession.hand_over(session);
                }
                let said = self.told(session, operation, answer);
                self.answer_yield(session.key(), operation, said, reply);
            }
            Operation::HandOver(part) => reply.answer(session.adopt(part)),
            // Names are asked for by keys, and a session is adopted where it is not.
            Operation::Adopt(_) => reply.answer(Outcome::NoSession),
            Operation::Disconnect(login) => reply.answer(disconnect(session, login.as_ref())),
            Operation::Attributes(change) => self.change(session, Arc::clone(change), reply),
            Operation::Confirm { stamp } => {
                let held = (session.stamp(), session.closing().is_some()); // One that is parked keeps nobody out.
                reply.answer(self.told(session, operation, ownership::confirms(held, *stamp)));
            }
            // Names are asked for by keys.
            Operation::Describe => reply.answer(Outcome::NoSession),
        }
    }

    /// Reads or changes the attributes of a session, once those are there that an earlier owner hands over.
    fn change(&self, session: &Arc<Session>, change: Arc<Change>, reply: Reply) {
        if session.is_open() {
            return reply.answer_attributes(session.change_attributes(&change));
        }
        let session = Arc::clone(session);
        tokio::spawn(self.vitals.contained(Task::HandOver, async move {
            // Whoever opens it waits no longer than that; if this does not hold, they are changed as they are.
            let _ = timeout(OPENED_WITHIN, session.until_open()).await;
            reply.answer_attributes(session.change_attributes(&change));
        }));
    }

    /// Answers whoever asks, if he asks a session to let go: once he has what this node owes the client, or nobody there can
    /// take it yet. Whoever is told of another owner is told at once, and is offered nothing: it goes to that one.
    fn answer_yield(&self, key: Key, operation: &Operation, said: Outcome, reply: Reply) {
        let offered = match (operation, &said, self.succession()) {
            (_, Outcome::Moved { .. }, _) => None,
            (Operation::Yield { owner, rival: Rival::SameDevice, .. }, _, Some(succession)) => {
                succession.offer(key, owner)
            }
            _ => None,
        };
        let Some(offered) = offered else { return reply.answer(said) };
        // Where that takes too long, or fails, the reply is dropped, and says nothing.
        tokio::spawn(self.vitals.contained(Task::HandOver, async move {
            if timeout(limits::TAKEOVER_TIMEOUT, offered).await == Ok(true) {
                reply.answer(said);
            }
        }));
    }

    /// Lets go of a session. Returns what is said; `None`: it stays.
    fn make_yield(
        &self,
        session: &Session,
        owner: &NodeName,
        stamp: Stamp,
        rival: Rival,
    ) -> Option<ownership::Answer> {
        let (held, asked) = ((session.stamp(), &self.me), (stamp, owner));
        let yielding = ownership::yields(self.replica.takeover(), held, asked, rival)?;
        if session.close(yielding.ending.clone().into()) {
            decisions::ended(&self.me, session, Why::Asked, rival, (owner, stamp));
        }
        if yielding.says_so {
            self.replica.yielded(session.key(), session.stamp());
        }
        Some(yielding.answer(owner, session.closing().and_then(Ending::closing)))
    }

    /// Keeps a session for its client, whose owner stops.
    fn adopt(&self, names: SessionKey, adoption: Adoption, reply: Reply) {
        match self.succession() {
            Some(succession) => succession.adopt(names, adoption, reply),
            None => reply.answer(Outcome::NoSession),
        }
    }

    /// What to say of a session that is here.
    fn told(&self, session: &Session, operation: &Operation, answer: ownership::Answer) -> Outcome {
        let (user, key) = (&session.names().user, session.key());
        self.say(user, key, operation, Some(session.stamp()), answer)
    }

    /// What to say of a session that is not here.
    fn elsewhere(&self, user: &UserId, key: Key, operation: &Operation) -> Outcome {
        let shown = match operation {
            Operation::Yield { owner: asker, .. } => self.replica.lookup_beside(key, asker),
            _ => self.replica.lookup(key),
        };
        self.say(user, key, operation, None, ownership::elsewhere(&self.me, shown))
    }

    /// Says it, of the session that is `held` with that stamp. If the operation is a question, the answer is a decision.
    fn say(
        &self,
        user: &UserId,
        key: Key,
        operation: &Operation,
        held: Option<Stamp>,
        answer: ownership::Answer,
    ) -> Outcome {
        if let Some((by, question)) = operation.question(key.device) {
            decisions::answered(&self.me, user, (by, &question), held, &answer);
        }
        answer.into()
    }
}

/// Closes a session, if it is of that login, where one is named.
fn disconnect(session: &Session, login: Option<&LoginId>) -> Outcome {
    if login.is_some() {
        match session.over() {
            // Where it goes on it may be of that login.
            Some(reason) if reason.moves() => return reason.outcome(),
            _ if session.login().as_ref() != login => return Outcome::NoSession,
            _ => {}
        }
    }
    if session.close(CloseReason::Kicked) { Outcome::Delivered } else { Outcome::NoSession }
}

/// How long a session takes to be opened at most. Source: under `reject-newer` owners are asked before the claim and after it.
const OPENED_WITHIN: Duration = limits::TAKEOVER_TIMEOUT.saturating_mul(2);

#[cfg(test)]
mod tests;
