//! What a node holds stays within limits: as many members, links, copies and waiting requests as the
//! cluster explains, however long the run.

use std::collections::{BTreeMap, BTreeSet};

use pushmesh::internals::Inside;
use pushmesh::{NodeName, limits};

use crate::checkers::Checker;
use crate::host::Boot;

/// Watches how much all nodes hold.
#[derive(Default)]
pub(super) struct Limit {
    /// All names that a node of the run has had, with their boots.
    boots: BTreeMap<NodeName, BTreeSet<u64>>,
    compared: u64,
}

impl Checker for Limit {
    fn name(&self) -> &'static str {
        "what a node holds stays within limits"
    }

    fn tick(&mut self, now_ms: u64, boots: &[Option<Boot>]) -> Result<(), String> {
        for boot in boots.iter().flatten() {
            self.boots.entry(boot.replica.me().clone()).or_default().insert(boot.incarnation);
        }
        if !now_ms.is_multiple_of(EVERY_MS) {
            return Ok(());
        }
        for boot in boots.iter().flatten() {
            if let Some(inside) = boot.observer.inside() {
                self.compared += 1;
                let me = boot.replica.me();
                self.within(&inside, boots.len()).map_err(|what| format!("{me} holds {what}: {inside:?}"))?;
            }
        }
        Ok(())
    }

    fn compared(&self) -> (&'static str, u64) {
        ("looks at how much a node holds", self.compared)
    }
}

impl Limit {
    fn within(&self, inside: &Inside, nodes: usize) -> Result<(), &'static str> {
        let names = self.boots.len();
        let boots: usize = self.boots.values().map(BTreeSet::len).sum();
        let most = [
            (inside.members.len(), names, "too many members"),
            (inside.fences, names, "too many fences"),
            (inside.links, names, "too many links"),
            (inside.pending, inside.links * limits::PENDING_MAX, "too many requests"),
            // Addresses stay when their node gets another name.
            (inside.addresses, nodes, "too many addresses"),
            (inside.mailboxes, nodes, "too many mailboxes"),
            // Of each boot one that is seen, one that arrives from its owner and one from a third node;
            // and those that were given up since the last sweep.
            (inside.slots, 3 * boots + GIVEN_UP_MAX * nodes, "too many copies"),
        ];
        most.iter().find(|(held, most, _)| held > most).map_or(Ok(()), |(_, _, what)| Err(what))
    }
}

/// Copies of one owner that a node gives up between two sweeps. Arithmetic: a subscription is repeated
/// every 100 ms, and sweeps are 4 s apart at most, where a digest is not answered.
const GIVEN_UP_MAX: usize = 40;
/// Time between two looks, in milliseconds.
const EVERY_MS: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn inside() -> Inside {
        Inside {
            members: Default::default(),
            fences: 0,
            fenced: 0,
            degraded: false,
            isolated: false,
            connections: 0,
            claims: 0,
            links: 1,
            pending: 0,
            addresses: 0,
            mailboxes: 0,
            slots: 0,
        }
    }

    #[test]
    fn what_grows_without_limit_is_found() {
        let name = NodeName::new("n1").unwrap();
        let checker = Limit { boots: [(name, [1].into())].into(), compared: 0 };
        assert_eq!(checker.within(&inside(), 1), Ok(()));
        assert!(checker.within(&Inside { fences: 2, ..inside() }, 1).is_err());
        assert!(checker.within(&Inside { pending: limits::PENDING_MAX + 1, ..inside() }, 1).is_err());
        assert!(checker.within(&Inside { addresses: 2, ..inside() }, 1).is_err());
        assert!(checker.within(&Inside { slots: 4 + GIVEN_UP_MAX, ..inside() }, 1).is_err());
    }
}
