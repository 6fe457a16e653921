//! When a key set is fetched.
//!
//! | the last fetch | the next one begins |
//! |---|---|
//! | brought a set | after 10 minutes; after 30 s, once a token names a key that is not in it |
//! | failed | after 1 s, then 2, 4 and so on up to 30, whatever tokens name |
//!
//! So tokens that anybody makes up cost the provider no more than a fetch in 30 s, and a provider that is down is asked as seldom
//! in the long run. An operator who asks for it waits for nothing.
//!
//! Moments are durations since some beginning.

use std::time::Duration;

/// When a key set is fetched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Schedule {
    /// A fetch is under way.
    is_running: bool,
    /// The next fetch begins without any pause.
    is_wanted: bool,
    /// When the last fetch began.
    begun: Option<Duration>,
    /// Fetches that have failed since the last one that did not.
    failures: u32,
}

impl Schedule {
    /// When the next fetch begins. Not to be asked while one is under way.
    pub(super) fn due(&self) -> Duration {
        assert!(!self.is_running, "there is one fetch at a time");
        let pause = match self.failures {
            0 => EVERY,
            failures => AGAIN_MIN.saturating_mul(1 << (failures - 1).min(5)).min(WANTED_EVERY),
        };
        match self.begun {
            Some(begun) if !self.is_wanted => begun + pause,
            _ => Duration::ZERO,
        }
    }

    /// A token names a key that is not known, at `now`. Whether a fetch is under way, or begins for that.
    pub(super) fn want(&mut self, now: Duration) -> bool {
        let is_allowed = self.failures == 0 && self.begun.is_none_or(|begun| now >= begun + WANTED_EVERY);
        self.is_wanted |= is_allowed && !self.is_running;
        self.is_wanted || self.is_running
    }

    /// An operator asks for a fetch.
    pub(super) fn demand(&mut self) {
        self.is_wanted = true;
    }

    /// A fetch begins at `now`.
    pub(super) fn begin(&mut self, now: Duration) {
        assert!(!self.is_running, "there is one fetch at a time");
        (self.is_running, self.is_wanted, self.begun) = (true, false, Some(now));
    }

    /// It has brought a set, or not. Whether the one before ended differently.
    pub(super) fn end(&mut self, is_done: bool) -> bool {
        assert!(self.is_running, "what ends has begun");
        let was_done = self.failures == 0;
        self.is_running = false;
        self.failures = if is_done { 0 } else { self.failures.saturating_add(1) };
        is_done != was_done
    }
}

/// Time between two fetches where all is well. Source: a key that its provider withdraws is good here for no longer; guess.
const EVERY: Duration = Duration::from_secs(10 * 60);

/// Time between two fetches for keys that are not known, and the longest pause after a failure. Guess: what a new key of a provider
/// may take, since providers publish a key before they sign with it; and no load for the provider.
const WANTED_EVERY: Duration = Duration::from_secs(30);

/// The pause after a first failure. Guess: some round trips.
const AGAIN_MIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn fetched(schedule: &mut Schedule, at: u64, is_done: bool) -> bool {
        schedule.begin(s(at));
        schedule.end(is_done)
    }

    #[test]
    fn the_first_fetch_begins_at_once_and_the_next_after_ten_minutes() {
        let mut schedule = Schedule::default();
        assert_eq!(schedule.due(), s(0));
        assert!(!fetched(&mut schedule, 5, true));
        assert_eq!(schedule.due(), s(605));
    }

    #[test]
    fn a_key_that_is_not_known_brings_a_fetch_in_thirty_seconds_whoever_names_it() {
        let mut schedule = Schedule::default();
        assert!(schedule.want(s(0)), "the first one is due anyway");
        schedule.begin(s(0));
        assert!(schedule.want(s(1)), "one is under way");
        schedule.end(true);
        assert!(!schedule.want(s(29)));
        assert_eq!(schedule.due(), s(600), "nobody has changed that");
        assert!(schedule.want(s(30)) && schedule.want(s(30)));
        assert_eq!(schedule.due(), s(0));
        fetched(&mut schedule, 30, true);
        assert!(!schedule.want(s(59)));
        assert_eq!(schedule.due(), s(630));
    }

    #[test]
    fn a_fetch_that_failed_is_tried_again_after_pauses_that_double_and_tokens_change_nothing_of_that() {
        let mut schedule = Schedule::default();
        let mut at = 0;
        for pause in [1, 2, 4, 8, 16, 30, 30, 30] {
            assert_eq!(fetched(&mut schedule, at, false), at == 0, "it is told once");
            assert!(!schedule.want(s(at + 60)));
            at += pause;
            assert_eq!(schedule.due(), s(at));
        }
        assert!(fetched(&mut schedule, at, true), "that all is well again is told as well");
        assert_eq!(schedule.due(), s(at + 600));
        schedule.failures = u32::MAX;
        fetched(&mut schedule, at, false);
        assert_eq!(schedule.due(), s(at + 30));
    }

    #[test]
    fn an_operator_waits_for_nothing_and_what_is_asked_for_during_a_fetch_brings_another_one() {
        let mut schedule = Schedule::default();
        fetched(&mut schedule, 0, true);
        schedule.demand();
        assert_eq!(schedule.due(), s(0));
        schedule.begin(s(1));
        schedule.demand();
        schedule.end(true);
        assert_eq!(schedule.due(), s(0));
    }
}
