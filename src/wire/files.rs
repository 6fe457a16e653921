//! Open files: how many connections the operating system lets a node have.

use std::fs;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::time::Instant;
use tracing::debug;

/// What the operating system allows. The default is no bound at all.
#[derive(Debug, Clone, Default)]
pub struct OpenFiles {
    /// Connections that may be open at the same time; `None` where nothing bounds them.
    pub connections_max: Option<usize>,
    /// Connections that could not be accepted and were not counted yet.
    pub accepts_failed: Arc<AtomicU64>,
}

impl OpenFiles {
    /// What this process may still open, with a few files set aside for everything else.
    pub(super) fn of_process(accepts_failed: Arc<AtomicU64>) -> Self {
        let limit = getrlimit(Resource::Nofile).current.and_then(|limit| usize::try_from(limit).ok());
        let connections_max = limit.map(|limit| limit.saturating_sub(open_now() + ASIDE));
        Self { connections_max, accepts_failed }
    }

    /// The limit of open files with which `connections` fit.
    pub(crate) fn limit_for(connections: usize) -> usize {
        connections.saturating_add(open_now() + ASIDE)
    }

    /// Raises this process' limit of open files to what the operating system lets it choose by itself. For programs;
    /// a library leaves the limit to the program that embeds it.
    pub fn raise() {
        let limit = getrlimit(Resource::Nofile);
        if limit.current < limit.maximum
            && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
        {
            debug!(%error, "the limit of open files cannot be raised");
        }
    }
}

/// Files that this process has open.
fn open_now() -> usize {
    // The listing opens one itself.
    fs::read_dir("/dev/fd").map_or(OPEN_GUESS, |files| files.count().saturating_sub(1))
}

/// Says a thing again only after a while, whoever has it to say.
#[derive(Debug, Default)]
pub(crate) struct Seldom(Mutex<Option<Instant>>);

impl Seldom {
    /// Whether it is time to say it.
    pub(crate) fn due(&self) -> bool {
        let mut last = self.0.lock().expect("no panic happens under this lock");
        let due = last.is_none_or(|last| last.elapsed() >= SELDOM);
        if due {
            *last = Some(Instant::now());
        }
        due
    }
}

/// Files that are opened besides connections: look-ups of names, the data directory. Guess.
const ASIDE: usize = 16;
/// Where it cannot be counted. Guess.
const OPEN_GUESS: usize = 32;
/// How often the log tells of the same trouble.
const SELDOM: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_and_what_is_set_aside_is_left_out() {
        let limit = usize::try_from(getrlimit(Resource::Nofile).current.unwrap()).unwrap();
        let files = OpenFiles::of_process(Arc::default());
        assert!(files.connections_max.unwrap() < limit - ASIDE);
        assert!(open_now() >= 3, "the standard streams are open");
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_trouble_is_told_once_a_minute() {
        let seldom = Seldom::default();
        assert!(seldom.due() && !seldom.due());
        tokio::time::sleep(SELDOM).await;
        assert!(seldom.due() && !seldom.due());
    }
}
