//! What happens in the directory, told to listeners in the order in which it happened.
//!
//! ```text
//!   views ── Diff ──► Feed ──► bounded queue of each Listener ──► Event::Diff | Event::Missed
//! ```
//!
//! A listener reads what is visible ([`Replica::read_all`](crate::replica::Replica::read_all)), and from then on hears of
//! each change of it exactly once, in the order of its view; a user is always of the same view. A listener that falls
//! behind by more than the queue holds has missed changes: it is told so once, and hears nothing more before it has read
//! again. So a slow listener costs nobody else anything, and no memory beyond the queue.
//!
//! Nothing is kept and nothing is queued while nobody listens.

use std::sync::OnceLock;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use crate::directory::Diff;

/// What a listener hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// What is visible has changed.
    Diff(Diff),
    /// The listener has fallen behind, and has to read again: until then it hears nothing.
    Missed,
}

/// Where the views tell of changes.
pub(crate) struct Feed {
    views: usize,
    diffs_max: usize,
    sender: OnceLock<broadcast::Sender<Numbered>>,
}

/// A diff of one view, with its number there.
#[derive(Debug, Clone)]
struct Numbered {
    view: usize,
    number: u64,
    diff: Diff,
}

/// Hears of every change of what is visible.
pub struct Listener {
    diffs: broadcast::Receiver<Numbered>,
    /// For each view, the number of the newest diff that was a part of what was read. `None`: it is to be read first.
    read: Box<[Option<u64>]>,
}

impl Feed {
    /// Of so many views. A listener may be `diffs_max` changes behind, rounded up to a power of two.
    pub(crate) fn new(views: usize, diffs_max: usize) -> Self {
        Self { views, diffs_max, sender: OnceLock::new() }
    }

    /// One more listener. It hears of a view from when it has read it.
    pub(crate) fn listen(&self) -> Listener {
        let sender = self.sender.get_or_init(|| broadcast::Sender::new(self.diffs_max));
        Listener { diffs: sender.subscribe(), read: vec![None; self.views].into() }
    }

    /// Tells of diffs of a view, which is locked meanwhile. Returns whether anybody listens.
    pub(crate) fn tell(&self, view: usize, diffs: impl Iterator<Item = (u64, Diff)>) -> bool {
        let Some(sender) = self.sender.get() else { return false };
        diffs.for_each(|(number, diff)| _ = sender.send(Numbered { view, number, diff }));
        sender.receiver_count() > 0
    }
}

impl Listener {
    /// The view was read when its newest diff had this number.
    pub(crate) fn has_read(&mut self, view: usize, newest: u64) {
        self.read[view] = Some(newest);
    }

    /// The next event. `None`: the node has stopped.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let received = match self.diffs.recv().await {
                Err(RecvError::Closed) => return None,
                received => received.ok(),
            };
            if let Some(event) = self.hear(received) {
                return Some(event);
            }
        }
    }

    /// The next event, if there is one now.
    pub fn try_next(&mut self) -> Option<Event> {
        loop {
            let received = match self.diffs.try_recv() {
                Err(TryRecvError::Empty | TryRecvError::Closed) => return None,
                received => received.ok(),
            };
            if let Some(event) = self.hear(received) {
                return Some(event);
            }
        }
    }

    /// What to say of a diff, unless it was a part of what was read. `None` stands for diffs that were missed, of which is
    /// said once that they were, until everything is read again.
    fn hear(&mut self, received: Option<Numbered>) -> Option<Event> {
        if let Some(Numbered { view, number, diff }) = received {
            let newest_read = self.read[view]?;
            return (number > newest_read).then_some(Event::Diff(diff));
        }
        let was_listening = self.read.iter().any(Option::is_some);
        self.read.fill(None);
        was_listening.then_some(Event::Missed)
    }
}
