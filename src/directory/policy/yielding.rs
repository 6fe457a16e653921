//! Who is asked to let go of a session for a new claim, and who does.

use crate::config::Takeover;
use crate::directory::{Owned, Rival};
use crate::id::{NodeName, Stamp};
use crate::key::DeviceHash;

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

/// Whose session has to make room for a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// The node that holds it.
    pub owner: NodeName,
    /// The device that it is of.
    pub device: DeviceHash,
    /// It ends if it is below this stamp.
    pub below: Stamp,
    /// What the session of the claim is to it.
    pub rival: Rival,
}

/// Whom a claim makes let go, and of which session, when the directory says that it excludes the sessions `displaced`.
#[must_use]
pub fn asked_after(
    policy: Takeover,
    claim: Claiming<'_>,
    displaced: impl IntoIterator<Item = (DeviceHash, Owned)>,
) -> Vec<Holding> {
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
    let holding = |(device, owner, _)| Holding { owner, device, below, rival: rival(device) };
    owners.into_iter().map(holding).collect()
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

/// Whether the claim of a session that yields says so until it is released. Only where older claims win does that say
/// anything: elsewhere the other claim is above it anyway.
#[must_use]
pub fn says_so(policy: Takeover) -> bool {
    policy == Takeover::RejectNewer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::ClaimState;
    use crate::directory::tests::{DEVICE, name, owned, stamp};

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
            .map(|Holding { owner, device, below, rival }| (owner.to_string(), device, below.raw(), rival))
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

    #[test]
    fn a_claim_that_yields_says_so_where_older_ones_win() {
        assert!(says_so(Takeover::RejectNewer));
        assert!(!says_so(Takeover::ExclusiveDevice) && !says_so(Takeover::MaxPerUser(2)));
    }
}
