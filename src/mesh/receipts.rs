//! Both ends of the receipts of a link: requests that wait for theirs, and answers on their way.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::{Notify, oneshot};

use crate::attributes::SHOWN_BYTES_MAX;
use crate::limits;
use crate::mesh::conduct::Breach;
use crate::mesh::frame::{Receipt, Receipts};
use crate::mesh::lane::give_back;
use crate::receipt::Answer;

/// A request that was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// A queue of the link is full.
    #[error("the link's queue is full")]
    Overloaded,
    /// The link is gone.
    #[error("the link is closed")]
    Closed,
}

/// The requests of this node that a peer has not answered yet. Whoever waits is woken outside of the lock.
pub(crate) struct PendingRequests {
    next: AtomicU64,
    /// Receipts that have come.
    answered: AtomicU64,
    /// `None` once the link is gone.
    waiting: Mutex<Option<HashMap<u64, Waiting>>>,
    /// Told when the last one has its answer.
    idle: Notify,
}

/// A request that waits, and what would be an answer to it.
struct Waiting {
    expected: Expected,
    /// `None` once its caller was told that nobody waits for it any more.
    answer: Option<oneshot::Sender<Answer>>,
}

/// What fits a request as its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) kind: AnswerKind,
    /// The request names a further hop, so that it may not have got there.
    pub(crate) relayed: bool,
}

/// The kinds of answers, with how many items are in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AnswerKind {
    /// One outcome.
    Outcome,
    /// Counts.
    Tally,
    /// Outcomes with names.
    Named(usize),
    /// Names.
    Sessions(usize),
    /// Attributes, or one outcome where there are none to tell of.
    Attributes,
}

impl Expected {
    /// Whether this answers it.
    pub(crate) fn fits(self, answer: &Answer) -> bool {
        match answer {
            Answer::Outcomes(list) => {
                matches!(self.kind, AnswerKind::Outcome | AnswerKind::Attributes) && list.len() == 1
            }
            Answer::Attributes(_) => self.kind == AnswerKind::Attributes,
            Answer::Tally(_) | Answer::TallyKept(_) => self.kind == AnswerKind::Tally,
            Answer::Named(list) => self.kind == AnswerKind::Named(list.len()),
            Answer::Sessions(list) => self.kind == AnswerKind::Sessions(list.len()),
            Answer::NotRelayed | Answer::Unanswered | Answer::Overloaded => self.relayed,
        }
    }
}

impl PendingRequests {
    /// No requests yet.
    pub(crate) fn new() -> Self {
        Self {
            next: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            waiting: Mutex::new(Some(HashMap::new())),
            idle: Notify::new(),
        }
    }

    /// A number for a new request and where its answer will arrive.
    ///
    /// # Errors
    /// [`Refused`]: too many wait, or the link is gone.
    pub(crate) fn register(&self, expected: Expected) -> Result<(u64, oneshot::Receiver<Answer>), Refused> {
        let seq = self.next.fetch_add(1, Ordering::Relaxed);
        let mut waiting = self.waiting.lock().expect(NOT_POISONED);
        let waiting = waiting.as_mut().ok_or(Refused::Closed)?;
        if waiting.len() >= limits::PENDING_MAX {
            return Err(Refused::Overloaded);
        }
        let (answer, receiver) = oneshot::channel();
        waiting.insert(seq, Waiting { expected, answer: Some(answer) });
        Ok((seq, receiver))
    }

    /// Ends when none waits.
    pub(crate) async fn idle(&self) {
        while self.len() > 0 {
            self.idle.notified().await;
        }
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.lock().expect(NOT_POISONED).as_ref().map_or(0, HashMap::len)
    }

    /// Takes back a request that was not sent.
    pub(crate) fn cancel(&self, seq: u64) {
        self.take(seq);
    }

    /// How many receipts have come.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Passes a receipt on. Whoever waits for one that is no answer learns that there is none.
    ///
    /// # Errors
    /// [`Breach::Unasked`] and [`Breach::Answer`].
    pub(crate) fn complete(&self, receipt: Receipt) -> Result<(), Breach> {
        let Some(Waiting { expected, answer }) = self.take(receipt.seq) else {
            // After its end a link is not asked for anything.
            return if self.is_open() { Err(Breach::Unasked) } else { Ok(()) };
        };
        if !expected.fits(&receipt.answer) {
            return Err(Breach::Answer);
        }
        self.answered.fetch_add(1, Ordering::Relaxed);
        // Whoever asked may have stopped waiting.
        let _ = answer.map(|answer| answer.send(receipt.answer));
        Ok(())
    }

    fn is_open(&self) -> bool {
        self.waiting.lock().expect(NOT_POISONED).is_some()
    }

    /// Nobody waits for the peer any more: whoever does learns it at once. The requests are under way
    /// until the link is gone or the peer has answered them.
    pub(crate) fn give_up(&self) {
        let given_up: Vec<_> = {
            let mut waiting = self.waiting.lock().expect(NOT_POISONED);
            waiting
                .iter_mut()
                .flat_map(HashMap::values_mut)
                .filter_map(|waiting| waiting.answer.take())
                .collect()
        };
        drop(given_up);
    }

    /// The link is gone: whoever waits learns it at once.
    pub(crate) fn close(&self) {
        let waiting = self.waiting.lock().expect(NOT_POISONED).take();
        drop(waiting);
        self.idle.notify_one();
    }

    fn take(&self, seq: u64) -> Option<Waiting> {
        let (taken, last) = {
            let mut waiting = self.waiting.lock().expect(NOT_POISONED);
            let waiting = waiting.as_mut()?;
            (waiting.remove(&seq), waiting.is_empty())
        };
        if last {
            self.idle.notify_one(); // Kept for one who looks and then waits.
        }
        taken
    }
}

/// The answers of this node that are on their way to a peer.
pub(crate) struct Answers {
    /// Takes no memory while nothing waits.
    queue: Mutex<VecDeque<Receipt>>,
    /// Of all that wait, in outcomes.
    weight: AtomicUsize,
    /// Told when fewer wait than may.
    room: Notify,
}

impl Answers {
    /// No answers yet.
    pub(crate) fn new() -> Self {
        Self { queue: Mutex::default(), weight: AtomicUsize::new(0), room: Notify::new() }
    }

    /// Ends when the receipts that wait are few enough to ask for more.
    pub(crate) async fn room(&self) {
        loop {
            let room = self.room.notified();
            if self.weight.load(Ordering::Acquire) <= limits::RECEIPTS_WEIGHT_MAX {
                return;
            }
            room.await;
        }
    }

    /// Queues an answer. `false`: the peer has asked more than it may at once.
    #[must_use]
    pub(crate) fn push(&self, seq: u64, answer: Answer) -> bool {
        let weight = weight(&answer);
        let mut queue = self.queue.lock().expect(NOT_POISONED);
        if queue.len() >= limits::RECEIPTS_MAX {
            return false;
        }
        queue.push_back(Receipt { seq, answer });
        self.weight.fetch_add(weight, Ordering::AcqRel);
        true
    }

    /// Takes receipts that fit one frame; none if none waits.
    pub(crate) fn batch(&self) -> Receipts {
        let (mut batch, mut outcomes) = (Vec::new(), 0);
        let mut queue = self.queue.lock().expect(NOT_POISONED);
        while outcomes < BATCH_OUTCOMES
            && let Some(receipt) = queue.pop_front()
        {
            outcomes += weight(&receipt.answer);
            batch.push(receipt);
        }
        give_back(&mut queue);
        let before = self.weight.fetch_sub(outcomes, Ordering::AcqRel);
        drop(queue);
        if before > limits::RECEIPTS_WEIGHT_MAX && before - outcomes <= limits::RECEIPTS_WEIGHT_MAX {
            self.room.notify_waiters();
        }
        Receipts(batch)
    }
}

/// What a receipt takes of a frame, in outcomes.
fn weight(answer: &Answer) -> usize {
    match answer {
        Answer::Outcomes(list) => list.len().max(1),
        Answer::Named(list) => (NAMED_WEIGHT * list.len()).max(1),
        Answer::Sessions(list) => (SESSION_WEIGHT * list.len()).max(1),
        Answer::Attributes(_) => ATTRIBUTES_WEIGHT,
        Answer::Tally(_)
        | Answer::TallyKept(_)
        | Answer::NotRelayed
        | Answer::Unanswered
        | Answer::Overloaded => 1,
    }
}

/// Outcomes that fill a frame. The last receipt may go over it by what one request asks for.
const BATCH_OUTCOMES: usize = 1_024;
/// An outcome with the name of its device, in outcomes.
const NAMED_WEIGHT: usize = 2;
/// Both names of a session, in outcomes.
const SESSION_WEIGHT: usize = 3;
/// The attributes of a session, in outcomes.
const ATTRIBUTES_WEIGHT: usize = SHOWN_BYTES_MAX.div_ceil(OUTCOME_BYTES_MAX) + 1;
/// The longest outcome is a `Moved`: a name, its length, a stamp and the variant.
const OUTCOME_BYTES_MAX: usize = limits::NODE_NAME_BYTES_MAX + 16;
const _: () = {
    assert!(OUTCOME_BYTES_MAX + limits::DEVICE_BYTES_MAX + 4 <= NAMED_WEIGHT * OUTCOME_BYTES_MAX);
    assert!(limits::USER_BYTES_MAX + limits::DEVICE_BYTES_MAX + 8 <= SESSION_WEIGHT * OUTCOME_BYTES_MAX);
    assert!(ATTRIBUTES_WEIGHT < SESSION_WEIGHT * limits::SESSIONS_PAGE_MAX);
    assert!(limits::SESSIONS_PER_USER_CEILING <= limits::SESSIONS_PAGE_MAX + 1);
    let longest = SESSION_WEIGHT * (limits::SESSIONS_PAGE_MAX + 1);
    assert!((BATCH_OUTCOMES + longest) * OUTCOME_BYTES_MAX < limits::FRAME_HEADER_BYTES_MAX);
};
const NOT_POISONED: &str = "no panic happens under this lock";

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::task::{Context, Wake, Waker};

    use futures_util::FutureExt;

    use super::*;
    use crate::push::{Outcome, Tally};
    use crate::receipt::NamedOutcome;

    const TALLY: Expected = Expected { kind: AnswerKind::Tally, relayed: false };

    fn named(count: usize) -> Answer {
        Answer::Named(vec![NamedOutcome { device: None, outcome: Outcome::Delivered }; count])
    }

    #[test]
    fn an_answer_of_another_kind_or_length_breaks_the_link_and_is_not_passed_on() {
        let right = [
            Answer::Outcomes(vec![Outcome::Delivered]),
            Answer::Tally(Tally::default()),
            named(2),
            Answer::Sessions(vec![None; 2]),
        ];
        let lengths = [0, 1, 3, 5_000];
        let wrong = lengths.map(|length| Answer::Sessions(vec![None; length])).into_iter();
        let wrong = wrong.chain(lengths.map(named));
        let wrong = wrong.chain(lengths.map(|length| Answer::Outcomes(vec![Outcome::Delivered; length])));
        // One outcome is right for one session.
        let wrong = wrong
            .chain([Answer::NotRelayed, Answer::Unanswered, Answer::Overloaded])
            .filter(|a| !right.contains(a));
        let every: Vec<_> = right.iter().cloned().chain(wrong).collect();
        let kinds = [AnswerKind::Outcome, AnswerKind::Tally, AnswerKind::Named(2), AnswerKind::Sessions(2)];
        for (asked, kind) in kinds.into_iter().enumerate() {
            for relayed in [false, true] {
                for (at, answer) in every.iter().enumerate() {
                    let hop = matches!(answer, Answer::NotRelayed | Answer::Unanswered | Answer::Overloaded);
                    let fits = at == asked || hop && relayed;
                    let pending = PendingRequests::new();
                    let (seq, mut receiver) = pending.register(Expected { kind, relayed }).unwrap();
                    let receipt = Receipt { seq, answer: answer.clone() };
                    match pending.complete(receipt) {
                        Ok(()) => assert!(fits, "{kind:?}, {answer:?}"),
                        Err(Breach::Answer) => assert!(!fits, "{kind:?}, {answer:?}"),
                        Err(other) => panic!("{other}"),
                    }
                    assert_eq!(receiver.try_recv().is_ok(), fits);
                    assert_eq!(pending.len(), 0);
                }
            }
        }
    }

    #[test]
    fn an_answer_that_nobody_asked_for_breaks_the_link_and_a_second_one_does_too() {
        let pending = PendingRequests::new();
        let receipt = |seq| Receipt { seq, answer: Answer::Tally(Tally::default()) };
        assert!(matches!(pending.complete(receipt(0)), Err(Breach::Unasked)));
        let (seq, _receiver) = pending.register(TALLY).unwrap();
        assert!(pending.complete(receipt(seq)).is_ok());
        assert!(matches!(pending.complete(receipt(seq)), Err(Breach::Unasked)));
        pending.close();
        assert!(pending.complete(receipt(seq)).is_ok(), "the link is over");
    }

    #[test]
    fn receipts_count_until_they_are_taken_and_heavy_ones_hold_up_the_next_requests() {
        let answers = Answers::new();
        let heavy = Answer::Sessions(vec![None; limits::SESSIONS_PAGE_MAX]);
        let mut count = 0;
        while futures_util::FutureExt::now_or_never(answers.room()).is_some() {
            assert!(answers.push(count, heavy.clone()));
            count += 1;
        }
        assert!(count < 100, "{count} pages wait");
        while !answers.batch().0.is_empty() {}
        assert!(futures_util::FutureExt::now_or_never(answers.room()).is_some());
        let filled = (0..).find(|seq| !answers.push(*seq, Answer::NotRelayed));
        assert_eq!(filled, Some(limits::RECEIPTS_MAX as u64));
        assert_eq!(answers.weight.load(Ordering::Relaxed), limits::RECEIPTS_MAX);
        while !answers.batch().0.is_empty() {}
        assert!(answers.queue.lock().unwrap().capacity() < 100, "an empty queue keeps no memory");
    }

    #[tokio::test]
    async fn who_gives_up_is_told_at_once_and_the_request_stays_under_way() {
        let pending = PendingRequests::new();
        let (seq, answer) = pending.register(TALLY).unwrap();
        pending.give_up();
        assert!(answer.await.is_err());
        assert_eq!(pending.len(), 1, "a later link must not overtake it");
        assert!(pending.idle().now_or_never().is_none());
        let receipt = Receipt { seq, answer: Answer::Tally(Tally::default()) };
        assert!(pending.complete(receipt).is_ok(), "it was asked for");
        assert!(pending.idle().now_or_never().is_some());
        let (seq, answer) = pending.register(TALLY).unwrap();
        let receipt = Receipt { seq, answer: Answer::Tally(Tally::default()) };
        assert!(pending.complete(receipt).is_ok());
        assert_eq!(answer.await, Ok(Answer::Tally(Tally::default())), "what is asked later is waited for");
    }

    /// Looks at the requests whenever it is woken, as an application's own executor may.
    struct Curious {
        pending: PendingRequests,
        woken: AtomicBool,
    }

    impl Wake for Curious {
        fn wake(self: Arc<Self>) {
            let free = self.pending.waiting.try_lock().is_ok();
            assert!(!self.woken.swap(free, Ordering::Relaxed), "it is woken once, and outside of the lock");
        }
    }

    #[test]
    fn whoever_waits_is_woken_outside_of_the_lock() {
        let ends: [fn(&PendingRequests, u64); 3] = [
            |pending, _| pending.give_up(),
            |pending, _| pending.close(),
            |pending, seq| drop(pending.complete(Receipt { seq, answer: Answer::Tally(Tally::default()) })),
        ];
        for end in ends {
            let curious =
                Arc::new(Curious { pending: PendingRequests::new(), woken: AtomicBool::new(false) });
            let (seq, mut answer) = curious.pending.register(TALLY).unwrap();
            let waker = Waker::from(Arc::clone(&curious));
            assert!(answer.poll_unpin(&mut Context::from_waker(&waker)).is_pending());
            end(&curious.pending, seq);
            assert!(curious.woken.load(Ordering::Relaxed), "it is woken, and the lock is free");
        }
    }
}
