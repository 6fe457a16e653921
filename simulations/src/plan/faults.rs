//! The faults of a plan: of the network between nodes, of nodes, and of their clocks.

use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;

use crate::id::NodeIndex;
use crate::network::Weather;
use crate::plan::{Identity, Plan, Step, WARM_UP_MS};

impl Plan {
    pub(super) fn draw_weather(&mut self, rng: &mut StdRng) {
        for (begin, end) in self.windows(rng, 8_000, 10_000) {
            let rough = rng.random_bool(0.2);
            let worst = if rough { 0.4 } else { 0.05 };
            let weather = Weather {
                loss: rng.random_range(0.0..worst),
                duplication: rng.random_range(0.0..worst),
                reordering: rng.random_range(0.0..0.3),
                held_back_max: Duration::from_millis(rng.random_range(2..200)),
                corruption: if rng.random_bool(0.5) { rng.random_range(0.0..worst) } else { 0.0 },
            };
            self.add(begin, Step::Weather(weather));
            self.add(end, Step::Weather(Weather::FAIR));
        }
    }

    pub(super) fn draw_partitions(&mut self, rng: &mut StdRng) {
        for (begin, end) in self.windows(rng, 12_000, 15_000) {
            let one = rng.random_range(0..self.nodes);
            let others = (0..self.nodes).filter(|node| *node != one);
            let pairs = match rng.random_range(0..6) {
                // One node is alone.
                0 => others.flat_map(|node| [(one, node), (node, one)]).collect(),
                // One node hears the others, and they do not hear it.
                1 => others.map(|node| (one, node)).collect(),
                // The others hear one node, and it does not hear them.
                4 => others.map(|node| (node, one)).collect(),
                // One node does not reach one other, which reaches it.
                5 => others.take(1).map(|node| (one, node)).collect(),
                // One pair does not reach each other; the others reach both.
                2 => others.take(1).flat_map(|node| [(one, node), (node, one)]).collect(),
                _ => halves(self.nodes, rng),
            };
            self.add(begin, Step::Partition(pairs));
            self.add(end, Step::Join);
        }
    }

    pub(super) fn draw_restarts(&mut self, rng: &mut StdRng) {
        for (begin, end) in self.windows(rng, 10_000, 12_000) {
            let node = rng.random_range(0..self.nodes);
            let step = if rng.random_bool(0.7) { Step::Crash { node } } else { Step::Stop { node } };
            self.add(begin, step);
            let identity = match rng.random_range(0..10) {
                0..7 => Identity::Same,
                7..9 => Identity::Forgotten,
                _ => Identity::Replaced,
            };
            self.add(end, Step::Restart { node, identity });
        }
    }

    /// In some runs all nodes lose their power at once, or stop one after the other, and come back.
    pub(super) fn draw_mass_restarts(&mut self, rng: &mut StdRng) {
        let begin = rng.random_range(WARM_UP_MS + 5_000..self.faults_end_ms.max(WARM_UP_MS + 5_001));
        let kind = rng.random_range(0..10);
        let set_back = rng.random_bool(0.5);
        for node in 0..self.nodes {
            let (down, step) = match kind {
                0 => (begin, Step::Crash { node }),
                1 => (begin + 3_000 * node as u64, Step::Stop { node }),
                _ => return,
            };
            let up = (down + rng.random_range(1..1_500)).min(self.faults_end_ms);
            if down >= up {
                return;
            }
            self.add(down, step);
            if set_back {
                let ahead_ms = -rng.random_range(0..CLOCK_JUMP_MS_MAX);
                self.add(up, Step::Clock { node, ahead_ms });
            }
            self.add(up, Step::Restart { node, identity: Identity::Same });
        }
    }

    pub(super) fn draw_paths(&mut self, rng: &mut StdRng) {
        for (begin, end) in self.windows(rng, 15_000, 15_000) {
            if rng.random_bool(0.3) {
                // Every path of QUIC lets 1200 bytes pass.
                self.add(begin, Step::Swallow(Some(rng.random_range(1_200..1_400))));
                self.add(end, Step::Swallow(None));
            } else {
                let one = rng.random_range(0..self.nodes);
                let others = (0..self.nodes).filter(|node| *node != one);
                let others = others.take(rng.random_range(1..self.nodes));
                let both = rng.random_bool(0.5);
                let pairs = others.flat_map(|node| {
                    let back = both.then_some((node, one));
                    [Some((one, node)), back].into_iter().flatten()
                });
                let delay = Duration::from_millis(rng.random_range(20..SLOW_MS_MAX));
                self.add(begin, Step::Slow(pairs.collect(), delay));
                self.add(end, Step::Hurry);
            }
        }
    }

    pub(super) fn draw_pauses(&mut self, rng: &mut StdRng) {
        for (begin, end) in self.windows(rng, 15_000, PAUSE_MS_MAX) {
            let node = rng.random_range(0..self.nodes);
            self.add(begin, Step::Pause { node });
            self.add(end, Step::Resume { node });
        }
    }

    /// In some runs wall clocks jump, ahead and back.
    pub(super) fn draw_clocks(&mut self, rng: &mut StdRng) {
        if rng.random_bool(0.5) {
            return;
        }
        for (begin, _) in self.windows(rng, 10_000, 10_000) {
            let node = rng.random_range(0..self.nodes);
            let ahead_ms = rng.random_range(-CLOCK_JUMP_MS_MAX..CLOCK_JUMP_MS_MAX);
            self.add(begin, Step::Clock { node, ahead_ms });
        }
    }

    pub(super) fn draw_lateness(&mut self, rng: &mut StdRng) {
        for (begin, end) in self.windows(rng, 15_000, 10_000) {
            self.add(begin, Step::Late(rng.random_range(0.01..0.3)));
            self.add(end, Step::Late(0.0));
        }
    }
}

/// The pairs between two sides, drawn.
pub(crate) fn halves(nodes: usize, rng: &mut StdRng) -> Vec<(NodeIndex, NodeIndex)> {
    let left: Vec<bool> = (0..nodes).map(|_| rng.random_bool(0.5)).collect();
    let pairs = (0..nodes).flat_map(|from| (0..nodes).map(move |to| (from, to)));
    pairs.filter(|(from, to)| left[*from] != left[*to]).collect()
}

/// How far a wall clock jumps at most, in milliseconds. Guess: an hour, as with a wrong time zone.
const CLOCK_JUMP_MS_MAX: i64 = 3_600_000;
/// How much longer a slow path takes at most, in milliseconds. Guess: a queue in front of a full line.
const SLOW_MS_MAX: u64 = 400;
/// How long a node holds still at most, in milliseconds. Source: beyond every timeout of the mesh.
const PAUSE_MS_MAX: u64 = 12_000;
