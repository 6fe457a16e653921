//! What a run of the fast level leaves behind: whether something was wrong, what was met, and what happened.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::violation::Violation;

/// What a run leaves behind.
pub(super) struct Record {
    /// The first thing that was wrong.
    pub(super) failure: Option<Violation>,
    /// Follows everything that happens.
    pub(super) hash: u64,
    /// What was met, and how often.
    pub(super) cases: BTreeMap<&'static str, u64>,
    /// What happened, if it is to be told.
    pub(super) lines: Option<Vec<String>>,
}

impl Record {
    /// Of the run of a seed. `told`: with all that happens.
    pub(super) fn new(seed: u64, told: bool) -> Self {
        Self { failure: None, hash: seed, cases: BTreeMap::new(), lines: told.then(Vec::new) }
    }

    /// A case came so many times.
    pub(super) fn count(&mut self, case: &'static str, times: u64) {
        if times > 0 {
            *self.cases.entry(case).or_default() += times;
        }
    }

    /// Something that must be true is not.
    pub(super) fn fail(&mut self, now: Duration, checker: &'static str, what: String) {
        let at_ms = now.as_millis() as u64;
        self.failure.get_or_insert(Violation { at_ms, checker, what });
    }

    /// Something happened.
    pub(super) fn mark(&mut self, words: impl IntoIterator<Item = u64>) {
        for word in words {
            self.hash = (self.hash ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
        }
    }

    /// The same, for people.
    pub(super) fn tell(&mut self, now: Duration, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{:>12.6} {}", now.as_secs_f64(), line()));
        }
    }

    /// This and what another run of the same seed has left behind.
    pub(super) fn join(mut self, other: Self) -> Self {
        self.failure = self.failure.or(other.failure);
        self.mark([other.hash]);
        other.cases.into_iter().for_each(|(case, times)| self.count(case, times));
        if let (Some(lines), Some(others)) = (&mut self.lines, other.lines) {
            lines.extend(others);
        }
        self
    }
}
