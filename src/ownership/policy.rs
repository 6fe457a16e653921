//! The rules of the takeover policy: who may connect, who is asked to let go, who has to, and who is asked again.
//!
//! | when | rule |
//! |---|---|
//! | a client wants to connect | [`admit`], judged by what the directory shows |
//! | before the claim | [`door`]: whether another session is in its way, ends first, or has to be asked for |
//! | after the claim | [`asked_after`]: whoever holds what the claim excludes |
//! | another node asks | [`yields`] |
//! | a claim of this node has lost | [`fate`], and [`standing`] for as long as it is disputed |
//!
//! Which of two claims wins is the [`View`](crate::directory::View)'s. In which order the rules are asked is written in
//! [`Opening`](crate::ownership::Opening) and [`Dispute`](crate::ownership::Dispute).

use crate::config::Takeover;
use crate::directory::{ClaimState, Owned, Rival};
use crate::id::{NodeName, Stamp};
use crate::key::{DeviceHash, Key};
use crate::ownership::question::Question;

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
/// to be its own. Only `reject-newer` keeps anybody waiting.
#[must_use]
pub fn door(policy: Takeover, held: Option<&Owned>, resumed: Option<Stamp>) -> Door {
    let Some(held) = held.filter(|_| policy == Takeover::RejectNewer) else { return Door::Open };
    let Some(resumed) = resumed.filter(|resumed| *resumed >= held.stamp) else { return Door::Shut };
    // Of a session that has yielded the client may be the one for which it did.
    if resumed == held.stamp || held.state == ClaimState::Yielded {
        Door::Own { below: resumed.after() }
    } else {
        Door::Doubtful { below: held.stamp.after() }
    }
}

/// A claim that was made.
#[derive(Debug, Clone, Copy)]
pub struct Claiming<'a> {
    /// The node that made it.
    pub me: &'a NodeName,
    /// Of this device.
    pub device: DeviceHash,
    /// With this stamp.
    pub stamp: Stamp,
    /// The stamp that the client has proven.
    pub resumed: Option<Stamp>,
    /// To whom the last session of this device at this node had to yield, perhaps before the directory shows it.
    pub yielded: Option<&'a (NodeName, Stamp)>,
}

/// Whom a claim makes let go, and of which session, when the directory says that it excludes the sessions `displaced`.
#[must_use]
pub fn asked_after(
    policy: Takeover,
    claim: Claiming<'_>,
    displaced: impl IntoIterator<Item = (DeviceHash, Owned)>,
) -> Vec<(NodeName, Question)> {
    // Where older claims win only the client's own earlier session makes room, and not whatever is below the claim.
    let below = match policy {
        Takeover::RejectNewer => claim.resumed.map(Stamp::after),
        _ => Some(claim.stamp),
    };
    let Some(below) = below else { return Vec::new() };
    let mut owners: Vec<_> =
        displaced.into_iter().map(|(device, owned)| (device, owned.owner, owned.stamp)).collect();
    if let Some((owner, stamp)) = claim.yielded {
        // The greater claim of the key is the one to ask.
        owners.retain(|(device, _, shown)| *device != claim.device || *shown >= *stamp);
        if owner != claim.me && !owners.iter().any(|(device, ..)| *device == claim.device) {
            owners.push((claim.device, owner.clone(), *stamp));
        }
    }
    let rival = |device| if device == claim.device { Rival::SameDevice } else { Rival::OtherDevice };
    let question = |device| Question::Yield { device, below, rival: rival(device) };
    owners.into_iter().map(|(device, owner, _)| (owner, question(device))).collect()
}

/// Whether a session with the first stamp, at the first node, ends for a claim with the second one. Only a strictly
/// greater one does that, so that of two nodes that ask each other at most one lets go. Under `reject-newer` the name
/// says nothing: the stamp may be that of a later session.
#[must_use]
pub fn yields(policy: Takeover, held: (Stamp, &NodeName), asked: (Stamp, &NodeName)) -> bool {
    match policy {
        Takeover::RejectNewer => asked.0 > held.0,
        _ => asked > held,
    }
}

/// What follows for a session whose claim has lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is closed.
    Closes,
    /// It stays until that is settled with the owner of the other claim.
    Disputed,
}

/// What follows for a session that succeeds the one with that stamp, when its claim has lost against one with the stamp
/// `winner`. Where older claims win the other one may be over; and nobody loses against an earlier session of its own.
#[must_use]
pub fn fate(policy: Takeover, succeeds: Option<Stamp>, winner: Stamp) -> Fate {
    match policy {
        Takeover::RejectNewer => Fate::Disputed,
        _ if is_earlier(winner, succeeds) => Fate::Disputed,
        _ => Fate::Closes,
    }
}

/// How a disputed session stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// No other claim stands against it any more.
    Undisputed,
    /// The other claim is of an earlier session of the same client: its owner is asked again to end those below this
    /// stamp.
    Insists(Owned, Stamp),
    /// The other claim wins if it still stands after [`RELEASE_LINGER`](crate::limits::RELEASE_LINGER), and its owner has
    /// that very session: what was released before shows by then.
    Doubtful(Owned),
}

/// How a session stands that this node claims with `stamp`, and that succeeds the one with the other stamp, while the
/// directory shows `held` as the owner.
#[must_use]
pub fn standing(me: &NodeName, stamp: Stamp, succeeds: Option<Stamp>, held: Option<Owned>) -> Standing {
    match (held.filter(|held| held.stamp != stamp || held.owner != *me), succeeds) {
        (None, _) => Standing::Undisputed,
        (Some(held), Some(earlier)) if held.stamp <= earlier => Standing::Insists(held, earlier.after()),
        (Some(held), _) => Standing::Doubtful(held),
    }
}

/// Whether a claim is of an earlier session of the client that has proven to succeed one.
fn is_earlier(stamp: Stamp, succeeds: Option<Stamp>) -> bool {
    succeeds.is_some_and(|succeeded| stamp <= succeeded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Incarnation;
    use crate::key::UserHash;

    const MOST: usize = 2;
    const DEVICE: DeviceHash = DeviceHash(1);

    fn name(text: &str) -> NodeName {
        NodeName::new(text).unwrap()
    }

    fn owned(owner: &str, stamp: u64, state: ClaimState) -> Owned {
        Owned { owner: name(owner), incarnation: Incarnation(1), stamp: Stamp::from_raw(stamp), state }
    }

    fn stamp(raw: u64) -> Stamp {
        Stamp::from_raw(raw)
    }

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
        admit(policy, MOST, &shown, DEVICE, resumed.map(stamp_of)).err()
    }

    fn stamp_of(raw: u64) -> Stamp {
        stamp(raw)
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

    /// Whom a claim with the stamp 9 of a client that has proven `resumed` asks, and below which stamp.
    fn asked(
        policy: Takeover,
        resumed: Option<u64>,
        yielded: Option<(&str, u64)>,
        displaced: &[(DeviceHash, &str, u64)],
    ) -> Vec<(String, DeviceHash, u64, Rival)> {
        let me = name("me");
        let yielded = yielded.map(|(owner, raw)| (name(owner), stamp(raw)));
        let claim = Claiming {
            me: &me,
            device: DEVICE,
            stamp: stamp(9),
            resumed: resumed.map(stamp),
            yielded: yielded.as_ref(),
        };
        let displaced =
            displaced.iter().map(|(device, owner, raw)| (*device, owned(owner, *raw, ClaimState::Connected)));
        let asked = asked_after(policy, claim, displaced).into_iter();
        asked
            .map(|(owner, question)| match question {
                Question::Yield { device, below, rival } => (owner.to_string(), device, below.raw(), rival),
                Question::Confirm { .. } => panic!("{owner} is asked {question:?}"),
            })
            .collect()
    }

    #[test]
    fn a_claim_asks_whom_it_excludes_and_the_one_that_made_the_last_session_yield() {
        let (policy, other) = (Takeover::OnePerUser, DeviceHash(2));
        let same = |owner: &str| vec![(owner.to_owned(), DEVICE, 9, Rival::SameDevice)];
        assert_eq!(asked(policy, None, None, &[(DEVICE, "b", 5)]), same("b"));
        assert_eq!(
            asked(policy, None, None, &[(other, "b", 5)]),
            [("b".to_owned(), other, 9, Rival::OtherDevice)]
        );
        assert_eq!(asked(policy, None, Some(("c", 6)), &[(DEVICE, "b", 5)]), same("c"));
        assert_eq!(asked(policy, None, Some(("c", 6)), &[(DEVICE, "b", 7)]), same("b"));
        assert_eq!(asked(policy, None, Some(("me", 6)), &[]), []);
    }

    #[test]
    fn where_newer_ones_are_rejected_only_the_clients_own_earlier_session_is_asked() {
        let policy = Takeover::RejectNewer;
        assert_eq!(asked(policy, None, Some(("c", 6)), &[(DEVICE, "b", 5)]), []);
        assert_eq!(
            asked(policy, Some(5), None, &[(DEVICE, "b", 5)]),
            [("b".to_owned(), DEVICE, 6, Rival::SameDevice)]
        );
    }

    #[test]
    fn a_session_insists_against_its_own_earlier_one_and_doubts_any_other() {
        let me = name("me");
        let stands = |succeeds: Option<u64>, held| standing(&me, stamp(9), succeeds.map(stamp), held);
        let earlier = owned("b", 5, ClaimState::Connected);
        assert_eq!(stands(Some(5), None), Standing::Undisputed);
        assert_eq!(stands(Some(5), Some(owned("me", 9, ClaimState::Connected))), Standing::Undisputed);
        assert_eq!(stands(Some(5), Some(earlier.clone())), Standing::Insists(earlier.clone(), stamp(6)));
        assert_eq!(stands(Some(4), Some(earlier.clone())), Standing::Doubtful(earlier.clone()));
        assert_eq!(stands(None, Some(earlier.clone())), Standing::Doubtful(earlier));
        let twin = owned("b", 9, ClaimState::Connected);
        assert_eq!(stands(None, Some(twin.clone())), Standing::Doubtful(twin));
    }

    #[test]
    fn whoever_loses_is_closed_unless_older_claims_win_or_the_other_one_is_its_own() {
        assert_eq!(fate(Takeover::ExclusiveDevice, None, stamp(9)), Fate::Closes);
        assert_eq!(fate(Takeover::ExclusiveDevice, Some(stamp(8)), stamp(9)), Fate::Closes);
        assert_eq!(fate(Takeover::OnePerUser, Some(stamp(9)), stamp(9)), Fate::Disputed);
        assert_eq!(fate(Takeover::RejectNewer, None, stamp(1)), Fate::Disputed);
    }

    #[test]
    fn of_two_that_ask_each_other_one_yields() {
        let (a, b) = (name("a"), name("b"));
        for (held, asked) in [((5, &a), (6, &b)), ((5, &a), (5, &b)), ((6, &a), (5, &b))] {
            let (held, asked) = ((stamp(held.0), held.1), (stamp(asked.0), asked.1));
            let policy = Takeover::ExclusiveDevice;
            assert_ne!(yields(policy, held, asked), yields(policy, asked, held));
        }
        assert!(!yields(Takeover::ExclusiveDevice, (stamp(5), &a), (stamp(5), &a)));
        assert!(!yields(Takeover::RejectNewer, (stamp(5), &a), (stamp(5), &b)), "it is a later session");
        assert!(yields(Takeover::RejectNewer, (stamp(5), &a), (stamp(6), &b)));
    }
}
