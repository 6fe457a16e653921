//! Both ends of the receipts of a link: requests that wait for theirs, and answers on their way.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::queue::ArrayQueue;
use tokio::sync::{Notify, oneshot};

use crate::limits;
use crate::mesh::frame::{Receipt, Receipts};
use crate::mesh::link::Refused;
use crate::receipt::Answer;

/// The requests of this node that a peer has not answered yet.
pub(crate) struct Pending {
    next: AtomicU64,
    /// `None` once the link is gone.
    waiting: Mutex<Option<HashMap<u64, oneshot::Sender<Answer>>>>,
    /// Told when the last one has its answer.
    idle: Notify,
}

impl Pending {
    /// No requests yet.
    pub(crate) fn new() -> Self {
        Self { next: AtomicU64::new(0), waiting: Mutex::new(Some(HashMap::new())), idle: Notify::new() }
    }

    /// A number for a new request and where its answer will arrive.
    ///
    /// # Errors
    /// [`Refused`]: too many wait, or the link is gone.
    pub(crate) fn register(&self) -> Result<(u64, oneshot::Receiver<Answer>), Refused> {
        let seq = self.next.fetch_add(1, Ordering::Relaxed);
        let mut waiting = self.waiting.lock().expect(NOT_POISONED);
        let waiting = waiting.as_mut().ok_or(Refused::Closed)?;
        if waiting.len() >= limits::PENDING_MAX {
            return Err(Refused::Overloaded);
        }
        let (answer, receiver) = oneshot::channel();
        waiting.insert(seq, answer);
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

    /// Passes a receipt on. `false`: nobody asked.
    pub(crate) fn complete(&self, receipt: Receipt) -> bool {
        match self.take(receipt.seq) {
            Some(sender) => {
                let _ = sender.send(receipt.answer); // Whoever asked may have stopped waiting.
                true
            }
            None => false,
        }
    }

    /// The link is gone: whoever waits learns it at once.
    pub(crate) fn close(&self) {
        self.waiting.lock().expect(NOT_POISONED).take();
        self.idle.notify_one();
    }

    fn take(&self, seq: u64) -> Option<oneshot::Sender<Answer>> {
        let mut waiting = self.waiting.lock().expect(NOT_POISONED);
        let waiting = waiting.as_mut()?;
        let taken = waiting.remove(&seq);
        if waiting.is_empty() {
            self.idle.notify_one(); // Kept for one who looks and then waits.
        }
        taken
    }
}

/// The answers of this node that are on their way to a peer.
pub(crate) struct Answers {
    queue: ArrayQueue<Receipt>,
}

impl Answers {
    /// No answers yet.
    pub(crate) fn new() -> Self {
        Self { queue: ArrayQueue::new(limits::RECEIPTS_MAX) }
    }

    /// Queues an answer. `false`: the peer has asked more than it may at once.
    #[must_use]
    pub(crate) fn push(&self, seq: u64, answer: Answer) -> bool {
        self.queue.push(Receipt { seq, answer }).is_ok()
    }

    /// Takes receipts that fit one frame; none if none waits.
    pub(crate) fn batch(&self) -> Receipts {
        let (mut batch, mut outcomes) = (Vec::new(), 0);
        while outcomes < BATCH_OUTCOMES
            && let Some(receipt) = self.queue.pop()
        {
            outcomes += match &receipt.answer {
                Answer::Outcomes(list) => list.len().max(1),
                Answer::Named(list) => NAMED_WEIGHT * list.len(),
                Answer::Sessions(list) => SESSION_WEIGHT * list.len(),
                Answer::Tally(_) | Answer::NotRelayed | Answer::Unanswered | Answer::Overloaded => 1,
            };
            batch.push(receipt);
        }
        Receipts(batch)
    }
}

/// Outcomes that fill a frame. The last receipt may go over it by what one request asks for.
const BATCH_OUTCOMES: usize = 1_024;
/// An outcome with the name of its device, in outcomes.
const NAMED_WEIGHT: usize = 2;
/// Both names of a session, in outcomes.
const SESSION_WEIGHT: usize = 3;
/// The longest outcome is a `Moved`: a name, its length, a stamp and the variant.
const OUTCOME_BYTES_MAX: usize = limits::NODE_NAME_BYTES_MAX + 16;
const _: () = {
    assert!(OUTCOME_BYTES_MAX + limits::DEVICE_BYTES_MAX + 4 <= NAMED_WEIGHT * OUTCOME_BYTES_MAX);
    assert!(limits::USER_BYTES_MAX + limits::DEVICE_BYTES_MAX + 8 <= SESSION_WEIGHT * OUTCOME_BYTES_MAX);
    assert!(limits::SESSIONS_PER_USER_CEILING <= limits::SESSIONS_PAGE_MAX + 1);
    let longest = SESSION_WEIGHT * (limits::SESSIONS_PAGE_MAX + 1);
    assert!((BATCH_OUTCOMES + longest) * OUTCOME_BYTES_MAX < limits::FRAME_HEADER_BYTES_MAX);
};
const NOT_POISONED: &str = "no panic happens under this lock";
