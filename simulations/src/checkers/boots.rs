//! The boots of a run, and those among them that start over under an incarnation that their name has had,
//! because its clock was set back and nobody was there who knew. What such a boot says cannot be told
//! from what the former one said.

use std::collections::BTreeSet;

use pushmesh::NodeName;

use crate::host::Boot;
use crate::id::NodeIndex;

/// Follows who boots.
#[derive(Default)]
pub(super) struct Boots {
    /// The nodes that were up at the last look.
    up: BTreeSet<NodeIndex>,
    /// All boots so far.
    seen: BTreeSet<(NodeName, u64)>,
    /// Those that another one had come before with the same incarnation.
    again: BTreeSet<(NodeName, u64)>,
}

impl Boots {
    /// The boots that were not there at the last look.
    pub(super) fn look(&mut self, boots: &[Option<Boot>]) -> Vec<(NodeName, u64)> {
        let mut new = Vec::new();
        for (node, boot) in boots.iter().enumerate() {
            match boot {
                Some(boot) if self.up.insert(node) => {
                    new.push((boot.replica.me().clone(), boot.incarnation));
                }
                Some(_) => {}
                None => _ = self.up.remove(&node),
            }
        }
        new
    }

    /// A boot begins.
    pub(super) fn begin(&mut self, boot: (NodeName, u64)) {
        if !self.seen.insert(boot.clone()) {
            self.again.insert(boot);
        }
    }

    /// Whether that boot had one before it with the same incarnation.
    pub(super) fn is_again(&self, boot: &(NodeName, u64)) -> bool {
        self.again.contains(boot)
    }

    /// Whether any had.
    pub(super) fn any_again(&self) -> bool {
        !self.again.is_empty()
    }
}
