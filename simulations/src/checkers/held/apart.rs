//! For how long nodes did not reach each other.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::NodeIndex;

/// The looks at which packets did not get through from one node to another, unharmed and in both directions.
#[derive(Default)]
pub(super) struct Apart {
    looks_ms: BTreeMap<(NodeIndex, NodeIndex), Vec<u64>>,
    last_ms: u64,
    every_ms: u64,
}

impl Apart {
    /// Who reaches whom now.
    pub(super) fn look(&mut self, now_ms: u64, nodes: usize, reaches: &dyn Fn(NodeIndex, NodeIndex) -> bool) {
        self.every_ms = now_ms - self.last_ms;
        self.last_ms = now_ms;
        for one in 0..nodes {
            for other in one + 1..nodes {
                if !(reaches(one, other) && reaches(other, one)) {
                    self.looks_ms.entry((one, other)).or_default().push(now_ms);
                }
            }
        }
    }

    /// For how many milliseconds some of these nodes did not reach another of them, from then on.
    pub(super) fn total_ms(&self, nodes: &BTreeSet<NodeIndex>, (from_ms, until_ms): (u64, u64)) -> u64 {
        let mut looks: BTreeSet<u64> = BTreeSet::new();
        for ((one, other), apart) in &self.looks_ms {
            if nodes.contains(one) && nodes.contains(other) {
                looks.extend(apart.iter().filter(|at_ms| (from_ms..=until_ms).contains(at_ms)));
            }
        }
        looks.len() as u64 * self.every_ms
    }
}
