//! What becomes of a datagram between two nodes: loss, duplication, reordering, corruption, paths that
//! swallow large packets, slow paths, partitions, nodes that hold still.
//!
//! It stands above turmoil's network, which adds a latency of its own, because turmoil's faults
//! break links instead of losing packets. Every decision comes from one random stream, in the order
//! in which packets are sent.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use tokio::sync::watch;

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
    /// Probability that a bit of a packet is turned.
    pub(crate) corruption: f64,
}

impl Weather {
    /// Nothing goes wrong.
    pub(crate) const FAIR: Self = Self {
        loss: 0.0,
        duplication: 0.0,
        reordering: 0.0,
        held_back_max: Duration::from_millis(1),
        corruption: 0.0,
    };
}

/// The faults between nodes.
pub(crate) struct Network {
    rng: StdRng,
    weather: Weather,
    /// Pairs of sender and receiver between which nothing gets through.
    cut: BTreeSet<(IpAddr, IpAddr)>,
    /// Hosts without power: what their destructors send is not sent.
    silent: BTreeSet<IpAddr>,
    /// What a path takes longer than the others.
    slow: BTreeMap<(IpAddr, IpAddr), Duration>,
    /// Packets longer than this disappear.
    swallowed_above: Option<usize>,
    /// Hosts whose packets wait, in both directions. Those that send wait for a change.
    still: watch::Sender<BTreeSet<IpAddr>>,
    /// What became of how many packets.
    touched: BTreeMap<&'static str, u64>,
}

/// What becomes of a datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nobody receives it.
    Lost,
    /// Each of these copies is sent.
    Sent(Vec<Copy>),
    /// It is sent when neither end holds still any more.
    Held,
}

/// One copy of a datagram.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Copy {
    /// It is sent after so long.
    pub(crate) after: Duration,
    /// This bit of it is turned, counted from the beginning over and over.
    pub(crate) turned_bit: Option<u32>,
}

impl std::fmt::Debug for Copy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.after)?;
        self.turned_bit.map_or(Ok(()), |bit| write!(f, " corrupt at {bit}"))
    }
}

impl Network {
    /// A network where nothing goes wrong yet.
    pub(crate) fn new(rng: StdRng) -> Self {
        let (cut, silent, slow, touched) = Default::default();
        let still = watch::Sender::new(BTreeSet::new());
        Self { rng, weather: Weather::FAIR, cut, silent, slow, swallowed_above: None, still, touched }
    }

    /// Changes the weather.
    pub(crate) fn set_weather(&mut self, weather: Weather) {
        self.weather = weather;
    }

    /// From now on packets that are longer disappear; `None` lets all pass.
    pub(crate) fn swallow_above(&mut self, bytes: Option<usize>) {
        self.swallowed_above = bytes;
    }

    /// Cuts what goes from `from` to `to`. The other direction stays.
    pub(crate) fn cut(&mut self, from: IpAddr, to: IpAddr) {
        self.cut.insert((from, to));
    }

    /// Ends all partitions.
    pub(crate) fn join(&mut self) {
        self.cut.clear();
    }

    /// Makes a path slower by `delay`; by nothing ends that.
    pub(crate) fn set_slow(&mut self, from: IpAddr, to: IpAddr, delay: Duration) {
        if delay == Duration::ZERO {
            self.slow.remove(&(from, to));
        } else {
            self.slow.insert((from, to), delay);
        }
    }

    /// No path is slower than others any more.
    pub(crate) fn hurry(&mut self) {
        self.slow.clear();
    }

    /// Takes the power of a host, or gives it back.
    pub(crate) fn set_silent(&mut self, host: IpAddr, silent: bool) {
        if silent {
            self.silent.insert(host);
        } else {
            self.silent.remove(&host);
        }
    }

    /// Lets a host hold still, or go on: what it sends and what it is sent waits meanwhile.
    pub(crate) fn set_still(&mut self, host: IpAddr, still: bool) {
        self.still.send_if_modified(|hosts| if still { hosts.insert(host) } else { hosts.remove(&host) });
    }

    /// Ends when neither holds still.
    pub(crate) fn moving(&self, from: IpAddr, to: IpAddr) -> impl Future<Output = ()> + use<> {
        let mut still = self.still.subscribe();
        async move {
            // The world outlives its sockets.
            let _ = still.wait_for(|hosts| !hosts.contains(&from) && !hosts.contains(&to)).await;
        }
    }

    /// Whether packets get through from one host to another, all of them and soon.
    pub(crate) fn is_fair(&self, from: IpAddr, to: IpAddr) -> bool {
        let still = self.still.borrow();
        let stopped = [from, to].iter().any(|host| still.contains(host) || self.silent.contains(host));
        let slow = self.slow.get(&(from, to)).is_some_and(|delay| *delay > FAIR_DELAY_MAX);
        let worse = self.weather != Weather::FAIR || self.swallowed_above.is_some();
        !(stopped || slow || worse || self.cut.contains(&(from, to)))
    }

    /// What the faults have done so far, and to how many packets.
    pub(crate) fn touched(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.touched.iter().map(|(how, packets)| (*how, *packets))
    }

    /// Decides about one datagram.
    pub(crate) fn fate(&mut self, from: IpAddr, to: IpAddr, len: usize) -> Fate {
        let swallowed = self.swallowed_above.is_some_and(|longest| len > longest);
        let cut = self.cut.contains(&(from, to));
        self.touch("packets: swallowed", swallowed);
        self.touch("packets: cut off", cut);
        if swallowed || cut || self.silent.contains(&from) {
            return Fate::Lost;
        }
        let still = self.still.borrow();
        let held = still.contains(&from) || still.contains(&to);
        drop(still);
        self.touch("packets: held", held);
        if held {
            return Fate::Held;
        }
        let path = self.slow.get(&(from, to)).copied().unwrap_or_default();
        self.touch("packets: slow", path > Duration::ZERO);
        if self.weather == Weather::FAIR {
            return Fate::Sent(vec![Copy { after: path, turned_bit: None }]);
        }
        let lost = self.rng.random_bool(self.weather.loss);
        self.touch("packets: lost", lost);
        if lost {
            return Fate::Lost;
        }
        let copies = if self.rng.random_bool(self.weather.duplication) { 2 } else { 1 };
        self.touch("packets: doubled", copies > 1);
        Fate::Sent((0..copies).map(|_| self.copy(path)).collect())
    }

    fn copy(&mut self, path: Duration) -> Copy {
        let corrupt = self.weather.corruption > 0.0 && self.rng.random_bool(self.weather.corruption);
        let turned_bit = corrupt.then(|| self.rng.random());
        let delay = self.delay();
        self.touch("packets: corrupted", corrupt);
        self.touch("packets: held back", delay > Duration::ZERO);
        Copy { after: path + delay, turned_bit }
    }

    fn touch(&mut self, how: &'static str, is_touched: bool) {
        if is_touched {
            *self.touched.entry(how).or_default() += 1;
        }
    }

    fn delay(&mut self) -> Duration {
        if !self.rng.random_bool(self.weather.reordering) {
            return Duration::ZERO;
        }
        let longest = u64::try_from(self.weather.held_back_max.as_millis()).unwrap_or(u64::MAX).max(1);
        Duration::from_millis(self.rng.random_range(1..=longest))
    }
}

/// A path that takes longer is not fair. Source: half a second in each direction, and one packet lost,
/// are well within every timeout of the mesh.
pub(crate) const FAIR_DELAY_MAX: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy;

    fn network() -> (Network, IpAddr, IpAddr) {
        let address = |last| IpAddr::from([192, 168, 0, last]);
        (Network::new(entropy::stream(1, "test")), address(1), address(2))
    }

    fn after(delay: Duration) -> Fate {
        Fate::Sent(vec![Copy { after: delay, turned_bit: None }])
    }

    fn at_once() -> Fate {
        after(Duration::ZERO)
    }

    const LEN: usize = 1_200;

    #[test]
    fn a_cut_is_of_one_direction_and_ends() {
        let (mut network, a, b) = network();
        network.cut(a, b);
        assert_eq!((network.fate(a, b, LEN), network.fate(b, a, LEN)), (Fate::Lost, at_once()));
        assert_eq!((network.is_fair(a, b), network.is_fair(b, a)), (false, true));
        network.join();
        assert_eq!(network.fate(a, b, LEN), at_once());
        assert!(network.is_fair(a, b));
    }

    #[test]
    fn a_host_without_power_sends_nothing() {
        let (mut network, a, b) = network();
        network.set_silent(a, true);
        assert_eq!((network.fate(a, b, LEN), network.fate(b, a, LEN)), (Fate::Lost, at_once()));
        network.set_silent(a, false);
        assert_eq!(network.fate(a, b, LEN), at_once());
    }

    #[test]
    fn large_packets_are_swallowed() {
        let (mut network, a, b) = network();
        network.swallow_above(Some(LEN));
        assert_eq!((network.fate(a, b, LEN), network.fate(a, b, LEN + 1)), (at_once(), Fate::Lost));
        network.swallow_above(None);
        assert_eq!(network.fate(a, b, LEN + 1), at_once());
    }

    #[test]
    fn a_slow_path_is_slow_in_one_direction() {
        let (mut network, a, b) = network();
        let delay = Duration::from_millis(300);
        network.set_slow(a, b, delay);
        assert_eq!((network.fate(a, b, LEN), network.fate(b, a, LEN)), (after(delay), at_once()));
        network.hurry();
        assert_eq!(network.fate(a, b, LEN), at_once());
    }

    #[test]
    fn packets_of_a_host_that_holds_still_wait() {
        let (mut network, a, b) = network();
        network.set_still(a, true);
        assert_eq!((network.fate(a, b, LEN), network.fate(b, a, LEN)), (Fate::Held, Fate::Held));
        let mut moving = Box::pin(network.moving(b, a));
        let mut poll = || moving.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
        assert!(poll().is_pending());
        network.set_still(a, false);
        assert!(poll().is_ready());
        assert_eq!(network.fate(a, b, LEN), at_once());
    }

    #[test]
    fn bad_weather_loses_doubles_holds_back_and_corrupts() {
        let (mut network, a, b) = network();
        let held_back_max = Duration::from_millis(50);
        let (loss, duplication, reordering, corruption) = (0.3, 0.3, 0.3, 0.3);
        network.set_weather(Weather { loss, duplication, reordering, held_back_max, corruption });
        let fates: Vec<_> = (0..100).map(|_| network.fate(a, b, LEN)).collect();
        let sent = |wanted: fn(&[Copy]) -> bool| {
            fates.iter().any(|fate| matches!(fate, Fate::Sent(copies) if wanted(copies)))
        };
        assert!(fates.contains(&Fate::Lost));
        assert!(sent(|copies| copies.len() == 2));
        assert!(sent(|copies| copies.iter().any(|copy| copy.after > Duration::ZERO)));
        assert!(sent(|copies| copies.iter().any(|copy| copy.turned_bit.is_some())));
    }
}
