//! The world of a run: what the nodes, the clients and the driver share.
//!
//! It has the faults, a wall clock for each host that advances with the simulation, and a seed; `wire.rs` makes
//! of them what a node is started with. Everything that happens in it is told to one trace and, if it is more than
//! a packet, to the driver as an [`Event`].

use std::collections::BTreeMap;
use std::hash::Hasher;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use rand::Rng;
use rand::rngs::StdRng;
use siphasher::sip::SipHasher13;
use tokio::sync::Notify;
use tokio::time::{Duration, sleep};

use crate::entropy;
use crate::event::Event;
use crate::id::ConnectionId;
use crate::network::{Fate, Network};
use crate::trace::Trace;

/// What all parts of a run share.
pub(crate) struct World {
    seed: u64,
    /// Milliseconds since the start.
    now_ms: AtomicU64,
    /// Datagrams sent so far.
    packets: AtomicU64,
    network: Mutex<Network>,
    /// How far each host's wall clock is ahead of the simulation's, in milliseconds.
    ahead_ms: Mutex<BTreeMap<String, i64>>,
    lateness: Mutex<Lateness>,
    buffers: Mutex<Buffers>,
    /// The faults are over.
    healed: AtomicBool,
    /// Tell the nodes' ends of connections that they are reset.
    resets: Mutex<BTreeMap<ConnectionId, Arc<Notify>>>,
    trace: Mutex<Trace>,
    events: Mutex<Vec<Event>>,
}

impl World {
    /// A world where nothing has happened.
    pub(crate) fn new(seed: u64, trace: Trace) -> Arc<Self> {
        Arc::new(Self {
            seed,
            now_ms: AtomicU64::new(0),
            packets: AtomicU64::new(0),
            network: Mutex::new(Network::new(entropy::stream(seed, "network"))),
            ahead_ms: Mutex::default(),
            lateness: Mutex::new(Lateness { probability: 0.0, rng: entropy::stream(seed, "lateness") }),
            buffers: Mutex::new(Buffers::draw(entropy::stream(seed, "buffers"))),
            healed: AtomicBool::new(false),
            resets: Mutex::default(),
            trace: Mutex::new(trace),
            events: Mutex::default(),
        })
    }

    /// Decides everything.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// Simulated milliseconds since the start.
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms.load(Ordering::Relaxed)
    }

    /// Sets the time, before anything happens at that time.
    pub(crate) fn set_now_ms(&self, now_ms: u64) {
        self.now_ms.store(now_ms, Ordering::Relaxed);
    }

    /// The faults between nodes.
    pub(crate) fn network(&self) -> MutexGuard<'_, Network> {
        self.network.lock().expect(NOT_POISONED)
    }

    /// Sets how far a host's wall clock is ahead.
    pub(crate) fn set_clock(&self, host: &str, ahead_ms: i64) {
        self.ahead_ms.lock().expect(NOT_POISONED).insert(host.to_owned(), ahead_ms);
    }

    /// The Unix milliseconds that a host's wall clock shows.
    pub(crate) fn wall_ms(&self, host: &str) -> u64 {
        let ahead_ms = self.ahead_ms.lock().expect(NOT_POISONED).get(host).copied();
        (EPOCH_MS + self.now_ms()).saturating_add_signed(ahead_ms.unwrap_or_default())
    }

    /// From now on tasks are late with that probability.
    pub(crate) fn set_lateness(&self, probability: f64) {
        self.lateness.lock().expect(NOT_POISONED).probability = probability;
    }

    /// How late a task is now, if it is.
    pub(crate) fn lateness(&self) -> Option<Duration> {
        let mut lateness = self.lateness.lock().expect(NOT_POISONED);
        let Lateness { probability, rng } = &mut *lateness;
        let late = *probability > 0.0 && rng.random_bool(*probability);
        late.then(|| Duration::from_millis(rng.random_range(1..=LATE_MS_MAX)))
    }

    /// The faults are over: there is always room in the buffers of sockets, and clients do what they should.
    pub(crate) fn heal(&self) {
        self.healed.store(true, Ordering::Relaxed);
        self.buffers.lock().expect(NOT_POISONED).probability = 0.0;
    }

    /// Whether the faults are over.
    pub(crate) fn is_healed(&self) -> bool {
        self.healed.load(Ordering::Relaxed)
    }

    /// How much of a write to a client's socket is taken, and for how long nothing is from then
    /// on. `None`: all of it. Of one that meets what the client has said last, mostly a part is taken.
    pub(crate) fn taken_of(&self, len: usize, meets: bool) -> Option<(usize, Duration)> {
        self.buffers.lock().expect(NOT_POISONED).taken_of(len, meets)
    }

    /// How late a client's bytes arrive at the most, if they are.
    pub(crate) fn late(&self, len: usize) -> Option<Duration> {
        self.buffers.lock().expect(NOT_POISONED).late(len)
    }

    /// A client lets go of a socket from which it has not read all: its node's end is reset, which turmoil does
    /// not tell a writer that waits for room.
    pub(crate) fn reset(&self, connection: ConnectionId) {
        self.reset_of(connection).notify_one();
    }

    /// Waits until the client's end of a connection is reset, and the word of it is here.
    pub(crate) fn when_reset(&self, connection: ConnectionId) -> impl Future<Output = ()> + use<> {
        let reset = self.reset_of(connection);
        async move {
            reset.notified().await;
            sleep(RESET_TAKES).await;
        }
    }

    fn reset_of(&self, connection: ConnectionId) -> Arc<Notify> {
        Arc::clone(self.resets.lock().expect(NOT_POISONED).entry(connection).or_default())
    }

    /// What happened so far.
    pub(crate) fn trace(&self) -> MutexGuard<'_, Trace> {
        self.trace.lock().expect(NOT_POISONED)
    }

    /// Something happened.
    pub(crate) fn tell(&self, event: Event) {
        self.trace().add(format!("{} {event:?}", self.now_ms()), false);
        self.events.lock().expect(NOT_POISONED).push(event);
    }

    /// What happened since the last call.
    pub(crate) fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.lock().expect(NOT_POISONED))
    }

    /// How many datagrams were sent so far.
    pub(crate) fn packets(&self) -> u64 {
        self.packets.load(Ordering::Relaxed)
    }

    /// A datagram is sent.
    pub(crate) fn packet(&self, from: SocketAddr, to: SocketAddr, contents: &[u8]) -> Fate {
        let (len, hash) = (contents.len(), hash(contents));
        self.packets.fetch_add(1, Ordering::Relaxed);
        let fate = self.network().fate(from.ip(), to.ip(), len);
        let line = match &fate {
            Fate::Lost => format!("{} {from} > {to} {len} {hash:08x} lost", self.now_ms()),
            Fate::Sent(copies) => format!("{} {from} > {to} {len} {hash:08x} {copies:?}", self.now_ms()),
            Fate::Held => format!("{} {from} > {to} {len} {hash:08x} held", self.now_ms()),
        };
        self.trace().add(line, true);
        fate
    }

    /// A datagram was received.
    pub(crate) fn received(&self, from: SocketAddr, by: SocketAddr, len: usize) {
        self.trace().add(format!("{} {by} < {from} {len}", self.now_ms()), true);
    }
}

/// What stands for the contents of a packet in the trace.
fn hash(contents: &[u8]) -> u32 {
    let mut hasher = SipHasher13::new();
    hasher.write(contents);
    hasher.finish() as u32
}

/// How often tasks are late.
struct Lateness {
    probability: f64,
    rng: StdRng,
}

/// How often the buffer of a node's socket has room for a part only.
struct Buffers {
    probability: f64,
    rng: StdRng,
}

impl Buffers {
    /// In a quarter of the runs there is always room.
    fn draw(mut rng: StdRng) -> Self {
        let probability = if rng.random_bool(0.75) { rng.random_range(0.001..PARTS_MAX) } else { 0.0 };
        Self { probability, rng }
    }

    fn taken_of(&mut self, len: usize, meets: bool) -> Option<(usize, Duration)> {
        let Self { probability, rng } = self;
        if len <= 1 || *probability == 0.0 {
            return None;
        }
        let part = rng.random_bool(if meets { 0.7 } else { *probability });
        // Most of them are read at once, some by a client that is far away, and some who leave read nothing.
        part.then(|| {
            let longest_ms = match rng.random_range(0..100) {
                0..2 => FULL_MS_MAX,
                2..10 => FULL_MS_MAX / 3,
                _ if meets => FULL_MS_MAX,
                _ => FULL_MS_MAX / 100,
            };
            (rng.random_range(1..len), Duration::from_millis(rng.random_range(1..=longest_ms)))
        })
    }

    fn late(&mut self, len: usize) -> Option<Duration> {
        let Self { probability, rng } = self;
        let late = len > 0 && *probability > 0.0 && rng.random_bool(LATE_ARRIVALS);
        late.then(|| Duration::from_millis(rng.random_range(1..=LATE_ARRIVAL_MS_MAX)))
    }
}

/// How long the word of a reset is on its way. Source: the shortest of turmoil's latencies.
const RESET_TAKES: Duration = Duration::from_millis(1);
/// Unix milliseconds when a run starts: the first of January 2026.
pub(crate) const EPOCH_MS: u64 = 1_767_225_600_000;
/// The longest that a task is late, in milliseconds. Guess: a busy machine's scheduler.
const LATE_MS_MAX: u64 = 20;
/// How many of the reads bring what a client has sent later.
const LATE_ARRIVALS: f64 = 0.25;
/// The longest that it is late, in milliseconds. Guess: a packet that is sent again.
pub(crate) const LATE_ARRIVAL_MS_MAX: u64 = 100;
/// How many of the writes are taken in part at most. Guess: one of twenty is far more than in the field.
const PARTS_MAX: f64 = 0.05;
/// The longest that a buffer is full, in milliseconds. Source: longer than a close waits for its socket; a third
/// of it is longer than a push does.
const FULL_MS_MAX: u64 = 4_000;
const NOT_POISONED: &str = "no panic happens under this lock";
