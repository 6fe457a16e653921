//! Everything that passes between nodes: one UDP port, QUIC with mutual TLS.
//!
//! ```text
//!   endpoint ── accepts and dials ──► handshake (TLS identity, then Hello) ──► Link ──► Links
//!
//!   a Link, in each direction:   datagrams + short streams   gossip
//!                                1 stream                    the peer's section (replication)
//!                                LANES streams               requests, ordered by user
//!                                1 stream                    receipts, batched
//! ```
//!
//! A [`Link`] is the one QUIC connection that is in use to a peer; [`Links`] finds it by the peer's
//! name and dials in the background. Every queue is bounded and every length is checked before
//! anything is allocated for it. What requests mean is not known here: they go to the [`Service`]
//! that the composition root provides.

use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::directory::Lost;
use crate::id::{Incarnation, NodeName};

mod admission;
mod anti_entropy;
mod bucket;
mod codec;
mod conduct;
pub(crate) mod endpoint;
mod frame;
pub(crate) mod fuzz;
pub(crate) mod gossip;
mod handshake;
pub(crate) mod identity;
mod lane;
mod link;
mod links;
pub(crate) mod mailbox;
mod notice;
mod offenders;
mod outbound;
mod receipts;
mod refusal;
mod replication;
#[cfg(test)]
mod tests;
mod timer;

pub(crate) use codec::PROTOCOL_VERSION;
pub(crate) use frame::{Action, KnownMember, Recipients, Request};
pub use identity::{ClusterKey, ClusterKeyError, HashKey, HashKeyError};
pub(crate) use link::{Link, Peer, Refused};
pub(crate) use links::{GossipOut, Links};

/// What the mesh asks of the node it belongs to. No method may block.
pub(crate) trait Service: Send + Sync + 'static {
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

    /// A request of a peer. It is answered through [`Link::answer`] with the request's number.
    fn request(&self, link: &Arc<Link>, request: Request, payload: Bytes);

    /// The copy of the section of `owner` has reached where it stood when it was asked for.
    fn section_synced(&self, owner: &NodeName);

    /// Whether the owner has not been reached for so long that its section may come from others.
    fn is_stale(&self, owner: &NodeName) -> bool;

    /// Whether this boot of the owner is the one that this node counts as a member.
    fn admits(&self, owner: &NodeName, incarnation: Incarnation) -> bool;

    /// This node has lost keys to other nodes.
    fn lost(&self, lost: Vec<Lost>);
}
