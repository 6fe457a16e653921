//! What the steps of ownership wait for, beside answers.

use std::time::Duration;

use crate::limits;

/// A time that passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    /// How long owners have to let go, however many are asked one after the other.
    Takeover,
    /// How long the owner of an older claim has to say whether it has the session.
    Confirm,
    /// How long a dispute rests: whatever was released before shows by then.
    Linger,
}

impl Timer {
    /// How long it takes. A question of a dispute waits as long as a push does.
    #[must_use]
    pub fn after(self, push_timeout: Duration) -> Duration {
        match self {
            Timer::Takeover => limits::TAKEOVER_TIMEOUT,
            Timer::Confirm => push_timeout,
            Timer::Linger => limits::RELEASE_LINGER,
        }
    }
}
