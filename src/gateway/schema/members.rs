//! The members, as one node sees them, and whether clients may be sent to it.

use serde::{Deserialize, Serialize};

use super::Word;
use crate::gateway::phase::Phase;
use crate::id::NodeName;

/// The members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Nodes<T = NodeStatus> {
    /// The node that answers included.
    pub nodes: Vec<T>,
}

/// A member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// The state of the member, as the node that answers sees it.
    pub state: String,
    /// Its boot.
    pub incarnation: u64,
    /// The UDP address of its mesh.
    pub mesh: String,
    /// The address of its HTTP face.
    pub http: String,
    /// Its zone, if it was given one.
    #[cfg_attr(test, schema(required))]
    pub zone: Option<String>,
    /// Sessions that it owns.
    pub sessions: u64,
    /// Round trip of the direct link, in microseconds. Null without one.
    #[cfg_attr(test, schema(required))]
    pub rtt_us: Option<u64>,
    /// Milliseconds since the Unix epoch: since when it is in this state.
    pub since_ms: u64,
    /// Milliseconds since the Unix epoch: when it was heard last over the direct link; without a link, when it was last
    /// counted as alive.
    pub heard_ms: u64,
    /// Whether it says of itself that it is cut off from most of its peers, or starved.
    pub degraded: bool,
    /// Of 16 groups of its sessions, those that fewer other nodes hold copies for than `--copies` says, or than there are. Null of a node that makes
    /// no copies, and of every other node than the one that answers: nodes do not tell each other.
    #[cfg_attr(test, schema(required))]
    pub groups_short: Option<u32>,
    /// Whether it is the node that answers.
    #[serde(rename = "self")]
    pub own: bool,
}

/// A member that is forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Forgotten {
    /// Which.
    pub node: NodeName,
    /// Its last boot.
    pub incarnation: u64,
    /// Whether this node still reaches no other one, and misses others.
    pub isolated: bool,
}

/// Whether clients may be sent to a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Ready {
    /// Where the node is in its life.
    #[cfg_attr(test, schema(value_type = ReadyPhase))]
    pub phase: Word<ReadyPhase>,
}

/// Where a node is in its life, and whether it reaches others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ReadyPhase {
    /// It copies the directory.
    Joining,
    /// It serves.
    Ready,
    /// It is ready, and hears none of the others. With `--isolated-not-ready` that is 503.
    Isolated,
    /// It is about to drain and serves until then, for as long as `--drain-delay` says.
    Leaving,
    /// It lets its clients go.
    Draining,
    /// It is about to end.
    Stopped,
}

impl From<Phase> for ReadyPhase {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Joining => ReadyPhase::Joining,
            Phase::Ready => ReadyPhase::Ready,
            Phase::Leaving => ReadyPhase::Leaving,
            Phase::Draining => ReadyPhase::Draining,
            Phase::Stopped => ReadyPhase::Stopped,
        }
    }
}
