//! The winning claim of a key, as pushes and people see it.

use crate::directory::ClaimState;
use crate::id::{Incarnation, NodeName, Stamp};

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
