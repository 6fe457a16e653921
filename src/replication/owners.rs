//! What replication asks and tells the node that it belongs to. No method may block.

use crate::directory::Lost;
use crate::id::{Incarnation, NodeName};

/// The owners of sections, as the node knows them.
pub(crate) trait Owners: Send + Sync + 'static {
    /// How many other members are alive.
    fn peers(&self) -> usize;

    /// The copy of the section of `owner` has reached where it stood when it was asked for.
    fn section_synced(&self, owner: &NodeName);

    /// Whether the owner has not been reached for so long that its section may come from others.
    fn is_stale(&self, owner: &NodeName) -> bool;

    /// Whether this boot of the owner is the one that this node counts as a member.
    fn admits(&self, owner: &NodeName, incarnation: Incarnation) -> bool;

    /// This node has lost keys to other nodes.
    fn lost(&self, lost: Vec<Lost>);
}
