//! Which of two links to the same boot of a peer stays. Both ends decide alike, without asking.
//!
//! Two nodes that dial each other at the same time get two links. The one stays that the node with the smaller name
//! opened. When one end opens again, its old link is of no use to it, and the new one replaces it.

use std::time::Duration;

use crate::limits;

/// A link in use, when another one to the same boot of the peer comes up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InUse {
    /// Its connection is closed.
    pub(crate) closed: bool,
    /// This node opened it.
    pub(crate) dialled: bool,
    /// How long it has been up.
    pub(crate) age: Duration,
    /// How long nothing has come from the peer.
    pub(crate) silence: Duration,
}

impl InUse {
    /// Whether it stays in use. `dialled`: this node opened the other one. `smaller`: this node's name is the smaller
    /// one of the two.
    pub(crate) fn stays(self, dialled: bool, smaller: bool) -> bool {
        if self.closed || self.dialled == dialled {
            return false; // The opener opened again, so that its old one is of no use to it.
        }
        if self.silence > FRESH || self.age > DIALS_CROSS {
            return false; // Only one side still believes in it: who hears a peer does not dial it.
        }
        // Both dialled at the same time. The one stays that the node with the smaller name opened.
        self.dialled == smaller
    }
}

/// See [`limits::LINK_FRESH`].
const FRESH: Duration = limits::LINK_FRESH;
/// Of two dials that cross, the links come up within this time of each other. Arithmetic: a connection
/// and an exchange of hellos.
const DIALS_CROSS: Duration =
    Duration::from_millis((limits::DIAL_TIMEOUT.as_millis() + limits::HELLO_TIMEOUT.as_millis()) as u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_links_both_sides_keep_the_same_one() {
        let held = |dialled| InUse { closed: false, dialled, age: FRESH, silence: FRESH };
        for smaller in [false, true] {
            // Dials that crossed: the one that the smaller name opened stays, whichever was first.
            assert!(held(smaller).stays(!smaller, smaller));
            assert!(!held(!smaller).stays(smaller, smaller));
            for dialled in [false, true] {
                let new = !dialled;
                assert!(!held(dialled).stays(dialled, smaller), "it was opened again");
                assert!(!InUse { closed: true, ..held(dialled) }.stays(new, smaller));
                let silence = FRESH + Duration::from_millis(1);
                assert!(!InUse { silence, ..held(dialled) }.stays(new, smaller));
                let age = DIALS_CROSS + Duration::from_millis(1);
                assert!(!InUse { age, ..held(dialled) }.stays(new, smaller), "the peer does not hear it");
            }
        }
    }
}
