//! Where a section stands: its position, and its digest, which adds the hash of the content.

use serde::{Deserialize, Serialize};

use crate::id::Incarnation;

/// A point in the history of a section. Ordered: a later boot first, then a later version. The
/// default is before everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Position {
    /// The owner's boot.
    pub(crate) incarnation: Incarnation,
    /// Writes since that boot.
    pub(crate) version: u64,
}

/// A position with the hash of what the section holds there. Equal digests mean equal content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Digest {
    /// Where.
    pub(crate) position: Position,
    /// XOR of the hashes of all entries.
    pub(crate) hash: u64,
}
