//! What happens at the connections of clients whose sessions are kept.

use crate::position::{Position, Segment};

/// One thing that happened at such a connection.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kept {
    /// The client asks for its session to be kept, and says what it has.
    Shown {
        /// The positions that it names.
        after: Vec<Position>,
        /// Which those are.
        shows: Shows,
    },
    /// The client is welcomed.
    Welcomed {
        /// The segment that the session numbers.
        segment: Segment,
        /// For how many seconds the session is kept.
        keep: u32,
        /// What became of what the client missed.
        resumed: Resumed,
        /// After which positions something may be missing.
        missing: Vec<Position>,
    },
    /// Its node has flushed a message to its socket. [`Event::Flushed`](crate::event::Event::Flushed) follows.
    Flushed {
        /// Where the message stands.
        at: Position,
        /// What the client's application is to receive.
        text: String,
    },
    /// The client has received a message.
    Received {
        /// Where it stands.
        at: Position,
        /// Its id.
        id: String,
        /// What it carries.
        text: String,
        /// Whether the client's application gets it: [`Event::Got`](crate::event::Event::Got) follows then. Else the
        /// client has it already.
        taken: bool,
    },
    /// The client is told that numbers will never come.
    Gap {
        /// Of which segment.
        segment: Segment,
        /// The first of them.
        from: u64,
        /// The last of them.
        to: u64,
        /// Why.
        why: String,
    },
    /// The client is told that a segment is complete.
    Closed(Position),
    /// The client is told what has become of what it missed, after its welcome.
    Resumed {
        /// In a word.
        resumed: Resumed,
        /// After which positions something may be missing.
        missing: Vec<Position>,
    },
    /// The client acknowledges all up to there.
    Acked(Position),
    /// The client acknowledges what its node has not sent.
    Ahead(Position),
    /// The client is told that it has done so.
    AheadRefused,
    /// The client goes for good.
    Bye,
}

/// What a client says that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shows {
    /// All that it has.
    All,
    /// What it had when it was welcomed the last time.
    Older,
    /// Nothing, and no token.
    Nothing,
    /// Beside what it has a segment that nobody has numbered.
    Forged,
    /// The number of its last segment with that of the one before: half of a position was updated.
    Half,
}

/// What became of what a client has missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resumed {
    /// Nothing is missing.
    Complete,
    /// The client will be told.
    Pending,
    /// Something may be missing.
    Partial,
    /// There was no session.
    None,
}

impl Resumed {
    /// That with this word.
    pub(crate) fn named(word: &str) -> Option<Self> {
        match word {
            "complete" => Some(Self::Complete),
            "pending" => Some(Self::Pending),
            "partial" => Some(Self::Partial),
            "none" => Some(Self::None),
            _ => None,
        }
    }
}
