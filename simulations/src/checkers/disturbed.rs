//! Since when each node has run without a fault of its own: what a client or a backend suffers at such a
//! node is the node's doing.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::Event;
use crate::id::NodeIndex;

/// Follows what happens to the nodes.
#[derive(Default)]
pub(super) struct Disturbed {
    /// The nodes that run and have not been told to stop, with the time since when nothing happened to them.
    well_since_ms: BTreeMap<NodeIndex, u64>,
    still: BTreeSet<NodeIndex>,
}

impl Disturbed {
    /// Something happened.
    pub(super) fn event(&mut self, now_ms: u64, event: &Event) {
        match event {
            Event::Booted { node, .. } => _ = self.well_since_ms.insert(*node, now_ms),
            Event::Stopping { node }
            | Event::Stopped { node }
            | Event::Crashed { node }
            | Event::Failed { node, .. } => _ = self.well_since_ms.remove(node),
            Event::HeldStill { node } => _ = self.still.insert(*node),
            Event::WentOn { node } => {
                self.still.remove(node);
                self.well_since_ms.entry(*node).and_modify(|since_ms| *since_ms = now_ms);
            }
            _ => {}
        }
    }

    /// The nodes that have run since then, and nothing happened to them.
    pub(super) fn well_since(&self, then_ms: u64) -> impl Iterator<Item = NodeIndex> {
        self.well_since_ms.keys().copied().filter(move |node| self.is_well_since(*node, then_ms))
    }

    /// Whether a node has run since then, and nothing happened to it.
    pub(super) fn is_well_since(&self, node: NodeIndex, then_ms: u64) -> bool {
        !self.still.contains(&node)
            && self.well_since_ms.get(&node).is_some_and(|since_ms| *since_ms <= then_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_a_node_ends_its_time() {
        let mut disturbed = Disturbed::default();
        let mut well = |now_ms, event, then_ms| {
            disturbed.event(now_ms, &event);
            disturbed.is_well_since(0, then_ms)
        };
        assert!(!well(1, Event::Stopped { node: 0 }, 1));
        assert!(well(5, Event::Booted { node: 0, incarnation: 1 }, 5));
        assert!(!well(6, Event::HeldStill { node: 0 }, 5));
        assert!(!well(9, Event::WentOn { node: 0 }, 8) && disturbed.is_well_since(0, 9));
        for end in [Event::Stopping { node: 0 }, Event::Crashed { node: 0 }, Event::Stopped { node: 0 }] {
            disturbed.event(10, &Event::Booted { node: 0, incarnation: 2 });
            disturbed.event(11, &end);
            assert!(!disturbed.is_well_since(0, 20), "{end:?}");
        }
    }
}
