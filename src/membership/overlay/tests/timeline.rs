//! The overlay against a modelled network that loses a fifth of all datagrams: how soon a death is
//! known, and that nobody alive is called dead. The timers are the defaults; a seed decides the rest.

use super::*;

/// Loss of the modelled network, in percent. Source: the goal of the design.
const LOSS: u64 = 20;
/// From a kill until everybody knows. Source: the goal, 7 s, less what a loaded machine adds.
const HIDDEN_WITHIN: Duration = Duration::from_millis(6_600);
const STEP: Duration = Duration::from_millis(50);
/// When QUIC gives a link up: its timer starts with what is sent last without an answer.
const LINK_CLOSES: Duration = Duration::from_millis(5_500);

/// One peer, watched over a link and through a third node.
struct Network {
    world: World,
    seed: u64,
    /// The last packet that arrived, and the same as a tick saw it.
    arrived: Duration,
    heard: Duration,
    /// The peer's own count, what the third node knows of it, and what is known here.
    beats: [u64; 3],
    linked: bool,
    /// The dial that is going on, and when it began.
    dialling: Option<Duration>,
}

impl Network {
    fn new(seed: u64) -> Self {
        let mut world = World::with_peer(Alive);
        // The two gossip loops and the ticks of this node are not in step.
        world.now += Duration::from_millis(seed % 200);
        let now = world.now;
        Self { world, seed: seed + 1, arrived: now, heard: now, beats: [1; 3], linked: true, dialling: None }
    }

    /// A number below `bound`, by the steps of Knuth's MMIX generator.
    fn random(&mut self, bound: u64) -> u64 {
        let next = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.seed = next;
        (next >> 33) % bound
    }

    fn arrives(&mut self) -> bool {
        self.random(100) >= LOSS
    }

    /// One step of the network and, in every fourth, of the overlay.
    fn step(&mut self, number: u64, alive: bool) -> Vec<Change> {
        self.world.now += STEP;
        let now = self.world.now;
        if number.is_multiple_of(10) {
            self.gossip(alive, now);
        }
        if self.linked && now - self.arrived >= LINK_CLOSES {
            self.linked = false;
            let changes = self.world.see(link_down());
            assert_eq!(changes, [], "the silence was noticed before");
        }
        let mut changes = self.dial(alive, now);
        if number.is_multiple_of(4) {
            changes.extend(self.tick(now));
        }
        changes
    }

    /// A round of gossip between this node, the peer and the third node.
    fn gossip(&mut self, alive: bool, now: Duration) {
        if alive {
            self.beats[0] += 1;
            if self.arrives() {
                self.beats[1] = self.beats[0];
            }
            // The peer's own round, and its answer to ours.
            if self.linked && (self.arrives() || self.arrives() && self.arrives()) {
                self.arrived = now;
                self.beats[2] = self.beats[0];
            }
        }
        if self.arrives() {
            self.beats[2] = self.beats[2].max(self.beats[1]);
        }
    }

    fn dial(&mut self, alive: bool, now: Duration) -> Vec<Change> {
        let Some(began) = self.dialling else { return Vec::new() };
        // Three attempts of a handshake, each of four datagrams.
        if alive && (0..12).all(|_| self.arrives()) {
            (self.dialling, self.linked, self.arrived, self.heard) = (None, true, now, now);
            return self.world.see(link_up(BOOT));
        }
        if now - began >= limits::DIAL_TIMEOUT {
            self.dialling = None;
            return self.world.see(dial_failed());
        }
        Vec::new()
    }

    fn tick(&mut self, now: Duration) -> Vec<Change> {
        // chitchat's own verdict comes many seconds later.
        let mut changes = self.world.see(Observation::Gossip(view(BOOT, true, self.beats[2])));
        if self.linked {
            // A link knows when it was heard to the accuracy of a tick.
            if self.arrived > self.heard {
                (self.arrived, self.heard) = (now, now);
            }
            changes.extend(self.world.heard(self.heard));
        }
        changes.extend(self.world.pass(Duration::ZERO));
        if self.dialling.is_none() && self.world.overlay.unheard().count() > 0 {
            self.dialling = Some(now);
        }
        changes
    }
}

#[test]
fn a_fifth_of_all_datagrams_lost_makes_nobody_dead() {
    for seed in 0..20 {
        let mut network = Network::new(seed);
        for number in 0..20 * 60 * 20 {
            let changes = network.step(number, true);
            assert!(changes.iter().all(|change| change.to != Dead), "seed {seed}: {changes:?}");
        }
    }
}

#[test]
fn a_kill_is_known_in_time_though_a_fifth_of_all_datagrams_is_lost() {
    for seed in 0..500 {
        let mut network = Network::new(seed);
        let alive_for = 200 + network.random(40);
        for number in 0..alive_for {
            network.step(number, true);
        }
        let killed = network.world.now;
        let mut number = alive_for;
        while network.world.state() != Some(Dead) {
            network.step(number, false);
            number += 1;
            let took = network.world.now - killed;
            assert!(took <= HIDDEN_WITHIN, "seed {seed}: still {:?} after {took:?}", network.world.state());
        }
    }
}
