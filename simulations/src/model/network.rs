//! Which messages get through, and when.

use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;

use crate::id::NodeIndex;
use crate::network::Weather;

/// The network between the nodes.
pub(super) struct Network {
    nodes: usize,
    rng: StdRng,
    latency: Duration,
    weather: Weather,
    /// By sender and receiver.
    cut: Vec<bool>,
    /// When the way between two nodes was last disturbed.
    disturbed: Vec<Duration>,
}

impl Network {
    /// A network in fair weather.
    pub(super) fn new(nodes: usize, latency: Duration, rng: StdRng) -> Self {
        let (cut, disturbed) = (vec![false; nodes * nodes], vec![Duration::ZERO; nodes * nodes]);
        Self { nodes, rng, latency, weather: Weather::FAIR, cut, disturbed }
    }

    /// From now on this happens to messages.
    pub(super) fn set_weather(&mut self, weather: Weather) {
        self.weather = weather;
    }

    /// Nothing gets through in these directions.
    pub(super) fn cut(&mut self, pairs: &[(NodeIndex, NodeIndex)]) {
        for (from, to) in pairs {
            self.cut[from * self.nodes + to] = true;
        }
    }

    /// All cuts end.
    pub(super) fn join(&mut self, now: Duration) {
        for from in 0..self.nodes {
            for to in 0..self.nodes {
                if std::mem::take(&mut self.cut[from * self.nodes + to]) {
                    self.disturb(from, to, now);
                }
            }
        }
    }

    /// A node is away until then, so that nobody can reach it.
    pub(super) fn is_away(&mut self, node: NodeIndex, until: Duration) {
        (0..self.nodes).for_each(|other| self.disturb(node, other, until));
    }

    fn disturb(&mut self, one: NodeIndex, other: NodeIndex, now: Duration) {
        for at in [one * self.nodes + other, other * self.nodes + one] {
            self.disturbed[at] = self.disturbed[at].max(now);
        }
    }

    /// Since when both directions between two nodes are open; `None` while one is cut.
    pub(super) fn undisturbed_since(&self, one: NodeIndex, other: NodeIndex) -> Option<Duration> {
        let open = self.is_open(one, other) && self.is_open(other, one);
        open.then(|| self.disturbed[one * self.nodes + other])
    }

    /// Whether messages get through.
    pub(super) fn is_open(&self, from: NodeIndex, to: NodeIndex) -> bool {
        !self.cut[from * self.nodes + to]
    }

    /// How long a message takes that is sent now.
    pub(super) fn delay(&mut self) -> Duration {
        let micros = self.latency.as_micros() as u64;
        let mut delay = Duration::from_micros(self.rng.random_range(micros..=3 * micros));
        if self.weather.reordering > 0.0 && self.rng.random_bool(self.weather.reordering) {
            let held_back = self.weather.held_back_max.as_micros() as u64;
            delay += Duration::from_micros(self.rng.random_range(0..=held_back));
        }
        delay
    }

    /// Whether a message that is sent now is lost.
    pub(super) fn loses(&mut self) -> bool {
        self.weather.loss > 0.0 && self.rng.random_bool(self.weather.loss)
    }

    /// Whether a message that is sent now arrives twice.
    pub(super) fn doubles(&mut self) -> bool {
        self.weather.duplication > 0.0 && self.rng.random_bool(self.weather.duplication)
    }
}

/// How much later something arrives whose packet was lost. Source: QUIC's first probe, and some more.
pub(super) const RETRANSMISSION: Duration = Duration::from_millis(300);
