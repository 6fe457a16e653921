//! The machine's time, to say how long people have waited. Nothing of a run depends on it.

use std::time::Instant;

/// Now.
#[expect(clippy::disallowed_methods, reason = "how long people wait is real time")]
pub(crate) fn wall_clock() -> Instant {
    Instant::now()
}
