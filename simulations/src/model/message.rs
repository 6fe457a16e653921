//! What nodes of the fast level say to each other.

use pushmesh::NodeName;
use pushmesh::id::Stamp;
use pushmesh::internals::{Digest, Digests, Key, SectionFrame, Subscribe};

use crate::id::NodeIndex;
use crate::model::gossip::Table;
use crate::model::id::StreamId;

/// What nodes say to each other.
#[derive(Debug, Clone)]
pub(super) enum Message {
    /// Heartbeats; answered.
    Gossip(Table),
    /// The answer.
    GossipBack(Table),
    /// A stream of a section begins.
    Subscribe { stream: StreamId, subscribe: Subscribe },
    /// A part of it.
    Frame { stream: StreamId, frame: Frame },
    /// Nobody reads that stream.
    Stop { stream: StreamId },
    /// Digests.
    Question { number: u64, digests: Digests },
    /// The news about them.
    Answer { number: u64, news: Vec<(NodeName, Digest)> },
    /// The session ends, if it is below that stamp. With a number it is answered. What the client has proven is for the
    /// checkers.
    Yield { key: Key, below: Stamp, number: u64, proven: Option<Stamp> },
    /// It has ended, or who is to be asked next.
    Yielded { number: u64, next: Option<NodeIndex> },
    /// Is the session there that was claimed with that stamp?
    Confirm { key: Key, stamp: Stamp, asker: Asker },
    /// Whether it is.
    Confirmed { key: Key, stamp: Stamp, asker: Asker, stands: bool },
    /// The sender left.
    Goodbye,
}

/// What a subscriber is sent.
#[derive(Debug, Clone)]
pub(super) enum Frame {
    /// A frame of the product's.
    Section(SectionFrame),
    /// The stream ends.
    Done,
}

/// Who asks whether a session is there.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asker {
    /// The session with that stamp, against which it stands.
    Session(Stamp),
    /// A client that wants to connect.
    Opening(u64),
}

impl Message {
    /// What stands for its kind in the hash of a run.
    pub(super) fn number(&self) -> u64 {
        match self {
            Message::Gossip(_) => 1,
            Message::GossipBack(_) => 2,
            Message::Subscribe { .. } => 3,
            Message::Frame { .. } => 4,
            Message::Stop { .. } => 5,
            Message::Question { .. } => 6,
            Message::Answer { .. } => 7,
            Message::Yield { .. } => 8,
            Message::Goodbye => 9,
            Message::Yielded { .. } => 10,
            Message::Confirm { .. } => 11,
            Message::Confirmed { .. } => 12,
        }
    }
}
