//! Who may connect, and who may claim.

use crate::config::Takeover;
use crate::directory::{ClaimState, Owned};
use crate::id::Stamp;
use crate::key::{DeviceHash, Key};

/// Why a client is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The device is connected, and stays.
    SessionExists,
    /// The user has as many other devices as it may.
    TooManySessions,
}

/// Admits a client that wants to be the session of `device`, among the sessions of its user that are `shown`. `resumed` is
/// the stamp of the session that it has proven to be its own.
///
/// # Errors
/// See [`Refusal`].
pub fn admit(
    policy: Takeover,
    sessions_max: usize,
    shown: &[(Key, Owned)],
    device: DeviceHash,
    resumed: Option<Stamp>,
) -> Result<(), Refusal> {
    let held = shown.iter().find(|(key, _)| key.device == device).map(|(_, owned)| owned);
    match policy {
        Takeover::OnePerUser | Takeover::MaxPerUser(_) => Ok(()),
        Takeover::RejectNewer if door(policy, held, resumed) == Door::Shut => Err(Refusal::SessionExists),
        Takeover::ExclusiveDevice | Takeover::RejectNewer => {
            if held.is_some() || shown.len() < sessions_max {
                return Ok(());
            }
            Err(Refusal::TooManySessions)
        }
    }
}

/// How a client stands before the claim that is shown of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Nothing is in its way before the claim.
    Open,
    /// The claim is of its own earlier session, which ends first.
    Own {
        /// Sessions of the key below this stamp end, and their claims do not stand against the client: one that the
        /// client's own session stood above is shown again once that has ended. What is later is not the client's.
        below: Stamp,
    },
    /// The client has proven a later session, which may have been that one's successor, or have lost against it. Unless
    /// the owner says that it has the session, the client takes its place.
    Doubtful {
        /// Claims below this stamp do not stand against the client then.
        below: Stamp,
    },
    /// The device is connected, and stays.
    Shut,
}

/// How a client stands before `held`, which is shown of its key. `resumed` is the stamp of the session that it has proven
/// to be its own.
#[must_use]
pub fn door(policy: Takeover, held: Option<&Owned>, resumed: Option<Stamp>) -> Door {
    let Some(held) = held.filter(|_| asks_first(policy)) else { return Door::Open };
    // Nobody is connected: whoever comes now is as good as its client.
    if held.state == ClaimState::Parked {
        return Door::Own { below: held.stamp.max(resumed.unwrap_or(Stamp::ZERO)).after() };
    }
    let Some(resumed) = resumed.filter(|resumed| *resumed >= held.stamp) else { return Door::Shut };
    // Of a session that has yielded the client may be the one for which it did.
    if resumed == held.stamp || held.state == ClaimState::Yielded {
        Door::Own { below: resumed.after() }
    } else {
        Door::Doubtful { below: held.stamp.after() }
    }
}

/// Whether a client whose door was open, or became so when an owner was asked, may claim the key now. `held` looks up what is
/// shown of the key, where that matters; claims `below` that stamp do not stand against the client any more.
#[must_use]
pub fn may_claim(
    policy: Takeover,
    held: impl FnOnce() -> Option<Owned>,
    resumed: Option<Stamp>,
    below: Option<Stamp>,
) -> bool {
    if !asks_first(policy) {
        return true;
    }
    let held = held().filter(|held| below.is_none_or(|below| held.stamp >= below));
    matches!(door(policy, held.as_ref(), resumed), Door::Open | Door::Own { .. })
}

/// Whether the session of a client may stand in the way of another one of its device, so that its owner is asked before the claim.
#[must_use]
pub fn asks_first(policy: Takeover) -> bool {
    policy == Takeover::RejectNewer
}

/// What the claim of a client says that has proven the session `resumed`.
#[must_use]
pub fn state(policy: Takeover, resumed: Option<Stamp>) -> ClaimState {
    match (policy, resumed) {
        (Takeover::RejectNewer, Some(_)) => ClaimState::Resumed,
        _ => ClaimState::Connected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::tests::{DEVICE, owned, stamp};
    use crate::key::UserHash;

    const MOST: usize = 2;

    /// The door for a user with so many sessions, one of them of the device if it has a claim.
    fn decide(
        policy: Takeover,
        sessions: usize,
        held: Option<(u64, ClaimState)>,
        resumed: Option<u64>,
    ) -> Option<Refusal> {
        let key = |device| Key { user: UserHash { high: 0, low: 0 }, device };
        let other = |number| (key(DeviceHash(number)), owned("n1", 1, ClaimState::Connected));
        let mut shown: Vec<_> = (10..10 + sessions as u64).map(other).collect();
        if let Some((stamp, state)) = held {
            shown[0] = (key(DEVICE), owned("n1", stamp, state));
        }
        admit(policy, MOST, &shown, DEVICE, resumed.map(stamp)).err()
    }

    #[test]
    fn a_user_with_all_its_sessions_is_refused_a_further_one_but_not_a_takeover() {
        let (full, held) = (Some(Refusal::TooManySessions), Some((5, ClaimState::Connected)));
        assert_eq!(decide(Takeover::ExclusiveDevice, MOST - 1, None, None), None);
        assert_eq!(decide(Takeover::ExclusiveDevice, MOST, None, None), full);
        assert_eq!(decide(Takeover::ExclusiveDevice, MOST, None, Some(5)), full);
        assert_eq!(decide(Takeover::ExclusiveDevice, MOST, held, None), None);
        assert_eq!(decide(Takeover::RejectNewer, MOST - 1, None, None), None);
        assert_eq!(decide(Takeover::RejectNewer, MOST, None, None), full);
        assert_eq!(decide(Takeover::RejectNewer, MOST, held, Some(5)), None);
    }

    #[test]
    fn a_connected_device_stays_where_newer_ones_are_rejected() {
        let (exists, held) = (Some(Refusal::SessionExists), Some((5, ClaimState::Connected)));
        assert_eq!(decide(Takeover::RejectNewer, 1, held, None), exists);
        assert_eq!(decide(Takeover::RejectNewer, MOST, held, None), exists);
        assert_eq!(decide(Takeover::RejectNewer, 1, held, Some(4)), exists);
        assert_eq!(decide(Takeover::RejectNewer, 1, held, Some(6)), None, "its owner is asked");
        assert_eq!(decide(Takeover::RejectNewer, 1, held, Some(5)), None);
        assert_eq!(decide(Takeover::RejectNewer, 1, None, Some(5)), None, "it is gone");
    }

    #[test]
    fn a_session_that_has_yielded_is_of_the_client_for_which_it_did() {
        let yielded = |resumed| decide(Takeover::RejectNewer, 1, Some((5, ClaimState::Yielded)), resumed);
        assert_eq!(yielded(None), Some(Refusal::SessionExists));
        assert_eq!(yielded(Some(4)), Some(Refusal::SessionExists));
        assert_eq!(yielded(Some(5)), None, "its new connection may have failed");
        assert_eq!(yielded(Some(6)), None, "its new claim is not known here yet");
    }

    #[test]
    fn where_older_sessions_make_room_nobody_is_refused() {
        for policy in [Takeover::OnePerUser, Takeover::MaxPerUser(1), Takeover::MaxPerUser(MOST)] {
            for (sessions, held) in [(0, None), (1, Some(5)), (MOST, None), (MOST + 1, Some(5))] {
                let held = held.map(|stamp| (stamp, ClaimState::Connected));
                assert_eq!(decide(policy, sessions, held, None), None, "{policy} with {sessions}");
            }
        }
    }

    #[test]
    fn an_owner_is_asked_where_the_client_has_proven_a_later_session() {
        let held = owned("b", 5, ClaimState::Connected);
        let stands = |policy, resumed: Option<u64>| door(policy, Some(&held), resumed.map(stamp));
        let (own, doubtful) = (Door::Own { below: stamp(6) }, Door::Doubtful { below: stamp(6) });
        assert_eq!(
            [None, Some(4), Some(5), Some(6)].map(|token| stands(Takeover::RejectNewer, token)),
            [Door::Shut, Door::Shut, own, doubtful]
        );
        assert_eq!(stands(Takeover::ExclusiveDevice, Some(6)), Door::Open);
        assert_eq!(door(Takeover::RejectNewer, None, Some(stamp(4))), Door::Open);
    }

    #[test]
    fn what_the_clients_own_session_stood_above_does_not_stand_against_it() {
        let stands =
            |state, resumed| door(Takeover::RejectNewer, Some(&owned("b", 5, state)), Some(stamp(resumed)));
        assert_eq!(stands(ClaimState::Resumed, 5), Door::Own { below: stamp(6) });
        assert_eq!(stands(ClaimState::Resumed, 6), Door::Doubtful { below: stamp(6) });
        assert_eq!(stands(ClaimState::Resumed, 4), Door::Shut);
        assert_eq!(stands(ClaimState::Yielded, 6), Door::Own { below: stamp(7) }, "it says so itself");
    }

    #[test]
    fn a_parked_session_keeps_nobody_out_and_is_ended_first() {
        let held = owned("b", 5, ClaimState::Parked);
        let stands = |resumed: Option<u64>| door(Takeover::RejectNewer, Some(&held), resumed.map(stamp));
        assert_eq!([None, Some(4)].map(stands), [Door::Own { below: stamp(6) }; 2]);
        assert_eq!(stands(Some(7)), Door::Own { below: stamp(8) });
    }

    #[test]
    fn a_claim_is_made_where_nothing_stands_that_was_not_asked_for() {
        let held = || Some(owned("b", 5, ClaimState::Connected));
        let may = |resumed: Option<u64>, below: Option<u64>| {
            may_claim(Takeover::RejectNewer, held, resumed.map(stamp), below.map(stamp))
        };
        assert!(!may(None, None) && !may(Some(4), None), "the device is connected");
        assert!(may(Some(5), None), "it is its own");
        assert!(!may(Some(6), None), "the owner was not asked");
        assert!(may(Some(6), Some(6)) && !may(Some(6), Some(5)), "what was asked for does not stand");
        assert!(may_claim(Takeover::RejectNewer, || None, None, None));
        let unasked = || panic!("nobody is kept waiting");
        assert!(may_claim(Takeover::ExclusiveDevice, unasked, None, None));
    }

    #[test]
    fn a_claim_says_that_its_client_has_resumed_where_that_matters() {
        assert_eq!(state(Takeover::RejectNewer, Some(stamp(5))), ClaimState::Resumed);
        assert_eq!(state(Takeover::RejectNewer, None), ClaimState::Connected);
        assert_eq!(state(Takeover::OnePerUser, Some(stamp(5))), ClaimState::Connected);
    }
}
