//! The messages of one segment that the client has not acknowledged, in the order of their numbers.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;

use crate::limits;
use crate::push::{Message, Outcome, Reached};
use crate::receipt::Reply;
use crate::session::tail::Hole;

/// The messages of one segment from the first that is not acknowledged on.
#[derive(Default)]
pub(super) struct Run {
    /// The number before the first of them.
    pub(super) acked: u64,
    /// The message of number `acked + 1` and those that follow it.
    pub(super) entries: VecDeque<Entry>,
    /// The entries before this one are on their way to the client, or were.
    pub(super) taken: usize,
    /// The number of the last one that others are to hold.
    pub(super) copied: u64,
    /// The number of the last one that others hold.
    pub(super) stored: u64,
}

/// A message with its number, or the place of one that will never come.
pub(super) struct Entry {
    pub(super) message: Result<Arc<Message>, Hole>,
    /// When its time is over.
    pub(super) expires: Option<Instant>,
    /// Whether the socket has taken it.
    pub(super) written: bool,
    /// Whoever waits for what becomes of it. Boxed: most are answered at once.
    pub(super) waits: Option<Box<Waits>>,
}

/// Whoever waits for what becomes of a message.
pub(super) struct Waits {
    pub(super) reply: Reply,
    /// When the publisher is told how far it came.
    pub(super) until: Instant,
}

impl Run {
    /// A run that goes on after that number.
    pub(super) fn after(acked: u64) -> Self {
        Self { acked, ..Self::default() }
    }

    /// The number of the last message.
    pub(super) fn last(&self) -> u64 {
        self.acked + self.entries.len() as u64
    }

    /// The number of the last message that is on its way to the client, or was.
    pub(super) fn last_taken(&self) -> u64 {
        self.acked + self.taken as u64
    }

    /// Whether all are on their way.
    pub(super) fn is_taken(&self) -> bool {
        self.taken == self.entries.len()
    }

    /// The message of that number.
    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut Entry> {
        let index = number.checked_sub(self.acked + 1)?;
        self.entries.get_mut(usize::try_from(index).ok()?)
    }

    /// The messages, each with whether others hold it.
    pub(super) fn entries_mut(&mut self) -> impl Iterator<Item = (bool, &mut Entry)> {
        let stored = self.stored;
        (self.acked + 1..).map(move |number| number <= stored).zip(&mut self.entries)
    }

    /// Whether others are to hold some of it.
    pub(super) fn is_copied(&self) -> bool {
        self.copied > self.acked
    }

    /// Whether others do not hold all.
    pub(super) fn has_uncopied(&self) -> bool {
        self.copied < self.last() && !self.entries.is_empty()
    }

    /// One more message. Most clients acknowledge one before the next: the first gets memory for itself alone.
    pub(super) fn push(&mut self, entry: Entry) {
        if self.entries.capacity() == 0 {
            self.entries.reserve_exact(1);
        }
        self.entries.push_back(entry);
    }

    /// The client has all up to that number. Returns what it has, each with whether it was on its way.
    pub(super) fn acknowledge(&mut self, number: u64) -> impl Iterator<Item = (Entry, bool)> {
        let count = usize::try_from(number.saturating_sub(self.acked)).unwrap_or(usize::MAX);
        let count = count.min(self.entries.len());
        self.acked += count as u64;
        let taken = count.min(self.taken);
        self.taken -= taken;
        self.entries.drain(..count).enumerate().map(move |(index, entry)| (entry, index < taken))
    }
}

impl Entry {
    /// Whether it is that message, with the same id and the same payload.
    pub(super) fn is(&self, message: &Message) -> bool {
        self.message.as_ref().is_ok_and(|held| held.id == message.id && held.payload == message.payload)
    }

    /// Bytes of its payload.
    pub(super) fn len(&self) -> usize {
        self.message.as_ref().map_or(0, |message| message.payload.bytes.len())
    }

    /// How far its message has come. One that is not written is queued, or buffered.
    pub(super) fn outcome(&self, is_queued: bool) -> Outcome {
        self.reached(is_queued).outcome().clone()
    }

    /// The same of one that others hold, for whoever has waited for that.
    pub(super) fn stored(&self, is_queued: bool) -> Outcome {
        Outcome::Copied { reached: self.reached(is_queued), copies: STORED_AT }
    }

    fn reached(&self, is_queued: bool) -> Reached {
        match (self.written, is_queued) {
            (true, _) => Reached::Delivered,
            (false, true) => Reached::Queued,
            (false, false) => Reached::Buffered,
        }
    }

    /// Whether whoever waits for it waits until others hold it where the client is away.
    pub(super) fn waits_for_copies(&self) -> bool {
        !self.written || self.message.as_ref().is_ok_and(|message| message.terms().waits_for_copies())
    }

    /// Whether its time is over. One that may not wait at all is not written later, and not now.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.message.is_ok() && self.expires.is_some_and(|at| now >= at)
    }
}

/// How many nodes hold a message for sure that counts as stored.
const STORED_AT: u8 = limits::STORED_AT as u8;
