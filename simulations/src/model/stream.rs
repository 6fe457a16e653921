//! The two sides of a stream that carries a section.

use std::time::Duration;

use pushmesh::id::Incarnation;
use pushmesh::internals::{Gathering, Position, Serving, Taking};

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
    /// When it is sent the next frame; `None`: it has everything.
    pub(super) due: Option<Duration>,
    /// How changes are gathered for it, since when it has everything.
    pub(super) gathering: Option<(Gathering, Duration)>,
    /// When the last delta was sent.
    pub(super) sent: Option<Duration>,
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
    /// Whether it goes on: that of the owner's own section does.
    pub(super) follow: bool,
    /// What a frame does.
    pub(super) taking: Taking,
    /// Where the sender stood at the start, for the checkers.
    pub(super) stood: Position,
    /// When it was asked for.
    pub(super) since: Duration,
    /// When the last frame came.
    pub(super) heard: Duration,
    /// Since when a snapshot arrives that is needed.
    pub(super) arriving: Option<Duration>,
}
