//! The headers of all frames: what nodes say to each other.
//!
//! The order of variants and fields is the wire format (docs/PROTOCOL.md): new ones go to the end,
//! and a change that an older node would misread needs a new protocol version. Golden frames in
//! `codec/tests.rs` guard it.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::directory::{Delta, Digest, Position, SnapshotFrame};
use crate::id::{DeviceId, Incarnation, MessageId, NodeName, Stamp, UserId};
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
}

/// Something to do at sessions of the receiving node. The payload of a push follows the header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Request {
    /// Number of the request on its link and in its direction; the receipt repeats it.
    pub(crate) seq: u64,
    /// At which sessions.
    pub(crate) recipients: Recipients,
    /// What.
    pub(crate) action: Action,
}

/// The sessions that a request is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Recipients {
    /// These devices of one user; the receipt has an outcome for each, in this order.
    Sessions {
        /// The user.
        user: UserId,
        /// The devices.
        devices: Vec<DeviceId>,
    },
    /// All sessions of the receiving node; the receipt has counts.
    All,
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
    /// The sender has claimed these sessions with this stamp: let go of them, with 4001.
    Yield {
        /// Stamp of the sender's claim.
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

/// Asks the accepting node for its section, from a position on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Subscribe {
    /// What the subscriber holds already.
    pub(crate) position: Position,
}

/// What the owner of a section sends to a subscriber.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SectionFrame {
    /// Where the section stands now; the first frame.
    Head(Digest),
    /// Some writes.
    Delta(Delta),
    /// A part of a snapshot.
    Snapshot(SnapshotFrame),
}
