//! The net effect of a run of writes of one owner.

use serde::{Deserialize, Serialize};

use crate::id::Incarnation;
use crate::section::{Digest, Packed, Position, Record};

/// What leads a copy of a section from any version in `[from, to)` to exactly `to`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Delta<R: Record> {
    /// The owner's boot.
    pub incarnation: Incarnation,
    /// The first version that it can be applied to.
    pub from: u64,
    /// The version that it leads to.
    pub to: u64,
    /// Hash of the section at `to`.
    pub hash: u64,
    /// The records that are there at `to` and were written since `from`.
    pub upserts: Packed<R>,
    /// The keys without a record at `to` that were written since `from`.
    pub removes: Packed<R::Key>,
}

impl<R: Record> Default for Delta<R> {
    fn default() -> Self {
        Self::from_to(Position::default(), 0, 0)
    }
}

impl<R: Record> Delta<R> {
    /// One that leads from a position to a later version, where the section has this hash, and does not say by what.
    pub(super) fn from_to(from: Position, to: u64, hash: u64) -> Self {
        let Position { incarnation, version } = from;
        Self { incarnation, from: version, to, hash, upserts: Packed::default(), removes: Packed::default() }
    }

    /// What somebody lacks who has everything.
    pub(super) fn none(at: Digest) -> Self {
        Self::from_to(at.position, at.position.version, at.hash)
    }

    /// Whether it carries nothing: the answer to an up-to-date cursor.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.from == self.to
    }

    /// How many keys it changes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.upserts.0.len() + self.removes.0.len()
    }

    /// Where a copy stands after it.
    #[must_use]
    pub fn end(&self) -> Position {
        Position { incarnation: self.incarnation, version: self.to }
    }
}
