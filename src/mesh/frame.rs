//! The headers of all frames: what nodes say to each other.
//!
//! The order of variants and fields is the wire format (docs/PROTOCOL.md): new ones go to the end,
//! and a change that an older node would misread needs a new protocol version. Golden frames in
//! `codec/tests.rs` guard it.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::directory::{Delta, Digest, Packed, Position, SnapshotFrame};
use crate::id::{Incarnation, MessageId, NodeName, SessionKey, Stamp, UserId};
use crate::key::{DeviceHash, Key};
use crate::limits;
use crate::mesh::codec::{CodecError, bounded_list};
use crate::push::PayloadKind;
use crate::receipt::Answer;

/// The first frame of a link, in both directions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// The sender's name; has to be the one in its certificate.
    pub(crate) name: NodeName,
    /// The sender's boot.
    pub(crate) incarnation: Incarnation,
    /// Where peers reach the sender.
    pub(crate) mesh: SocketAddr,
    /// The members that the sender knows, itself not included.
    pub(crate) members: Vec<KnownMember>,
    /// What has to be the same at both ends.
    pub(crate) settings: Settings,
}

/// What all nodes of a cluster must have alike: without it they would close each other's sessions, or not find
/// them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// The takeover policy, in the words of the flag.
    pub(crate) takeover: String,
    /// The same number for the same keys, and of no use otherwise.
    pub(crate) keys_check: u64,
}

/// A member, as one node tells it to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KnownMember {
    /// Its name.
    pub(crate) name: NodeName,
    /// Its boot.
    pub(crate) incarnation: Incarnation,
    /// Where peers reach it.
    pub(crate) mesh: SocketAddr,
}

/// The answer to a hello.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum HelloAnswer {
    /// The link is open.
    Welcome(Hello),
    /// A later boot of the same name is known: this one is over.
    StaleIncarnation {
        /// The later boot.
        known: Incarnation,
    },
    /// The dialler's settings are not these.
    Disagreed(Settings),
}

/// Asks which incarnation of a name the peer has seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Probe {
    /// The asking node's own name.
    pub(crate) name: NodeName,
}

/// The answer to a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProbeAnswer {
    /// The highest incarnation seen, if any.
    pub(crate) known: Option<Incarnation>,
    /// Where the members are reached that the answering node counts as alive, neither itself nor the asking one.
    pub(crate) members: Vec<SocketAddr>,
}

/// Something to do at sessions of the receiving node. The payload of a push follows the header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Request {
    /// Number of the request on its link and in its direction; the receipt repeats it.
    pub(crate) seq: u64,
    /// The node that is meant, when it is not the receiving one: pass it on, if there is a link. Only
    /// the first receiver does.
    pub(crate) relay_to: Option<NodeName>,
    /// At which sessions.
    pub(crate) recipients: Recipients,
    /// What.
    pub(crate) action: Action,
}

/// The sessions that a request is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Recipients {
    /// One session by its names; the receipt has its outcome.
    Session(SessionKey),
    /// These devices of one user; the receipt has the name and the outcome of each, in this order.
    Devices {
        /// The user.
        user: UserId,
        /// The devices.
        devices: Vec<DeviceHash>,
    },
    /// All sessions of the receiving node; the receipt has counts.
    All,
    /// These sessions; only for [`Action::Describe`].
    Keys(Packed<Key>),
}

impl Recipients {
    /// Checks that the receipt will fit a frame.
    ///
    /// # Errors
    /// [`CodecError::Oversize`].
    pub(super) fn check(&self) -> Result<(), CodecError> {
        let (part, len, max) = match self {
            Recipients::Session(_) | Recipients::All => return Ok(()),
            Recipients::Devices { devices, .. } => {
                ("devices", devices.len(), limits::SESSIONS_PER_USER_CEILING)
            }
            Recipients::Keys(keys) => ("keys", keys.0.len(), limits::SESSIONS_PAGE_MAX + 1),
        };
        bounded_list(part, len, max)
    }
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Action {
    /// Write the payload to the sockets.
    Push {
        /// Identity of the push.
        id: MessageId,
        /// Whether the caller chose the id, so that a repetition must not be delivered twice.
        idempotent: bool,
        /// How to frame the payload.
        kind: PayloadKind,
    },
    /// Close the connections, with 4002.
    Disconnect,
    /// Let go of the sessions, with 4001: they were claimed elsewhere.
    Yield {
        /// Who has claimed them.
        owner: NodeName,
        /// With which stamp.
        stamp: Stamp,
        /// Whether it is another session of the user that was claimed, and excludes these.
        excluded: bool,
    },
    /// Tell the names of the sessions.
    Describe,
    /// Say whether the session is there that was claimed with this very stamp, and is not closing.
    Confirm {
        /// Its stamp.
        stamp: Stamp,
    },
}

/// The answers to some requests, batched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Receipts(pub(crate) Vec<Receipt>);

/// The answer to one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Receipt {
    /// Number of the request.
    pub(crate) seq: u64,
    /// What became of it.
    pub(crate) answer: Answer,
}

/// Asks the accepting node for a section, from a position on: its own as long as the stream lives, a
/// copy of another's once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Subscribe {
    /// Whose section.
    pub(crate) owner: NodeName,
    /// What the subscriber holds already.
    pub(crate) position: Position,
    /// Whether to go on with what is written from then on.
    pub(crate) follow: bool,
}

/// Where sections stand that the sender would serve. The answer has only those that are newer there
/// than in the question, differ at the same position, or are behind it in the same boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Digests(pub(crate) Vec<(NodeName, Digest)>);

/// What a subscriber is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SectionFrame {
    /// Where the section stands now; the first frame.
    Head(Digest),
    /// Some writes.
    Delta(Delta),
    /// A part of a snapshot.
    Snapshot(SnapshotFrame),
}
