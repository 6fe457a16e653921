//! The owner's side of a section: where it stands, and what was written lately.

use crate::id::Incarnation;
use crate::section::ring::ChangeRing;
use crate::section::{Delta, Head, Position, Record, Write};

/// A section as its owner writes it.
pub(crate) struct Log<R: Record> {
    head: Head,
    ring: ChangeRing<R>,
}

impl<R: Record> Log<R> {
    /// The section of a boot that has written nothing yet, which remembers so many writes.
    ///
    /// # Panics
    /// When `changes_max` is zero.
    #[must_use]
    pub(crate) fn new(incarnation: Incarnation, changes_max: usize) -> Self {
        Self { head: Head::at(Position { incarnation, version: 0 }), ring: ChangeRing::new(changes_max) }
    }

    /// Where the section stands.
    #[must_use]
    pub(crate) fn head(&self) -> Head {
        self.head
    }

    /// Numbers a write, which has taken the place of `before`.
    pub(crate) fn write(&mut self, before: Option<&R>, write: Write<R>) {
        debug_assert!(before.is_none_or(|before| before.key() == write.key()), "it is a write of one key");
        self.head.replace(before, write.record());
        let digest = &mut self.head.digest;
        digest.position.version += 1;
        self.ring.push(digest.position.version, digest.hash, write);
    }

    /// What somebody at `position` lacks, up to `changes_max` changes. It is empty for who lacks nothing. `None` means that
    /// only a snapshot can help.
    #[must_use]
    pub(crate) fn delta_since(&self, position: Position, changes_max: usize) -> Option<Delta<R>> {
        self.head.since(position, || self.ring.delta(position, changes_max))
    }
}
