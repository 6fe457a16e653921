//! The net effect of a run of writes of one owner.

use serde::{Deserialize, Serialize};

use crate::directory::Entry;
use crate::id::Incarnation;
use crate::key::Key;
use crate::section::{Packed, Position};

/// What leads a copy of a section from any version in `[from, to)` to exactly `to`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    /// The owner's boot.
    pub incarnation: Incarnation,
    /// The first version that it can be applied to.
    pub from: u64,
    /// The version that it leads to.
    pub to: u64,
    /// Hash of the section at `to`.
    pub hash: u64,
    /// Keys claimed at `to` that were written since `from`.
    pub upserts: Packed<Entry>,
    /// Keys not claimed at `to` that were written since `from`.
    pub removes: Packed<Key>,
}

impl Delta {
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
