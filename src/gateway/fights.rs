//! Two clients that take one session from each other, again and again: whoever comes next has to wait.
//!
//! ```text
//!   a client is displaced ─► it answers the close: it was there ─► so many times in a while ─► the next one waits
//! ```
//!
//! A client whose connection broke displaces what is left of that one, as often as it likes: nobody is there who answers. What
//! is counted are sessions that were taken from a client of this node, so that of two clients at two nodes each
//! node counts every other time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use crate::config::{Bucket, Rate};
use crate::gateway::remembered::has_room;
use crate::id::SessionKey;

/// The sessions that were taken from clients that were there.
pub(crate) struct Fights {
    /// So often a session may be taken from such a client.
    rate: Rate,
    sessions: Mutex<HashMap<SessionKey, Fight>>,
}

#[derive(Default)]
struct Fight {
    bucket: Bucket,
    /// Whether the log names it.
    told: bool,
}

impl Fights {
    /// Nobody fights.
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, sessions: Mutex::default() }
    }

    /// The session was taken from a client of this node, which was there.
    pub(super) fn displaced(&self, key: &SessionKey) {
        let now = Instant::now();
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if !has_room(&mut sessions, key, SESSIONS_MAX, |fight| fight.bucket.is_full(now)) {
            return;
        }
        let fight = sessions.entry(key.clone()).or_default();
        if fight.bucket.is_full(now) {
            *fight = Fight::default(); // The last one is over.
        }
        // With nothing left the next one waits as long.
        let _ = self.rate.take(&mut fight.bucket, now);
        let begins = self.rate.wait(fight.bucket, now).is_some() && !std::mem::replace(&mut fight.told, true);
        drop(sessions);
        if begins {
            let (user, device) = (&key.user, &key.device);
            warn!(
                %user, %device,
                "two clients take this session from each other: give each its own device; the next one has to wait"
            );
        }
    }

    /// A client wants to be that session.
    ///
    /// # Errors
    /// Two clients fight for it; after that time it may.
    pub(super) fn admit(&self, key: &SessionKey) -> Result<(), Duration> {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = sessions.get(key).and_then(|fight| self.rate.wait(fight.bucket, Instant::now()));
        wait.map_or(Ok(()), Err)
    }
}

/// Sessions that are remembered, some 200 bytes each. Guess: far more than clients that are that wrong.
const SESSIONS_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{DeviceId, UserId};

    fn key(user: &str) -> SessionKey {
        SessionKey::new(UserId::new(user).unwrap(), DeviceId::new("d").unwrap())
    }

    fn fights() -> Fights {
        Fights::new("3/30s".parse().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_to_a_session_that_was_taken_too_often_waits_and_nobody_else() {
        let fights = fights();
        for _ in 0..2 {
            fights.displaced(&key("u"));
            assert_eq!(fights.admit(&key("u")), Ok(()));
        }
        fights.displaced(&key("u"));
        assert_eq!(fights.admit(&key("u")), Err(Duration::from_secs(10)));
        assert_eq!(fights.admit(&key("v")), Ok(()));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(fights.admit(&key("u")), Ok(()), "one may come");
        fights.displaced(&key("u"));
        assert!(fights.admit(&key("u")).is_err(), "and displaces the other one");
        assert!(fights.sessions.lock().unwrap()[&key("u")].told);
        tokio::time::advance(Duration::from_secs(31)).await;
        fights.displaced(&key("u"));
        assert!(!fights.sessions.lock().unwrap()[&key("u")].told, "the next one is told again");
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_are_remembered_and_those_before_make_room_when_they_are_over() {
        let fights = fights();
        (0..=SESSIONS_MAX).for_each(|number| fights.displaced(&key(&number.to_string())));
        assert_eq!(fights.sessions.lock().unwrap().len(), SESSIONS_MAX);
        tokio::time::advance(Duration::from_secs(31)).await;
        fights.displaced(&key("late"));
        assert_eq!(fights.sessions.lock().unwrap().len(), 1);
    }
}
