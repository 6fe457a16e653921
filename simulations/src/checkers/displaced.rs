//! A node that knows that its session has lost lets go of it: no claim stands for longer beside one that excludes it, in the
//! eyes of its own node, than it takes to close a connection and to let go.
//!
//! Under `reject-newer` the winner's owner is asked first, and may not answer: nothing is due there.

use std::collections::BTreeMap;

use pushmesh::NodeName;
use pushmesh::config::Takeover as Policy;
use pushmesh::internals::{Key, Lost};

use crate::checkers::bounds::LETS_GO_MS;
use crate::checkers::checker::Checker;
use crate::host::Boot;
use crate::settings::Settings;

/// Watches claims that have lost.
pub(super) struct Displaced {
    policy: Policy,
    /// Since when the claims of each boot have lost.
    lost: BTreeMap<(NodeName, u64, Key, u64), u64>,
    compared: u64,
}

impl Displaced {
    /// Nobody has lost anything.
    pub(super) fn new(settings: &Settings) -> Self {
        Self { policy: settings.takeover, lost: BTreeMap::new(), compared: 0 }
    }

    /// Looks at all claims that have lost, in the eyes of the boots that made them.
    fn look(&mut self, now_ms: u64, lost: Vec<((NodeName, u64), Lost)>) -> Result<(), String> {
        let before = std::mem::take(&mut self.lost);
        for ((me, incarnation), Lost { key, stamp, winner, winner_stamp, .. }) in lost {
            self.compared += 1;
            let (stamp, winner_stamp) = (stamp.raw(), winner_stamp.raw());
            let claim = (me.clone(), incarnation, key, stamp);
            let since_ms = before.get(&claim).copied().unwrap_or(now_ms);
            if now_ms > since_ms + LETS_GO_MS + LOOK_EVERY_MS {
                return Err(format!(
                    "{me} knows since {since_ms} ms that {stamp} has lost against {winner_stamp} at {winner}"
                ));
            }
            self.lost.insert(claim, since_ms);
        }
        Ok(())
    }
}

impl Checker for Displaced {
    fn name(&self) -> &'static str {
        "a node lets go of a session that it knows to have lost"
    }

    fn tick(&mut self, now_ms: u64, boots: &[Option<Boot>]) -> Result<(), String> {
        if !now_ms.is_multiple_of(LOOK_EVERY_MS) || self.policy == Policy::RejectNewer {
            return Ok(());
        }
        let of = |boot: &Boot| {
            let by = (boot.replica.me().clone(), boot.incarnation);
            boot.replica.audit().into_iter().map(move |lost| (by.clone(), lost))
        };
        let lost: Vec<_> = boots.iter().flatten().flat_map(of).collect();
        self.look(now_ms, lost)
    }

    fn compared(&self) -> (&'static str, u64) {
        ("looks at claims that have lost", self.compared)
    }
}

/// Time between two looks, in milliseconds: each walks over all rows of a node.
const LOOK_EVERY_MS: u64 = 20;

#[cfg(test)]
mod tests {
    use pushmesh::id::Stamp;
    use pushmesh::internals::{DeviceHash, Rival, UserHash};

    use super::*;

    #[test]
    fn a_claim_that_has_lost_and_stays_is_found_and_one_that_loses_again_is_not() {
        let mut checker = Displaced::new(&Settings::default());
        let name = |text| NodeName::new(text).unwrap();
        let lost = || {
            let key = Key { user: UserHash { high: 0, low: 1 }, device: DeviceHash(2) };
            let (stamp, winner_stamp) = (Stamp::from_raw(5), Stamp::from_raw(9));
            let rival = Rival::SameDevice;
            vec![((name("n1"), 1), Lost { key, stamp, winner: name("n2"), winner_stamp, rival })]
        };
        let longest_ms = LETS_GO_MS + LOOK_EVERY_MS;
        assert_eq!(checker.look(100, lost()), Ok(()));
        assert_eq!(checker.look(100 + longest_ms, lost()), Ok(()));
        assert_eq!(checker.look(101 + longest_ms, Vec::new()), Ok(()));
        assert_eq!(checker.look(102 + longest_ms, lost()), Ok(()));
        assert!(checker.look(103 + 2 * longest_ms, lost()).is_err());
    }
}
