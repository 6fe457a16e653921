//! What can be done to the world.

use std::time::Duration;

use crate::aim::Aim;
use crate::ask::Ask;
use crate::id::{ClientIndex, NodeIndex};
use crate::network::Weather;

/// One thing that is done to the world.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    /// A client wants to be connected, or connects once more while it is.
    Connect { client: ClientIndex, node: NodeIndex },
    /// A client does not want to be connected any more.
    Leave { client: ClientIndex, politely: bool },
    /// A client's socket breaks; it comes back.
    Break { client: ClientIndex },
    /// A backend pushes through that node, if it runs.
    Push { node: NodeIndex, aim: Aim },
    /// A backend calls that node over HTTP.
    Call { backend: usize, node: NodeIndex, ask: Ask },
    /// A client neither reads nor answers for so many milliseconds.
    Stall { client: ClientIndex, for_ms: u64 },
    /// A client sends a message.
    Say { client: ClientIndex },
    /// A client sends what no node takes.
    Blunder { client: ClientIndex, blunder: Blunder },
    /// The network between nodes changes.
    Weather(Weather),
    /// Nothing gets through from one node to another, in these pairs.
    Partition(Vec<(NodeIndex, NodeIndex)>),
    /// All partitions end.
    Join,
    /// A node loses its power, if it runs.
    Crash { node: NodeIndex },
    /// A node stops in good order, if it runs.
    Stop { node: NodeIndex },
    /// A node boots, if it does not run.
    Restart { node: NodeIndex, identity: Identity },
    /// Packets that are longer disappear, between all nodes.
    Swallow(Option<usize>),
    /// The paths in these pairs, from one to another, take longer.
    Slow(Vec<(NodeIndex, NodeIndex)>, Duration),
    /// All paths are as fast as ever.
    Hurry,
    /// Nothing leaves a node and nothing reaches it, and all of it does when it goes on.
    Pause { node: NodeIndex },
    /// A node goes on.
    Resume { node: NodeIndex },
    /// A node's wall clock is set.
    Clock { node: NodeIndex, ahead_ms: i64 },
    /// Tasks of the nodes' networks are late with that probability.
    Late(f64),
    /// Something stays wrong with a node while the others heal.
    Ail { node: NodeIndex, how: Ailment },
}

/// What a client sends that no node takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blunder {
    /// A message beyond the bound.
    TooBig,
    /// A text that is none.
    NotText,
    /// Texts that are no envelopes, more than a node bears, if the client speaks `pushmesh.v1`.
    Nonsense,
}

/// As whom a node comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Identity {
    /// With what its disk remembers, if there are disks.
    Same,
    /// With an empty disk.
    Forgotten,
    /// With another name, at the same address.
    Replaced,
}

/// What is wrong with a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ailment {
    /// It has no power.
    Dead,
    /// Nothing gets through between it and the others.
    Cut,
    /// It does not hear the others, and they hear it.
    Deaf,
    /// The others do not hear it, and it hears them.
    Mute,
    /// Its paths take longer. It has to be as right as the others.
    Slow(Duration),
}

impl Ailment {
    /// Whether the others have to do without the node.
    pub(crate) fn parts(self) -> bool {
        !matches!(self, Self::Slow(_))
    }
}
