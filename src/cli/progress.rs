//! A counter on stderr while something takes long.
//!
//! Shown only where a person sees it and nothing else is on the screen: stderr is a terminal, and
//! stdout is not or the command prints nothing while it counts.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use tokio::time::Instant;

use super::table::thousands;

/// One line on stderr that is rewritten in place.
#[derive(Debug)]
pub(crate) struct Progress {
    noun: &'static str,
    shown: bool,
    last: Option<Instant>,
    started: Instant,
}

impl Progress {
    /// Counts `noun` (a plural). `prints` says whether the command writes to stdout meanwhile.
    pub(crate) fn new(noun: &'static str, prints: bool) -> Self {
        let shown = std::io::stderr().is_terminal() && !(prints && std::io::stdout().is_terminal());
        Self { noun, shown, last: None, started: Instant::now() }
    }

    /// Shows the count, at most ten times a second.
    pub(crate) fn at(&mut self, count: u64) {
        let now = Instant::now();
        if !self.shown || now.duration_since(self.last.unwrap_or(self.started)) < REDRAW {
            return;
        }
        self.last = Some(now);
        let mut stderr = std::io::stderr().lock();
        // A counter that cannot be shown is not worth an error.
        let _ = write!(stderr, "\r{} {} …", thousands(count), self.noun).and_then(|()| stderr.flush());
    }

    /// Wipes the line, so that what follows starts on an empty one.
    pub(crate) fn clear(&mut self) {
        if self.last.take().is_some() {
            let mut stderr = std::io::stderr().lock();
            let _ = write!(stderr, "\r\x1b[K").and_then(|()| stderr.flush());
        }
    }

    /// How long the work has taken so far.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Guess: faster than this nobody reads.
const REDRAW: Duration = Duration::from_millis(100);
