//! What will happen in a run: every choice is drawn before it starts.
//!
//! Each kind of workload and each kind of fault draws from a stream of its own, so that one can be
//! left out without moving the others. A plan says when, what and for how long; what the world then
//! makes of it (who reconnects where) is the driver's.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;

use crate::ask::Ask;
use crate::entropy;
use crate::event::{Aim, ClientIndex, NodeIndex, user_of};
use crate::network::Weather;
use crate::settings::Settings;

mod ailment;
mod workload;

pub(crate) use ailment::Ailment;

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

/// One thing that is done to the world.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    /// A client wants to be connected, or connects once more while it is.
    Connect { client: ClientIndex, node: NodeIndex },
    /// A client does not want to be connected any more.
    Leave { client: ClientIndex, politely: bool },
    /// A client's socket breaks; it comes back.
    Break { client: ClientIndex },
    /// A backend pushes through that node, if it runs.
    Push { node: NodeIndex, aim: Aim },
    /// A backend calls that node over HTTP.
    Call { backend: usize, node: NodeIndex, ask: Ask },
    /// A client neither reads nor answers for so many milliseconds.
    Stall { client: ClientIndex, for_ms: u64 },
    /// A client sends a message.
    Say { client: ClientIndex },
    /// A client sends what no node takes.
    Blunder { client: ClientIndex, blunder: Blunder },
    /// The network between nodes changes.
    Weather(Weather),
    /// Nothing gets through from one node to another, in these pairs.
    Partition(Vec<(NodeIndex, NodeIndex)>),
    /// All partitions end.
    Join,
    /// A node loses its power, if it runs.
    Crash { node: NodeIndex },
    /// A node stops in good order, if it runs.
    Stop { node: NodeIndex },
    /// A node boots, if it does not run.
    Restart { node: NodeIndex, identity: Identity },
    /// Packets that are longer disappear, between all nodes.
    Swallow(Option<usize>),
    /// The paths in these pairs, from one to another, take longer.
    Slow(Vec<(NodeIndex, NodeIndex)>, Duration),
    /// All paths are as fast as ever.
    Hurry,
    /// Nothing leaves a node and nothing reaches it, and all of it does when it goes on.
    Pause { node: NodeIndex },
    /// A node goes on.
    Resume { node: NodeIndex },
    /// A node's wall clock is set.
    Clock { node: NodeIndex, ahead_ms: i64 },
    /// Tasks of the nodes' networks are late with that probability.
    Late(f64),
    /// Something stays wrong with a node while the others heal.
    Ail { node: NodeIndex, how: Ailment },
}

/// What a client sends that no node takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blunder {
    /// A message beyond the bound.
    TooBig,
    /// A text that is none.
    NotText,
    /// Texts that are no envelopes, more than a node bears, if the client speaks `pushmesh.v1`.
    Nonsense,
}

/// As whom a node comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Identity {
    /// With what its disk remembers, if there are disks.
    Same,
    /// With an empty disk.
    Forgotten,
    /// With another name, at the same address.
    Replaced,
}

impl Plan {
    /// Draws a plan.
    pub(crate) fn draw(seed: u64, size: Size) -> Self {
        let mut rng = entropy::stream(seed, "size");
        let (nodes, clients) = (rng.random_range(3..=7), rng.random_range(10..=60));
        let nodes = size.nodes.map_or(nodes, usize::from);
        let clients = size.clients.map_or(clients, usize::from);
        // Half of the runs have clocks that disagree by more than everything in the protocol.
        let skew_max = if rng.random_bool(0.5) { 0 } else { SKEW_MS_MAX };
        let skews_ms = (0..nodes).map(|_| rng.random_range(0..=skew_max)).collect();
        let latency_max = Duration::from_millis(rng.random_range(1..=LATENCY_MS_MAX));
        let faults_end_ms = u64::from(size.seconds) * 1_000;
        let steps = BTreeMap::new();
        let settings = Settings::draw(seed, clients);
        let mut plan = Self { nodes, clients, faults_end_ms, skews_ms, settings, latency_max, steps };
        plan.draw_clients(&mut entropy::stream(seed, "clients"));
        plan.draw_pushes(&mut entropy::stream(seed, "pushes"));
        plan.draw_calls(&mut entropy::stream(seed, "calls"));
        plan.draw_stalls(&mut entropy::stream(seed, "stalls"));
        plan.draw_flaps(&mut entropy::stream(seed, "flaps"));
        plan.draw_blunders(&mut entropy::stream(seed, "blunders"));
        plan.draw_repeats(&mut entropy::stream(seed, "repeats"));
        plan.draw_drains(&mut entropy::stream(seed, "drains"));
        plan.draw_messages(&mut entropy::stream(seed, "messages"));
        plan.draw_weather(&mut entropy::stream(seed, "weather"));
        plan.draw_partitions(&mut entropy::stream(seed, "partitions"));
        plan.draw_restarts(&mut entropy::stream(seed, "restarts"));
        plan.draw_mass_restarts(&mut entropy::stream(seed, "mass restarts"));
        plan.draw_paths(&mut entropy::stream(seed, "paths"));
        // Dials pile up at a node that holds still, and turmoil has no room for them where windows are small.
        if !plan.settings.has_small_windows() {
            plan.draw_pauses(&mut entropy::stream(seed, "pauses"));
        }
        plan.draw_clocks(&mut entropy::stream(seed, "clocks"));
        plan.draw_lateness(&mut entropy::stream(seed, "lateness of tasks"));
        plan.draw_ailments(&mut entropy::stream(seed, "ailments"));
        plan
    }

    fn add(&mut self, at_ms: u64, step: Step) {
        self.steps.entry(at_ms).or_default().push(step);
    }

    fn draw_clients(&mut self, rng: &mut StdRng) {
        for client in 0..self.clients {
            let at = rng.random_range(WARM_UP_MS..WARM_UP_MS + 2_000);
            let node = rng.random_range(0..self.nodes);
            self.add(at, Step::Connect { client, node });
        }
        let moves = self.faults_end_ms / 1_000 * self.clients as u64 / 20;
        for _ in 0..moves {
            let at = rng.random_range(WARM_UP_MS + 2_000..self.faults_end_ms);
            let (client, node) = (rng.random_range(0..self.clients), rng.random_range(0..self.nodes));
            let step = match rng.random_range(0..10) {
                0..6 => Step::Connect { client, node },
                6..9 => Step::Break { client },
                _ => {
                    let back = at + rng.random_range(1..5_000);
                    self.add(back, Step::Connect { client, node });
                    Step::Leave { client, politely: rng.random_bool(0.5) }
                }
            };
            self.add(at, step);
        }
    }

    fn draw_pushes(&mut self, rng: &mut StdRng) {
        let mean_ms = rng.random_range(5..60);
        let mut at = WARM_UP_MS;
        while at < self.faults_end_ms {
            at += rng.random_range(0..=2 * mean_ms);
            let node = rng.random_range(0..self.nodes);
            let client = rng.random_range(0..self.clients);
            let aim = match rng.random_range(0..20) {
                0 => Aim::All,
                1..8 => Aim::User(user_of(client)),
                _ => Aim::Client(client),
            };
            // Several in a row show whether they stay in order.
            for _ in 0..rng.random_range(1..=3) {
                self.add(at, Step::Push { node, aim });
            }
        }
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

    fn draw_weather(&mut self, rng: &mut StdRng) {
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

    fn draw_partitions(&mut self, rng: &mut StdRng) {
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

    fn draw_restarts(&mut self, rng: &mut StdRng) {
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
    fn draw_mass_restarts(&mut self, rng: &mut StdRng) {
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

    fn draw_paths(&mut self, rng: &mut StdRng) {
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

    fn draw_pauses(&mut self, rng: &mut StdRng) {
        for (begin, end) in self.windows(rng, 15_000, PAUSE_MS_MAX) {
            let node = rng.random_range(0..self.nodes);
            self.add(begin, Step::Pause { node });
            self.add(end, Step::Resume { node });
        }
    }

    /// In some runs wall clocks jump, ahead and back.
    fn draw_clocks(&mut self, rng: &mut StdRng) {
        if rng.random_bool(0.5) {
            return;
        }
        for (begin, _) in self.windows(rng, 10_000, 10_000) {
            let node = rng.random_range(0..self.nodes);
            let ahead_ms = rng.random_range(-CLOCK_JUMP_MS_MAX..CLOCK_JUMP_MS_MAX);
            self.add(begin, Step::Clock { node, ahead_ms });
        }
    }

    fn draw_lateness(&mut self, rng: &mut StdRng) {
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

/// How long the nodes are left alone at the start, in milliseconds.
const WARM_UP_MS: u64 = 3_000;
/// How far a wall clock is ahead at most, in milliseconds. Guess: a machine without NTP.
const SKEW_MS_MAX: i64 = 5_000;
/// How far a wall clock jumps at most, in milliseconds. Guess: an hour, as with a wrong time zone.
const CLOCK_JUMP_MS_MAX: i64 = 3_600_000;
/// How much longer a slow path takes at most, in milliseconds. Guess: a queue in front of a full line.
const SLOW_MS_MAX: u64 = 400;
/// How long a node holds still at most, in milliseconds. Source: beyond every timeout of the mesh.
const PAUSE_MS_MAX: u64 = 12_000;
/// Upper bound of the drawn latency, in milliseconds. Source: across a continent.
pub(crate) const LATENCY_MS_MAX: u64 = 40;

#[cfg(test)]
mod tests {
    use super::*;

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
