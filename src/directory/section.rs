//! What is known of a section beside its rows: where it stands, what it adds up to, and for a copy
//! the changes that led there.

use std::collections::VecDeque;

use crate::directory::{Claim, Delta, SlotId};
use crate::key::Key;
use crate::section::{Digest, MergeError, Position};

/// Where a section stands. The rows are in the views; this follows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Position and hash.
    pub digest: Digest,
    /// Number of claims.
    pub len: u64,
}

impl Head {
    /// An empty map that is named by `position`.
    pub(super) fn at(position: Position) -> Self {
        Self { digest: Digest { position, hash: 0 }, len: 0 }
    }

    /// The entry of `key` changed.
    pub(super) fn replace(&mut self, key: &Key, before: Option<Claim>, after: Option<Claim>) {
        let hash = |claim: Option<Claim>| claim.map_or(0, |claim| claim.hash(key));
        self.digest.hash ^= hash(before) ^ hash(after);
        self.len += u64::from(after.is_some());
        self.len -= u64::from(before.is_some());
    }

    /// Whether a copy that stands here has to apply `delta`; `false` when it holds all of it.
    ///
    /// # Errors
    /// [`MergeError::Incarnation`] and [`MergeError::Gap`]: it can not.
    pub(super) fn takes(&self, delta: &Delta) -> Result<bool, MergeError> {
        let held = self.digest.position;
        if delta.incarnation != held.incarnation {
            return Err(MergeError::Incarnation { found: delta.incarnation, held: held.incarnation });
        }
        if delta.from > held.version {
            return Err(MergeError::Gap { from: delta.from, held: held.version });
        }
        Ok(delta.to > held.version)
    }
}

/// A copy of another node's section.
#[derive(Debug)]
pub(super) struct Copy {
    pub(super) slot: SlotId,
    pub(super) head: Head,
    /// Whether the content is the owner's. If not, the rows stay until a snapshot replaces them, and
    /// nobody is served from here.
    pub(super) exact: bool,
    pub(super) recent: Recent,
}

/// The last deltas of a copy, oldest first, for peers that do not reach its owner.
#[derive(Debug, Default)]
pub(super) struct Recent {
    deltas: VecDeque<Delta>,
    changes: usize,
}

impl Recent {
    /// Remembers a delta that was applied, and forgets the oldest beyond `changes_max` changes.
    pub(super) fn push(&mut self, delta: Delta, changes_max: usize) {
        self.changes += delta.len();
        self.deltas.push_back(delta);
        while self.changes > changes_max || self.deltas.len() > changes_max {
            let Some(oldest) = self.deltas.pop_front() else { break };
            self.changes -= oldest.len();
        }
    }

    /// The delta that leads on from `version`, if it is remembered.
    pub(super) fn after(&self, version: u64) -> Option<&Delta> {
        // Each begins where the one before ended, or earlier.
        let at = self.deltas.partition_point(|delta| delta.to <= version);
        self.deltas.get(at).filter(|delta| delta.from <= version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Incarnation;

    fn delta(from: u64, to: u64) -> Delta {
        Delta { incarnation: Incarnation(1), from, to, ..Delta::default() }
    }

    #[test]
    fn recent_deltas_lead_on_from_any_version_that_they_cover() {
        let mut recent = Recent::default();
        for (from, to) in [(3, 5), (4, 8), (8, 9)] {
            recent.push(delta(from, to), 9);
        }
        let after = |version| recent.after(version).map(|delta| delta.to);
        assert_eq!(
            [2, 3, 4, 5, 7, 8, 9].map(after),
            [None, Some(5), Some(5), Some(8), Some(8), Some(9), None]
        );
    }

    #[test]
    fn the_oldest_deltas_are_forgotten() {
        let mut recent = Recent::default();
        for version in 0..5 {
            recent.push(delta(version, version + 1), 2);
        }
        assert_eq!((recent.after(2), recent.after(3).map(|delta| delta.to)), (None, Some(4)));
    }
}
