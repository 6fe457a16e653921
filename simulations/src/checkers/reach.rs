//! Nodes that reach each other call each other alive, whatever happens to a third one; and where a third
//! one reaches both, they at least do not call each other dead: gossip carries heartbeats over it.
//!
//! The verdict on a member is each node's own. A pair of nodes counts from when both run and packets
//! pass between them unharmed, in both directions; after a while that must show, and go on to show until
//! one of them stops or the path between them gets worse.

use std::collections::{BTreeMap, BTreeSet};

use pushmesh::NodeName;

use crate::event::Event;
use crate::host::Boot;
use crate::id::{NodeIndex, node_name};

/// Watches what nodes think of each other. Its driver tells it who reaches whom.
#[derive(Default)]
pub(crate) struct Reach {
    /// Since when pairs of boots reach each other.
    since: BTreeMap<(Party, Party, Way), u64>,
    /// Boots that stop because they cannot go on.
    ending: BTreeSet<NodeIndex>,
    compared: u64,
}

/// A boot of a node.
type Party = (NodeIndex, u64);

/// How two nodes reach each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// On the path between them.
    Direct,
    /// On that path, or over a third node.
    Any,
}

/// What a boot has to say of another one by now.
#[derive(Debug, PartialEq, Eq)]
struct Due {
    name: NodeName,
    incarnation: u64,
    way: Way,
}

impl Reach {
    /// Its name in the report of a failure.
    pub(crate) const NAME: &str = "nodes that reach each other call each other alive";

    /// Something happened.
    pub(crate) fn event(&mut self, event: &Event) {
        match event {
            Event::Failed { node, .. } => _ = self.ending.insert(*node),
            Event::Booted { node, .. } => _ = self.ending.remove(node),
            _ => {}
        }
    }

    /// A millisecond is over. `reaches` tells whether packets get through from one node to another.
    ///
    /// # Errors
    /// Who does not call whom alive.
    pub(crate) fn tick(
        &mut self,
        now_ms: u64,
        boots: &[Option<Boot>],
        reaches: impl Fn(NodeIndex, NodeIndex) -> bool,
    ) -> Result<(), String> {
        if !now_ms.is_multiple_of(EVERY_MS) {
            return Ok(());
        }
        let up = |(node, boot): (NodeIndex, &Option<Boot>)| {
            let boot = boot.as_ref().filter(|_| !self.ending.contains(&node))?;
            Some(((node, boot.incarnation), boot.clone()))
        };
        let up: Vec<_> = boots.iter().enumerate().filter_map(up).collect();
        let due = self.due(now_ms, pairs(&up, reaches));
        // Who knows a later boot of another one does not link with it, and ends it.
        let knows_later = |name: &NodeName, one: Party, me: &NodeName| {
            let other = up.iter().find(|(_, boot)| boot.replica.me() == name);
            let inside = other.and_then(|(_, boot)| boot.observer.inside());
            inside.is_some_and(|inside| inside.members.get(me).is_some_and(|(listed, _)| listed.0 > one.1))
        };
        for (one, boot) in &up {
            // Nothing is copied for nodes of which nothing is expected yet.
            let Some(others) = due.get(one) else { continue };
            let Some(inside) = boot.observer.inside() else { continue };
            for Due { name, incarnation, way } in others {
                self.compared += 1;
                let listed = inside.members.get(name);
                let holds = listed.is_some_and(|(listed, state)| {
                    // A boot that turns out to be older than a former one ends, and comes back above it.
                    let said = *state == "alive" || *way == Way::Any && *state != "dead";
                    listed.0 > *incarnation || listed.0 == *incarnation && said
                });
                if !holds && !knows_later(name, *one, boot.replica.me()) {
                    let one = node_name(one.0);
                    return Err(format!(
                        "{one} reaches {name} at {incarnation} ({way:?}) and lists {listed:?}"
                    ));
                }
            }
        }
        Ok(())
    }

    /// How often it compared something, and what.
    pub(crate) fn compared(&self) -> (&'static str, u64) {
        ("nodes that reach each other", self.compared)
    }

    /// What each boot has to say by now, of those that it reaches.
    fn due(&mut self, now_ms: u64, pairs: Vec<(Party, Party, Way, NodeName)>) -> BTreeMap<Party, Vec<Due>> {
        let before = std::mem::take(&mut self.since);
        let mut due = BTreeMap::<_, Vec<_>>::new();
        for (one, other, way, name) in pairs {
            let since = before.get(&(one, other, way)).copied().unwrap_or(now_ms);
            self.since.insert((one, other, way), since);
            if now_ms - since >= REACHED_MS {
                due.entry(one).or_default().push(Due { name, incarnation: other.1, way });
            }
        }
        due
    }
}

/// All who reach each other now.
fn pairs(
    up: &[(Party, Boot)],
    reaches: impl Fn(NodeIndex, NodeIndex) -> bool,
) -> Vec<(Party, Party, Way, NodeName)> {
    let mut direct = BTreeSet::new();
    for (one, _) in up {
        for (other, _) in up.iter().filter(|(other, _)| other.0 < one.0) {
            if reaches(one.0, other.0) && reaches(other.0, one.0) {
                direct.extend([(one.0, other.0), (other.0, one.0)]);
            }
        }
    }
    let mut pairs = Vec::new();
    for (one, _) in up {
        for (other, boot) in up.iter().filter(|(other, _)| other != one) {
            let mut way = |way| pairs.push((*one, *other, way, boot.replica.me().clone()));
            let over =
                |third: NodeIndex| direct.contains(&(one.0, third)) && direct.contains(&(third, other.0));
            let is_direct = direct.contains(&(one.0, other.0));
            if is_direct {
                way(Way::Direct);
            }
            if is_direct || up.iter().any(|(third, _)| over(third.0)) {
                way(Way::Any);
            }
        }
    }
    pairs
}

/// Time between two looks, in milliseconds. Source: a cut that is shorter harms nobody.
const EVERY_MS: u64 = 100;
/// How long it takes at most from when two nodes reach each other until both say so, in milliseconds.
/// Arithmetic: an old link is given up after 5 s, the pause between dials is 2 s, a dial takes 2 s, gossip
/// that has lost a member needs some rounds, and the overlay looks five times a second.
pub(super) const REACHED_MS: u64 = 12_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_counts_when_it_has_reached_each_other_for_a_while_without_a_break() {
        let mut reach = Reach::default();
        let name = || NodeName::new("n2").unwrap();
        let pair = |other| vec![((0, 7), other, Way::Direct, name())];
        let expected = Due { name: name(), incarnation: 8, way: Way::Direct };
        assert_eq!(reach.due(100, pair((1, 8))), BTreeMap::new());
        assert_eq!(reach.due(100 + REACHED_MS, pair((1, 8))), [((0, 7), vec![expected])].into());
        assert_eq!(reach.due(200 + REACHED_MS, Vec::new()), BTreeMap::new());
        assert_eq!(reach.due(300 + REACHED_MS, pair((1, 8))), BTreeMap::new(), "a break");
        assert_eq!(reach.due(300 + 2 * REACHED_MS, pair((1, 9))), BTreeMap::new(), "another boot");
    }
}
