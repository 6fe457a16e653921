//! Where a node is in its life.

/// Where a node is in its life.
///
/// ```text
///   Joining ──► Ready ──► Leaving ──► Draining ──► Stopped
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// It copies the directory. The API answers from what is known, and says where that is not enough; clients
    /// are sent elsewhere.
    Joining,
    /// It serves.
    Ready,
    /// It serves, and is about to drain: balancers are to send nobody new.
    Leaving,
    /// It lets its clients go.
    Draining,
    /// It is about to end.
    Stopped,
}

impl Phase {
    /// Whether clients may connect.
    pub(crate) fn serves(self) -> bool {
        matches!(self, Phase::Ready | Phase::Leaving)
    }

    /// The word for this phase in the API.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Phase::Joining => "joining",
            Phase::Ready => "ready",
            Phase::Leaving => "leaving",
            Phase::Draining => "draining",
            Phase::Stopped => "stopped",
        }
    }
}
