//! What can be due in a cluster of the fast level.

use pushmesh::NodeName;
use pushmesh::id::{Incarnation, Stamp};
use pushmesh::internals::Key;

use crate::id::NodeIndex;
use crate::model::id::{BootId, LinkId, StreamId};
use crate::model::message::{Asker, Message};

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
    /// Its dial has a connection.
    Connected { boot: BootId, to: NodeIndex, link: LinkId },
    /// Its dial takes too long.
    DialOver { boot: BootId, to: NodeIndex, link: LinkId },
    /// A node that has dialled it says hello.
    Greeted { boot: BootId, hello: Box<Hello> },
    /// The answer to its hello.
    Welcomed { boot: BootId, from: NodeIndex, link: LinkId, answer: Box<Answer> },
    /// A retired link is closed.
    Retired { boot: BootId, link: LinkId },
    /// The other end has closed a link.
    Closed { boot: BootId, from: NodeIndex, link: LinkId },
    /// A boot closes the link to a member that it has forgotten.
    HangUp { boot: BootId, peer: NodeIndex, link: LinkId },
    /// A message arrives.
    Deliver(Box<Delivery>),
    /// A stream that a boot takes broke.
    Broken { boot: BootId, stream: StreamId },
    /// A stream that ended is subscribed to again.
    Resubscribe { boot: BootId, peer: NodeIndex, link: LinkId },
    /// A subscriber is sent what it lacks.
    Pump { boot: BootId, stream: StreamId },
    /// The claim of a session that was superseded is released.
    Release { boot: BootId, key: Key, stamp: Stamp },
    /// The timer with that number has elapsed, for whoever waits.
    Elapsed { boot: BootId, asker: Asker, timer: u64 },
    /// A boot that left closes its links.
    Farewell(BootId),
}

/// What the two ends of a connection tell each other first.
pub(super) struct Hello {
    /// Who says it.
    pub(super) boot: BootId,
    /// Of which node.
    pub(super) node: NodeIndex,
    /// As which incarnation.
    pub(super) incarnation: Incarnation,
    /// The link that it may become.
    pub(super) link: LinkId,
    /// The members that it sees alive.
    pub(super) members: Vec<NodeName>,
}

/// The answer to a hello.
pub(super) enum Answer {
    /// There may be a link.
    Welcome(Hello),
    /// A later boot of the one that has dialled is known.
    Over,
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
    /// It has reached the machine, which may stand still: no cut holds it up any more.
    pub(super) arrived: bool,
}

impl Delivery {
    /// Whether it comes again when it is lost.
    pub(super) fn is_reliable(&self) -> bool {
        !matches!(self.message, Message::Gossip(_) | Message::GossipBack(_))
    }
}
