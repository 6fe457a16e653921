//! What the overlay says when a member changes.

use crate::id::{Incarnation, NodeName};
use crate::membership::member::MemberState;

/// A member changed its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The member.
    pub name: NodeName,
    /// The boot that this is about.
    pub incarnation: Incarnation,
    /// The state before; `None` for one that was not listed.
    pub from: Option<MemberState>,
    /// The state now.
    pub to: MemberState,
}
