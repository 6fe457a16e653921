//! The winning claim of a key, as pushes and people see it.

use crate::directory::ClaimState;
use crate::id::{Incarnation, NodeName, Stamp};
use crate::position::Segment;

/// The winning claim of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owned {
    /// The node that holds the connection.
    pub owner: NodeName,
    /// Its boot.
    pub incarnation: Incarnation,
    /// Orders the claims of one key.
    pub stamp: Stamp,
    /// What the owner says of the connection.
    pub state: ClaimState,
}

impl Owned {
    /// Whether a client is connected to it, as far as its owner has said.
    pub(crate) fn is_connected(&self) -> bool {
        matches!(self.state, ClaimState::Connected | ClaimState::Resumed)
    }

    /// The segment of the session that was claimed so.
    pub(crate) fn segment(&self) -> Segment {
        Segment::of(&self.owner, self.incarnation, self.stamp)
    }
}
