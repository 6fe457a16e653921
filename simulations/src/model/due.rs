//! What can be due in a cluster of the fast level.

use pushmesh::id::Stamp;
use pushmesh::internals::{Key, Owned};

use crate::id::NodeIndex;
use crate::model::id::{BootId, LinkId, StreamId};
use crate::model::message::Message;

/// Something that is due.
pub(super) enum Event {
    /// The plan goes on.
    Step(usize),
    /// A node boots because it was superseded.
    Reboot(NodeIndex),
    /// A boot judges its members.
    Round(BootId),
    /// It sends keep-alives.
    KeepAlive(BootId),
    /// It gossips.
    Gossip(BootId),
    /// It compares digests.
    Compare(BootId),
    /// Its dial came to an end.
    Dialled { boot: BootId, to: NodeIndex, open: bool },
    /// A message arrives.
    Deliver(Box<Delivery>),
    /// A stream that a boot takes broke.
    Broken { boot: BootId, stream: StreamId },
    /// A stream that ended is subscribed to again.
    Resubscribe { boot: BootId, peer: NodeIndex, link: LinkId },
    /// A subscriber is sent what it lacks.
    Pump { boot: BootId, stream: StreamId },
    /// A session that was superseded is released.
    Release { boot: BootId, key: Key, stamp: Stamp },
    /// A client has waited for the end of its earlier session for long enough.
    Claims { boot: BootId, number: u64 },
    /// A dispute is looked at again.
    Disputed { boot: BootId, key: Key, stamp: Stamp, doubt: Option<Owned> },
    /// A boot that left closes its links.
    Farewell(BootId),
}

/// A message on its way.
pub(super) struct Delivery {
    /// By whom it was sent.
    pub(super) from: BootId,
    /// Of which node.
    pub(super) from_node: NodeIndex,
    /// To whom.
    pub(super) to: BootId,
    /// Over which link.
    pub(super) link: LinkId,
    /// What it says.
    pub(super) message: Message,
}
