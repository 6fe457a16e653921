//! What does not heal when the faults end: for a while the others, the core of the cluster, have to be
//! right without it.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::index::sample;

use crate::host::seeds;
use crate::id::NodeIndex;
use crate::plan::{Ailment, Plan, Step};

impl Plan {
    /// In half of the runs some nodes, fewer than the others, do not heal with them.
    pub(super) fn draw_ailments(&mut self, rng: &mut StdRng) {
        let most = (self.nodes - 1) / 2;
        if rng.random_bool(0.5) || most == 0 {
            return;
        }
        let ailing = rng.random_range(1..=most);
        let mut parted = BTreeSet::new();
        for node in sample(rng, self.nodes, ailing) {
            let delay = Duration::from_millis(rng.random_range(20..SLOW_MS_MAX));
            let mut how = match rng.random_range(0..8) {
                0..3 => Ailment::Dead,
                3..5 => Ailment::Cut,
                5 => Ailment::Deaf,
                6 => Ailment::Mute,
                _ => Ailment::Slow(delay),
            };
            if how.parts() {
                parted.insert(node);
                // Who boots just then and reaches none of its seeds finds nobody.
                if !finds_each_other(self.nodes, &parted) {
                    parted.remove(&node);
                    how = Ailment::Slow(delay);
                }
            }
            self.add(self.faults_end_ms, Step::Ail { node, how });
        }
    }
}

/// Whether everyone in the core has a seed there.
fn finds_each_other(nodes: usize, parted: &BTreeSet<NodeIndex>) -> bool {
    let mut core = (0..nodes).filter(|node| !parted.contains(node));
    core.all(|node| seeds(node, nodes).any(|seed| !parted.contains(&seed)))
}

/// How much longer the paths of a slow node take at most, in milliseconds. Arithmetic: a node that boots
/// without a disk and with a clock that was set back asks its seeds which boot they remember, and waits
/// a second for a handshake and an exchange.
const SLOW_MS_MAX: u64 = 150;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Size;

    #[test]
    fn every_ailment_is_drawn_and_most_nodes_are_in_the_core() {
        let mut drawn = Vec::new();
        for seed in 0..200 {
            let plan = Plan::draw(seed, Size { seconds: 10, ..Size::default() });
            let steps = plan.steps.get(&plan.faults_end_ms).into_iter().flatten();
            let ailing: Vec<_> = steps
                .filter_map(|step| match step {
                    Step::Ail { node, how } => Some((*node, *how)),
                    _ => None,
                })
                .collect();
            assert!(2 * ailing.len() < plan.nodes, "seed {seed}");
            let parted = ailing.iter().filter(|(_, how)| how.parts()).map(|(node, _)| *node).collect();
            assert!(finds_each_other(plan.nodes, &parted), "seed {seed}");
            drawn.extend(ailing.into_iter().map(|(_, how)| how));
        }
        let kinds = [Ailment::Dead, Ailment::Cut, Ailment::Deaf, Ailment::Mute];
        assert!(kinds.iter().all(|how| drawn.contains(how)) && drawn.iter().any(|how| !how.parts()));
    }
}
