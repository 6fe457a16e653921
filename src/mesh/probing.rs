//! Before a node starts: whom it asks which incarnation of its name they know, and what follows from the answers.
//!
//! ```text
//!   seeds ──► asked ── answer ──► the highest incarnation
//!               ▲         │
//!               └─────────┘ the members that the answer names
//! ```
//!
//! After a mass restart it may be none of the seeds that remembers: the members that the seeds name are asked as well, the one of
//! this very name among them: a process that runs there is not to be replaced unasked. Each address is asked once, and at most
//! [`limits::PEERS_MAX`] are. How they are asked, and for how long, is not known here.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::id::Incarnation;
use crate::limits;

/// The addresses that were asked, and what is known by their answers.
#[derive(Debug, Default)]
pub struct Probing {
    /// Where another process of this name runs.
    namesake: Option<SocketAddr>,
    asked: BTreeSet<SocketAddr>,
    /// How many of them have not answered yet.
    open: usize,
    highest: Option<Incarnation>,
}

impl Probing {
    /// Takes addresses that may be asked. Returns those that are to be asked now, in this order; each leads to one call of
    /// [`Self::answered`] or [`Self::unanswered`].
    #[must_use]
    pub fn named(&mut self, addrs: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
        let mut next = Vec::new();
        for addr in addrs {
            if self.asked.len() < limits::PEERS_MAX && self.asked.insert(addr) {
                next.push(addr);
            }
        }
        self.open += next.len();
        next
    }

    /// An answer has come: the incarnation that is known there, and the addresses of the members that it names. Returns the
    /// addresses that are to be asked now.
    ///
    /// # Panics
    /// If all have answered.
    #[must_use]
    pub fn answered(
        &mut self,
        known: Option<Incarnation>,
        members: impl IntoIterator<Item = SocketAddr>,
    ) -> Vec<SocketAddr> {
        self.unanswered();
        self.highest = self.highest.max(known);
        self.named(members)
    }

    /// Another process of this very name answered at that address, and knows its own incarnation: it runs already.
    pub fn found_namesake(&mut self, at: SocketAddr) {
        self.namesake = Some(at);
    }

    /// Where another process of this name runs, as far as is known.
    #[must_use]
    pub fn namesake(&self) -> Option<SocketAddr> {
        self.namesake
    }

    /// An address that was asked gives no answer.
    ///
    /// # Panics
    /// If all have answered.
    pub fn unanswered(&mut self) {
        self.open = self.open.checked_sub(1).expect("only who was asked answers");
    }

    /// Whether no answer is outstanding.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.open == 0
    }

    /// The highest incarnation that was heard of so far.
    #[must_use]
    pub fn highest(&self) -> Option<Incarnation> {
        self.highest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(port: usize) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).unwrap()))
    }

    #[test]
    fn whom_the_seeds_name_is_asked_too_and_each_address_once_in_its_order() {
        let mut probing = Probing::default();
        assert_eq!(probing.named([2, 1, 2].map(addr)), [2, 1].map(addr));
        assert_eq!(probing.answered(None, [1, 4, 3].map(addr)), [4, 3].map(addr));
        assert_eq!(probing.answered(Some(Incarnation(7)), [2, 3].map(addr)), []);
        assert!(!probing.is_over(), "two were named and have not answered");
        probing.unanswered();
        assert_eq!(probing.answered(Some(Incarnation(5)), []), []);
        assert!(probing.is_over());
        assert_eq!(probing.highest(), Some(Incarnation(7)), "an earlier answer was higher");
    }

    #[test]
    fn what_was_heard_counts_before_all_have_answered() {
        let mut probing = Probing::default();
        assert_eq!(probing.named([1, 2].map(addr)).len(), 2);
        assert_eq!((probing.answered(Some(Incarnation(3)), []), probing.is_over()), (Vec::new(), false));
        assert_eq!(probing.highest(), Some(Incarnation(3)));
    }

    #[test]
    fn who_has_nobody_to_ask_is_done() {
        let mut probing = Probing::default();
        assert_eq!(probing.named([]), []);
        assert_eq!((probing.is_over(), probing.highest()), (true, None));
    }

    #[test]
    fn no_more_are_asked_than_there_may_be_peers() {
        let mut probing = Probing::default();
        assert_eq!(probing.named((1..limits::PEERS_MAX).map(addr)).len(), limits::PEERS_MAX - 1);
        let (last, beyond) = (addr(limits::PEERS_MAX), addr(limits::PEERS_MAX + 1));
        assert_eq!(probing.answered(None, [addr(1), last, beyond]), [last]);
        assert_eq!(probing.answered(None, [beyond]), []);
    }
}
