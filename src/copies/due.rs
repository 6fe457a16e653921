//! Sessions whose clients may not have acknowledged in time, each with when that is to be looked at.
//!
//! All wait equally long, so that those that were added first are due first. Those that were added one soon after the other are due together:
//! to look at each at its own moment would wake a thread for nearly each push.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::id::Stamp;
use crate::key::Key;

/// Sessions that are to be looked at.
pub(super) struct Due {
    /// How long each waits at least.
    after: Duration,
    batches: Mutex<VecDeque<Batch>>,
    wake: Notify,
}

/// Sessions that are due together.
struct Batch {
    begun: Instant,
    /// Each with the stamp of its claim.
    sessions: Vec<(Key, Stamp)>,
}

impl Due {
    /// None yet. Each is to be looked at so long after it was added, or a [part](TOGETHER_PART) of that later.
    pub(super) fn new(after: Duration) -> Self {
        Self { after, batches: Mutex::default(), wake: Notify::new() }
    }

    /// A session is to be looked at.
    pub(super) fn add(&self, key: Key, claim: Stamp) {
        let now = Instant::now();
        let was_empty = {
            let mut batches = self.batches.lock().expect(NOT_POISONED);
            match batches.back_mut().filter(|batch| now < batch.begun + self.together()) {
                Some(batch) => batch.sessions.push((key, claim)),
                None => batches.push_back(Batch { begun: now, sessions: vec![(key, claim)] }),
            }
            batches.len() == 1 && batches[0].sessions.len() == 1
        };
        if was_empty {
            self.wake.notify_one();
        }
    }

    /// Sessions that are due, once some are, and not too many at a time: the key of each, and the stamp of its claim. Cancel-safe.
    pub(super) async fn next(&self) -> Vec<(Key, Stamp)> {
        loop {
            let now = Instant::now();
            let due = {
                let mut batches = self.batches.lock().expect(NOT_POISONED);
                let due = batches.front().map(|first| first.begun + self.together() + self.after);
                if due.is_some_and(|due| due <= now)
                    && let Some(first) = batches.front_mut()
                {
                    if first.sessions.len() > AT_A_TIME {
                        return first.sessions.split_off(first.sessions.len() - AT_A_TIME);
                    }
                    return batches.pop_front().map(|batch| batch.sessions).unwrap_or_default();
                }
                due
            };
            match due {
                None => self.wake.notified().await,
                Some(due) => sleep_until(due).await,
            }
        }
    }

    /// For how long a batch takes more.
    fn together(&self) -> Duration {
        self.after / TOGETHER_PART
    }

    /// Whether a panic has left it half changed.
    pub(super) fn is_poisoned(&self) -> bool {
        self.batches.is_poisoned()
    }
}

/// What is added within that part of the time that each waits is due together. Guess: some tens of wakes a second of a busy node.
const TOGETHER_PART: u32 = 4;
/// Sessions that are looked at before anything else has its turn. Guess: some tenths of a millisecond.
const AT_A_TIME: usize = 128;
const NOT_POISONED: &str = "no panic happens under this lock";

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::time::advance;

    use super::*;
    use crate::key::{DeviceHash, UserHash};

    const AFTER: Duration = Duration::from_millis(40);

    fn key(user: u64) -> Key {
        Key { user: UserHash { high: user, low: 0 }, device: DeviceHash(0) }
    }

    fn users(sessions: &[(Key, Stamp)]) -> Vec<u64> {
        sessions.iter().map(|(key, _)| key.user.high).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_added_soon_after_another_is_due_with_it_and_none_too_early() {
        let (due, began) = (Due::new(AFTER), Instant::now());
        for user in 0..4 {
            due.add(key(user), Stamp::from_raw(1));
            advance(Duration::from_millis(4)).await;
        }
        assert_eq!((users(&due.next().await), began.elapsed()), (vec![0, 1, 2], Duration::from_millis(50)));
        assert_eq!((users(&due.next().await), began.elapsed()), (vec![3], Duration::from_millis(62)));
        assert!(due.next().now_or_never().is_none(), "there are no more");
    }

    #[tokio::test(start_paused = true)]
    async fn many_are_due_in_parts_and_each_once() {
        let due = Due::new(Duration::ZERO);
        let all = 0..3 * AT_A_TIME as u64 + 1;
        all.clone().for_each(|user| due.add(key(user), Stamp::from_raw(1)));
        let mut found = Vec::new();
        while let Some(sessions) = due.next().now_or_never() {
            assert!((1..=AT_A_TIME).contains(&sessions.len()));
            found.extend(users(&sessions));
        }
        found.sort_unstable();
        assert_eq!(found, all.collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_woken_by_the_first() {
        let due = Due::new(AFTER);
        let (sessions, ()) = tokio::join!(due.next(), async { due.add(key(7), Stamp::from_raw(1)) });
        assert_eq!(users(&sessions), [7]);
    }
}
