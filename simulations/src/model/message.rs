//! What nodes of the fast level say to each other.

use pushmesh::NodeName;
use pushmesh::id::Stamp;
use pushmesh::internals::{Answer, Digest, Digests, Key, Question, SectionFrame, Subscribe};

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
    /// A question about a session, and its number there. What the client has proven is for the checkers.
    Ask { key: Key, question: Question, asker: Asker, number: u64, proven: Option<Stamp> },
    /// What is answered.
    Told { asker: Asker, number: u64, answer: Answer },
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

/// Who asks, and waits for answers and timers.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asker {
    /// The session of a key with that stamp, which is disputed.
    Session(Key, Stamp),
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
            Message::Ask { .. } => 8,
            Message::Goodbye => 9,
            Message::Told { .. } => 10,
        }
    }
}
