//! When a connection has to look at what.

use std::pin::Pin;

use tokio::time::{Instant, Sleep};

use crate::limits;

/// When to look at what.
pub(super) struct Due {
    pub(super) heartbeat: Instant,
    /// The token expires.
    pub(super) expiry: Option<Instant>,
    /// Those who wait are told that their messages are buffered.
    pub(super) stall: Option<Instant>,
    /// The session is closing and the line has to take the rest by then.
    pub(super) abort: Option<Instant>,
}

impl Due {
    /// What is due when a connection opens: everything is looked at once.
    pub(super) fn new(opened: Instant, expires: bool) -> Self {
        let stall = Some(opened + limits::BUFFERED_AFTER);
        Self { heartbeat: opened, expiry: expires.then_some(opened), stall, abort: None }
    }

    /// The earliest of them.
    pub(super) fn next(&self) -> Instant {
        [self.expiry, self.stall, self.abort].into_iter().flatten().fold(self.heartbeat, Instant::min)
    }
}

/// Moves the timer to an earlier moment. One that goes off too early finds nothing due and is set
/// anew, which is cheaper than to move it for every batch.
pub(super) fn arm(timer: &mut Pin<Box<Sleep>>, next: Instant) {
    if timer.is_elapsed() || next < timer.deadline() {
        timer.as_mut().reset(next);
    }
}
