//! The two sides of a stream that carries a section.

use std::time::Duration;

use pushmesh::id::Incarnation;
use pushmesh::internals::{Position, Serving, Taking};

use crate::id::NodeIndex;
use crate::model::id::LinkId;

/// The holder's side of a subscription.
pub(super) struct Server {
    /// To whom.
    pub(super) to: NodeIndex,
    /// Over which link.
    pub(super) link: LinkId,
    /// Whose section.
    pub(super) owner: NodeIndex,
    /// What is sent next.
    pub(super) serving: Serving,
    /// A snapshot has begun.
    pub(super) begun: bool,
    /// It is in the queue.
    pub(super) scheduled: bool,
    /// When the last delta was sent.
    pub(super) sent: Duration,
    /// When the last frame arrives.
    pub(super) arrival: Duration,
}

/// The taker's side of a subscription.
pub(super) struct Follower {
    /// From whom.
    pub(super) from: NodeIndex,
    /// Over which link.
    pub(super) link: LinkId,
    /// Whose section.
    pub(super) owner: NodeIndex,
    /// Of which boot.
    pub(super) incarnation: Incarnation,
    /// Whether it goes on. As in the product only a stream of the owner does.
    pub(super) follow: bool,
    /// What a frame does.
    pub(super) taking: Taking,
    /// Where the sender stood at the start, for the checkers.
    pub(super) stood: Position,
    /// When the last frame came.
    pub(super) heard: Duration,
}
