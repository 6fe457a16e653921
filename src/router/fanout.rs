//! Broadcasts at this node: to each session its own, in the order of the broadcasts.
//!
//! ```text
//!                  ┌─ queue ─► task: the sessions of part 1, one after the other ─┐
//!   broadcast ─────┼─ queue ─► task: the sessions of part 2 ──────────────────────┼─► tally
//!                  └─ ...                                                         ─┘
//! ```
//!
//! A session is always of the same part, and a part has one task: so broadcasts reach each session in
//! their order, whoever asked for them, and one with many sessions holds up neither a link nor a caller.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::coop::consume_budget;

use crate::limits;
use crate::metrics::label::Task;
use crate::push::{Message, Outcome};
use crate::receipt::{Done, Reply, gather_tally};
use crate::session::Registry;
use crate::vital::Vitals;
use crate::wire::Threads;

/// Brings messages to all sessions of a node.
pub(super) struct Fanout {
    registry: Arc<Registry>,
    parts: Vec<Sender<Broadcast>>,
    /// Bytes that may wait.
    room: Arc<Semaphore>,
}

/// A message on its way to one part of the sessions.
struct Broadcast {
    message: Arc<Message>,
    reply: Reply,
    _place: Arc<OwnedSemaphorePermit>,
}

impl Fanout {
    /// A fan-out to what is in `registry`. Its tasks end with it.
    pub(super) fn new(registry: Arc<Registry>, threads: &Threads, vitals: &Vitals) -> Self {
        let part = |(part, thread): (usize, &Handle)| {
            let (sender, broadcasts) = channel(limits::FANOUT_MESSAGES_MAX);
            let work = run(Arc::clone(&registry), part, broadcasts, vitals.clone());
            thread.spawn(vitals.vital(Task::FanOut, work));
            sender
        };
        let parts = (0..PARTS).zip(threads.push().iter().cycle()).map(part).collect();
        Self { registry, parts, room: Arc::new(Semaphore::new(limits::FANOUT_BYTES_MAX)) }
    }

    /// Queues a message for every session. `done` is completed once, when the last one has answered.
    pub(super) fn push(&self, message: &Arc<Message>, done: Done) {
        let bytes = message.payload.bytes.len().max(limits::FANOUT_BYTES_MAX / limits::FANOUT_MESSAGES_MAX);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let Ok(place) = Arc::clone(&self.room).try_acquire_many_owned(bytes) else {
            let sessions = self.registry.all().len();
            gather_tally(sessions, done).into_iter().for_each(|reply| reply.answer(Outcome::Overloaded));
            return;
        };
        let place = Arc::new(place);
        for (part, reply) in self.parts.iter().zip(gather_tally(PARTS, done)) {
            let (message, place) = (Arc::clone(message), Arc::clone(&place));
            // What has room finds a place in each queue. A task is gone only with its runtime; then the
            // reply says that it was interrupted.
            let _ = part.try_send(Broadcast { message, reply, _place: place });
        }
    }
}

/// Brings broadcasts to the sessions of one part.
async fn run(registry: Arc<Registry>, part: usize, mut broadcasts: Receiver<Broadcast>, vitals: Vitals) {
    while let Some(Broadcast { message, reply, _place }) = broadcasts.recv().await {
        let mut sessions = registry.part(part, PARTS);
        if message.terms().ttl == Some(0) {
            sessions.retain(|session| !session.is_away()); // It is not for those that are not there.
        }
        for (session, reply) in sessions.iter().zip(reply.split(sessions.len())) {
            if session.offer(&message, reply)
                && let Some(timing) = session.time_acks()
            {
                tokio::spawn(vitals.contained(Task::HandOver, timing));
            }
            consume_budget().await; // Others have their turn between some of the sessions.
        }
    }
}

/// Sessions are written to by as many tasks. Guess: the system calls of a large fan-out fill some cores.
const PARTS: usize = 4;

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::id::{DeviceId, MessageId, NodeName, SessionKey, Stamp, UserId};
    use crate::key::KeyHasher;
    use crate::metrics::Metrics;
    use crate::position::Writer;
    use crate::push::{Payload, Tally, Terms};
    use crate::receipt::Answer;
    use crate::session::{
        CloseReason, Log, OutboxLimits, Returning, Session, Store, StoreBounds, What, Work,
    };

    const SESSIONS: usize = 100;

    fn registry() -> Arc<Registry> {
        let registry = Arc::new(Registry::new(NodeName::new("a").unwrap(), SESSIONS));
        let limits = OutboxLimits { messages_max: 2, bytes_max: 1 << 30 };
        for user in 0..SESSIONS {
            let user = UserId::new(user.to_string()).unwrap();
            let names = SessionKey::new(user, DeviceId::new("d").unwrap());
            let key = KeyHasher::new(&[0; 32]).key(&names);
            registry.insert(&Arc::new(Session::new(names, key, Stamp::from_raw(1), None, limits, None)));
        }
        registry
    }

    fn vitals() -> Vitals {
        Vitals::new(Arc::new(Metrics::new()))
    }

    fn message(id: &str, bytes: usize) -> Arc<Message> {
        let id = MessageId::new(id).unwrap();
        Arc::new(Message::new(id, false, Payload::binary(vec![0; bytes])))
    }

    /// A session that is kept for a client that is away.
    fn parked(user: &str) -> Arc<Session> {
        let names = SessionKey::new(UserId::new(user).unwrap(), DeviceId::new("d").unwrap());
        let key = KeyHasher::new(&[0; 32]).key(&names);
        let (stamp, limits) = (Stamp::from_raw(1), OutboxLimits { messages_max: 2, bytes_max: 99 });
        let bounds = StoreBounds { messages_max: 2, bytes_max: 99, node_bytes_max: 999 };
        let store = Arc::new(Store::new(bounds, Arc::new(Metrics::new())));
        let log = Log::new((stamp, Writer::from_raw(1)), 60, Returning::default(), store);
        let session = Session::new(names, key, stamp, None, limits, Some(log));
        session.close(CloseReason::ClientGone);
        Arc::new(session)
    }

    fn id(what: &What) -> String {
        let What::Message(message, _) = what else { panic!("it is a message") };
        message.id.to_string()
    }

    fn broadcast(fanout: &Fanout, message: &Arc<Message>) -> oneshot::Receiver<Answer> {
        let (done, answer) = oneshot::channel();
        fanout.push(message, Done::Waiting(done));
        answer
    }

    #[tokio::test]
    async fn what_may_not_wait_counts_nobody_who_is_away() {
        let registry = Arc::new(Registry::new(NodeName::new("a").unwrap(), 9));
        registry.insert(&parked("u"));
        let fanout = Fanout::new(registry, &Threads::current(), &vitals());
        let at_once = Message::new(MessageId::new("m").unwrap(), false, Payload::text("x"));
        let at_once = at_once.on(Terms { ttl: Some(0), ..Terms::default() });
        assert_eq!(broadcast(&fanout, &Arc::new(at_once)).await, Ok(Answer::tally(Tally::default())));
        let waits = Answer::tally(Tally { queued: 1, ..Tally::default() });
        assert_eq!(broadcast(&fanout, &message("n", 1)).await, Ok(waits));
    }

    #[tokio::test]
    async fn each_session_has_all_broadcasts_in_their_order_and_each_is_counted() {
        let registry = registry();
        let fanout = Fanout::new(Arc::clone(&registry), &Threads::current(), &vitals());
        let answers = ["a", "b"].map(|id| broadcast(&fanout, &message(id, 1)));
        for session in registry.all() {
            let mut received = Vec::new();
            while received.len() < 2 {
                let Work::Write(batch) = session.work(9).await else { panic!("nobody closes") };
                received.extend(batch.iter().map(|outgoing| id(&outgoing.what)));
                session.written(batch);
            }
            assert_eq!(received, ["a", "b"]);
        }
        let expected = Tally { delivered: SESSIONS as u64, ..Tally::default() };
        for answer in answers {
            assert_eq!(answer.await, Ok(Answer::Tally(expected)));
        }
    }

    #[tokio::test]
    async fn what_does_not_fit_is_refused_for_every_session() {
        let registry = registry();
        let fanout = Fanout::new(Arc::clone(&registry), &Threads::current(), &vitals());
        let first = broadcast(&fanout, &message("a", limits::FANOUT_BYTES_MAX));
        let refused = Tally { overloaded: SESSIONS as u64, ..Tally::default() };
        assert_eq!(broadcast(&fanout, &message("b", 1)).await, Ok(Answer::Tally(refused)));
        drop(fanout); // What is queued is brought all the same.
        registry
            .all()
            .iter()
            .for_each(|session| assert_eq!(session.waiting(), 0, "their turn did not come yet"));
        for session in registry.all() {
            let Work::Write(batch) = session.work(9).await else { panic!("nobody closes") };
            session.written(batch);
        }
        let delivered = Tally { delivered: SESSIONS as u64, ..Tally::default() };
        assert_eq!(first.await, Ok(Answer::Tally(delivered)));
    }
}
