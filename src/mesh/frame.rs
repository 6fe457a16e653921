//! The headers of the mesh's own frames: hellos, probes and receipts.
//!
//! Requests are in `router/frame.rs`, sections and digests in `replication/frame.rs`.
//! The order of variants and fields is the wire format (docs/PROTOCOL.md). A change that a node of the version
//! before would misread needs a new version, and the former shape stays in a module with its number. Golden frames
//! in `mesh/codec/tests.rs` guard both.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::id::{Incarnation, NodeName};
use crate::receipt::Answer;

pub(crate) mod v4;

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
    /// What the sender knows beyond the version.
    pub(crate) features: Features,
}

/// What a node may or may not know within one version, one bit each. Of a link those of both ends count, so that
/// nobody is sent what it does not know; bits that are not known are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Features(pub(crate) u64);

impl Features {
    /// No feature.
    pub(crate) const NONE: Self = Self(0);
    /// Keeps messages for clients that are away: parked claims, the actions from `PushOn` on, the outcomes `acked` and `queued`.
    pub(crate) const KEEP: Self = Self(1);
    /// Knows attributes of sessions, and logins: the actions from `Attributes` to `AdoptLogin`, the answer `Attributes`.
    pub(crate) const ATTRIBUTES: Self = Self(2);
    /// Holds messages for other nodes: the streams of kind `log`, the action `PushStored`, the outcome `Copied`.
    pub(crate) const COPIES: Self = Self(4);
    /// Knows traces: the action `PushTraced`. Whether it exports them is its own matter.
    pub(crate) const TRACES: Self = Self(8);
    /// Is told of the groups of boots that are gone: the answer `Known` on streams of kind `log`.
    pub(crate) const FORMER: Self = Self(16);
    /// Those of this build.
    pub(crate) const OWN: Self =
        Self::KEEP.and(Self::ATTRIBUTES).and(Self::COPIES).and(Self::TRACES).and(Self::FORMER);

    /// These and those.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of these are among them.
    pub(crate) fn has(self, features: Self) -> bool {
        self.0 & features.0 == features.0
    }

    /// Those that both have.
    pub(crate) fn shared_with(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
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
