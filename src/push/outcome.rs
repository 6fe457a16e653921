//! What became of a push at one session, and which of several outcomes is told first.

use serde::{Deserialize, Serialize};

use crate::id::{NodeName, Stamp};
use crate::limits;

/// What a session's owner says about one push to that session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Written to the owner's socket: no more and no less.
    Delivered,
    /// In the session's outbox; the socket did not take it within [`BUFFERED_AFTER`](crate::limits::BUFFERED_AFTER).
    Buffered,
    /// The session lives elsewhere now; nothing was written here.
    Moved {
        /// Who owns it.
        owner: NodeName,
        /// With which stamp.
        stamp: Stamp,
    },
    /// There is no such session.
    NoSession,
    /// A queue on the way or the session's outbox is full; nothing was written.
    Overloaded,
    /// The connection broke while the message was being written: the client may or may not have it.
    Interrupted,
    /// The owner did not answer within the push timeout: the client may or may not have it.
    Unreachable,
    /// This node reaches no other one, and cannot know whether there is such a session.
    Unknown,
    /// This node has not joined its cluster yet, and does not know whether there is such a session.
    NotReady,
    /// The session has, or had, another message with the id of this one, which its caller chose; this one was not
    /// written.
    IdReused,
    /// The client has it: it has said so.
    Acked,
    /// The client is away, and its session is kept: the message is held until the client is back, its time is over or
    /// the session's is.
    Queued,
    /// The message has come that far, and other nodes hold it in memory. It answers nothing but a message whose publisher
    /// waits for [`Wait::Stored`](crate::push::Wait::Stored): only nodes that know copies send such a message on, so that no
    /// other node is told this outcome.
    Copied {
        /// How far it has come.
        reached: Reached,
        /// How many nodes beside the owner hold it; at least one.
        copies: u8,
    },
}

/// How far a message has come that is held by other nodes too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reached {
    /// [`Outcome::Delivered`].
    Delivered,
    /// [`Outcome::Buffered`].
    Buffered,
    /// [`Outcome::Queued`].
    Queued,
}

impl Reached {
    /// The same as an outcome, without copies.
    #[must_use]
    pub fn outcome(self) -> &'static Outcome {
        match self {
            Reached::Delivered => &Outcome::Delivered,
            Reached::Buffered => &Outcome::Buffered,
            Reached::Queued => &Outcome::Queued,
        }
    }
}

impl Outcome {
    /// Whether the next owner of a session has taken what was handed over to it: it is kept there, or waits to be written.
    pub(crate) fn is_handed_over(&self) -> bool {
        matches!(self, Outcome::Delivered | Outcome::Buffered)
    }

    /// The word for this outcome in the API and in metrics.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Outcome::Delivered => "delivered",
            Outcome::Buffered => "buffered",
            Outcome::Moved { .. } => "moved",
            Outcome::NoSession => "no_session",
            Outcome::Overloaded => "overloaded",
            Outcome::Interrupted => "interrupted",
            Outcome::Unreachable => "unreachable",
            Outcome::Unknown => "unknown",
            Outcome::NotReady => "not_ready",
            Outcome::IdReused => "id_reused",
            Outcome::Acked => "acked",
            Outcome::Queued => "queued",
            Outcome::Copied { reached, .. } => reached.outcome().as_str(),
        }
    }

    /// How many nodes beside the owner are known to hold the message in memory.
    #[must_use]
    pub fn copies(&self) -> u8 {
        match self {
            Outcome::Copied { copies, .. } => *copies,
            _ => 0,
        }
    }

    /// The same without copies: how far the message has come.
    #[must_use]
    pub fn without_copies(&self) -> &Outcome {
        match self {
            Outcome::Copied { reached, .. } => reached.outcome(),
            other => other,
        }
    }

    /// Whether the message survives the owner: the client has it, or enough other nodes hold it in memory.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        *self == Outcome::Acked || usize::from(self.copies()) >= limits::STORED_AT
    }

    /// Whether the session has taken the message.
    pub(super) fn is_taken(&self) -> bool {
        matches!(
            self.without_copies(),
            Outcome::Acked | Outcome::Delivered | Outcome::Queued | Outcome::Buffered
        )
    }

    /// Its place among the outcomes of a push, the most favourable first.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Outcome::Acked => 0,
            Outcome::Copied { reached: Reached::Delivered, .. } => 1,
            Outcome::Delivered => 2,
            Outcome::Copied { reached: Reached::Queued, .. } => 3,
            Outcome::Queued => 4,
            Outcome::Copied { reached: Reached::Buffered, .. } => 5,
            Outcome::Buffered => 6,
            Outcome::IdReused => 7,
            Outcome::Overloaded => 8,
            Outcome::Interrupted => 9,
            Outcome::Unreachable => 10,
            Outcome::Moved { .. } | Outcome::NoSession | Outcome::Unknown | Outcome::NotReady => 11,
        }
    }
}
