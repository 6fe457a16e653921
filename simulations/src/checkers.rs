//! What must be true in every run. Checkers only observe: they see events and copies of the
//! directory, and change nothing.

use crate::checkers::checker::Checker;
use crate::event::Event;
use crate::host::Boot;
use crate::id::NodeIndex;
use crate::settings::Settings;
use crate::violation::Violation;

mod acked;
mod acks;
mod answers;
mod arrival;
mod boots;
mod bound;
mod bounds;
mod buffered;
mod cause;
mod checker;
mod claims;
mod contended;
mod contents;
mod convergence;
mod copied;
mod delivery;
mod denial;
mod dial;
mod displaced;
mod disturbed;
mod envelope;
mod frozen;
mod gaps;
mod gone;
mod held;
mod intact;
mod kick;
mod knowledge;
mod life;
mod limit;
mod lists;
mod no_panic;
mod numbers;
mod order;
mod paths;
mod questions;
mod quiet;
mod reach;
mod repetition;
mod rest;
mod resumption;
mod sealed;
mod section;
mod sight;
mod silence;
mod speech;
mod stamps;
mod stored;
mod succession;
mod takeover;

pub(crate) use convergence::converged;
pub(crate) use quiet::Quiet;
pub(crate) use reach::Reach;
pub(crate) use rest::at_rest;

/// All checkers of a run.
pub(crate) struct Checkers(Vec<Box<dyn Checker>>);

impl Checkers {
    /// Those that watch the whole run. [`converged`] is asked at its end.
    pub(crate) fn new(settings: &Settings) -> Self {
        Self(vec![
            Box::new(arrival::Arrival::default()),
            Box::new(order::Order::default()),
            Box::new(delivery::Delivery::new(settings)),
            Box::new(denial::Denial::default()),
            Box::new(buffered::Buffered::new(settings)),
            Box::new(bound::Bound::new(settings)),
            Box::new(cause::Cause::new(settings)),
            Box::new(section::Section::default()),
            Box::new(limit::Limit::new(settings)),
            Box::new(life::Life::default()),
            Box::new(dial::Dial::default()),
            Box::new(intact::Intact::default()),
            Box::new(succession::Succession::default()),
            Box::new(answers::Answers::default()),
            Box::new(envelope::Envelope::default()),
            Box::new(gone::Gone::default()),
            Box::new(kick::Kick::new(settings)),
            Box::new(repetition::Repetition::new(settings)),
            Box::new(knowledge::Known::default()),
            Box::new(lists::Lists::new(settings)),
            Box::new(silence::Silence::new(settings)),
            Box::new(speech::Speech::default()),
            Box::new(stamps::Stamps::new(settings)),
            Box::new(takeover::Takeover::new(settings)),
            Box::new(displaced::Displaced::new(settings)),
            Box::new(numbers::Numbers::default()),
            Box::new(gaps::Gaps::default()),
            Box::new(acked::Acked::new(settings)),
            Box::new(stored::Stored::default()),
            Box::new(frozen::Frozen::default()),
            Box::new(resumption::Resumption::new(settings)),
            Box::new(held::Held::new(settings)),
            Box::new(no_panic::NoPanic::default()),
        ])
    }

    /// Shows them an event.
    ///
    /// # Errors
    /// The first violation.
    pub(crate) fn event(&mut self, now_ms: u64, event: &Event) -> Result<(), Violation> {
        self.each(now_ms, |checker| checker.event(now_ms, event))
    }

    /// Shows them the nodes after a millisecond.
    ///
    /// # Errors
    /// The first violation.
    pub(crate) fn tick(&mut self, now_ms: u64, boots: &[Option<Boot>]) -> Result<(), Violation> {
        self.each(now_ms, |checker| checker.tick(now_ms, boots))
    }

    /// Tells them between which nodes packets get `through`, and which of them are `up` and do not stop.
    pub(crate) fn paths(
        &mut self,
        now_ms: u64,
        nodes: usize,
        through: &dyn Fn(NodeIndex, NodeIndex) -> bool,
        up: &dyn Fn(NodeIndex) -> bool,
    ) {
        let reaches = |from, to| up(from) && up(to) && through(from, to);
        for checker in &mut self.0 {
            checker.paths(now_ms, nodes, &reaches);
            checker.ways(now_ms, nodes, through);
        }
    }

    /// Tells them that the run is over.
    ///
    /// # Errors
    /// The first violation.
    pub(crate) fn end(&mut self, now_ms: u64) -> Result<(), Violation> {
        self.each(now_ms, |checker| checker.end())
    }

    /// How often each of them compared something.
    pub(crate) fn compared(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().map(|checker| checker.compared())
    }

    /// What they have met, and how often.
    pub(crate) fn met(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().filter_map(|checker| checker.met())
    }

    fn each(
        &mut self,
        at_ms: u64,
        mut check: impl FnMut(&mut dyn Checker) -> Result<(), String>,
    ) -> Result<(), Violation> {
        for checker in &mut self.0 {
            let name = checker.name();
            check(checker.as_mut()).map_err(|what| Violation { at_ms, checker: name, what })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_checker_that_finds_something_is_named() {
        let mut checkers = Checkers::new(&Settings::default());
        assert_eq!(checkers.event(6, &Event::Booted { node: 0, incarnation: 1 }), Ok(()));
        let found = checkers.event(7, &Event::Panicked("at a line".to_owned())).unwrap_err();
        assert_eq!(found.to_string(), "7 ms: no code panics: at a line");
    }
}
