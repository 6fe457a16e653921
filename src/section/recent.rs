//! What a copy remembers of how it came to where it stands, for peers that do not reach its owner.

use std::collections::VecDeque;

use crate::section::{Delta, Record};

/// The last deltas of a copy, oldest first, for peers that do not reach its owner.
#[derive(Debug)]
pub(super) struct Recent<R: Record> {
    deltas: VecDeque<Delta<R>>,
    changes: usize,
}

impl<R: Record> Default for Recent<R> {
    fn default() -> Self {
        Self { deltas: VecDeque::new(), changes: 0 }
    }
}

impl<R: Record> Recent<R> {
    /// Remembers a delta that was applied, and forgets the oldest beyond `changes_max` changes.
    pub(super) fn push(&mut self, delta: Delta<R>, changes_max: usize) {
        self.changes += delta.len();
        self.deltas.push_back(delta);
        while self.changes > changes_max || self.deltas.len() > changes_max {
            let Some(oldest) = self.deltas.pop_front() else { break };
            self.changes -= oldest.len();
        }
    }

    /// The delta that leads on from `version`, if it is remembered.
    pub(super) fn after(&self, version: u64) -> Option<&Delta<R>> {
        // Each begins where the one before ended, or earlier.
        let at = self.deltas.partition_point(|delta| delta.to <= version);
        self.deltas.get(at).filter(|delta| delta.from <= version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Incarnation;
    use crate::section::Position;
    use crate::section::tests::Line;

    fn delta(from: u64, version: u64) -> Delta<Line> {
        Delta::from_to(Position { incarnation: Incarnation(1), version: from }, version, 0)
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
