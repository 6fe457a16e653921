//! Why what arrives of a section is not taken.

use crate::id::{Incarnation, NodeName};

/// Why a delta or a snapshot was not merged. Nothing changed, but for [`MergeError::Diverged`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// The delta starts after what this replica holds.
    #[error("a delta from version {from} does not reach back to version {held}")]
    Gap {
        /// Where the delta starts.
        from: u64,
        /// What is held.
        held: u64,
    },
    /// The content is of a boot that is over, or of one that is not known yet.
    #[error("the content is of incarnation {found}, the section of {held}")]
    Incarnation {
        /// In the delta.
        found: Incarnation,
        /// In the section.
        held: Incarnation,
    },
    /// The content differs from the owner's at the same position. What is held is not served any
    /// more, and a snapshot has to replace it.
    #[error("the section of {owner} differs from its owner's at version {version}")]
    Diverged {
        /// Whose section.
        owner: NodeName,
        /// At which version.
        version: u64,
    },
    /// Frames of a snapshot arrived out of order.
    #[error("a snapshot frame arrived out of order")]
    Order,
    /// A peer speaks of a section that is not its own, or of this node's.
    #[error("the section of {0} is written by this node alone")]
    Own(NodeName),
    /// All slots are in use, or wait for being swept.
    #[error("there is no room for one more copy of a section; it is tried again")]
    Full,
}
