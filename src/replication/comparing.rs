//! A comparison of digests with one peer: what is told, and what each digest of the peer asks for. Without links and
//! without time.
//!
//! ```text
//!   finding                                   consequence
//!   wrong       said too often                Unheard
//!               else                          Wrong: not served any more; the owner's snapshot replaces it
//!   mend                                      Pull, from the owner
//!   newer       the owner is reached          Nothing: its own stream brings it
//!               of the boot that is listed    Pull, from the peer
//!               of another boot               Refuse
//! ```
//!
//! [`digests`](crate::replication::digests) carries it over the links; the fast level of the simulation has other ones.

use std::collections::BTreeSet;

use crate::id::{Incarnation, NodeName};
use crate::replica::Replica;
use crate::section::{Digest, Digests, Finding, news};

/// One comparison. What is held counts as it was when the comparison began.
#[derive(Debug)]
pub struct Comparing {
    held: Digests,
    /// This node asks, and the peer answers; else the peer asks.
    asks: bool,
}

/// What decides about a digest beside what is held. It is asked only where that matters.
pub trait Circumstances {
    /// The peer says that a copy here is wrong. `false`: it has said so too often to be listened to.
    fn accuses(&self) -> bool;

    /// Whether the owner has not been reached for so long that its section may come from others.
    fn is_stale(&self, owner: &NodeName) -> bool;

    /// Whether this boot of the owner is the one that is counted as a member.
    fn admits(&self, owner: &NodeName, incarnation: Incarnation) -> bool;
}

/// What one digest of a peer asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consequence {
    /// Nothing.
    Nothing,
    /// Nothing, because the peer calls too many copies wrong.
    Unheard,
    /// The copy that is held may be wrong and is not served any more.
    Wrong {
        /// What is held.
        held: Digest,
        /// It was trusted until now.
        newly: bool,
        /// It is to be fetched from the peer, who is the owner. Between two copies nobody knows which one is wrong.
        pull: bool,
    },
    /// The section is to be fetched from the peer.
    Pull,
    /// Nothing: it is of a boot that is not the one which is listed.
    Refuse,
}

impl Comparing {
    /// This node asks a peer.
    #[must_use]
    pub fn asking(replica: &Replica) -> Self {
        Self { held: replica.heads().into_iter().collect(), asks: true }
    }

    /// A peer asks this node.
    #[must_use]
    pub fn asked(replica: &Replica) -> Self {
        Self { asks: false, ..Self::asking(replica) }
    }

    /// What is held, which is the question.
    #[must_use]
    pub fn held(&self) -> &Digests {
        &self.held
    }

    /// The answer to a question.
    #[must_use]
    pub fn answer(&self, theirs: &Digests) -> Vec<(NodeName, Digest)> {
        news(&self.held, theirs)
    }

    /// `peer` tells where the section of `owner` stands at its place.
    pub fn consider(
        &self,
        replica: &Replica,
        peer: &NodeName,
        (owner, theirs): (&NodeName, &Digest),
        circumstances: &impl Circumstances,
    ) -> Consequence {
        if owner == replica.me() {
            return Consequence::Nothing; // Nobody knows this node's own section better.
        }
        let (direct, held) = (owner == peer, self.held.get(owner));
        let distrusted = direct && replica.is_distrusted(owner);
        match Finding::of(held, theirs, direct, self.asks, distrusted) {
            Finding::Nothing => Consequence::Nothing,
            Finding::Wrong if !circumstances.accuses() => Consequence::Unheard,
            Finding::Wrong => {
                let held = *held.expect("only what is held is found to be wrong");
                Consequence::Wrong { held, newly: replica.distrust(owner, &held), pull: direct }
            }
            Finding::Mend => Consequence::Pull,
            Finding::Newer if !circumstances.is_stale(owner) => Consequence::Nothing,
            Finding::Newer if circumstances.admits(owner, theirs.position.incarnation) => Consequence::Pull,
            Finding::Newer => Consequence::Refuse,
        }
    }
}

/// Whether an end of a new link asks for the digests of the other end at once: only the end that dialled does, so that the
/// two compare once.
#[must_use]
pub fn asks_first(dialled: bool) -> bool {
    dialled
}

/// Which of so many linked peers is compared with in an interval: any. `draw` chooses a number between two, both included.
pub fn partner(linked: usize, draw: impl FnOnce(u64, u64) -> u64) -> Option<usize> {
    let last = linked.checked_sub(1)?;
    usize::try_from(draw(0, last as u64)).ok()
}

/// The sections that are being pulled: each from one peer at a time.
#[derive(Debug, Default)]
pub struct Pulls(BTreeSet<NodeName>);

impl Pulls {
    /// Whether a pull of the section of `owner` begins: not while another one goes on.
    pub fn begin(&mut self, owner: &NodeName) -> bool {
        self.0.insert(owner.clone())
    }

    /// The pull is over, however it ended.
    pub fn ended(&mut self, owner: &NodeName) {
        self.0.remove(owner);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Arc;

    use super::*;
    use crate::config::{Takeover, Tuning};
    use crate::directory::Delta;
    use crate::key::KeyHasher;
    use crate::section::Position;

    /// A peer that is listened to so often, and an owner that is stale and listed, or not.
    struct Given {
        accusations: Cell<u32>,
        stale: bool,
        listed: Incarnation,
    }

    impl Circumstances for Given {
        fn accuses(&self) -> bool {
            let left = self.accusations.get().checked_sub(1);
            self.accusations.set(left.unwrap_or_default());
            left.is_some()
        }

        fn is_stale(&self, _: &NodeName) -> bool {
            self.stale
        }

        fn admits(&self, _: &NodeName, incarnation: Incarnation) -> bool {
            self.listed == incarnation
        }
    }

    fn given(accusations: u32, stale: bool) -> Given {
        Given { accusations: Cell::new(accusations), stale, listed: Incarnation(1) }
    }

    fn name(text: &str) -> NodeName {
        NodeName::new(text).unwrap()
    }

    fn digest(incarnation: u64, version: u64, hash: u64) -> Digest {
        Digest { position: Position { incarnation: Incarnation(incarnation), version }, hash }
    }

    /// A node that holds the empty section of `owner` at version 0.
    fn holder() -> Arc<Replica> {
        let (takeover, tuning) = (Takeover::ExclusiveDevice, Tuning::default());
        let replica = Replica::new(name("me"), Incarnation(1), KeyHasher::new(&[0; 32]), takeover, tuning);
        let replica = Arc::new(replica);
        let at = digest(1, 0, 0).position;
        let snapshot = replica.begin(&name("owner"), at).unwrap();
        snapshot.unwrap().end(digest(1, 0, 0), 0).unwrap();
        replica
    }

    fn consider(replica: &Arc<Replica>, peer: &str, theirs: Digest, given: &Given) -> Consequence {
        let comparing = Comparing::asking(replica);
        comparing.consider(replica, &name(peer), (&name("owner"), &theirs), given)
    }

    #[test]
    fn a_copy_that_the_owner_calls_wrong_is_distrusted_once_and_pulled_from_there() {
        let (replica, held) = (holder(), digest(1, 0, 0));
        let wrong = |newly| Consequence::Wrong { held, newly, pull: true };
        let comparing = Comparing::asking(&replica);
        let of = |comparing: &Comparing, theirs| {
            comparing.consider(&replica, &name("owner"), (&name("owner"), &theirs), &given(9, false))
        };
        assert_eq!(of(&comparing, digest(1, 0, 7)), wrong(true));
        assert!(replica.is_distrusted(&name("owner")));
        assert_eq!(of(&comparing, digest(1, 0, 7)), wrong(false), "that is known");
        assert_eq!(of(&Comparing::asking(&replica), digest(1, 0, 0)), Consequence::Pull, "it is mended");
    }

    #[test]
    fn a_copy_that_another_copy_calls_wrong_is_not_pulled_from_there() {
        let (replica, held) = (holder(), digest(1, 0, 0));
        let found = consider(&replica, "third", digest(1, 0, 7), &given(1, true));
        assert_eq!(found, Consequence::Wrong { held, newly: true, pull: false });
    }

    #[test]
    fn a_peer_that_has_accused_too_often_changes_nothing() {
        let replica = holder();
        let found = consider(&replica, "owner", digest(1, 0, 7), &given(0, true));
        assert_eq!((found, replica.is_distrusted(&name("owner"))), (Consequence::Unheard, false));
        let given = given(1, true);
        assert_eq!(consider(&replica, "third", digest(1, 0, 0), &given), Consequence::Nothing);
        assert_eq!(given.accusations.get(), 1, "nothing was accused");
    }

    #[test]
    fn what_is_newer_is_pulled_from_a_third_node_only_if_its_owner_is_stale_and_the_boot_is_listed() {
        let replica = holder();
        let newer = |theirs, stale| consider(&replica, "third", theirs, &given(0, stale));
        assert_eq!(newer(digest(1, 5, 7), false), Consequence::Nothing, "its owner's stream brings it");
        assert_eq!(newer(digest(1, 5, 7), true), Consequence::Pull);
        assert_eq!(newer(digest(2, 5, 7), true), Consequence::Refuse);
        assert_eq!(newer(digest(1, 0, 0), true), Consequence::Nothing, "it is no newer");
        let from_owner = consider(&replica, "owner", digest(1, 5, 7), &given(0, true));
        assert_eq!(from_owner, Consequence::Nothing, "its stream is there");
    }

    #[test]
    fn nobody_says_what_this_nodes_own_section_is() {
        let replica = holder();
        let own = (&name("me"), &digest(1, 9, 9));
        let found = Comparing::asking(&replica).consider(&replica, &name("owner"), own, &given(9, true));
        assert_eq!(found, Consequence::Nothing);
    }

    #[test]
    fn a_copy_that_grew_since_the_peer_was_asked_is_compared_as_it_was() {
        let (replica, owner) = (holder(), name("owner"));
        let comparing = Comparing::asking(&replica);
        let delta = Delta { incarnation: Incarnation(1), from: 0, to: 1, ..Delta::default() };
        replica.merge_delta(&owner, delta).unwrap();
        let told = (&owner, &digest(1, 0, 0));
        let found = comparing.consider(&replica, &owner, told, &given(9, false));
        assert_eq!(found, Consequence::Nothing, "it was told before");
        let asked = Comparing::asked(&replica).consider(&replica, &owner, told, &given(9, false));
        assert_eq!(asked, Consequence::Nothing, "one that asks has said where it stood a moment ago");
        let now = Comparing::asking(&replica).consider(&replica, &owner, told, &given(9, false));
        assert!(matches!(now, Consequence::Wrong { .. }), "an owner that answers is not behind its copy");
    }

    #[test]
    fn a_section_is_pulled_from_one_peer_at_a_time() {
        let mut pulls = Pulls::default();
        assert!(pulls.begin(&name("a")) && !pulls.begin(&name("a")) && pulls.begin(&name("b")));
        pulls.ended(&name("a"));
        assert!(pulls.begin(&name("a")) && !pulls.begin(&name("b")));
    }

    #[test]
    fn of_the_two_ends_of_a_new_link_one_asks() {
        assert_ne!(asks_first(true), asks_first(false));
    }

    #[test]
    fn each_linked_peer_may_be_the_one_that_is_compared_with() {
        assert_eq!(partner(0, |_, _| unreachable!("there is nobody")), None);
        assert_eq!(
            partner(5, |low, high| {
                assert_eq!((low, high), (0, 4));
                3
            }),
            Some(3)
        );
    }
}
