//! Sessions whose clients may not have acknowledged in time, each with when that is to be looked at.
//!
//! All wait equally long, so that the first that was added is the first that is due.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::id::Stamp;
use crate::key::Key;

/// Sessions that are to be looked at.
pub(super) struct Due {
    after: Duration,
    sessions: Mutex<VecDeque<(Instant, Key, Stamp)>>,
    wake: Notify,
}

impl Due {
    /// None yet. Each is to be looked at so long after it was added.
    pub(super) fn new(after: Duration) -> Self {
        Self { after, sessions: Mutex::default(), wake: Notify::new() }
    }

    /// A session is to be looked at.
    pub(super) fn add(&self, key: Key, claim: Stamp) {
        let at = Instant::now() + self.after;
        let was_empty = {
            let mut sessions = self.sessions.lock().expect(NOT_POISONED);
            sessions.push_back((at, key, claim));
            sessions.len() == 1
        };
        if was_empty {
            self.wake.notify_one();
        }
    }

    /// The next session that is due: its key, and the stamp of its claim. Cancel-safe.
    pub(super) async fn next(&self) -> (Key, Stamp) {
        loop {
            let first = self.sessions.lock().expect(NOT_POISONED).front().map(|(at, ..)| *at);
            match first {
                None => self.wake.notified().await,
                Some(at) if at > Instant::now() => sleep_until(at).await,
                Some(_) => {
                    if let Some((_, key, claim)) = self.sessions.lock().expect(NOT_POISONED).pop_front() {
                        return (key, claim);
                    }
                }
            }
        }
    }

    /// Whether a panic has left it half changed.
    pub(super) fn is_poisoned(&self) -> bool {
        self.sessions.is_poisoned()
    }
}

const NOT_POISONED: &str = "no panic happens under this lock";
