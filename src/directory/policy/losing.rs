//! What follows for a session whose claim has lost.

use crate::config::Takeover;
use crate::directory::Owned;
use crate::id::{NodeName, Stamp};

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

/// What stands against a disputed session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opposition {
    /// No other claim does any more.
    None,
    /// The other claim is of an earlier session of the same client: its owner is asked again to end those below this
    /// stamp.
    Earlier(Owned, Stamp),
    /// The other claim wins if it still stands after [`RELEASE_LINGER`](crate::limits::RELEASE_LINGER), and its owner has
    /// that very session: what was released before shows by then.
    Other(Owned),
}

/// What stands against a session that the node `me` claims with `stamp`, and that succeeds the one with the other stamp, while
/// the directory shows `held` as the owner.
#[must_use]
pub fn opposition(me: &NodeName, stamp: Stamp, succeeds: Option<Stamp>, held: Option<Owned>) -> Opposition {
    match (held.filter(|held| held.stamp != stamp || held.owner != *me), succeeds) {
        (None, _) => Opposition::None,
        (Some(held), Some(earlier)) if held.stamp <= earlier => Opposition::Earlier(held, earlier.after()),
        (Some(held), _) => Opposition::Other(held),
    }
}

/// Whether a claim is of an earlier session of the client that has proven to succeed one.
fn is_earlier(stamp: Stamp, succeeds: Option<Stamp>) -> bool {
    succeeds.is_some_and(|succeeded| stamp <= succeeded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::ClaimState;
    use crate::directory::tests::{name, owned, stamp};

    #[test]
    fn a_session_insists_against_its_own_earlier_one_and_doubts_any_other() {
        let me = name("me");
        let stands = |succeeds: Option<u64>, held| opposition(&me, stamp(9), succeeds.map(stamp), held);
        let earlier = owned("b", 5, ClaimState::Connected);
        assert_eq!(stands(Some(5), None), Opposition::None);
        assert_eq!(stands(Some(5), Some(owned("me", 9, ClaimState::Connected))), Opposition::None);
        assert_eq!(stands(Some(5), Some(earlier.clone())), Opposition::Earlier(earlier.clone(), stamp(6)));
        assert_eq!(stands(Some(4), Some(earlier.clone())), Opposition::Other(earlier.clone()));
        assert_eq!(stands(None, Some(earlier.clone())), Opposition::Other(earlier));
        let twin = owned("b", 9, ClaimState::Connected);
        assert_eq!(stands(None, Some(twin.clone())), Opposition::Other(twin));
    }

    #[test]
    fn whoever_loses_is_closed_unless_older_claims_win_or_the_other_one_is_its_own() {
        assert_eq!(fate(Takeover::ExclusiveDevice, None, stamp(9)), Fate::Closes);
        assert_eq!(fate(Takeover::ExclusiveDevice, Some(stamp(8)), stamp(9)), Fate::Closes);
        assert_eq!(fate(Takeover::OnePerUser, Some(stamp(9)), stamp(9)), Fate::Disputed);
        assert_eq!(fate(Takeover::RejectNewer, None, stamp(1)), Fate::Disputed);
    }
}
