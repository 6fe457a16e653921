//! What becomes of a datagram between two nodes: loss, duplication, reordering, partitions.
//!
//! It stands above turmoil's network, which adds a latency of its own, because turmoil's faults
//! break links instead of losing packets. Every decision comes from one random stream, in the order
//! in which packets are sent.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;

/// How bad the network is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Weather {
    /// Probability that a packet is lost.
    pub(crate) loss: f64,
    /// Probability that a packet arrives twice.
    pub(crate) duplication: f64,
    /// Probability that a packet is held back, so that later ones overtake it.
    pub(crate) reordering: f64,
    /// The longest that a packet is held back.
    pub(crate) held_back_max: Duration,
}

impl Weather {
    /// Nothing goes wrong.
    pub(crate) const FAIR: Self =
        Self { loss: 0.0, duplication: 0.0, reordering: 0.0, held_back_max: Duration::from_millis(1) };
}

/// The faults between nodes.
pub(crate) struct Network {
    rng: StdRng,
    weather: Weather,
    /// Pairs of sender and receiver between which nothing gets through.
    cut: BTreeSet<(IpAddr, IpAddr)>,
    /// Hosts without power: what their destructors send is not sent.
    silent: BTreeSet<IpAddr>,
}

/// What becomes of a datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nobody receives it.
    Lost,
    /// It is sent after each of these times.
    Sent(Vec<Duration>),
}

impl Network {
    /// A network where nothing goes wrong yet.
    pub(crate) fn new(rng: StdRng) -> Self {
        Self { rng, weather: Weather::FAIR, cut: BTreeSet::new(), silent: BTreeSet::new() }
    }

    /// Changes the weather.
    pub(crate) fn set_weather(&mut self, weather: Weather) {
        self.weather = weather;
    }

    /// Cuts what goes from `from` to `to`. The other direction stays.
    pub(crate) fn cut(&mut self, from: IpAddr, to: IpAddr) {
        self.cut.insert((from, to));
    }

    /// Ends all partitions.
    pub(crate) fn join(&mut self) {
        self.cut.clear();
    }

    /// Takes the power of a host, or gives it back.
    pub(crate) fn set_silent(&mut self, host: IpAddr, silent: bool) {
        if silent {
            self.silent.insert(host);
        } else {
            self.silent.remove(&host);
        }
    }

    /// Decides about one datagram.
    pub(crate) fn fate(&mut self, from: IpAddr, to: IpAddr) -> Fate {
        if self.silent.contains(&from) || self.cut.contains(&(from, to)) {
            return Fate::Lost;
        }
        if self.weather == Weather::FAIR {
            return Fate::Sent(vec![Duration::ZERO]);
        }
        if self.rng.random_bool(self.weather.loss) {
            return Fate::Lost;
        }
        let copies = if self.rng.random_bool(self.weather.duplication) { 2 } else { 1 };
        Fate::Sent((0..copies).map(|_| self.delay()).collect())
    }

    fn delay(&mut self) -> Duration {
        if !self.rng.random_bool(self.weather.reordering) {
            return Duration::ZERO;
        }
        let longest = u64::try_from(self.weather.held_back_max.as_millis()).unwrap_or(u64::MAX).max(1);
        Duration::from_millis(self.rng.random_range(1..=longest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy;

    fn network() -> (Network, IpAddr, IpAddr) {
        let address = |last| IpAddr::from([192, 168, 0, last]);
        (Network::new(entropy::stream(1, "test")), address(1), address(2))
    }

    fn at_once() -> Fate {
        Fate::Sent(vec![Duration::ZERO])
    }

    #[test]
    fn a_cut_is_of_one_direction_and_ends() {
        let (mut network, a, b) = network();
        network.cut(a, b);
        assert_eq!((network.fate(a, b), network.fate(b, a)), (Fate::Lost, at_once()));
        network.join();
        assert_eq!(network.fate(a, b), at_once());
    }

    #[test]
    fn a_host_without_power_sends_nothing() {
        let (mut network, a, b) = network();
        network.set_silent(a, true);
        assert_eq!((network.fate(a, b), network.fate(b, a)), (Fate::Lost, at_once()));
        network.set_silent(a, false);
        assert_eq!(network.fate(a, b), at_once());
    }

    #[test]
    fn bad_weather_loses_doubles_and_holds_back() {
        let (mut network, a, b) = network();
        let held_back_max = Duration::from_millis(50);
        network.set_weather(Weather { loss: 0.3, duplication: 0.3, reordering: 0.3, held_back_max });
        let fates: Vec<_> = (0..100).map(|_| network.fate(a, b)).collect();
        let sent = |wanted: fn(&[Duration]) -> bool| {
            fates.iter().any(|fate| matches!(fate, Fate::Sent(times) if wanted(times)))
        };
        assert!(fates.contains(&Fate::Lost));
        assert!(sent(|times| times.len() == 2));
        assert!(sent(|times| times.iter().any(|time| *time > Duration::ZERO)));
    }
}
