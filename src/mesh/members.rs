//! What the mesh asks and tells the membership of its node. No method may block.

use std::net::SocketAddr;

use crate::id::{Incarnation, NodeName};
use crate::mesh::frame::KnownMember;
use crate::mesh::link::Peer;

/// Who is a member, as the node knows it.
pub(crate) trait Members: Send + Sync + 'static {
    /// The members that this node knows, told to a peer that says hello.
    fn members(&self) -> Vec<KnownMember>;

    /// The highest incarnation of `name` that this node has seen.
    fn incarnation_of(&self, name: &NodeName) -> Option<Incarnation>;

    /// The incarnation that is known of `name`, if that means that `incarnation` of it is over.
    fn superseding(&self, name: &NodeName, incarnation: Incarnation) -> Option<Incarnation>;

    /// A link to `peer` is in use from now on; `members` are those that the peer knows.
    fn link_up(&self, peer: &Peer, members: Vec<KnownMember>);

    /// The link to `peer` is gone and no other took its place. `left` says that the peer announced it.
    fn link_down(&self, peer: &Peer, left: bool);

    /// A dial of `addr`, where `expected` was looked for, reached that peer of this cluster, or nobody.
    fn dial_ended(&self, addr: SocketAddr, expected: Option<&NodeName>, reached: Option<&NodeName>);

    /// A peer knows a later boot of this node's name than this one.
    fn superseded(&self, known: Incarnation);
}
