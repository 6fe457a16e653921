//! How the outcome of a push travels back from the socket to whoever asked.
//!
//! A request to a node names one or more sessions. [`gather`] splits it into one [`Reply`] for each
//! session; whoever ends up responsible for a message holds its reply and answers it exactly once.
//! The last answer completes the request. A reply that is dropped unanswered counts as
//! [`Outcome::Interrupted`], so that no request can be forgotten and nothing lost is ever reported
//! as delivered.

use std::sync::{Arc, Mutex, MutexGuard};

use serde::{Deserialize, Serialize};

use crate::id::{DeviceId, SessionKey};
use crate::push::{Outcome, Tally};
use crate::vital::finally;

/// A node's answer to one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// One outcome for each session named, in their order.
    Outcomes(Vec<Outcome>),
    /// Counts over all sessions of the node.
    Tally(Tally),
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
}

/// What became of a message at a session that was named by its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NamedOutcome {
    /// The device; `None` for a session that is not here.
    pub(crate) device: Option<DeviceId>,
    /// What became of it.
    pub(crate) outcome: Outcome,
}

/// The right, and the duty, to say what became of one message at one session.
pub(crate) struct Reply {
    gather: Option<Arc<Gather>>,
    index: usize,
}

struct Gather {
    state: Mutex<State>,
}

struct State {
    left: usize,
    answer: Answer,
    done: Option<Done>,
}

type Done = Box<dyn FnOnce(Answer) + Send>;

/// Prepares `sessions` replies whose answers, in order, complete the request through `done`.
pub(crate) fn gather(sessions: usize, done: impl FnOnce(Answer) + Send + 'static) -> Vec<Reply> {
    replies(sessions, Answer::Outcomes(vec![Outcome::Interrupted; sessions]), Box::new(done))
}

/// Like [`gather`], for sessions whose devices are named in the answer.
pub(crate) fn gather_named(
    devices: impl Iterator<Item = Option<DeviceId>>,
    done: impl FnOnce(Answer) + Send + 'static,
) -> Vec<Reply> {
    let named: Vec<_> =
        devices.map(|device| NamedOutcome { device, outcome: Outcome::Interrupted }).collect();
    replies(named.len(), Answer::Named(named), Box::new(done))
}

/// Like [`gather`], but counts the outcomes instead of listing them.
pub(crate) fn gather_tally(sessions: usize, done: impl FnOnce(Answer) + Send + 'static) -> Vec<Reply> {
    replies(sessions, Answer::Tally(Tally::default()), Box::new(done))
}

fn replies(sessions: usize, answer: Answer, done: Done) -> Vec<Reply> {
    if sessions == 0 {
        done(answer);
        return Vec::new();
    }
    let gather = Arc::new(Gather { state: Mutex::new(State { left: sessions, answer, done: Some(done) }) });
    (0..sessions).map(|index| Reply { gather: Some(Arc::clone(&gather)), index }).collect()
}

impl Gather {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic happens under this lock")
    }
}

impl Reply {
    /// The reply of a message whose caller has its answer already.
    pub(crate) fn answered() -> Self {
        Self { gather: None, index: 0 }
    }

    /// Says what became of the message.
    pub(crate) fn answer(mut self, outcome: Outcome) {
        self.complete(Some(outcome));
    }

    /// Makes so many replies of one whose outcomes are counted.
    pub(crate) fn split(mut self, sessions: usize) -> Vec<Self> {
        let Some(gather) = &self.gather else { return (0..sessions).map(|_| Self::answered()).collect() };
        gather.lock().left += sessions;
        let replies = (0..sessions).map(|index| Self { gather: Some(Arc::clone(gather)), index }).collect();
        self.complete(None);
        replies
    }

    /// Gives up its place, with an outcome or without.
    fn complete(&mut self, outcome: Option<Outcome>) {
        let Some(gather) = self.gather.take() else { return };
        let finished = {
            let mut state = gather.lock();
            match (&mut state.answer, outcome) {
                (_, None) => {}
                (Answer::Outcomes(outcomes), Some(outcome)) => outcomes[self.index] = outcome,
                (Answer::Named(named), Some(outcome)) => named[self.index].outcome = outcome,
                (Answer::Tally(tally), Some(outcome)) => tally.add(&outcome),
                (
                    Answer::Sessions(_) | Answer::NotRelayed | Answer::Unanswered | Answer::Overloaded,
                    Some(_),
                ) => {
                    unreachable!("nobody gathers these")
                }
            }
            state.left -= 1;
            if state.left > 0 {
                return;
            }
            let answer = std::mem::replace(&mut state.answer, Answer::Outcomes(Vec::new()));
            state.done.take().map(|done| (done, answer))
        };
        // Outside the lock: what `done` does is not ours.
        if let Some((done, answer)) = finished {
            done(answer);
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        finally(|| self.complete(Some(Outcome::Interrupted)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect() -> (Arc<Mutex<Option<Answer>>>, impl FnOnce(Answer) + Send + 'static) {
        let slot = Arc::new(Mutex::new(None));
        let inner = Arc::clone(&slot);
        (slot, move |answer| *inner.lock().unwrap() = Some(answer))
    }

    #[test]
    fn the_last_answer_completes_the_request_in_the_order_of_the_sessions() {
        let (slot, done) = collect();
        let mut replies = gather(2, done);
        replies.pop().unwrap().answer(Outcome::NoSession);
        assert_eq!(*slot.lock().unwrap(), None);
        replies.pop().unwrap().answer(Outcome::Delivered);
        assert_eq!(
            *slot.lock().unwrap(),
            Some(Answer::Outcomes(vec![Outcome::Delivered, Outcome::NoSession]))
        );
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
        drop(gather(1, done));
        assert_eq!(*slot.lock().unwrap(), Some(Answer::Outcomes(vec![Outcome::Interrupted])));
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
        let expected = Tally { delivered: 1, buffered: 1, overloaded: 1, interrupted: 1, id_reused: 1 };
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
