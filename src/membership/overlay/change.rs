//! What the overlay says when a member changes.

use crate::id::{Incarnation, NodeName};
use crate::membership::effect::Effect;
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

impl Change {
    /// Whether the member is forgotten, and with it all that its link has brought. That link is closed: should the member
    /// come back, a new one brings everything again.
    #[must_use]
    pub fn forgets(&self) -> bool {
        matches!(Effect::of(self.to), Effect::Forget { .. })
    }
}
