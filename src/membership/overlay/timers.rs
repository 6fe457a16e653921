//! How long the overlay waits.

use std::time::Duration;

use crate::limits;

/// How long each doubt may last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverlayTimers {
    /// A link that was silent for longer makes its peer Suspect.
    pub idle_suspect: Duration,
    /// How long a silence that is suspect must go on, before the member can be Dead.
    pub dead_after: Duration,
    /// How long the suspicion itself must have lasted by then.
    pub suspicion_min: Duration,
    /// How long a Dead member stays listed.
    pub purge_after: Duration,
}

impl Default for OverlayTimers {
    fn default() -> Self {
        Self {
            idle_suspect: limits::LINK_IDLE_SUSPECT,
            dead_after: limits::DEAD_AFTER,
            suspicion_min: limits::SUSPICION_MIN,
            purge_after: limits::PURGE_AFTER,
        }
    }
}
