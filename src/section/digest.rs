//! Where a section stands: its position, and its digest, which adds the hash of the content.

use serde::{Deserialize, Serialize};

use crate::id::Incarnation;

/// A point in the history of a section. Ordered: a later boot first, then a later version. The
/// default is before everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// The owner's boot.
    pub incarnation: Incarnation,
    /// Writes since that boot.
    pub version: u64,
}

/// A position with the hash of what the section holds there. Equal digests mean equal content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// Where.
    pub position: Position,
    /// XOR of the hashes of all entries.
    pub hash: u64,
}

impl Digest {
    /// Whether a copy with this digest cannot be of the history that the owner tells of with
    /// `owners`: it is ahead of its owner, or it holds something else at the same position.
    #[must_use]
    pub fn contradicts(&self, owners: &Digest) -> bool {
        let (held, owners_at) = (self.position, owners.position);
        held.incarnation == owners_at.incarnation
            && (held.version > owners_at.version
                || held.version == owners_at.version && self.hash != owners.hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(incarnation: u64, version: u64, hash: u64) -> Digest {
        Digest { position: Position { incarnation: Incarnation(incarnation), version }, hash }
    }

    #[test]
    fn a_copy_contradicts_only_its_own_boot_ahead_or_with_other_content() {
        let owners = digest(2, 5, 7);
        assert!(!digest(2, 5, 7).contradicts(&owners));
        assert!(!digest(2, 4, 0).contradicts(&owners), "behind is not wrong");
        assert!(!digest(1, 9, 0).contradicts(&owners), "another boot says nothing");
        assert!(digest(2, 5, 8).contradicts(&owners));
        assert!(digest(2, 6, 7).contradicts(&owners));
    }
}
