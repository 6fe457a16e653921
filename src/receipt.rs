//! How the outcome of a push travels back from the socket to whoever asked.
//!
//! A request to a node names one or more sessions. There is one [`Reply`] for each of them; whoever ends up
//! responsible for a message holds its reply and answers it exactly once. The last answer completes the request. A
//! reply that is dropped unanswered counts as [`Outcome::Interrupted`], so that no request can be forgotten and nothing
//! lost is ever reported as delivered.

use std::sync::{Arc, Mutex, MutexGuard};

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::attributes::Changed;
use crate::id::{DeviceId, SessionKey};
use crate::push::{Outcome, Tally};
use crate::trace::Span;
use crate::vital::finally;

/// A node's answer to one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// One outcome for each session named, in their order.
    Outcomes(Vec<Outcome>),
    /// Counts over all sessions of the node, of which none is [`Outcome::Acked`] or [`Outcome::Queued`].
    Tally(#[serde(with = "written")] Tally),
    /// One outcome for each device named by its hash, in their order.
    Named(Vec<NamedOutcome>),
    /// The names of sessions, in the order asked for; `None` for one that is not here.
    Sessions(Vec<Option<SessionKey>>),
    /// The node that was to pass the request on has no link to its target: nothing was sent.
    NotRelayed,
    /// The node that the request was passed on to did not answer.
    Unanswered,
    /// A queue on the way to the node that the request was passed on to is full: nothing was sent.
    Overloaded,
    /// As [`Answer::Tally`], with those that are: only nodes that keep messages answer so.
    TallyKept(Tally),
    /// What a session says of its attributes: only nodes that know them answer so.
    Attributes(Changed),
}

impl Answer {
    /// These counts.
    pub(crate) fn tally(tally: Tally) -> Self {
        if tally.acked + tally.queued == 0 { Answer::Tally(tally) } else { Answer::TallyKept(tally) }
    }
}

/// The counts of a node that keeps no messages, or has none kept.
mod written {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::push::Tally;

    #[derive(Serialize, Deserialize)]
    struct Written {
        delivered: u64,
        buffered: u64,
        overloaded: u64,
        interrupted: u64,
        id_reused: u64,
    }

    pub(super) fn serialize<S: Serializer>(tally: &Tally, to: S) -> Result<S::Ok, S::Error> {
        let Tally { delivered, buffered, overloaded, interrupted, id_reused, acked, queued } = *tally;
        debug_assert_eq!(acked + queued, 0, "there is another answer for these");
        Written { delivered, buffered, overloaded, interrupted, id_reused }.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Tally, D::Error> {
        let Written { delivered, buffered, overloaded, interrupted, id_reused } = Written::deserialize(from)?;
        Ok(Tally { delivered, buffered, overloaded, interrupted, id_reused, ..Tally::default() })
    }
}

/// What became of a message at a session that was named by its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NamedOutcome {
    /// The device; `None` for a session that is not here.
    pub(crate) device: Option<DeviceId>,
    /// What became of it.
    pub(crate) outcome: Outcome,
}

/// A peer that has asked.
pub(crate) trait Asker: Send + Sync {
    /// Sends it the answer to its request with this number.
    fn answer(&self, seq: u64, answer: Answer);
}

/// Where the answer to a request goes.
pub(crate) enum Done {
    /// To a task of this node, which may have stopped waiting.
    Waiting(oneshot::Sender<Answer>),
    /// To the peer that has asked, with the number of its request.
    Peer(Arc<dyn Asker>, u64),
    /// There, and a span is over.
    Traced(Box<Done>, Span),
    /// To a test.
    #[cfg(test)]
    Call(Box<dyn FnOnce(Answer) + Send>),
}

impl Done {
    /// The same, and the span ends with it.
    pub(crate) fn traced(self, span: Span) -> Self {
        if span.context().is_some() { Done::Traced(Box::new(self), span) } else { self }
    }

    /// Completes the request.
    pub(crate) fn complete(self, answer: Answer) {
        match self {
            Done::Traced(done, _span) => done.complete(answer),
            Done::Waiting(waiting) => drop(waiting.send(answer)),
            Done::Peer(peer, seq) => peer.answer(seq, answer),
            #[cfg(test)]
            Done::Call(call) => call(answer),
        }
    }
}

/// The right, and the duty, to say what became of one message at one session.
pub(crate) struct Reply(Duty, Span);

enum Duty {
    /// The caller has its answer already.
    None,
    /// The request is for one session.
    Only(Form, Done),
    /// It is for several: the place of this one among them.
    Part(Arc<Gather>, usize),
}

/// How the outcome at the one session of a request is told.
enum Form {
    Plain,
    Named(Option<DeviceId>),
}

struct Gather {
    state: Mutex<State>,
}

struct State {
    left: usize,
    answer: Answer,
    done: Option<Done>,
}

/// Prepares a reply for each of these devices, which are named in the answer, in their order. The last one completes the
/// request.
pub(crate) fn gather_named(devices: impl Iterator<Item = Option<DeviceId>>, done: Done) -> Vec<Reply> {
    let named: Vec<_> =
        devices.map(|device| NamedOutcome { device, outcome: Outcome::Interrupted }).collect();
    replies(named.len(), Answer::Named(named), done)
}

/// Prepares so many replies, whose outcomes are counted.
pub(crate) fn gather_tally(sessions: usize, done: Done) -> Vec<Reply> {
    replies(sessions, Answer::Tally(Tally::default()), done)
}

fn replies(sessions: usize, answer: Answer, done: Done) -> Vec<Reply> {
    if sessions == 0 {
        done.complete(answer);
        return Vec::new();
    }
    let gather = Arc::new(Gather { state: Mutex::new(State { left: sessions, answer, done: Some(done) }) });
    (0..sessions).map(|index| Reply::of(Duty::Part(Arc::clone(&gather), index))).collect()
}

impl Gather {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic happens under this lock")
    }

    /// One place less is without its outcome. The last one completes the request.
    fn note(&self, index: usize, outcome: Option<Outcome>) {
        let finished = {
            let mut state = self.lock();
            match (&mut state.answer, outcome) {
                (_, None) => {}
                (Answer::Named(named), Some(outcome)) => named[index].outcome = outcome,
                (Answer::Tally(tally), Some(outcome)) => tally.add(&outcome),
                (_, Some(_)) => unreachable!("nobody gathers these"),
            }
            state.left -= 1;
            if state.left > 0 {
                return;
            }
            let answer = match std::mem::replace(&mut state.answer, Answer::Outcomes(Vec::new())) {
                Answer::Tally(tally) => Answer::tally(tally),
                answer => answer,
            };
            state.done.take().map(|done| (done, answer))
        };
        // Outside the lock: what `done` does is not ours.
        if let Some((done, answer)) = finished {
            done.complete(answer);
        }
    }
}

impl Reply {
    fn of(duty: Duty) -> Self {
        Self(duty, Span::none())
    }

    /// The same, whose span ends with the answer.
    pub(crate) fn traced(mut self, span: Span) -> Self {
        self.1 = span;
        self
    }

    /// The one of a request for one session.
    pub(crate) fn only(done: Done) -> Self {
        Self::of(Duty::Only(Form::Plain, done))
    }

    /// The same, whose device is named in the answer.
    pub(crate) fn named(device: Option<DeviceId>, done: Done) -> Self {
        Self::of(Duty::Only(Form::Named(device), done))
    }

    /// The reply of a message whose caller has its answer already.
    pub(crate) fn answered() -> Self {
        Self::of(Duty::None)
    }

    /// Says what became of the message.
    pub(crate) fn answer(mut self, outcome: Outcome) {
        self.complete(outcome);
    }

    /// Says what the session says of its attributes. Only a request for one session by its names asks for that.
    pub(crate) fn answer_attributes(mut self, changed: Result<Changed, Outcome>) {
        match (changed, std::mem::replace(&mut self.0, Duty::None)) {
            (Ok(changed), Duty::Only(Form::Plain, done)) => done.complete(Answer::Attributes(changed)),
            (changed, duty) => {
                self.0 = duty;
                self.answer(changed.err().unwrap_or(Outcome::NoSession));
            }
        }
    }

    /// Makes so many replies of one whose outcomes are counted.
    pub(crate) fn split(mut self, sessions: usize) -> Vec<Self> {
        let Duty::Part(gather, index) = std::mem::replace(&mut self.0, Duty::None) else {
            return (0..sessions).map(|_| Self::answered()).collect();
        };
        gather.lock().left += sessions;
        let replies = (0..sessions).map(|index| Self::of(Duty::Part(Arc::clone(&gather), index))).collect();
        gather.note(index, None);
        replies
    }

    fn complete(&mut self, outcome: Outcome) {
        std::mem::replace(&mut self.1, Span::none()).ends(Some(&outcome));
        match std::mem::replace(&mut self.0, Duty::None) {
            Duty::None => {}
            Duty::Only(Form::Plain, done) => done.complete(Answer::Outcomes(vec![outcome])),
            Duty::Only(Form::Named(device), done) => {
                done.complete(Answer::Named(vec![NamedOutcome { device, outcome }]));
            }
            Duty::Part(gather, index) => gather.note(index, Some(outcome)),
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        finally(|| self.complete(Outcome::Interrupted));
    }
}

/// A reply that calls `done`.
#[cfg(test)]
pub(crate) fn replying(done: impl FnOnce(Answer) + Send + 'static) -> Reply {
    Reply::only(Done::Call(Box::new(done)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect() -> (Arc<Mutex<Option<Answer>>>, Done) {
        let slot = Arc::new(Mutex::new(None));
        let inner = Arc::clone(&slot);
        (slot, Done::Call(Box::new(move |answer| *inner.lock().unwrap() = Some(answer))))
    }

    /// A peer that keeps what it is told.
    #[derive(Default)]
    struct Peer(Mutex<Vec<(u64, Answer)>>);

    impl Asker for Peer {
        fn answer(&self, seq: u64, answer: Answer) {
            self.0.lock().unwrap().push((seq, answer));
        }
    }

    fn named(device: Option<&str>, outcome: Outcome) -> NamedOutcome {
        NamedOutcome { device: device.map(|device| DeviceId::new(device).unwrap()), outcome }
    }

    #[test]
    fn the_last_answer_completes_the_request_in_the_order_of_the_sessions() {
        let (slot, done) = collect();
        let devices = ["phone", "tablet"].map(|device| DeviceId::new(device).ok());
        let mut replies = gather_named(devices.into_iter(), done);
        replies.pop().unwrap().answer(Outcome::NoSession);
        assert_eq!(*slot.lock().unwrap(), None);
        replies.pop().unwrap().answer(Outcome::Delivered);
        let expected = [named(Some("phone"), Outcome::Delivered), named(Some("tablet"), Outcome::NoSession)];
        assert_eq!(*slot.lock().unwrap(), Some(Answer::Named(expected.into())));
    }

    #[tokio::test]
    async fn the_only_answer_of_a_request_goes_to_whoever_waits_for_it() {
        let (waiting, answer) = oneshot::channel();
        Reply::only(Done::Waiting(waiting)).answer(Outcome::Delivered);
        assert_eq!(answer.await, Ok(Answer::Outcomes(vec![Outcome::Delivered])));
        let peer = Arc::new(Peer::default());
        let done = |seq| Done::Peer(Arc::clone(&peer) as Arc<dyn Asker>, seq);
        Reply::named(DeviceId::new("phone").ok(), done(7)).answer(Outcome::Buffered);
        drop(Reply::named(None, done(8)));
        let told = |seq, outcome| (seq, Answer::Named(vec![outcome]));
        let expected =
            [told(7, named(Some("phone"), Outcome::Buffered)), told(8, named(None, Outcome::Interrupted))];
        assert_eq!(*peer.0.lock().unwrap(), expected);
        let (waiting, gone) = oneshot::channel();
        drop(gone);
        Reply::only(Done::Waiting(waiting)).answer(Outcome::Delivered); // Nobody minds.
        drop(Reply::answered());
    }

    #[test]
    fn a_device_is_named_beside_its_outcome() {
        let (slot, done) = collect();
        let device = DeviceId::new("phone").unwrap();
        let replies = gather_named([Some(device.clone()), None].into_iter(), done);
        for (reply, outcome) in replies.into_iter().zip([Outcome::Delivered, Outcome::NoSession]) {
            reply.answer(outcome);
        }
        let expected = vec![
            NamedOutcome { device: Some(device), outcome: Outcome::Delivered },
            NamedOutcome { device: None, outcome: Outcome::NoSession },
        ];
        assert_eq!(*slot.lock().unwrap(), Some(Answer::Named(expected)));
    }

    #[test]
    fn a_dropped_reply_counts_as_interrupted() {
        let (slot, done) = collect();
        drop(Reply::only(done));
        assert_eq!(*slot.lock().unwrap(), Some(Answer::Outcomes(vec![Outcome::Interrupted])));
        let (slot, done) = collect();
        drop(gather_named([None].into_iter(), done));
        assert_eq!(*slot.lock().unwrap(), Some(Answer::Named(vec![named(None, Outcome::Interrupted)])));
    }

    #[test]
    fn a_request_for_nobody_completes_at_once() {
        let (slot, done) = collect();
        assert!(gather_tally(0, done).is_empty());
        assert_eq!(*slot.lock().unwrap(), Some(Answer::Tally(Tally::default())));
    }

    #[test]
    fn a_tally_counts_each_outcome() {
        let (slot, done) = collect();
        let outcomes = [
            Outcome::Delivered,
            Outcome::Buffered,
            Outcome::Overloaded,
            Outcome::NoSession,
            Outcome::IdReused,
        ];
        for (reply, outcome) in gather_tally(5, done).into_iter().zip(outcomes) {
            reply.answer(outcome);
        }
        let expected = Tally {
            delivered: 1,
            buffered: 1,
            overloaded: 1,
            interrupted: 1,
            id_reused: 1,
            ..Tally::default()
        };
        assert_eq!(*slot.lock().unwrap(), Some(Answer::Tally(expected)));
    }

    #[test]
    fn a_reply_is_split_for_as_many_sessions_as_there_turn_out_to_be() {
        let (slot, done) = collect();
        let mut parts = gather_tally(2, done);
        assert!(parts.pop().unwrap().split(0).is_empty(), "a part without sessions says nothing");
        let mut replies = parts.pop().unwrap().split(3);
        for outcome in [Outcome::Delivered, Outcome::Buffered] {
            replies.pop().unwrap().answer(outcome);
        }
        assert_eq!(*slot.lock().unwrap(), None);
        drop(replies);
        let expected = Tally { delivered: 1, buffered: 1, interrupted: 1, ..Tally::default() };
        assert_eq!(*slot.lock().unwrap(), Some(Answer::Tally(expected)));
    }

    #[test]
    fn a_request_of_empty_parts_completes_with_the_last_of_them() {
        let (slot, done) = collect();
        for part in gather_tally(2, done) {
            assert_eq!(*slot.lock().unwrap(), None);
            part.split(0);
        }
        assert_eq!(*slot.lock().unwrap(), Some(Answer::Tally(Tally::default())));
    }
}
