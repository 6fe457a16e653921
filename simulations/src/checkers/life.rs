//! A node goes on, unless a later boot under its name is known. Its gossip never ends.

use std::collections::BTreeMap;

use crate::checkers::checker::Checker;
use crate::event::Event;
use crate::id::NodeIndex;

/// Watches why nodes say that they cannot go on.
#[derive(Default)]
pub(super) struct Life {
    failed: BTreeMap<NodeIndex, u64>,
    boots: u64,
}

impl Checker for Life {
    fn name(&self) -> &'static str {
        "a node goes on until it is stopped"
    }

    fn event(&mut self, _: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Booted { .. } => self.boots += 1,
            Event::Failed { node, why } if why.contains("another process with this node's name") => {
                // Its clock was set back and it reached nobody who knew. It is started again, and
                // asks again.
                let failed = self.failed.entry(*node).or_default();
                *failed += 1;
                if *failed > FAILURES_MAX {
                    return Err(format!("node {node} gave up {failed} times, always for its former self"));
                }
            }
            Event::Failed { node, why } => return Err(format!("node {node}: {why}")),
            _ => {}
        }
        Ok(())
    }

    fn compared(&self) -> (&'static str, u64) {
        ("boots watched", self.boots)
    }
}

/// Boots of one node in a run that turn out to be older than a former one. Guess: it is started again
/// every one or two seconds, and in a rolling restart with clocks that were set back all that are reached may
/// be as new as itself for a while. One that never comes back has not converged either.
const FAILURES_MAX: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gossip_that_ends_is_found_and_so_is_a_node_that_never_comes_back() {
        let failed = |why: &str| Event::Failed { node: 0, why: why.to_owned() };
        assert!(Life::default().event(0, &failed("gossip ended: broken")).is_err());
        let mut life = Life::default();
        let older = failed("another process with this node's name has joined");
        (0..FAILURES_MAX).for_each(|_| life.event(0, &older).unwrap());
        assert!(life.event(0, &older).is_err());
    }
}
