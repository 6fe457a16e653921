//! The router's decisions, pure: who is asked, and what an answer means.

use std::collections::BTreeMap;

use crate::directory::Owned;
use crate::id::{DeviceId, NodeName, Stamp};
use crate::limits;
use crate::push::Outcome;

/// Groups the sessions of a user by owner, so that each node is asked once.
pub(crate) fn plan(sessions: Vec<(DeviceId, Owned)>) -> BTreeMap<NodeName, Vec<(DeviceId, Stamp)>> {
    let mut plan: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (device, owned) in sessions {
        plan.entry(owned.owner).or_default().push((device, owned.stamp));
    }
    plan
}

/// Who was asked about a session.
pub(crate) struct Tried<'a> {
    /// The node.
    pub(crate) owner: &'a NodeName,
    /// The stamp that it was believed to own the session with.
    pub(crate) stamp: Stamp,
    /// How often the session was followed already.
    pub(crate) hop: u8,
}

/// What follows from an outcome.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Follow {
    /// This is the result.
    Settled(Outcome),
    /// The session is elsewhere: try there.
    Retry(Owned),
}

/// What follows from `outcome`, when the directory now shows `visible` as the session's owner.
pub(crate) fn follow(outcome: Outcome, tried: &Tried<'_>, visible: Option<Owned>) -> Follow {
    // Only these two say for certain that nothing was written, so that trying again can not
    // deliver twice.
    let hint = match &outcome {
        Outcome::Moved { owner, stamp } => Some((owner.clone(), *stamp)),
        Outcome::NoSession => None,
        _ => return Follow::Settled(outcome),
    };
    if tried.hop >= limits::HOPS_MAX {
        return Follow::Settled(Outcome::NoSession);
    }
    // The directory may know more by now than the node that was asked.
    let newer = visible.filter(|owned| owned.stamp > tried.stamp);
    match (hint, newer) {
        (Some((owner, stamp)), Some(owned)) if owned.stamp < stamp => {
            Follow::Retry(Owned { owner, stamp, ..owned })
        }
        (_, Some(owned)) => Follow::Retry(owned),
        (Some((owner, stamp)), None) if owner != *tried.owner && stamp > tried.stamp => {
            let state = crate::directory::ClaimState::Connected;
            Follow::Retry(Owned { owner, incarnation: crate::id::Incarnation::default(), stamp, state })
        }
        _ => Follow::Settled(Outcome::NoSession),
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

    fn after(outcome: Outcome, hop: u8, visible: Option<Owned>) -> Follow {
        follow(outcome, &Tried { owner: &name("a"), stamp: Stamp::from_raw(5), hop }, visible)
    }

    #[test]
    fn each_owner_is_asked_once() {
        let device = |text: &str| DeviceId::new(text).unwrap();
        let plan = plan(vec![
            (device("x"), owned("a", 1)),
            (device("y"), owned("b", 2)),
            (device("z"), owned("a", 3)),
        ]);
        let devices: Vec<_> = plan[&name("a")].iter().map(|(device, _)| device.as_str()).collect();
        assert_eq!((plan.len(), devices), (2, vec!["x", "z"]));
    }

    #[test]
    fn what_may_have_been_written_is_never_tried_again() {
        for outcome in [
            Outcome::Delivered,
            Outcome::Buffered,
            Outcome::Overloaded,
            Outcome::Interrupted,
            Outcome::Unreachable,
        ] {
            assert_eq!(after(outcome.clone(), 0, Some(owned("b", 9))), Follow::Settled(outcome));
        }
    }

    #[test]
    fn a_moved_session_is_followed_to_the_newest_owner_known() {
        let owner_of = |follow| match follow {
            Follow::Retry(owned) => (owned.owner.to_string(), owned.stamp.raw()),
            Follow::Settled(outcome) => panic!("settled as {outcome:?}"),
        };
        assert_eq!(owner_of(after(moved("b", 6), 0, None)), ("b".into(), 6));
        assert_eq!(owner_of(after(moved("b", 6), 0, Some(owned("c", 7)))), ("c".into(), 7));
        assert_eq!(owner_of(after(moved("b", 8), 0, Some(owned("c", 7)))), ("b".into(), 8));
        assert_eq!(owner_of(after(Outcome::NoSession, 0, Some(owned("c", 7)))), ("c".into(), 7));
    }

    #[test]
    fn nothing_newer_means_no_session() {
        assert_eq!(after(Outcome::NoSession, 0, None), Follow::Settled(Outcome::NoSession));
        assert_eq!(after(Outcome::NoSession, 0, Some(owned("a", 5))), Follow::Settled(Outcome::NoSession));
        assert_eq!(after(moved("b", 4), 0, None), Follow::Settled(Outcome::NoSession));
    }

    #[test]
    fn following_ends_after_the_last_hop() {
        assert!(matches!(after(moved("b", 6), limits::HOPS_MAX - 1, None), Follow::Retry(_)));
        assert_eq!(after(moved("b", 6), limits::HOPS_MAX, None), Follow::Settled(Outcome::NoSession));
    }
}
