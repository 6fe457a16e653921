//! The owner's recent writes: transport, not state.
//!
//! A peer is served from the ring by a cursor (its version), so that a slow peer costs no memory. A
//! cursor that has fallen off the ring needs a snapshot. Each write keeps the record as it was then
//! and the hash of the section after it, so that a truncated delta is exactly the owner's map at
//! its `to`, and can be checked.

use std::collections::{BTreeMap, VecDeque};

use crate::section::{Delta, Position, Record};

/// One write of the owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Write<R: Record> {
    /// A record was put in.
    Put(R),
    /// The record of this key was removed.
    Remove(R::Key),
}

impl<R: Record> Write<R> {
    /// The key that was written.
    #[must_use]
    pub(crate) fn key(&self) -> &R::Key {
        match self {
            Self::Put(record) => record.key(),
            Self::Remove(key) => key,
        }
    }

    /// The record that its key has from now on.
    #[must_use]
    pub(crate) fn record(&self) -> Option<&R> {
        match self {
            Self::Put(record) => Some(record),
            Self::Remove(_) => None,
        }
    }
}

/// The last writes of the owner, oldest first.
pub(super) struct ChangeRing<R: Record> {
    changes: VecDeque<Change<R>>,
    changes_max: usize,
    /// Version of the newest change; the oldest has `newest - changes.len() + 1`.
    newest: u64,
}

struct Change<R: Record> {
    write: Write<R>,
    /// Of the section after it.
    hash: u64,
}

impl<R: Record> ChangeRing<R> {
    /// An empty ring for `changes_max` writes.
    ///
    /// # Panics
    /// When `changes_max` is zero.
    pub(super) fn new(changes_max: usize) -> Self {
        assert!(changes_max > 0, "a ring without room would send a snapshot for every write");
        Self { changes: VecDeque::new(), changes_max, newest: 0 }
    }

    /// Remembers the write that led to `version`, where the section's hash is `hash`.
    pub(super) fn push(&mut self, version: u64, hash: u64, write: Write<R>) {
        assert!(version == self.newest + 1, "versions follow each other");
        if self.changes.len() == self.changes_max {
            self.changes.pop_front();
        }
        self.changes.push_back(Change { write, hash });
        self.newest = version;
    }

    /// The net effect of up to `changes_max` writes after `from`, which is of the owner's boot and has been reached; `to`
    /// says how far it reaches. `None`: the cursor fell off the ring.
    pub(super) fn delta(&self, from: Position, changes_max: usize) -> Option<Delta<R>> {
        debug_assert!(from.version <= self.newest, "nobody is ahead of the owner");
        let oldest = self.newest - self.changes.len() as u64;
        let skip = usize::try_from(from.version.checked_sub(oldest)?).ok()?;
        // A key that was written several times counts once, with its last write up to `to`.
        let mut net = BTreeMap::new();
        let mut delta = Delta::from_to(from, from.version, 0);
        for change in self.changes.iter().skip(skip).take(changes_max) {
            net.insert(change.write.key(), &change.write);
            delta.to += 1;
            delta.hash = change.hash;
        }
        for write in net.into_values() {
            match write {
                Write::Put(record) => delta.upserts.0.push(record.clone()),
                Write::Remove(key) => delta.removes.0.push(key.clone()),
            }
        }
        Some(delta)
    }
}
