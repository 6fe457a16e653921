//! How long the two sides of a subscription wait: the holder before it sends what was written, the taker for the next
//! frame and before it subscribes again. The times are given.

use std::ops::Add;
use std::time::Duration;

use crate::limits;
use crate::section::Position;

/// How long changes are gathered under churn, so that a delta carries several. A stream that has been quiet sends its
/// first change at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gathering {
    /// From one delta to the next.
    window: Duration,
    /// With this version of the section a delta is full, and is sent at once.
    full: u64,
}

impl Gathering {
    /// In a cluster of so many other members, for a subscriber that has all up to `cursor`.
    #[must_use]
    pub fn new(peers: usize, cursor: Position, delta_changes: usize) -> Self {
        let members = u32::try_from(peers + 1).unwrap_or(u32::MAX);
        let window = limits::COALESCE_PER_MEMBER.saturating_mul(members);
        let window = window.clamp(limits::COALESCE_MIN, limits::COALESCE_MAX);
        Self { window, full: cursor.version + delta_changes as u64 }
    }

    /// Until when changes are gathered, when the last delta was `sent` then; `now` the subscriber has everything.
    pub fn until<T: Add<Duration, Output = T>>(&self, sent: Option<T>, now: T) -> T {
        sent.map_or(now, |sent| sent + self.window)
    }

    /// Whether a delta is full when the section has this version.
    #[must_use]
    pub fn is_full(&self, version: u64) -> bool {
        version >= self.full
    }
}

/// How long the taker waits for the next frame; `None`: for as long as the link lives, because an owner may write nothing.
/// `arriving`: since when a snapshot arrives, which holds a place that others wait for.
#[must_use]
pub fn patience(follow: bool, arriving: Option<Duration>) -> Option<Duration> {
    match arriving {
        Some(since) => Some(limits::SNAPSHOT_STALL_MAX.min(SNAPSHOT_TIME_MAX.saturating_sub(since))),
        None => (!follow).then_some(PULL_SILENCE_MAX),
    }
}

/// The pauses between the subscriptions of one link to the section of its peer.
#[derive(Debug)]
pub struct Pauses(Duration);

impl Default for Pauses {
    fn default() -> Self {
        Self(limits::SUBSCRIBE_AGAIN_MIN)
    }
}

impl Pauses {
    /// A subscription ended that has lasted so long. Returns the pause before the next one. After one that lasted the
    /// pauses begin anew; one that fails at once is repeated ever more rarely.
    pub fn ended(&mut self, lasted: Duration) -> Duration {
        let pause = self.0;
        let anew = lasted + pause > 2 * limits::SUBSCRIBE_AGAIN_MAX;
        self.0 =
            if anew { limits::SUBSCRIBE_AGAIN_MIN } else { (2 * pause).min(limits::SUBSCRIBE_AGAIN_MAX) };
        pause
    }
}

/// A snapshot may take so long. Guess: the largest one over a slow network.
const SNAPSHOT_TIME_MAX: Duration = Duration::from_secs(600);
/// A pull that brings nothing for so long is given up; the next round of digests tries again. Guess.
pub(crate) const PULL_SILENCE_MAX: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn gathering(peers: usize) -> Gathering {
        Gathering::new(peers, Position { version: 100, ..Position::default() }, 64)
    }

    #[test]
    fn the_gathering_time_grows_with_the_cluster_between_its_bounds() {
        let window = |peers| gathering(peers).until(Some(Duration::ZERO), Duration::ZERO);
        assert_eq!(window(2), limits::COALESCE_MIN);
        assert_eq!(window(99), Duration::from_millis(50));
        assert_eq!(window(10_000), limits::COALESCE_MAX);
    }

    #[test]
    fn the_first_change_and_a_full_delta_do_not_wait() {
        let gathering = gathering(99);
        let millis = Duration::from_millis;
        assert_eq!(gathering.until(None, millis(7)), millis(7));
        assert_eq!(gathering.until(Some(millis(20)), millis(30)), millis(70));
        assert!(!gathering.is_full(163) && gathering.is_full(164));
    }

    #[test]
    fn a_quiet_owner_is_followed_and_a_silent_pull_or_snapshot_is_given_up() {
        assert_eq!(patience(true, None), None);
        assert_eq!(patience(false, None), Some(PULL_SILENCE_MAX));
        for follow in [false, true] {
            assert_eq!(patience(follow, Some(Duration::ZERO)), Some(limits::SNAPSHOT_STALL_MAX));
            let nearly = SNAPSHOT_TIME_MAX - Duration::from_secs(1);
            assert_eq!(patience(follow, Some(nearly)), Some(Duration::from_secs(1)));
            assert_eq!(patience(follow, Some(2 * SNAPSHOT_TIME_MAX)), Some(Duration::ZERO));
        }
    }

    #[test]
    fn pauses_between_subscriptions_double_to_their_bound_and_begin_anew_after_one_that_lasted() {
        let mut pauses = Pauses::default();
        let at_once: Vec<_> = (0..8).map(|_| pauses.ended(Duration::ZERO)).collect();
        assert_eq!(at_once[..3], [1, 2, 4].map(|times| times * limits::SUBSCRIBE_AGAIN_MIN));
        assert_eq!(at_once[7], limits::SUBSCRIBE_AGAIN_MAX);
        assert_eq!(pauses.ended(2 * limits::SUBSCRIBE_AGAIN_MAX), limits::SUBSCRIBE_AGAIN_MAX);
        assert_eq!(pauses.ended(Duration::ZERO), limits::SUBSCRIBE_AGAIN_MIN);
    }
}
