//! What became of a push at one session, and which of several outcomes is told first.

use serde::{Deserialize, Serialize};

use crate::id::{NodeName, Stamp};

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
}

impl Outcome {
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
        }
    }

    /// Its place among the outcomes of a push, the most favourable first.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Outcome::Acked => 0,
            Outcome::Delivered => 1,
            Outcome::Queued => 2,
            Outcome::Buffered => 3,
            Outcome::IdReused => 4,
            Outcome::Overloaded => 5,
            Outcome::Interrupted => 6,
            Outcome::Unreachable => 7,
            Outcome::Moved { .. } | Outcome::NoSession | Outcome::Unknown | Outcome::NotReady => 8,
        }
    }
}
