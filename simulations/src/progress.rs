//! How far something long is, on stderr: one line that is redrawn on a terminal, a line now and then
//! anywhere else.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::wall_clock::wall_clock;

/// A line that says how far something is.
pub(crate) struct Progress {
    terminal: bool,
    shown: bool,
    last: Instant,
}

impl Progress {
    /// Nothing is shown yet.
    pub(crate) fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), shown: false, last: wall_clock() }
    }

    /// Shows the line if it is time for it.
    pub(crate) fn at(&mut self, line: impl FnOnce() -> String) {
        let pause = if self.terminal { REDRAW } else { REPEAT };
        if self.last.elapsed() < pause {
            return;
        }
        (self.last, self.shown) = (wall_clock(), true);
        let mut stderr = std::io::stderr().lock();
        let (begin, end) = if self.terminal { ("\r\x1b[K", "") } else { ("", "\n") };
        // A line that cannot be shown is not worth an error.
        let _ = write!(stderr, "{begin}{}{end}", line()).and_then(|()| stderr.flush());
    }

    /// Wipes the line, so that what follows starts on an empty one.
    pub(crate) fn clear(&mut self) {
        if std::mem::take(&mut self.shown) && self.terminal {
            let mut stderr = std::io::stderr().lock();
            let _ = write!(stderr, "\r\x1b[K").and_then(|()| stderr.flush());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// A bar that is full when `done` is 1.
pub(crate) fn bar(done: f64) -> String {
    let full = (done.clamp(0.0, 1.0) * BAR_WIDTH as f64) as usize;
    format!("[{}{}]", "#".repeat(full), "-".repeat(BAR_WIDTH - full))
}

/// A time as people say it.
pub(crate) fn spoken(time: Duration) -> String {
    match (time.as_secs() / 60, time.as_secs() % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, seconds) => format!("{minutes} min {seconds:02} s"),
    }
}

/// Guess: faster than this nobody reads.
const REDRAW: Duration = Duration::from_millis(100);
/// Time between two lines of a log.
const REPEAT: Duration = Duration::from_secs(10);
/// Characters of a bar. Arithmetic: the rest of the line fits 80 columns beside it.
const BAR_WIDTH: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_empty_then_full_and_never_longer() {
        assert_eq!(bar(0.0), format!("[{}]", "-".repeat(20)));
        assert_eq!(bar(0.5), format!("[{}{}]", "#".repeat(10), "-".repeat(10)));
        assert_eq!(bar(7.0), format!("[{}]", "#".repeat(20)));
    }

    #[test]
    fn times_are_said_in_minutes_and_seconds() {
        assert_eq!(spoken(Duration::from_millis(59_900)), "59 s");
        assert_eq!(spoken(Duration::from_secs(125)), "2 min 05 s");
    }
}
