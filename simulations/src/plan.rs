//! What will happen in a run: every choice is drawn before it starts.
//!
//! Each kind of workload and each kind of fault draws from a stream of its own, so that one can be
//! left out without moving the others. A plan says when, what and for how long; what the world then
//! makes of it (who reconnects where) is the driver's.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;

use crate::settings::Settings;

mod ailment;
mod draw;
mod faults;
mod kills;
mod step;
mod terms;
mod workload;

pub(crate) use faults::halves;
pub(crate) use step::{Ailment, Blunder, Identity, Step};

/// The size of a run. What is not given is drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::Args)]
pub(crate) struct Size {
    /// Nodes, 2 to 20; drawn from 3 to 7 if not given
    #[arg(long, value_parser = clap::value_parser!(u8).range(2..=20))]
    pub(crate) nodes: Option<u8>,
    /// Clients, 1 to 1000; drawn from 10 to 60 if not given
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) clients: Option<u16>,
    /// Simulated seconds with faults, 10 to 600
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u16).range(10..=600))]
    pub(crate) seconds: u16,
}

/// Everything that is decided about a run before it starts.
pub(crate) struct Plan {
    /// How many nodes there are.
    pub(crate) nodes: usize,
    /// How many clients there are.
    pub(crate) clients: usize,
    /// When the faults end, in milliseconds.
    pub(crate) faults_end_ms: u64,
    /// How far each node's wall clock is ahead at first.
    pub(crate) skews_ms: Vec<i64>,
    /// What all nodes are configured with.
    pub(crate) settings: Settings,
    /// The longest that turmoil delays a message.
    pub(crate) latency_max: Duration,
    /// What happens at which millisecond, in order.
    pub(crate) steps: BTreeMap<u64, Vec<Step>>,
}

impl Plan {
    fn add(&mut self, at_ms: u64, step: Step) {
        self.steps.entry(at_ms).or_default().push(step);
    }

    /// Times between faults of one kind: begin and end of each.
    fn windows(&self, rng: &mut StdRng, pause_ms: u64, longest_ms: u64) -> Vec<(u64, u64)> {
        let mut windows = Vec::new();
        let mut at = WARM_UP_MS + rng.random_range(0..2 * pause_ms);
        while at < self.faults_end_ms {
            let end = (at + rng.random_range(200..longest_ms)).min(self.faults_end_ms);
            windows.push((at, end));
            at = end + rng.random_range(500..2 * pause_ms);
        }
        windows
    }
}

/// How long the nodes are left alone at the start, in milliseconds.
const WARM_UP_MS: u64 = 3_000;
/// Upper bound of the drawn latency, in milliseconds. Source: across a continent.
pub(crate) const LATENCY_MS_MAX: u64 = 40;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Weather;

    #[test]
    fn a_seed_has_one_plan() {
        let steps = |seed| Plan::draw(seed, Size { seconds: 20, ..Size::default() }).steps;
        assert_eq!(steps(3), steps(3));
        assert_ne!(steps(3), steps(4));
    }

    #[test]
    fn every_fault_is_over_when_the_faults_end() {
        for seed in 0..50 {
            let plan = Plan::draw(seed, Size { seconds: 30, ..Size::default() });
            let mut down = std::collections::BTreeSet::new();
            let (mut weather, mut cut) = (Weather::FAIR, false);
            let (mut swallow, mut slow, mut late) = (None, false, 0.0);
            let mut still = std::collections::BTreeSet::new();
            for step in plan.steps.range(..=plan.faults_end_ms).flat_map(|(_, steps)| steps) {
                match step {
                    Step::Weather(new) => weather = *new,
                    Step::Partition(_) => cut = true,
                    Step::Join => cut = false,
                    Step::Crash { node } | Step::Stop { node } => _ = down.insert(*node),
                    Step::Restart { node, .. } => _ = down.remove(node),
                    Step::Swallow(above) => swallow = *above,
                    Step::Slow(..) => slow = true,
                    Step::Hurry => slow = false,
                    Step::Pause { node } => _ = still.insert(*node),
                    Step::Resume { node } => _ = still.remove(node),
                    Step::Late(probability) => late = *probability,
                    _ => {}
                }
            }
            assert_eq!((weather, cut, down.len()), (Weather::FAIR, false, 0), "seed {seed}");
            assert_eq!((swallow, slow, still.len(), late), (None, false, 0, 0.0), "seed {seed}");
        }
    }
}
