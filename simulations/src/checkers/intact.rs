//! No copy is ever found wrong: that is an alarm, and nothing in a simulation may cause it. QUIC drops
//! what was corrupted, and everything else is the protocol's.
//!
//! One thing may: a boot that starts over under an incarnation that its name has had, because its
//! clock was set back and nobody was there who knew. After such a boot nothing is checked any more: whose
//! copy a node has found wrong it does not tell.

use crate::checkers::boots::Boots;
use crate::checkers::checker::Checker;
use crate::counters::counters;
use crate::host::Boot;

/// Watches the alarm of all nodes.
#[derive(Default)]
pub(super) struct Intact {
    boots: Boots,
    looks: u64,
}

impl Checker for Intact {
    fn name(&self) -> &'static str {
        "no copy is found wrong"
    }

    fn tick(&mut self, now_ms: u64, boots: &[Option<Boot>]) -> Result<(), String> {
        for boot in self.boots.look(boots) {
            self.boots.begin(boot);
        }
        if self.boots.any_again() || !now_ms.is_multiple_of(EVERY_MS) {
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
    use pushmesh::NodeName;

    use super::*;

    #[test]
    fn the_alarm_is_read_from_its_counter() {
        let metrics =
            |times| format!("# TYPE pushmesh_directory_diverged_total counter\n{COUNTER} {times}\n");
        assert_eq!((found_wrong(&metrics(0)), found_wrong(&metrics(3))), (0, 3));
    }

    #[test]
    fn nothing_is_watched_after_a_boot_that_starts_over() {
        let mut checker = Intact::default();
        let mut boot = |name, incarnation| {
            checker.boots.begin((NodeName::new(name).unwrap(), incarnation));
            checker.boots.any_again()
        };
        assert_eq!((boot("a", 5), boot("b", 5), boot("a", 4)), (false, false, false));
        assert!(boot("a", 5));
    }
}
