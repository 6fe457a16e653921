//! How a session ends for the claim of another one: at which node, what is said of it, and when its claim is released.

use std::time::Duration;

use crate::config::Takeover;
use crate::directory::{Owned, Rival, policy};
use crate::id::{NodeName, Stamp};
use crate::limits;
use crate::ownership::question::Answer;
use crate::session::CloseReason;

/// Why a session ends that another claim takes the place of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The same device is connected elsewhere.
    Superseded {
        /// The node that owns the session now.
        owner: NodeName,
        /// With which stamp.
        stamp: Stamp,
    },
    /// The policy leaves no room for it beside another session of the user.
    Excluded,
}

/// A session lets go because it is asked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Yielding {
    /// Why it ends, unless it ends already.
    pub ending: Ending,
    /// Whether its claim says from now on that it has yielded.
    pub says_so: bool,
}

impl Ending {
    /// Why a session ends for the claim that `owner` made with `stamp`.
    #[must_use]
    pub fn of(rival: Rival, owner: NodeName, stamp: Stamp) -> Self {
        match rival {
            Rival::SameDevice => Ending::Superseded { owner, stamp },
            Rival::OtherDevice => Ending::Excluded,
        }
    }

    /// The node that owns the session now, with the stamp of its claim.
    #[must_use]
    pub fn successor(self) -> Option<(NodeName, Stamp)> {
        match self {
            Ending::Superseded { owner, stamp } => Some((owner, stamp)),
            Ending::Excluded => None,
        }
    }

    /// Why a session ends that closes for that reason, if it does for another claim.
    pub(crate) fn closing(reason: CloseReason) -> Option<Self> {
        match reason {
            CloseReason::Superseded { owner, stamp } => Some(Ending::Superseded { owner, stamp }),
            CloseReason::Excluded => Some(Ending::Excluded),
            _ => None,
        }
    }
}

impl From<Ending> for CloseReason {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Superseded { owner, stamp } => CloseReason::Superseded { owner, stamp },
            Ending::Excluded => CloseReason::Excluded,
        }
    }
}

impl Yielding {
    /// What `asker` is told. `ending`: why the session ends by now. It may have been superseded by a third node, which
    /// has to let go as well.
    #[must_use]
    pub fn answer(&self, asker: &NodeName, ending: Option<Ending>) -> Answer {
        match ending {
            Some(Ending::Superseded { owner, stamp }) if owner != *asker => Answer::Moved { owner, stamp },
            _ => Answer::Yes,
        }
    }
}

/// What becomes of the session that the node `me` holds with the stamp `held`, when `asker` asks it to let go for the claim
/// `below`. `None`: it stays.
#[must_use]
pub fn yields(
    takeover: Takeover,
    (held, me): (Stamp, &NodeName),
    (below, asker): (Stamp, &NodeName),
    rival: Rival,
) -> Option<Yielding> {
    policy::yields(takeover, (held, me), (below, asker)).then(|| Yielding {
        ending: Ending::of(rival, asker.clone(), below),
        says_so: rival == Rival::SameDevice,
    })
}

/// What is said of a session that the node `me` holds with the stamp `held`, and that stays although it is asked to let go. Whoever
/// is of the same device learns that it is there: what it looks for may have gone to it.
#[must_use]
pub fn stays(me: &NodeName, held: Stamp, rival: Rival) -> Answer {
    match rival {
        Rival::SameDevice => Answer::Moved { owner: me.clone(), stamp: held },
        Rival::OtherDevice => Answer::No,
    }
}

/// What is said of a session that is not at the node `me`, which shows that owner of its key.
#[must_use]
pub fn elsewhere(me: &NodeName, shown: Option<Owned>) -> Answer {
    match shown {
        Some(Owned { owner, stamp, .. }) if owner != *me => Answer::Moved { owner, stamp },
        _ => Answer::No,
    }
}

/// Whether the session that a node holds with the stamp `held` is the one that was claimed with `stamp`, and stays. One
/// that `ends` is as good as gone: nobody is to make room for it.
#[must_use]
pub fn confirms((held, ends): (Stamp, bool), stamp: Stamp) -> Answer {
    if held == stamp && !ends { Answer::Yes } else { Answer::No }
}

/// How long after its end the claim of a session is released. `None`: at once. The claim of its successor may reach a
/// third node later than the release, and there the key must not be without an owner in between.
#[must_use]
pub fn released_after(ending: Option<&Ending>) -> Option<Duration> {
    matches!(ending, Some(Ending::Superseded { .. })).then_some(limits::RELEASE_LINGER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::ClaimState;
    use crate::id::Incarnation;

    fn name(text: &str) -> NodeName {
        NodeName::new(text).unwrap()
    }

    fn stamp(raw: u64) -> Stamp {
        Stamp::from_raw(raw)
    }

    fn superseded(owner: &str, raw: u64) -> Ending {
        Ending::Superseded { owner: name(owner), stamp: stamp(raw) }
    }

    fn asked(held: u64, below: u64, rival: Rival) -> Option<Yielding> {
        yields(Takeover::ExclusiveDevice, (stamp(held), &name("me")), (stamp(below), &name("b")), rival)
    }

    #[test]
    fn a_session_ends_for_a_later_claim_and_says_so_where_it_goes_on_there() {
        assert_eq!(asked(5, 4, Rival::SameDevice), None);
        let yielding = |ending, says_so| Some(Yielding { ending, says_so });
        assert_eq!(asked(5, 6, Rival::SameDevice), yielding(superseded("b", 6), true));
        assert_eq!(asked(5, 6, Rival::OtherDevice), yielding(Ending::Excluded, false));
    }

    #[test]
    fn who_had_to_let_go_before_names_that_node_to_every_other_one() {
        let yielding = asked(5, 6, Rival::SameDevice).unwrap();
        let told = |ending| yielding.answer(&name("b"), ending);
        assert_eq!(told(Some(superseded("b", 6))), Answer::Yes);
        assert_eq!(told(Some(superseded("c", 7))), Answer::Moved { owner: name("c"), stamp: stamp(7) });
        assert_eq!(told(Some(Ending::Excluded)), Answer::Yes);
        assert_eq!(told(None), Answer::Yes, "the client went");
    }

    #[test]
    fn of_a_session_that_is_not_here_the_shown_owner_is_named() {
        let shown = |owner: &str| Owned {
            owner: name(owner),
            incarnation: Incarnation(1),
            stamp: stamp(5),
            state: ClaimState::Connected,
        };
        let moved = Answer::Moved { owner: name("b"), stamp: stamp(5) };
        assert_eq!(elsewhere(&name("me"), Some(shown("b"))), moved);
        assert_eq!(elsewhere(&name("me"), Some(shown("me"))), Answer::No);
        assert_eq!(elsewhere(&name("me"), None), Answer::No);
    }

    #[test]
    fn a_session_that_stays_is_named_to_the_same_device() {
        let here = Answer::Moved { owner: name("me"), stamp: stamp(5) };
        assert_eq!(stays(&name("me"), stamp(5), Rival::SameDevice), here);
        assert_eq!(stays(&name("me"), stamp(5), Rival::OtherDevice), Answer::No);
    }

    #[test]
    fn only_the_session_of_that_very_stamp_is_confirmed_while_it_stays() {
        assert_eq!(confirms((stamp(5), false), stamp(5)), Answer::Yes);
        for (held, ends) in [(5, true), (4, false), (6, false)] {
            assert_eq!(confirms((stamp(held), ends), stamp(5)), Answer::No, "{held} {ends}");
        }
    }

    #[test]
    fn the_claim_of_a_session_that_goes_on_elsewhere_stays_for_a_while() {
        assert_eq!(released_after(Some(&superseded("b", 6))), Some(limits::RELEASE_LINGER));
        assert_eq!(released_after(Some(&Ending::Excluded)), None);
        assert_eq!(released_after(None), None);
    }

    #[test]
    fn an_ending_is_the_reason_of_a_close_and_the_other_way_round() {
        for ending in [superseded("b", 6), Ending::Excluded] {
            assert_eq!(Ending::closing(ending.clone().into()), Some(ending));
        }
        assert_eq!(Ending::closing(CloseReason::Kicked), None);
    }
}
