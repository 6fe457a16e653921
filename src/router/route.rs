//! The router's decisions, pure: who is asked, and what an answer means.

use std::collections::BTreeMap;

use crate::directory::Owned;
use crate::id::{DeviceId, NodeName, Stamp};
use crate::key::DeviceHash;
use crate::limits;
use crate::membership::member::MemberState;
use crate::push::Outcome;

/// A session that a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Destination {
    /// Its device.
    pub(crate) device: DeviceHash,
    /// The name of the device, as far as it is known here.
    pub(crate) name: Option<DeviceId>,
    /// The stamp that its owner is believed to own it with.
    pub(crate) stamp: Stamp,
}

/// Groups destinations by owner, so that each node is asked once, or once for each `destinations_max` of them.
pub(crate) fn plan<T>(
    destinations: impl IntoIterator<Item = (NodeName, T)>,
    destinations_max: usize,
) -> Vec<(NodeName, Vec<T>)> {
    let mut destinations = destinations.into_iter();
    let Some((owner, one)) = destinations.next() else { return Vec::new() };
    let Some(second) = destinations.next() else { return vec![(owner, vec![one])] };
    let mut plan: BTreeMap<_, Vec<Vec<T>>> = BTreeMap::new();
    for (owner, one) in [(owner, one), second].into_iter().chain(destinations) {
        let requests = plan.entry(owner).or_default();
        match requests.last_mut().filter(|request| request.len() < destinations_max) {
            Some(request) => request.push(one),
            None => requests.push(vec![one]),
        }
    }
    plan.into_iter()
        .flat_map(|(owner, requests)| requests.into_iter().map(move |request| (owner.clone(), request)))
        .collect()
}

/// The route of a request: how it reaches a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// It is this node.
    Here,
    /// Over the link.
    Direct {
        /// Whether anybody waits for the answer: nobody does for a peer that may be gone.
        awaited: bool,
    },
    /// Over one of these, which are asked in turn for as long as they have no link either.
    Relay(Vec<NodeName>),
    /// Not at all.
    Nowhere,
}

/// The route of a request to another node that stands in `state` here. `relays` are the peers that may
/// have a link to it.
pub(crate) fn route(
    linked: bool,
    state: Option<MemberState>,
    relays: impl FnOnce() -> Vec<NodeName>,
) -> Route {
    match (linked, state) {
        (true, state) => Route::Direct { awaited: state != Some(MemberState::Suspect) },
        (false, Some(MemberState::Unreachable)) => Route::Relay(relays()),
        (false, _) => Route::Nowhere,
    }
}

/// A hop of a request that follows its session: an owner that was asked.
pub(crate) struct Hop<'a> {
    /// The node.
    pub(crate) owner: &'a NodeName,
    /// The stamp that it was believed to own the session with.
    pub(crate) stamp: Stamp,
    /// How many hops came before.
    pub(crate) number: u8,
}

/// What follows from an outcome.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Follow {
    /// This is the result.
    Done(Outcome),
    /// The session is elsewhere: try there.
    Retry {
        /// Who owns it.
        owner: NodeName,
        /// With which stamp.
        stamp: Stamp,
    },
}

/// What follows from `outcome`, when the directory now shows `visible` as the session's owner; it is looked up where it
/// matters.
pub(crate) fn follow(outcome: Outcome, hop: &Hop<'_>, visible: impl FnOnce() -> Option<Owned>) -> Follow {
    // Only these two say for certain that nothing was written, so that trying again cannot
    // deliver twice.
    let hint = match &outcome {
        Outcome::Moved { owner, stamp } => Some((owner.clone(), *stamp)),
        Outcome::NoSession => None,
        _ => return Follow::Done(outcome),
    };
    if hop.number >= limits::HOPS_MAX {
        return Follow::Done(Outcome::NoSession);
    }
    // The directory may know more by now than the node that was asked. Any other claim than the one
    // that was tried is worth a try, also one with a smaller stamp: the tried one may have been
    // released before a node with a slower clock made it. The hops bound it.
    let asked = |owner: &NodeName, stamp: Stamp| owner == hop.owner && stamp == hop.stamp;
    let visible = visible().filter(|owned| !asked(&owned.owner, owned.stamp));
    match (hint.filter(|(owner, stamp)| !asked(owner, *stamp)), visible) {
        (Some((owner, stamp)), visible) if visible.as_ref().is_none_or(|owned| owned.stamp < stamp) => {
            Follow::Retry { owner, stamp }
        }
        (_, Some(owned)) => Follow::Retry { owner: owned.owner, stamp: owned.stamp },
        (_, None) => Follow::Done(Outcome::NoSession),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::ClaimState;
    use crate::id::Incarnation;

    fn name(text: &str) -> NodeName {
        NodeName::new(text).unwrap()
    }

    fn owned(owner: &str, stamp: u64) -> Owned {
        let (owner, stamp) = (name(owner), Stamp::from_raw(stamp));
        Owned { owner, incarnation: Incarnation(1), stamp, state: ClaimState::Connected }
    }

    fn moved(owner: &str, stamp: u64) -> Outcome {
        Outcome::Moved { owner: name(owner), stamp: Stamp::from_raw(stamp) }
    }

    fn after(outcome: Outcome, number: u8, visible: Option<Owned>) -> Follow {
        follow(outcome, &Hop { owner: &name("a"), stamp: Stamp::from_raw(5), number }, || visible)
    }

    #[test]
    fn each_owner_is_asked_once() {
        let session = |device, owner| {
            let destination =
                Destination { device: DeviceHash(device), name: None, stamp: Stamp::from_raw(1) };
            (name(owner), destination)
        };
        let plan = |destinations_max| {
            let plan = plan([session(1, "a"), session(2, "b"), session(3, "a")], destinations_max);
            let devices = |destinations: Vec<Destination>| {
                destinations.iter().map(|destination| destination.device.0).collect::<Vec<_>>()
            };
            plan.into_iter()
                .map(|(owner, destinations)| (owner.to_string(), devices(destinations)))
                .collect::<Vec<_>>()
        };
        assert_eq!(plan(2), [("a".into(), vec![1, 3]), ("b".into(), vec![2])]);
        assert_eq!(plan(1), [("a".into(), vec![1]), ("a".into(), vec![3]), ("b".into(), vec![2])]);
    }

    #[test]
    fn a_request_takes_the_link_or_one_hop_and_nobody_waits_for_a_suspect() {
        use MemberState::{Alive, Dead, Suspect, Unreachable};
        let route = |linked, state| route(linked, state, || vec![name("r")]);
        assert_eq!(route(true, Some(Alive)), Route::Direct { awaited: true });
        assert_eq!(route(true, None), Route::Direct { awaited: true }, "the link is ahead of the overlay");
        assert_eq!(route(true, Some(Suspect)), Route::Direct { awaited: false });
        assert_eq!(route(false, Some(Unreachable)), Route::Relay(vec![name("r")]));
        for gone in [None, Some(Suspect), Some(Dead), Some(Alive)] {
            assert_eq!(route(false, gone), Route::Nowhere, "{gone:?}");
        }
    }

    #[test]
    fn what_may_have_been_written_is_never_tried_again() {
        for outcome in [
            Outcome::Delivered,
            Outcome::Buffered,
            Outcome::Overloaded,
            Outcome::Interrupted,
            Outcome::Unreachable,
            Outcome::Unknown,
            Outcome::NotReady,
            Outcome::IdReused,
        ] {
            assert_eq!(after(outcome.clone(), 0, Some(owned("b", 9))), Follow::Done(outcome));
        }
    }

    #[test]
    fn a_moved_session_is_followed_to_the_newest_owner_known() {
        let owner_of = |follow| match follow {
            Follow::Retry { owner, stamp } => (owner.to_string(), stamp.raw()),
            Follow::Done(outcome) => panic!("done as {outcome:?}"),
        };
        assert_eq!(owner_of(after(moved("b", 6), 0, None)), ("b".into(), 6));
        assert_eq!(owner_of(after(moved("b", 6), 0, Some(owned("c", 7)))), ("c".into(), 7));
        assert_eq!(owner_of(after(moved("b", 8), 0, Some(owned("c", 7)))), ("b".into(), 8));
        assert_eq!(owner_of(after(Outcome::NoSession, 0, Some(owned("c", 7)))), ("c".into(), 7));
    }

    #[test]
    fn a_session_that_moved_within_its_node_or_to_a_slower_clock_is_followed() {
        let retry = |owner, stamp| Follow::Retry { owner: name(owner), stamp: Stamp::from_raw(stamp) };
        assert_eq!(after(moved("a", 6), 0, None), retry("a", 6), "a takeover on the same node");
        assert_eq!(
            after(moved("b", 4), 0, Some(owned("a", 5))),
            retry("b", 4),
            "released, then claimed elsewhere"
        );
    }

    #[test]
    fn nothing_else_means_no_session() {
        assert_eq!(after(Outcome::NoSession, 0, None), Follow::Done(Outcome::NoSession));
        assert_eq!(after(Outcome::NoSession, 0, Some(owned("a", 5))), Follow::Done(Outcome::NoSession));
        assert_eq!(
            after(moved("a", 5), 0, None),
            Follow::Done(Outcome::NoSession),
            "the claim that was tried"
        );
    }

    #[test]
    fn following_ends_after_the_last_hop() {
        assert!(matches!(after(moved("b", 6), limits::HOPS_MAX - 1, None), Follow::Retry { .. }));
        assert_eq!(after(moved("b", 6), limits::HOPS_MAX, None), Follow::Done(Outcome::NoSession));
    }
}
