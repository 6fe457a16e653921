//! Where a node is in its life.

/// Where a node is in its life.
///
/// ```text
///   Joining ──► Ready ──► Draining ──► Stopped
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// It copies the directory. The API answers from what is known, and says where that is not enough; clients
    /// are sent elsewhere.
    Joining,
    /// It serves.
    Ready,
    /// It lets its clients go.
    Draining,
    /// It is about to end.
    Stopped,
}

impl Phase {
    /// The word for this phase in the API.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Phase::Joining => "joining",
            Phase::Ready => "ready",
            Phase::Draining => "draining",
            Phase::Stopped => "stopped",
        }
    }
}
