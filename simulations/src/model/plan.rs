//! What will happen in a run of the fast level: drawn before it starts, each kind from a stream of its
//! own.

use std::time::Duration;

use pushmesh::config::Takeover;
use rand::Rng;
use rand::rngs::StdRng;

use crate::entropy;
use crate::id::NodeIndex;
use crate::network::Weather;
use crate::plan::halves;

/// Everything that is decided about a run before it starts.
pub(super) struct Plan {
    /// How many nodes there are, those that join later among them.
    pub(super) nodes: usize,
    /// Users, each with two devices.
    pub(super) users: u64,
    /// The policy of the cluster.
    pub(super) takeover: Takeover,
    /// The small bounds, so that they are met.
    pub(super) bounds: Bounds,
    /// Nodes that each node knows when it boots.
    pub(super) seeds: usize,
    /// How far each wall clock is ahead at first, in milliseconds.
    pub(super) skews_ms: Vec<u64>,
    /// Which nodes remember their incarnation over a restart.
    pub(super) data_dirs: Vec<bool>,
    /// The least that a message takes; it takes up to three times as long.
    pub(super) latency: Duration,
    /// Whether frames of sections are lost, doubled and reordered: a transport that is worse than QUIC.
    pub(super) unreliable: bool,
    /// Whether the nodes that are down boot when the faults end; otherwise only the first two do.
    pub(super) all_return: bool,
    /// When the faults end.
    pub(super) faults_end: Duration,
    /// What happens when, in order.
    pub(super) steps: Vec<(Duration, Step)>,
}

/// Bounds of a run; those of production would never be met by so few sessions.
pub(super) struct Bounds {
    /// Changes that an owner remembers.
    pub(super) ring_changes: usize,
    /// Changes in a delta.
    pub(super) delta_changes: usize,
    /// Entries in a chunk.
    pub(super) chunk_entries: usize,
    /// How long a dead member is listed.
    pub(super) purge_after: Duration,
    /// How long gossip believes without a new heartbeat.
    pub(super) gossip_lost_after: Duration,
    /// How long gossip repeats a boot that is silent.
    pub(super) gossip_kept: Duration,
}

/// One thing that is done to the world.
/// Which resume token a client shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    /// None.
    None,
    /// That of its last session.
    Last,
    /// That of the session before the last.
    Former,
}

/// What happens to the nodes, their network and their clients.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// A client connects to a node, or to another one while it is connected.
    Open { user: u64, device: u64, node: NodeIndex, token: Token },
    /// A client goes.
    Close { user: u64, device: u64 },
    /// The network gets worse or better.
    Weather(Weather),
    /// Nothing gets through in these directions.
    Cut(Vec<(NodeIndex, NodeIndex)>),
    /// All cuts end.
    Join,
    /// A node loses its power.
    Crash { node: NodeIndex },
    /// A node stops in good order.
    Leave { node: NodeIndex },
    /// A node boots, if it does not run.
    Boot { node: NodeIndex },
    /// The clock of a node is set back by so many milliseconds; `None`: to the moment of its last boot.
    SetBack { node: NodeIndex, by_ms: Option<u64> },
    /// The copy that a node has of an owner's section becomes wrong, as by a fault of its memory.
    Corrupt { node: NodeIndex, owner: NodeIndex },
    /// A node stands still for so long. All that arrives waits.
    Sleep { node: NodeIndex, time: Duration },
}

impl Plan {
    /// Draws a plan for `seed`, of so many nodes if that is given.
    pub(super) fn draw(seed: u64, nodes: Option<usize>) -> Self {
        let mut rng = entropy::stream(seed, "fast size");
        let drawn = match rng.random_range(0..LARGE_EVERY) {
            0 => rng.random_range(21..=NODES_MAX),
            1..MEDIUM_BELOW => rng.random_range(7..=20),
            _ => [2, 3, 3, 3, 4, 4, 5, 6][rng.random_range(0..8)],
        };
        let nodes = nodes.unwrap_or(drawn);
        let large = nodes > LARGE_ABOVE;
        let mut rng = entropy::stream(seed, "fast settings");
        let skew_ms = if rng.random_bool(0.5) { 0 } else { 5_000 };
        let longest_ms = if rng.random_bool(0.2) { 20_000 } else { 9_000 };
        let faults_ms = if large { 6_000 } else { rng.random_range(4_000..longest_ms) };
        let mut plan = Self {
            nodes,
            users: rng.random_range(2..=6) + nodes as u64 / 4,
            takeover: match rng.random_range(0..8) {
                0 => Takeover::OnePerUser,
                1 => Takeover::MaxPerUser(rng.random_range(1..=2)),
                2 => Takeover::RejectNewer,
                _ => Takeover::ExclusiveDevice,
            },
            bounds: Bounds::draw(&mut rng),
            seeds: rng.random_range(1..=3),
            skews_ms: (0..nodes).map(|_| rng.random_range(0..=skew_ms)).collect(),
            data_dirs: (0..nodes).map(|_| rng.random_bool(0.3)).collect(),
            latency: Duration::from_micros(rng.random_range(100..20_000)),
            // In a large run the streams would break faster than all can be taken.
            unreliable: rng.random_bool(0.3) && !large,
            all_return: rng.random_bool(0.7),
            faults_end: WARM_UP + Duration::from_millis(faults_ms),
            steps: Vec::new(),
        };
        plan.draw_joins(&mut entropy::stream(seed, "fast joins"));
        plan.draw_clients(&mut entropy::stream(seed, "fast clients"));
        plan.draw_weather(&mut entropy::stream(seed, "fast weather"));
        plan.draw_cuts(&mut entropy::stream(seed, "fast cuts"));
        plan.draw_restarts(&mut entropy::stream(seed, "fast restarts"));
        plan.draw_corruption(&mut entropy::stream(seed, "fast corruption"));
        plan.draw_sleeps(&mut entropy::stream(seed, "fast sleeps"));
        plan.steps.retain(|(at, _)| *at <= plan.faults_end);
        plan.steps.sort_by_key(|(at, _)| *at);
        plan
    }

    fn add(&mut self, at: Duration, step: Step) {
        self.steps.push((at, step));
    }

    /// Most nodes are there at once; some join later.
    fn draw_joins(&mut self, rng: &mut StdRng) {
        let last = self.faults_end.as_millis() as u64;
        for node in 0..self.nodes {
            let late = node >= 2 && rng.random_bool(0.15);
            let at = if late { rng.random_range(1_000..last) } else { rng.random_range(0..300) };
            self.add(Duration::from_millis(at), Step::Boot { node });
        }
    }

    fn draw_clients(&mut self, rng: &mut StdRng) {
        let seconds = self.faults_end.as_secs();
        let per_second = rng.random_range(1..8) * self.users / 4 + 1;
        let devices = match self.takeover {
            // One more than there is room for.
            Takeover::MaxPerUser(most) => (most as u64 + 1).min(DEVICES),
            _ => 2,
        };
        for _ in 0..seconds * per_second {
            let at = self.time(rng);
            let (user, device) = (rng.random_range(0..self.users), rng.random_range(0..devices));
            let node = rng.random_range(0..self.nodes);
            match rng.random_range(0..10) {
                0..7 => {
                    let token = match rng.random_range(0..10) {
                        0..3 => Token::Last,
                        // Where a token decides who may stay it matters which one it is.
                        3..6 if self.takeover == Takeover::RejectNewer => Token::Last,
                        6 => Token::Former,
                        _ => Token::None,
                    };
                    self.add(at, Step::Open { user, device, node, token });
                }
                7..9 => self.add(at, Step::Close { user, device }),
                _ => {
                    // One that flaps runs over what its node remembers.
                    for beat in 0..rng.random_range(3..12) {
                        let at = at + Duration::from_millis(20 * beat);
                        self.add(at, Step::Open { user, device, node, token: Token::None });
                        self.add(at + Duration::from_millis(10), Step::Close { user, device });
                    }
                }
            }
        }
    }

    fn time(&self, rng: &mut StdRng) -> Duration {
        Duration::from_micros(rng.random_range(300_000..self.faults_end.as_micros() as u64))
    }

    /// Times between faults of one kind; in half of the runs there are none.
    fn windows(&self, rng: &mut StdRng, pause_ms: u64, longest_ms: u64) -> Vec<(Duration, Duration)> {
        let mut windows = Vec::new();
        if rng.random_bool(0.4) {
            return windows;
        }
        let mut at = WARM_UP + Duration::from_millis(rng.random_range(0..pause_ms));
        while at < self.faults_end {
            let end = at + Duration::from_millis(rng.random_range(100..longest_ms));
            windows.push((at, end.min(self.faults_end)));
            at = end + Duration::from_millis(rng.random_range(200..pause_ms));
        }
        windows
    }

    fn draw_weather(&mut self, rng: &mut StdRng) {
        for (begin, end) in self.windows(rng, 6_000, 8_000) {
            let worst = if rng.random_bool(0.3) { 0.5 } else { 0.05 };
            let weather = Weather {
                loss: rng.random_range(0.0..worst),
                duplication: rng.random_range(0.0..worst),
                reordering: rng.random_range(0.0..0.4),
                held_back_max: Duration::from_millis(rng.random_range(1..1_000)),
                ..Weather::FAIR
            };
            self.add(begin, Step::Weather(weather));
            self.add(end, Step::Weather(Weather::FAIR));
        }
    }

    fn draw_cuts(&mut self, rng: &mut StdRng) {
        for (begin, end) in self.windows(rng, 4_000, 12_000) {
            let one = rng.random_range(0..self.nodes);
            let other = (one + rng.random_range(1..self.nodes)) % self.nodes;
            let others = (0..self.nodes).filter(|node| *node != one);
            let pairs = match rng.random_range(0..6) {
                // One node is alone.
                0 => others.flat_map(|node| [(one, node), (node, one)]).collect(),
                // It hears the others and is not heard, or the other way round.
                1 => others.map(|node| (one, node)).collect(),
                2 => others.map(|node| (node, one)).collect(),
                // A pair that only relays bring together.
                3 => vec![(one, other), (other, one)],
                4 => vec![(one, other)],
                _ => halves(self.nodes, rng),
            };
            self.add(begin, Step::Cut(pairs));
            self.add(end, Step::Join);
        }
    }

    fn draw_restarts(&mut self, rng: &mut StdRng) {
        for (begin, end) in self.windows(rng, 6_000, 9_000) {
            let node = rng.random_range(0..self.nodes);
            let step = if rng.random_bool(0.7) { Step::Crash { node } } else { Step::Leave { node } };
            self.add(begin, step);
            match rng.random_range(0..10) {
                0..2 => self.add(begin, Step::SetBack { node, by_ms: Some(rng.random_range(1_000..60_000)) }),
                2 => self.add(begin, Step::SetBack { node, by_ms: None }),
                _ => {}
            }
            // A few do not come back; another node may.
            if rng.random_bool(0.9) {
                self.add(end, Step::Boot { node });
            }
        }
    }

    /// Wrong copies are found by chance, when their holder compares with their owner; among many nodes
    /// that takes longer than a run.
    fn draw_corruption(&mut self, rng: &mut StdRng) {
        if self.nodes <= CORRUPT_NODES_MAX && rng.random_bool(0.05) {
            let node = rng.random_range(0..self.nodes);
            let owner = (node + rng.random_range(1..self.nodes)) % self.nodes;
            // Late, so that no new link finds it first.
            let at = self.faults_end - Duration::from_millis(rng.random_range(0..2_000));
            self.add(at, Step::Corrupt { node, owner });
        }
    }

    fn draw_sleeps(&mut self, rng: &mut StdRng) {
        for (begin, end) in self.windows(rng, 5_000, 10_000) {
            let node = rng.random_range(0..self.nodes);
            self.add(begin, Step::Sleep { node, time: end - begin });
        }
    }
}

impl Bounds {
    fn draw(rng: &mut StdRng) -> Self {
        let mut seconds =
            |from: u64, to: u64| Duration::from_millis(rng.random_range(1_000 * from..1_000 * to));
        let (purge_after, gossip_lost_after, gossip_kept) = (seconds(1, 12), seconds(2, 5), seconds(5, 60));
        Self {
            ring_changes: rng.random_range(2..40),
            delta_changes: rng.random_range(1..8),
            chunk_entries: rng.random_range(1..6),
            purge_after,
            gossip_lost_after,
            gossip_kept,
        }
    }
}

/// The largest cluster. Source: what a node was designed for, and some more.
pub(super) const NODES_MAX: usize = 300;
/// Above so many nodes a run is checked less often.
pub(super) const LARGE_ABOVE: usize = 20;
/// One run of so many is large: it costs as much as thousands of small ones.
const LARGE_EVERY: u32 = 5_000;
/// As many of them are of medium size.
const MEDIUM_BELOW: u32 = 40;
/// Larger clusters have no wrong copies.
const CORRUPT_NODES_MAX: usize = 4;
/// Devices of each user, at most.
pub(super) const DEVICES: u64 = 3;
/// How long the nodes are left alone at the start.
const WARM_UP: Duration = Duration::from_millis(1_500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_has_one_plan_whose_steps_are_in_order() {
        for seed in 0..50 {
            let [first, second] = [(); 2].map(|()| Plan::draw(seed, None));
            assert_eq!(first.steps, second.steps);
            assert!(first.steps.is_sorted_by_key(|(at, _)| *at));
        }
        assert_ne!(Plan::draw(1, None).steps, Plan::draw(2, None).steps);
    }
}
