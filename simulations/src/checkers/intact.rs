//! No copy is ever found wrong: that is an alarm, and nothing in a simulation may cause it. QUIC drops
//! what was corrupted, and everything else is the protocol's.
//!
//! One thing may: a boot that starts over under an incarnation that its name has had, because its
//! clock was set back and nobody was there who knew. After such a boot nothing is checked any more.

use std::collections::BTreeMap;

use crate::checkers::Checker;
use crate::counters::counters;
use crate::event::{Event, NodeIndex};
use crate::host::Boot;

/// Watches the alarm of all nodes.
#[derive(Default)]
pub(super) struct Intact {
    greatest: BTreeMap<NodeIndex, u64>,
    /// A boot has begun that is not above all before it.
    set_back: bool,
    looks: u64,
}

impl Checker for Intact {
    fn name(&self) -> &'static str {
        "no copy is found wrong"
    }

    fn event(&mut self, _: u64, event: &Event) -> Result<(), String> {
        if let Event::Booted { node, incarnation } = event {
            let greatest = self.greatest.entry(*node).or_default();
            self.set_back |= incarnation <= greatest;
            *greatest = (*greatest).max(*incarnation);
        }
        Ok(())
    }

    fn tick(&mut self, now_ms: u64, boots: &[Option<Boot>]) -> Result<(), String> {
        if self.set_back || !now_ms.is_multiple_of(EVERY_MS) {
            return Ok(());
        }
        for boot in boots.iter().flatten() {
            self.looks += 1;
            let wrong = boot.observer.metrics().map_or(0, |metrics| found_wrong(&metrics));
            if wrong > 0 {
                return Err(format!("{} found {wrong} copies wrong", boot.replica.me()));
            }
        }
        Ok(())
    }

    fn compared(&self) -> (&'static str, u64) {
        ("looks for copies that were found wrong", self.looks)
    }
}

fn found_wrong(metrics: &str) -> u64 {
    counters(metrics).get(COUNTER).copied().unwrap_or_default()
}

const COUNTER: &str = "pushmesh_directory_diverged_total";
/// Time between two looks, in milliseconds. Guess: often enough for boots that do not last.
const EVERY_MS: u64 = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alarm_is_read_from_its_counter() {
        let metrics =
            |times| format!("# TYPE pushmesh_directory_diverged_total counter\n{COUNTER} {times}\n");
        assert_eq!((found_wrong(&metrics(0)), found_wrong(&metrics(3))), (0, 3));
    }

    #[test]
    fn only_a_boot_that_is_above_all_before_it_is_watched() {
        let boot = |checker: &mut Intact, incarnation| {
            checker.event(0, &Event::Booted { node: 0, incarnation }).unwrap();
            checker.set_back
        };
        let mut checker = Intact::default();
        assert_eq!([5, 6, 6].map(|incarnation| boot(&mut checker, incarnation)), [false, false, true]);
    }
}
