//! Which of two links to the same peer stays: that to the later boot of it. Of two to the same boot both ends keep the same
//! one, without asking.
//!
//! Two nodes that dial each other at the same time get two links. The one stays that the node with the smaller name
//! opened. When one end opens again, its old link is of no use to it, and the new one replaces it.

use std::time::Duration;

use crate::id::Incarnation;
use crate::limits;

/// A link in use, when another one to the same peer comes up.
#[derive(Debug, Clone, Copy)]
pub struct InUse {
    /// The peer's boot.
    pub incarnation: Incarnation,
    /// Its connection is closed.
    pub closed: bool,
    /// This node opened it.
    pub dialled: bool,
    /// How long it has been up.
    pub age: Duration,
    /// How long nothing has come from the peer.
    pub silence: Duration,
}

/// The link that comes up.
#[derive(Debug, Clone, Copy)]
pub struct Newcomer {
    /// The peer's boot.
    pub incarnation: Incarnation,
    /// This node opened it.
    pub dialled: bool,
}

/// What becomes of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The one in use stays. The newcomer is kept for what the peer has sent on it already, and then closed.
    Stays,
    /// The newcomer takes its place. What is in flight on the one that was in use may finish, and then it is closed.
    Retired,
    /// The newcomer takes its place. The one that was in use has been silent and is closed at once: what is in flight there
    /// would arrive behind what is sent on the newcomer.
    Closed,
}

impl InUse {
    /// What becomes of it and the newcomer. `smaller`: this node's name is the smaller one of the two.
    #[must_use]
    pub fn against(self, newcomer: Newcomer, smaller: bool) -> Outcome {
        match self.stays(newcomer, smaller) {
            true => Outcome::Stays,
            false if is_fresh(self.silence) => Outcome::Retired,
            false => Outcome::Closed,
        }
    }

    fn stays(self, newcomer: Newcomer, smaller: bool) -> bool {
        if self.incarnation != newcomer.incarnation {
            return self.incarnation > newcomer.incarnation;
        }
        if self.closed || self.dialled == newcomer.dialled {
            return false; // The opener opened again, so that its old one is of no use to it.
        }
        if !is_fresh(self.silence) || self.age > DIALS_CROSS {
            return false; // Only one side still believes in it: who hears a peer does not dial it.
        }
        // Both dialled at the same time. The one stays that the node with the smaller name opened.
        self.dialled == smaller
    }
}

/// Whether a link whose peer has been silent for so long is alive for certain.
#[must_use]
pub(crate) fn is_fresh(silence: Duration) -> bool {
    silence <= limits::LINK_FRESH
}

/// Of two dials that cross, the links come up within this time of each other. Arithmetic: a connection
/// and an exchange of hellos.
const DIALS_CROSS: Duration =
    Duration::from_millis((limits::DIAL_TIMEOUT.as_millis() + limits::HELLO_TIMEOUT.as_millis()) as u64);

#[cfg(test)]
mod tests {
    use super::*;

    const FRESH: Duration = limits::LINK_FRESH;

    #[test]
    fn of_two_links_both_sides_keep_the_same_one() {
        let incarnation = Incarnation(5);
        let held = |dialled| InUse { incarnation, closed: false, dialled, age: FRESH, silence: FRESH };
        let new = |dialled| Newcomer { incarnation, dialled };
        for smaller in [false, true] {
            // Dials that crossed: the one that the smaller name opened stays, whichever was first.
            assert!(held(smaller).stays(new(!smaller), smaller));
            assert!(!held(!smaller).stays(new(smaller), smaller));
            for dialled in [false, true] {
                let other = new(!dialled);
                assert!(!held(dialled).stays(new(dialled), smaller), "it was opened again");
                assert!(!InUse { closed: true, ..held(dialled) }.stays(other, smaller));
                let silence = FRESH + Duration::from_millis(1);
                assert!(!InUse { silence, ..held(dialled) }.stays(other, smaller));
                let age = DIALS_CROSS + Duration::from_millis(1);
                assert!(!InUse { age, ..held(dialled) }.stays(other, smaller), "the peer does not hear it");
            }
        }
    }

    #[test]
    fn the_link_to_the_later_boot_stays_whatever_else_is_so() {
        for (closed, dialled) in [(false, false), (false, true), (true, false), (true, true)] {
            let (age, silence) = (Duration::ZERO, Duration::ZERO);
            let held = InUse { incarnation: Incarnation(5), closed, dialled, age, silence };
            for smaller in [false, true] {
                assert!(held.stays(Newcomer { incarnation: Incarnation(4), dialled }, smaller));
                assert!(!held.stays(Newcomer { incarnation: Incarnation(6), dialled }, smaller));
            }
        }
    }

    #[test]
    fn a_link_that_is_replaced_may_finish_unless_it_has_been_silent() {
        let held =
            InUse { incarnation: Incarnation(5), closed: false, dialled: true, age: FRESH, silence: FRESH };
        let again = Newcomer { incarnation: Incarnation(5), dialled: true };
        assert_eq!(held.against(again, true), Outcome::Retired);
        let silence = FRESH + Duration::from_millis(1);
        assert_eq!(InUse { silence, ..held }.against(again, true), Outcome::Closed);
        let crossed = Newcomer { dialled: false, ..again };
        assert_eq!(
            [held.against(crossed, true), held.against(crossed, false)],
            [Outcome::Stays, Outcome::Retired]
        );
    }
}
