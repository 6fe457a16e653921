//! What a client is told between its messages.

use crate::metrics::label::ResumedAs;
use crate::position::{Position, Segment};
use crate::session::tail::Hole;

/// What a client of a session that is kept is told between its messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notice {
    /// These numbers of a segment will never come.
    Gap {
        /// In which segment.
        segment: Segment,
        /// The first of them.
        from: u64,
        /// The last of them.
        to: u64,
        /// Why.
        why: Hole,
    },
    /// This segment ends with that number.
    Closed(Position),
    /// What became of the client's return.
    Resumed(Resumed),
}

/// What a client is told about the messages that it missed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resumed {
    /// In a word.
    pub(crate) state: ResumedAs,
    /// With [`ResumedAs::Partial`]: what may be missing is after these.
    pub(crate) missing: Vec<Position>,
}
