//! The owner's recent writes: transport, not state.
//!
//! A peer is served from the ring by a cursor (its version), so that a slow peer costs no memory. A
//! cursor that has fallen off the ring needs a snapshot. Each write keeps the claim as it was then
//! and the hash of the section after it, so that a truncated delta is exactly the owner's map at
//! its `to`, and can be checked.

use std::collections::{BTreeMap, VecDeque};

use crate::directory::{Claim, Delta, Entry};
use crate::key::Key;
use crate::section::{Digest, Position};

/// The last writes of the owner, oldest first.
pub(crate) struct ChangeRing {
    changes: VecDeque<Write>,
    changes_max: usize,
    /// Version of the newest change; the oldest has `newest - changes.len() + 1`.
    newest: u64,
}

struct Write {
    key: Key,
    claim: Option<Claim>,
    hash: u64,
}

impl ChangeRing {
    /// An empty ring for `changes_max` writes.
    ///
    /// # Panics
    /// When `changes_max` is zero.
    pub(crate) fn new(changes_max: usize) -> Self {
        assert!(changes_max > 0, "a ring without room would send a snapshot for every write");
        Self { changes: VecDeque::new(), changes_max, newest: 0 }
    }

    /// Remembers the write that led to `version`, where the section's hash is `hash`.
    pub(crate) fn push(&mut self, version: u64, hash: u64, key: Key, claim: Option<Claim>) {
        assert!(version == self.newest + 1, "versions follow each other");
        if self.changes.len() == self.changes_max {
            self.changes.pop_front();
        }
        self.changes.push_back(Write { key, claim, hash });
        self.newest = version;
    }

    /// The net effect of up to `changes_max` writes after `from`; `to` says how far it reaches. An
    /// up-to-date cursor gets an empty delta with `from == to`. `None`: the cursor fell off the ring.
    pub(crate) fn delta(&self, from: Position, head: Digest, changes_max: usize) -> Option<Delta> {
        debug_assert!(head.position.version == self.newest && from.version <= self.newest);
        let oldest = self.newest - self.changes.len() as u64;
        let skip = usize::try_from(from.version.checked_sub(oldest)?).ok()?;
        // A key that was written several times counts once, with its last value up to `to`.
        let mut net: BTreeMap<Key, Option<Claim>> = BTreeMap::new();
        let (mut to, mut hash) = (from.version, head.hash);
        for change in self.changes.iter().skip(skip).take(changes_max) {
            net.insert(change.key, change.claim);
            to += 1;
            hash = change.hash;
        }
        let mut delta =
            Delta { incarnation: from.incarnation, from: from.version, to, hash, ..Delta::default() };
        for (key, claim) in net {
            match claim {
                Some(claim) => delta.upserts.0.push(Entry { key, claim }),
                None => delta.removes.0.push(key),
            }
        }
        Some(delta)
    }
}
