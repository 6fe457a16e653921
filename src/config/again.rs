//! A process that turns out to be an earlier boot of its name, and begins again in place above the later one.
//!
//! A node that starts asks its peers which boot of its name they remember. Those that it reaches may not know yet, such
//! as when all of them start at once, and with a clock that was set back and no data directory its incarnation is then
//! below that of its former boot. The first peer that does know refuses it. It has been told above what it has to be, so
//! that it need not wait for somebody to start it again, and then ask the same peers.
//!
//! Of two processes that run under one name the later one stays. Two that join at the same moment would go on raising
//! each other: so a process begins again a few times at most.

use crate::id::Incarnation;
use crate::limits;

/// How often a process has begun again, and above which boot of its name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Again {
    above: Option<Incarnation>,
    times: u32,
}

impl Again {
    /// The boot that is known to be over: the next one is above it.
    pub(crate) fn above(self) -> Option<Incarnation> {
        self.above
    }

    /// How often the process has begun again.
    pub(crate) fn times(self) -> u32 {
        self.times
    }

    /// That of the boot after one that was told of `known`. `None`: it was told so too often.
    pub(crate) fn next(self, known: Incarnation) -> Option<Self> {
        let next = Self { above: self.above.max(Some(known)), times: self.times + 1 };
        (next.times <= limits::BEGUN_AGAIN_MAX).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_begins_again_a_few_times_and_always_above_what_it_was_told() {
        let mut again = Again::default();
        assert_eq!(again.above(), None);
        for (times, known) in (1..=limits::BEGUN_AGAIN_MAX).zip([7, 9, 8]) {
            again = again.next(Incarnation(known)).expect("it may begin again");
            assert_eq!(again.times(), times);
            assert!(again.above() >= Some(Incarnation(known)));
        }
        assert_eq!(again.above(), Some(Incarnation(9)), "what it was told before counts as well");
        assert_eq!(again.next(Incarnation(100)), None);
    }
}
