//! Two nodes meet: which address is dialled, what each end makes of the other one's hello, and whom to look for then.
//!
//! ```text
//!   dialler                                        acceptor
//!   occupied? ── connection ──►
//!   duplicate?
//!             ── Hello ──────────────────────────► over? myself?
//!             ◄───────────── Hello, or its later boot
//!   myself? over?
//! ```
//!
//! Each end that asks itself all of that in vain has a link then, and [`contest`](crate::mesh::contest) decides about two
//! of them. Who is of another cluster, barred or differs in its settings is not known here.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::id::{Incarnation, NodeName};
use crate::mesh::contest::is_fresh;

/// What an end makes of the other one's hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hearing {
    /// There may be a link.
    Link,
    /// The boot of the other one is over.
    Over {
        /// The one that is known instead.
        known: Incarnation,
    },
    /// The other one has the name of this node.
    Myself {
        /// It is a later process, which stays. Else it is this one, which dialled itself, or an earlier one.
        later: bool,
    },
}

/// Whether `there`, who is linked at an address and has been silent for so long, has it instead of `expected`. It is not
/// asked again who it is: one that is gone would be looked for five times a second.
#[must_use]
pub(crate) fn occupies(there: &NodeName, silence: Duration, expected: &NodeName) -> bool {
    there != expected && is_fresh(silence)
}

/// Whether a connection that this node has dialled is a second one to its peer, from whose link nothing has come for so
/// long: a peer may have several addresses.
#[must_use]
pub fn is_duplicate(silence: Option<Duration>) -> bool {
    silence.is_some_and(is_fresh)
}

/// At the end that was dialled: the hello of `peer`. `known`: the incarnation that is known of it, if that means that this
/// boot of it is over.
#[must_use]
pub fn is_greeted(
    me: (&NodeName, Incarnation),
    peer: (&NodeName, Incarnation),
    known: Option<Incarnation>,
) -> Hearing {
    match known {
        Some(known) => Hearing::Over { known },
        None if me.0 == peer.0 => Hearing::Myself { later: peer.1 > me.1 },
        None => Hearing::Link,
    }
}

/// At the end that has dialled: the answer of `peer`, which has taken this node for what it is.
#[must_use]
pub fn is_welcomed(me: &NodeName, peer: &NodeName, known: Option<Incarnation>) -> Hearing {
    match known {
        _ if me == peer => Hearing::Myself { later: false },
        Some(known) => Hearing::Over { known },
        None => Hearing::Link,
    }
}

/// Those of the members that a peer has told of who are dialled, because this node has no link to them.
pub fn unlinked_members<M>(
    told: impl IntoIterator<Item = M>,
    name: impl Fn(&M) -> &NodeName,
    me: &NodeName,
    is_linked: impl Fn(&NodeName) -> bool,
) -> Vec<M> {
    told.into_iter().filter(|member| name(member) != me && !is_linked(name(member))).collect()
}

/// Who was not there when an address was dialled that has `reached` that peer, or nobody: all who were to be there, because
/// an address may have had several names.
pub fn missed<'a>(
    there: impl IntoIterator<Item = &'a NodeName>,
    expected: Option<&'a NodeName>,
    reached: Option<&NodeName>,
) -> BTreeSet<&'a NodeName> {
    there.into_iter().chain(expected).filter(|name| reached != Some(*name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;

    const LATE: Duration = Duration::from_millis(limits::LINK_FRESH.as_millis() as u64 + 1);

    fn name(text: &str) -> NodeName {
        NodeName::new(text).unwrap()
    }

    #[test]
    fn an_address_is_occupied_by_another_one_that_is_heard() {
        let (one, other) = (name("one"), name("other"));
        assert!(occupies(&other, limits::LINK_FRESH, &one));
        assert!(!occupies(&one, limits::LINK_FRESH, &one) && !occupies(&other, LATE, &one));
    }

    #[test]
    fn a_second_connection_to_a_peer_that_is_heard_is_of_no_use() {
        assert!(is_duplicate(Some(Duration::ZERO)) && is_duplicate(Some(limits::LINK_FRESH)));
        assert!(!is_duplicate(Some(LATE)) && !is_duplicate(None));
    }

    #[test]
    fn a_boot_that_is_over_is_told_so_and_of_two_processes_of_a_name_the_later_stays() {
        let (me, peer) = (name("me"), name("peer"));
        let own = (&me, Incarnation(5));
        let known = Some(Incarnation(8));
        let greeted = |peer, known| is_greeted(own, peer, known);
        assert_eq!(greeted((&peer, Incarnation(7)), None), Hearing::Link);
        assert_eq!(greeted((&peer, Incarnation(7)), known), Hearing::Over { known: Incarnation(8) });
        for (incarnation, later) in [(4, false), (5, false), (6, true)] {
            assert_eq!(greeted((&me, Incarnation(incarnation)), None), Hearing::Myself { later });
        }
        assert_eq!(is_welcomed(&me, &peer, None), Hearing::Link);
        assert_eq!(is_welcomed(&me, &peer, known), Hearing::Over { known: Incarnation(8) });
        assert_eq!(is_welcomed(&me, &me, known), Hearing::Myself { later: false });
    }

    #[test]
    fn of_the_members_that_a_peer_tells_of_those_without_a_link_are_dialled() {
        let told = ["me", "linked", "new"].map(name);
        let linked = |member: &NodeName| *member == name("linked");
        assert_eq!(unlinked_members(told, |member| member, &name("me"), linked), [name("new")]);
    }

    #[test]
    fn a_dial_speaks_about_all_who_were_to_be_there() {
        let (old, new, sought) = (name("old"), name("new"), name("sought"));
        let there = [&old, &new];
        assert_eq!(missed(there, Some(&new), None), [&old, &new].into());
        assert_eq!(missed(there, Some(&sought), Some(&new)), [&old, &sought].into());
        assert_eq!(missed([&new], Some(&new), Some(&new)), [].into());
        assert_eq!(missed([], None, None), [].into());
    }
}
