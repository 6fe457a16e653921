//! Since when nodes reach each other: both run, and packets pass between them unharmed in both directions.

use std::collections::BTreeMap;

use crate::id::NodeIndex;

/// The paths between the nodes, as they were at the last look.
#[derive(Debug, Default)]
pub(super) struct Paths {
    since_ms: BTreeMap<(NodeIndex, NodeIndex), u64>,
}

impl Paths {
    /// Looks at all paths. `reaches` tells whether packets get through from one node to another.
    pub(super) fn look(&mut self, now_ms: u64, nodes: usize, reaches: impl Fn(NodeIndex, NodeIndex) -> bool) {
        for one in 0..nodes {
            for other in 0..one {
                if reaches(one, other) && reaches(other, one) {
                    self.since_ms.entry((other, one)).or_insert(now_ms);
                } else {
                    self.since_ms.remove(&(other, one));
                }
            }
        }
    }

    /// Since when two nodes have reached each other without a break; a node always reaches itself.
    pub(super) fn since(&self, one: NodeIndex, other: NodeIndex) -> Option<u64> {
        if one == other {
            return Some(0);
        }
        self.since_ms.get(&(one.min(other), one.max(other))).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_break_in_one_direction_begins_the_time_anew() {
        let mut paths = Paths::default();
        paths.look(100, 2, |_, _| true);
        paths.look(200, 2, |_, _| true);
        assert_eq!(
            (paths.since(0, 1), paths.since(1, 0), paths.since(1, 1)),
            (Some(100), Some(100), Some(0))
        );
        paths.look(300, 2, |from, _| from == 0);
        assert_eq!(paths.since(1, 0), None);
        paths.look(400, 2, |_, _| true);
        assert_eq!(paths.since(1, 0), Some(400));
    }
}
