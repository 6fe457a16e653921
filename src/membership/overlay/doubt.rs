//! Self-doubt: when most peers fall silent together, it is this node that is cut off or starved.
//!
//! One failure of one node explains that better than many failures of many (Lifeguard: Dadgar,
//! Phillips, Currey 2018, makes the same step). While the doubt lasts the way to Dead takes
//! [`limits::SELF_DOUBT_STRETCH`] times as long, and the node advertises `degraded`.
//!
//! ```text
//!              more than half of the good peers, and at least two,
//!              turned Suspect within SELF_DOUBT_WINDOW
//!   confident ─────────────────────────────────────────────────────► in doubt
//!       ▲                                                               │
//!       └───────────────────────────────────────────────────────────────┘
//!              half of the peers are good again, or none is left undecided
//! ```
//!
//! A peer is *good* while it is Alive or Unreachable, and *fallen* while it is Suspect and was good
//! before. A member that was never good here says nothing about this node: one that joins hears of
//! the dead of long ago all at once.
//!
//! Half of the peers means those that were good or fallen when the doubt began. When it ends the
//! Suspects start their way to Dead over, because the silence so far may have been ours: otherwise
//! the first peer to come back would condemn the others.
//!
//! With one peer there is no doubt, because either of the two may be the sick one. With two, the
//! death of one raises none. If both are really killed at once this node doubts itself, and their
//! sessions are hidden 12 s after the kill instead of 6: the price of not hiding half a cluster
//! because of a cable of our own.

use std::time::Duration;

use crate::limits;

/// Whether this node trusts its own ears.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    /// The peers that were good or fallen when the doubt began; `None` without a doubt.
    peers: Option<usize>,
}

/// How the peers stand at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Census {
    /// Peers that are Alive or Unreachable.
    pub(super) good: usize,
    /// Peers that are Suspect, and were good before.
    pub(super) fallen: usize,
    /// Those among them that turned within [`limits::SELF_DOUBT_WINDOW`].
    pub(super) fallen_lately: usize,
}

impl Doubt {
    /// Whether this node doubts itself.
    pub(super) fn is_on(&self) -> bool {
        self.peers.is_some()
    }

    /// Begins or ends the doubt. True if it ended now.
    pub(super) fn review(&mut self, census: Census) -> bool {
        let Census { good, fallen, fallen_lately } = census;
        debug_assert!(fallen_lately <= fallen, "who fell lately is fallen");
        match self.peers {
            None if fallen_lately >= limits::SELF_DOUBT_PEERS_MIN && fallen_lately > good => {
                self.peers = Some(good + fallen);
                false
            }
            Some(peers) if fallen == 0 || 2 * good >= peers => {
                self.peers = None;
                true
            }
            _ => false,
        }
    }

    /// How long a silence has to last, where it would be `time` without a doubt.
    pub(super) fn stretch(&self, time: Duration) -> Duration {
        if self.is_on() { time.saturating_mul(limits::SELF_DOUBT_STRETCH) } else { time }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn census(good: usize, fallen: usize, fallen_lately: usize) -> Census {
        Census { good, fallen, fallen_lately }
    }

    #[test]
    fn a_doubt_takes_two_peers_and_more_than_half() {
        for (good, fallen_lately, doubts) in
            [(0, 1, false), (1, 1, false), (0, 2, true), (1, 2, true), (2, 2, false), (2, 3, true)]
        {
            let mut doubt = Doubt::default();
            assert!(!doubt.review(census(good, fallen_lately, fallen_lately)));
            assert_eq!(doubt.is_on(), doubts, "{fallen_lately} fell and {good} did not");
        }
    }

    #[test]
    fn peers_that_fell_one_after_the_other_raise_no_doubt() {
        let mut doubt = Doubt::default();
        doubt.review(census(0, 5, 1));
        assert!(!doubt.is_on());
    }

    #[test]
    fn a_doubt_lasts_until_half_of_the_peers_are_good_again() {
        let mut doubt = Doubt::default();
        doubt.review(census(1, 4, 4));
        assert!(!doubt.review(census(2, 3, 0)), "two of five");
        assert!(doubt.is_on());
        assert!(doubt.review(census(3, 2, 0)), "three of five");
        assert!(!doubt.is_on());
    }

    #[test]
    fn a_doubt_ends_when_nobody_is_left_undecided() {
        let mut doubt = Doubt::default();
        doubt.review(census(0, 2, 2));
        assert!(!doubt.review(census(0, 1, 0)), "one was buried");
        assert!(doubt.review(census(0, 0, 0)));
    }

    #[test]
    fn only_a_doubt_stretches() {
        let mut doubt = Doubt::default();
        assert_eq!(doubt.stretch(Duration::from_secs(3)), Duration::from_secs(3));
        doubt.review(census(0, 2, 2));
        assert_eq!(doubt.stretch(Duration::from_secs(3)), Duration::from_secs(9));
    }
}
