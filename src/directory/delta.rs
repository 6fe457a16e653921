//! The net effect of a run of writes of one owner.

use serde::{Deserialize, Serialize};

use crate::directory::{Claim, Position};
use crate::id::{Incarnation, SessionKey};

/// What leads a copy of a section from any version in `[from, to)` to exactly `to`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Delta {
    /// The owner's boot.
    pub(crate) incarnation: Incarnation,
    /// The first version that it can be applied to.
    pub(crate) from: u64,
    /// The version that it leads to.
    pub(crate) to: u64,
    /// Hash of the section at `to`.
    pub(crate) hash: u64,
    /// Keys claimed at `to` that were written since `from`.
    pub(crate) upserts: Vec<(SessionKey, Claim)>,
    /// Keys not claimed at `to` that were written since `from`.
    pub(crate) removes: Vec<SessionKey>,
}

impl Delta {
    /// Whether it carries nothing: the answer to an up-to-date cursor.
    pub(crate) fn is_empty(&self) -> bool {
        self.from == self.to
    }

    /// Where a copy stands after it.
    pub(crate) fn end(&self) -> Position {
        Position { incarnation: self.incarnation, version: self.to }
    }
}
