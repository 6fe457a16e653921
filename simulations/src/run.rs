//! One run: the world is made from a seed, the plan is carried out under the eyes of the checkers,
//! then the faults end and everything has to be right again.
//!
//! ```text
//!   safety phase: faults, checkers look on ─► the core heals ─► all of it agree, within a bound,
//!   and stay so ─► the others heal ─► all agree ─► end: all promises are kept
//! ```
//!
//! The core is all nodes but those that ail. In half of the runs nobody does.
//!
//! Each run has a thread of its own, so that what libraries keep for a thread starts over.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use turmoil::{Builder, Sim};

use crate::backend::Backends;
use crate::checkers::{Checkers, Connected, Quiet, Reach, Violation, at_rest, converged};
use crate::client::Clients;
use crate::coverage::Coverage;
use crate::entropy;
use crate::event::{CallId, Event, NodeIndex, PushId, node_name};
use crate::host::{Boot, Command, Hosts};
use crate::network::Weather;
use crate::panics;
use crate::plan::{Ailment, Identity, Plan, Size, Step};
use crate::population::Population;
use crate::steps::Steps;
use crate::trace::Trace;
use crate::world::{EPOCH_MS, World};

mod calls;

/// What to run.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Decides everything.
    pub(crate) seed: u64,
    /// What happens.
    pub(crate) plan: Planned,
    /// Where to write the trace.
    pub(crate) trace: Option<PathBuf>,
}

/// Where the plan of a run comes from.
#[derive(Debug, Clone)]
pub(crate) enum Planned {
    /// It is drawn from the seed, and these of its steps are carried out.
    Drawn(Size, Steps),
    /// It is written down.
    Written(fn() -> Plan),
}

/// What came of a run.
pub(crate) struct Outcome {
    /// What was wrong, if anything.
    pub(crate) verdict: Result<(), Violation>,
    /// The hash of the trace.
    pub(crate) hash: u64,
    /// The lines of the trace.
    pub(crate) lines: u64,
    /// How long it was, in simulated milliseconds.
    pub(crate) simulated_ms: u64,
    /// The last events.
    pub(crate) recent: Vec<String>,
    /// What was met.
    pub(crate) coverage: Coverage,
}

/// Runs a seed in a thread of its own.
///
/// # Errors
/// The trace can not be written, or there is no thread.
pub(crate) fn run(options: Options) -> anyhow::Result<Outcome> {
    let thread = thread::Builder::new().name("run".to_owned()).stack_size(STACK_BYTES);
    let thread = thread.spawn(move || {
        entropy::seed_thread(options.seed);
        let trace = Trace::new(options.trace.as_deref())?;
        let plan = match options.plan {
            Planned::Drawn(size, steps) => {
                let mut plan = Plan::draw(options.seed, size);
                plan.keep(&steps);
                plan
            }
            Planned::Written(plan) => plan(),
        };
        Ok(Run::new(options.seed, plan, trace)?.finish())
    })?;
    thread.join().map_err(|_| {
        let what = panics::take().unwrap_or_default();
        anyhow::anyhow!("the run panicked outside of the nodes: {what}")
    })?
}

/// A run that is going on.
struct Run<'a> {
    sim: Sim<'a>,
    world: Arc<World>,
    hosts: Arc<Hosts>,
    plan: Plan,
    population: Population,
    backends: Arc<Backends>,
    checkers: Checkers,
    reach: Reach,
    coverage: Coverage,
    addresses: Vec<IpAddr>,
    now_ms: u64,
    pushes: PushId,
    calls: CallId,
    /// Nodes whose host does not run.
    down: BTreeSet<NodeIndex>,
    /// Nodes that close their links, and then everything.
    stopping: BTreeSet<NodeIndex>,
    /// How often a node could not go on, and until when whoever watches over it waits before it starts it again.
    given_up: BTreeMap<NodeIndex, (u32, u64)>,
    /// Nodes that do not come back by themselves.
    kept_down: BTreeSet<NodeIndex>,
    /// Nodes that hold still.
    still: BTreeSet<NodeIndex>,
    /// Nodes that do not heal with the others.
    ailing: BTreeMap<NodeIndex, Ailment>,
}

impl Run<'_> {
    fn new(seed: u64, plan: Plan, trace: Trace) -> io::Result<Self> {
        let world = World::new(seed, trace);
        let mut sim = Builder::new()
            .epoch(SystemTime::UNIX_EPOCH + Duration::from_millis(EPOCH_MS))
            .rng_seed(seed)
            .tick_duration(Duration::from_millis(1))
            .simulation_duration(Duration::MAX)
            .min_message_latency(Duration::ZERO)
            .max_message_latency(plan.latency_max)
            .udp_capacity(UDP_PACKETS_MAX)
            .tcp_capacity(plan.settings.tcp_segments)
            .enable_random_order()
            .build();
        let settings = &plan.settings;
        let hosts = Hosts::new(Arc::clone(&world), plan.nodes, settings.clone())?;
        for node in 0..plan.nodes {
            world.set_clock(&node_name(node), plan.skews_ms[node]);
            let hosts = Arc::clone(&hosts);
            sim.host(node_name(node), move || Arc::clone(&hosts).run(node));
        }
        let clients = Clients::new(Arc::clone(&world), settings.clone());
        let (rng, exclusive) =
            (entropy::stream(seed, "population"), settings.takeover.sessions_max().is_some());
        let population = Population::new(Arc::clone(&clients), rng, plan.nodes, exclusive);
        let backends = Backends::new(Arc::clone(&world));
        let calling = Arc::clone(&backends);
        sim.host(CLIENTS, move || {
            let (clients, backends) = (Arc::clone(&clients), Arc::clone(&calling));
            async move {
                tokio::task::spawn_local(backends.run());
                clients.run().await
            }
        });
        let addresses = (0..plan.nodes).map(|node| sim.lookup(node_name(node))).collect();
        let (checkers, mut coverage) = (Checkers::new(settings), Coverage::default());
        coverage.begin(settings, &plan.skews_ms);
        world.tell(Event::Planned(format!("{settings:?}")));
        let (down, stopping, kept_down, still, ailing) = Default::default();
        let (now_ms, pushes, calls, reach) = (0, 0, 0, Reach::default());
        Ok(Self {
            sim,
            world,
            hosts,
            plan,
            population,
            backends,
            checkers,
            reach,
            coverage,
            addresses,
            now_ms,
            pushes,
            calls,
            down,
            stopping,
            given_up: BTreeMap::new(),
            kept_down,
            still,
            ailing,
        })
    }

    fn finish(mut self) -> Outcome {
        let verdict = self.phases();
        for (what, times) in self.checkers.compared().chain([self.reach.compared()]) {
            self.coverage.count(format!("checked: {what}"), times);
        }
        for (how, packets) in self.world.network().touched() {
            self.coverage.count(how, packets);
        }
        let mut trace = self.world.trace();
        let (hash, lines) = (trace.hash(), trace.lines());
        let flushed = trace.flush().map_err(|error| Violation {
            at_ms: self.now_ms,
            checker: "the trace is written",
            what: error.to_string(),
        });
        let recent = trace.recent().map(str::to_owned).collect();
        drop(trace);
        Outcome {
            verdict: verdict.and(flushed),
            hash,
            lines,
            simulated_ms: self.now_ms,
            recent,
            coverage: self.coverage,
        }
    }

    fn phases(&mut self) -> Result<(), Violation> {
        let mut steps = std::mem::take(&mut self.plan.steps).into_iter().peekable();
        while self.now_ms < self.plan.faults_end_ms {
            while let Some((_, due)) = steps.next_if(|(at, _)| *at <= self.now_ms) {
                for step in due {
                    self.step(step);
                }
            }
            self.advance()?;
        }
        self.heal();
        // Whatever else is planned for this moment has healed.
        let late = steps.flat_map(|(_, late)| late).filter(|step| matches!(step, Step::Ail { .. }));
        late.for_each(|step| self.step(step));
        if !self.ailing.is_empty() {
            self.agree()?;
            self.be_quiet()?;
            self.heal();
        }
        self.agree()?;
        self.survey()?;
        self.be_quiet()?;
        self.checkers.end(self.now_ms)
    }

    /// Lets a millisecond pass.
    fn advance(&mut self) -> Result<(), Violation> {
        self.now_ms += 1;
        self.world.set_now_ms(self.now_ms);
        self.population.tick(self.now_ms);
        let due = |node: &&NodeIndex| self.given_up.get(*node).is_none_or(|(_, until)| *until <= self.now_ms);
        for node in self.down.difference(&self.kept_down).filter(due).copied().collect::<Vec<_>>() {
            self.boot(node);
        }
        let stepped = self.sim.step();
        if let Some(panic) = panics::take() {
            self.world.tell(Event::Panicked(panic));
        }
        for event in self.world.take_events() {
            match event {
                Event::Stopping { node } => _ = self.stopping.insert(node),
                Event::Failed { node, .. } => {
                    self.stopping.insert(node);
                    let (times, until) = self.given_up.entry(node).or_default();
                    *until = self.now_ms + (RESTART_AFTER_MS << (*times).min(10)).min(RESTART_AFTER_MAX_MS);
                    *times += 1;
                }
                Event::Stopped { node } => {
                    self.stopping.remove(&node);
                    self.down.insert(node);
                }
                _ => {}
            }
            self.population.event(self.now_ms, &event);
            self.coverage.event(&event);
            self.checkers.event(self.now_ms, &event)?;
            self.reach.event(&event);
        }
        stepped.map_err(|error| Violation {
            at_ms: self.now_ms,
            checker: "every node starts",
            what: error.to_string(),
        })?;
        let boots = self.hosts.boots();
        self.coverage.tick(self.now_ms, &boots);
        self.checkers.tick(self.now_ms, &boots)?;
        self.see_reach(&boots)
    }

    /// Who reaches whom is known only here.
    fn see_reach(&mut self, boots: &[Option<Boot>]) -> Result<(), Violation> {
        let network = self.world.network();
        let out = [&self.down, &self.stopping, &self.kept_down];
        let up = |node| !out.iter().any(|nodes| nodes.contains(&node));
        let reaches = |from: NodeIndex, to: NodeIndex| {
            up(from) && up(to) && network.is_fair(self.addresses[from], self.addresses[to])
        };
        let seen = self.reach.tick(self.now_ms, boots, reaches);
        seen.map_err(|what| Violation { at_ms: self.now_ms, checker: Reach::NAME, what })
    }

    fn step(&mut self, mut step: Step) {
        match &mut step {
            Step::Connect { client, node } => self.population.connect(*client, *node),
            Step::Leave { client, politely } => self.population.leave(*client, *politely),
            Step::Break { client } => self.population.drop_all(*client),
            Step::Push { node, aim } => {
                let Some(boot) = self.boot_of(*node) else { return };
                self.pushes += 1;
                let connected = self.population.settled();
                // A node that stops takes no more.
                let _ = boot.commands.try_send(Command::Push { push: self.pushes, aim: *aim, connected });
            }
            Step::Call { backend, node, ask } => self.call(*backend, *node, ask.clone()),
            Step::Stall { client, for_ms } => self.population.stall(*client, *for_ms),
            Step::Say { client } => self.population.say(*client),
            Step::Blunder { client, blunder } => self.population.blunder(*client, *blunder),
            Step::Weather(weather) => self.world.network().set_weather(*weather),
            Step::Partition(pairs) => {
                for (from, to) in pairs {
                    self.world.network().cut(self.addresses[*from], self.addresses[*to]);
                }
            }
            Step::Join => self.world.network().join(),
            Step::Crash { node } => {
                if self.boot_of(*node).is_none() {
                    return;
                }
                self.crash(*node);
            }
            Step::Stop { node } => {
                let Some(boot) = self.boot_of(*node) else { return };
                self.kept_down.insert(*node);
                // The inbox is far from full: a node reads it at once.
                let _ = boot.commands.try_send(Command::Stop);
            }
            Step::Restart { node, identity } => {
                if !self.kept_down.remove(node) {
                    return;
                }
                *identity = self.come_back_as(*node, *identity);
            }
            Step::Swallow(above) => self.world.network().swallow_above(*above),
            Step::Slow(pairs, delay) => {
                for (from, to) in pairs {
                    self.world.network().set_slow(self.addresses[*from], self.addresses[*to], *delay);
                }
            }
            Step::Hurry => self.world.network().hurry(),
            Step::Pause { node } => {
                if self.boot_of(*node).is_none() || !self.still.insert(*node) {
                    return;
                }
                self.world.network().set_still(self.addresses[*node], true);
                self.sim.hold(node_name(*node), CLIENTS);
                self.world.tell(Event::HeldStill { node: *node });
            }
            Step::Resume { node } => self.go_on(*node),
            Step::Clock { node, ahead_ms } => self.world.set_clock(&node_name(*node), *ahead_ms),
            Step::Late(probability) => self.world.set_lateness(*probability),
            Step::Ail { node, how } => self.ail(*node, *how),
        }
        self.coverage.step(&step);
        let told_otherwise = matches!(
            step,
            Step::Push { .. }
                | Step::Connect { .. }
                | Step::Call { .. }
                | Step::Stall { .. }
                | Step::Say { .. }
                | Step::Blunder { .. }
                | Step::Pause { .. }
                | Step::Resume { .. }
        );
        if !told_otherwise {
            self.world.tell(Event::Planned(format!("{step:?}")));
        }
    }

    fn boot_of(&self, node: NodeIndex) -> Option<Boot> {
        self.hosts.boots()[node].clone()
    }

    /// As whom a node is to come back, and does.
    fn come_back_as(&self, node: NodeIndex, identity: Identity) -> Identity {
        match identity {
            // Only a node that is down has a disk that nobody uses. It may stop just now.
            _ if !self.down.contains(&node) => Identity::Same,
            Identity::Forgotten if !self.hosts.wipe(node).expect("a temporary folder can be removed") => {
                Identity::Same
            }
            Identity::Replaced => {
                self.hosts.replace(node);
                identity
            }
            Identity::Same | Identity::Forgotten => identity,
        }
    }

    /// Something is wrong with a node until all is healed.
    fn ail(&mut self, node: NodeIndex, how: Ailment) {
        self.ailing.insert(node, how);
        match how {
            Ailment::Dead if self.down.contains(&node) => _ = self.kept_down.insert(node),
            Ailment::Dead => self.crash(node),
            Ailment::Cut | Ailment::Deaf | Ailment::Mute | Ailment::Slow(_) => {}
        }
        let (mut network, one) = (self.world.network(), self.addresses[node]);
        for other in self.addresses.iter().copied().filter(|other| *other != one) {
            if matches!(how, Ailment::Cut | Ailment::Deaf) {
                network.cut(other, one);
            }
            if matches!(how, Ailment::Cut | Ailment::Mute) {
                network.cut(one, other);
            }
            if let Ailment::Slow(delay) = how {
                network.set_slow(one, other, delay);
                network.set_slow(other, one, delay);
            }
        }
        drop(network);
        self.population.come_back_to(self.core().into_iter().collect());
    }

    /// The nodes that are to agree.
    fn core(&self) -> BTreeSet<NodeIndex> {
        let parted = |node: &NodeIndex| self.ailing.get(node).is_some_and(|how| how.parts());
        (0..self.plan.nodes).filter(|node| !parted(node)).collect()
    }

    /// What the core is to agree about: the boots of its nodes, and the connections there.
    fn in_core(&self) -> (Vec<Option<Boot>>, Connected) {
        let (core, mut boots, mut connected) = (self.core(), self.hosts.boots(), self.population.connected());
        for (node, boot) in boots.iter_mut().enumerate() {
            boot.take_if(|_| !core.contains(&node));
        }
        for connections in connected.values_mut() {
            connections.retain(|_, node| core.contains(node));
        }
        connected.retain(|_, connections| !connections.is_empty());
        (boots, connected)
    }

    fn go_on(&mut self, node: NodeIndex) {
        if self.still.remove(&node) {
            self.world.network().set_still(self.addresses[node], false);
            self.sim.release(node_name(node), CLIENTS);
            self.world.tell(Event::WentOn { node });
        }
    }

    /// Takes a node's power. Destructors run all the same: what they send goes nowhere.
    fn crash(&mut self, node: NodeIndex) {
        self.go_on(node);
        self.world.network().set_silent(self.addresses[node], true);
        self.sim.partition(node_name(node), CLIENTS);
        self.sim.crash(node_name(node));
        self.hosts.gone(node);
        self.stopping.remove(&node);
        self.down.insert(node);
        self.kept_down.insert(node);
        self.world.tell(Event::Crashed { node });
    }

    fn boot(&mut self, node: NodeIndex) {
        self.world.network().set_silent(self.addresses[node], false);
        self.sim.repair(node_name(node), CLIENTS);
        self.sim.bounce(node_name(node));
        self.down.remove(&node);
    }

    /// Nothing happens for a while, and then nothing has been transferred.
    fn be_quiet(&mut self) -> Result<(), Violation> {
        // What was promised last is on its way, and what was replaced is swept.
        for _ in 0..SETTLE_MS {
            self.advance()?;
        }
        let (quiet, packets) = (Quiet::begin(&self.in_core().0), self.world.packets());
        for _ in 0..1_000 * QUIET_SECONDS {
            self.advance()?;
        }
        let packets = self.world.packets() - packets;
        let (boots, connected) = self.in_core();
        let quiet = quiet.check(&boots, packets, QUIET_SECONDS).map_err(|what| {
            let checker = "without work only digests and heartbeats are on the wire";
            Violation { at_ms: self.now_ms, checker, what }
        });
        quiet?;
        at_rest(&boots, &connected).map_err(|what| {
            let checker = "without work nobody holds anything but connections";
            Violation { at_ms: self.now_ms, checker, what }
        })
    }

    /// Ends all faults, and all that ails.
    fn heal(&mut self) {
        self.world.empty_buffers();
        self.world.network().set_weather(Weather::FAIR);
        self.world.network().join();
        self.world.network().swallow_above(None);
        self.world.network().hurry();
        self.world.set_lateness(0.0);
        for node in self.still.clone() {
            self.go_on(node);
        }
        self.kept_down.clear();
        self.ailing.clear();
        self.population.come_back_to((0..self.plan.nodes).collect());
        self.world.tell(Event::Planned("Heal".to_owned()));
    }

    /// Waits until the core agrees, and sees whether they stay so.
    fn agree(&mut self) -> Result<(), Violation> {
        let until = self.now_ms + AGREE_MS_MAX;
        let mut agreed = 0;
        loop {
            for _ in 0..AGREE_EVERY_MS {
                self.advance()?;
            }
            let agree = self.population.content();
            let (boots, connected) = self.in_core();
            let agree = agree.and_then(|()| converged(&self.core(), &boots, &connected));
            agreed = if agree.is_ok() { agreed + AGREE_EVERY_MS } else { 0 };
            if agreed >= STAY_MS {
                return Ok(());
            }
            if let Err(what) = agree
                && self.now_ms >= until
            {
                let checker = "all nodes and clients agree within a bound after the faults";
                return Err(Violation { at_ms: self.now_ms, checker, what });
            }
        }
    }
}

/// The host of all clients.
const CLIENTS: &str = "clients";
/// How long nodes and clients have to agree after the faults, in milliseconds. Arithmetic: a stop in
/// good order (30 s at most), a boot that waits for sections, some dials that back off.
const AGREE_MS_MAX: u64 = 60_000;
/// Time between two looks at whether all agree, in milliseconds: they cost more than the run itself.
const AGREE_EVERY_MS: u64 = 50;
/// How long they have to stay so, in milliseconds. Source: longer than any timer of the directory, and than
/// a link is silent until the side that still believes in it doubts its peer.
const STAY_MS: u64 = 4_000;
/// How long frames may be on their way at the end, and what was replaced waits to be swept, in
/// milliseconds. Arithmetic: a link that lost against its twin is closed after 5 s, and nodes sweep
/// every 2 s.
const SETTLE_MS: u64 = 8_000;
/// How long nothing happens at the end. Source: five digests of each node.
const QUIET_SECONDS: u64 = 10;
/// Datagrams that wait at one host. Source: 64 are not enough for quinn's bursts.
const UDP_PACKETS_MAX: usize = 65_536;
/// Stack of a run: debug builds nest deep futures.
const STACK_BYTES: usize = 64 << 20;
/// How long a process that ended with an error is left alone, the first time; then twice as long each time. Source: what
/// supervisors do, such as systemd (100 ms) and Kubernetes (doubling).
const RESTART_AFTER_MS: u64 = 100;
/// At most. Guess: far below what Kubernetes waits, so that a run sees the end of it.
const RESTART_AFTER_MAX_MS: u64 = 3_200;
