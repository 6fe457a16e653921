//! What a node holds stays within limits: as many members, links, copies and boots in gossip as the
//! cluster explains, outboxes as long as they may be, and nobody who has been dead for longer than the
//! dead are remembered. What waits for ever by mistake is found when nothing happens any more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pushmesh::NodeName;
use pushmesh::internals::Inside;

use crate::checkers::checker::Checker;
use crate::event::Event;
use crate::host::Boot;
use crate::id::NodeIndex;
use crate::settings::Settings;

/// Watches how much all nodes hold.
pub(super) struct Limit {
    outbox_max: usize,
    /// Messages that one owner of a kept session accepts.
    kept_max: Option<usize>,
    purge_after_ms: u64,
    /// All names that a node of the run has had, with their boots.
    boots: BTreeMap<NodeName, BTreeSet<u64>>,
    /// Nodes that stop: they may have ended all that they did before their links are gone.
    stopping: BTreeSet<NodeIndex>,
    /// Since when a boot of a node has listed somebody as dead, at every look.
    dead: BTreeMap<(NodeName, u64), BTreeMap<NodeName, u64>>,
    compared: u64,
}

impl Limit {
    /// Nobody runs yet.
    pub(super) fn new(settings: &Settings) -> Self {
        let purge_after = settings.tuning.purge_after + PURGES_WITHIN;
        Self {
            outbox_max: settings.outbox_messages,
            kept_max: settings.keeping.as_ref().map(|_| settings.outbox_messages + settings.kept_messages),
            purge_after_ms: u64::try_from(purge_after.as_millis()).unwrap_or(u64::MAX),
            boots: BTreeMap::new(),
            stopping: BTreeSet::new(),
            dead: BTreeMap::new(),
            compared: 0,
        }
    }
}

impl Checker for Limit {
    fn name(&self) -> &'static str {
        "what a node holds stays within limits"
    }

    fn event(&mut self, _: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Stopping { node } | Event::Failed { node, .. } => _ = self.stopping.insert(*node),
            Event::Booted { node, .. } => _ = self.stopping.remove(node),
            _ => {}
        }
        Ok(())
    }

    fn tick(&mut self, now_ms: u64, boots: &[Option<Boot>]) -> Result<(), String> {
        for boot in boots.iter().flatten() {
            self.boots.entry(boot.replica.me().clone()).or_default().insert(boot.incarnation);
        }
        if !now_ms.is_multiple_of(EVERY_MS) {
            return Ok(());
        }
        for (node, boot) in boots.iter().enumerate() {
            let Some(boot) = boot else { continue };
            if let Some(inside) = boot.observer.inside() {
                self.compared += 1;
                let me = boot.replica.me();
                self.within(&inside, boots.len()).map_err(|what| format!("{me} holds {what}: {inside:?}"))?;
                if !self.stopping.contains(&node) {
                    self.remembered(now_ms, (me.clone(), boot.incarnation), &inside)?;
                }
                let owners = boot.replica.heads().into_iter().map(|(owner, _)| owner);
                listed(me, &inside, owners)?;
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
        // Owners that do not hear of each other accept for themselves, and hand over later; a place whose message is gone
        // is told to the client as well.
        let outbox_max =
            self.kept_max.map_or(self.outbox_max, |kept_max| PLACES_PER_MESSAGE * kept_max * nodes);
        let most = [
            (inside.members.len(), names, "too many members"),
            (inside.fences, names, "too many fences"),
            (inside.links, names, "too many links"),
            // Gossip forgets the dead later than a run ends.
            (inside.gossiped, boots, "too many boots in gossip"),
            (inside.outbox, outbox_max, "too many messages for one client"),
            // Addresses stay when their node gets another name.
            (inside.addresses, nodes, "too many addresses"),
            (inside.mailboxes, nodes, "too many mailboxes"),
            // Of each boot one that is seen, one that arrives from its owner and one from a third node;
            // and those that were given up since the last sweep.
            (inside.slots, 3 * boots + GIVEN_UP_MAX * nodes, "too many copies"),
        ];
        most.iter().find(|(held, most, _)| held > most).map_or(Ok(()), |(_, _, what)| Err(what))
    }

    /// Nobody remembers the dead for longer than configured.
    fn remembered(&mut self, now_ms: u64, by: (NodeName, u64), inside: &Inside) -> Result<(), String> {
        let before = self.dead.remove(&by).unwrap_or_default();
        let dead = inside.members.iter().filter(|(_, (_, state))| *state == "dead").map(|(name, _)| name);
        let since = |name: &NodeName| (name.clone(), before.get(name).copied().unwrap_or(now_ms));
        let dead: BTreeMap<_, _> = dead.map(since).collect();
        if let Some((name, since)) = dead.iter().find(|(_, since)| now_ms - **since > self.purge_after_ms) {
            return Err(format!("{} lists {name}, which it calls dead since {since} ms", by.0));
        }
        self.dead.insert(by, dead);
        Ok(())
    }
}

/// Nobody holds a section of somebody who is no member.
fn listed(me: &NodeName, inside: &Inside, owners: impl Iterator<Item = NodeName>) -> Result<(), String> {
    let mut strange = owners.filter(|owner| owner != me && !inside.members.contains_key(owner));
    strange
        .next()
        .map_or(Ok(()), |owner| Err(format!("{me} holds the section of {owner}, whom it does not list")))
}

/// Copies of one owner that a node gives up between two sweeps. Arithmetic: a subscription is repeated
/// every 100 ms, and sweeps are 4 s apart at most, where a digest is not answered.
const GIVEN_UP_MAX: usize = 40;
/// How many places of messages a session holds for each message that it may hold. Source: docs/PROTOCOL.md, section 4.
const PLACES_PER_MESSAGE: usize = 4;
/// Time between two looks, in milliseconds.
const EVERY_MS: u64 = 100;
/// How much later than configured somebody is forgotten. Arithmetic: a round of the overlay, and what
/// two looks miss.
const PURGES_WITHIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> NodeName {
        NodeName::new(name).unwrap()
    }

    fn checker() -> Limit {
        let mut checker = Limit::new(&Settings { outbox_messages: 4, ..Settings::default() });
        checker.boots = [(name("n1"), [1].into())].into();
        checker
    }

    fn lists(state: &'static str) -> Inside {
        Inside { members: [(name("n2"), (Default::default(), state))].into(), ..Inside::default() }
    }

    #[test]
    fn what_grows_without_limit_is_found() {
        let checker = checker();
        let inside = Inside { links: 1, outbox: 4, gossiped: 1, ..Inside::default() };
        assert_eq!(checker.within(&inside, 1), Ok(()));
        for wrong in [
            Inside { links: 2, ..inside.clone() },
            Inside { outbox: 5, ..inside.clone() },
            Inside { gossiped: 2, ..inside.clone() },
            Inside { fences: 2, ..inside.clone() },
            Inside { addresses: 2, ..inside.clone() },
            Inside { mailboxes: 2, ..inside.clone() },
            Inside { slots: 4 + GIVEN_UP_MAX, ..inside.clone() },
        ] {
            assert!(checker.within(&wrong, 1).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn somebody_who_is_dead_for_too_long_is_found() {
        let mut checker = checker();
        let after_ms = checker.purge_after_ms;
        let mut look = |at_ms, state| checker.remembered(at_ms, (name("n1"), 1), &lists(state));
        assert_eq!((look(100, "dead"), look(100 + after_ms, "dead")), (Ok(()), Ok(())));
        assert!(look(101 + after_ms, "dead").is_err());
        assert_eq!(
            (look(200 + after_ms, "alive"), look(300 + after_ms, "dead")),
            (Ok(()), Ok(())),
            "it was back"
        );
    }

    #[test]
    fn a_section_of_a_stranger_is_found() {
        let holds = |owner| listed(&name("n1"), &lists("dead"), [name(owner)].into_iter());
        assert_eq!((holds("n1"), holds("n2")), (Ok(()), Ok(())));
        assert!(holds("n3").is_err());
    }
}
