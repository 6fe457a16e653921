//! Which of two claims of one key takes precedence.

use crate::config::Takeover;
use crate::directory::ClaimState;
use crate::id::{Incarnation, NodeName, Stamp};
use crate::key::Key;

/// A claim whose owner is seen, as it is compared.
#[derive(Debug, Clone, Copy)]
pub struct Contender<'a> {
    /// Of which session.
    pub key: Key,
    /// What the owner says of the connection.
    pub state: ClaimState,
    /// The age of the claim: that of a newer one is greater, and the ages of two claims of one key are never equal.
    pub age: (Stamp, &'a NodeName, Incarnation),
}

/// Whether of two claims of one key the session of `b` ends for that of `a`: strictly, so that none beats itself. The newer
/// claim wins; under `reject-newer` the older one, unless it has yielded or is parked.
#[must_use]
pub fn beats(policy: Takeover, a: Contender<'_>, b: Contender<'_>) -> bool {
    if policy != Takeover::RejectNewer {
        return a.age > b.age;
    }
    match [a, b].map(|claim| claim.state.makes_way()) {
        [false, false] => a.age < b.age,
        // Of those that nobody is connected by the last one knows best where the session went.
        [true, true] => a.age > b.age,
        [a_has, _] => !a_has,
    }
}

/// Whether of two claims of one key pushes follow `a`. Under `reject-newer` a client that has proven an earlier session is
/// where it has resumed, whatever the owner of the earlier one says: it may be dead.
#[must_use]
pub fn leads(policy: Takeover, a: Contender<'_>, b: Contender<'_>) -> bool {
    if policy != Takeover::RejectNewer {
        return beats(policy, a, b);
    }
    match [a, b].map(|claim| claim.state == ClaimState::Resumed) {
        [false, false] => beats(policy, a, b),
        [true, true] => a.age > b.age,
        [a_has, _] => a_has,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{DeviceHash, UserHash};

    const STATES: [ClaimState; 4] =
        [ClaimState::Connected, ClaimState::Resumed, ClaimState::Yielded, ClaimState::Parked];

    fn winners(policy: Takeover, rule: fn(Takeover, Contender<'_>, Contender<'_>) -> bool) -> String {
        let (older, newer) = (NodeName::new("b").unwrap(), NodeName::new("a").unwrap());
        let key = Key { user: UserHash { high: 0, low: 0 }, device: DeviceHash(1) };
        let claim = |state, owner, stamp| Contender {
            key,
            state,
            age: (Stamp::from_raw(stamp), owner, Incarnation(1)),
        };
        let mut said = String::new();
        for old in STATES {
            for new in STATES {
                let (old, new) = (claim(old, &older, 5), claim(new, &newer, 6));
                assert!(!rule(policy, old, old) && !rule(policy, new, new), "none wins against itself");
                assert_ne!(rule(policy, old, new), rule(policy, new, old), "one of two wins");
                said.push(if rule(policy, new, old) { 'n' } else { 'o' });
            }
        }
        said
    }

    #[test]
    fn the_newer_claim_wins_unless_newer_ones_are_rejected() {
        for policy in [Takeover::ExclusiveDevice, Takeover::OnePerUser, Takeover::MaxPerUser(2)] {
            assert_eq!([winners(policy, beats), winners(policy, leads)], ["n".repeat(16), "n".repeat(16)]);
        }
        // By rows: what the older claim says (connected, resumed, yielded, parked); by columns the same of the newer one.
        assert_eq!(winners(Takeover::RejectNewer, beats), "oooo oooo nnnn nnnn".replace(' ', ""));
        assert_eq!(winners(Takeover::RejectNewer, leads), "onoo onoo nnnn nnnn".replace(' ', ""));
    }
}
