//! The headers of the frames that carry sections and digests.
//!
//! The order of variants and fields is the wire format (docs/PROTOCOL.md): new ones go to the end, and a change that an
//! older node would misread needs a new protocol version. Golden frames guard it.

use serde::{Deserialize, Serialize};

use crate::directory::{Delta, SnapshotFrame};
use crate::id::NodeName;
use crate::mesh::stream::{Priority, StreamKind, both_ways};
use crate::section::{Digest, Position};

/// Bidirectional: subscribe to a section that the accepting node holds.
pub(crate) const SECTION: StreamKind = both_ways(6, "section", Priority::State);
/// Bidirectional: compare where all sections stand.
pub(crate) const DIGESTS: StreamKind = both_ways(7, "digests", Priority::State);

/// Asks the accepting node for a section, from a position on: its own as long as the stream lives, a
/// copy of another's once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscribe {
    /// Whose section.
    pub owner: NodeName,
    /// What the subscriber holds already.
    pub position: Position,
    /// Whether to go on with what is written from then on.
    pub follow: bool,
}

/// Where sections stand that the sender would serve. The answer has only those that are newer there
/// than in the question, differ at the same position, or are behind it in the same boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DigestsFrame(pub(crate) Vec<(NodeName, Digest)>);

/// What a subscriber is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SectionFrame {
    /// Where the section stands now; the first frame.
    Head(Digest),
    /// Some writes.
    Delta(Delta),
    /// A part of a snapshot.
    Snapshot(SnapshotFrame),
}

#[cfg(test)]
mod tests;
