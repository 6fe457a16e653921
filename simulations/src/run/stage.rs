//! The stage of a run: its nodes, clients and network, those who look on, and how a millisecond passes.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use turmoil::{Builder, Sim};

use crate::backend::Backends;
use crate::checkers::{Checkers, Reach};
use crate::client::Clients;
use crate::coverage::Coverage;
use crate::decision::Decision;
use crate::event::{Connected, Event};
use crate::host::{Boot, Hosts};
use crate::id::{CallId, NodeIndex, PushId, node_name};
use crate::plan::{Ailment, Plan};
use crate::population::Population;
use crate::trace::Trace;
use crate::violation::Violation;
use crate::world::{EPOCH_MS, World};
use crate::{entropy, log, panics};

/// A run that is going on.
pub(super) struct Run<'a> {
    /// The simulation of turmoil.
    pub(super) sim: Sim<'a>,
    /// What all parts share.
    pub(super) world: Arc<World>,
    /// The nodes.
    pub(super) hosts: Arc<Hosts>,
    /// What happens.
    pub(super) plan: Plan,
    /// What the clients want.
    pub(super) population: Population,
    /// Who calls over HTTP.
    pub(super) backends: Arc<Backends>,
    /// Who looks on.
    pub(super) checkers: Checkers,
    /// Who has to reach whom.
    pub(super) reach: Reach,
    /// What was met.
    pub(super) coverage: Coverage,
    /// Of the nodes.
    pub(super) addresses: Vec<IpAddr>,
    /// Simulated milliseconds since the start.
    pub(super) now_ms: u64,
    /// How many were made.
    pub(super) pushes: PushId,
    /// How many were made.
    pub(super) calls: CallId,
    /// Nodes whose host does not run.
    pub(super) down: BTreeSet<NodeIndex>,
    /// Nodes that close their links, and then everything.
    pub(super) stopping: BTreeSet<NodeIndex>,
    /// How often a node could not go on, and until when whoever watches over it waits before it starts it again.
    pub(super) given_up: BTreeMap<NodeIndex, (u32, u64)>,
    /// Nodes that do not come back by themselves.
    pub(super) kept_down: BTreeSet<NodeIndex>,
    /// Nodes that hold still.
    pub(super) still: BTreeSet<NodeIndex>,
    /// Nodes that do not heal with the others.
    pub(super) ailing: BTreeMap<NodeIndex, Ailment>,
}

impl Run<'_> {
    /// The stage of a run, before anything has happened.
    ///
    /// # Errors
    /// There is no place for disks.
    pub(super) fn new(seed: u64, plan: Plan, trace: Trace) -> io::Result<Self> {
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

    /// Lets a millisecond pass.
    pub(super) fn advance(&mut self) -> Result<(), Violation> {
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
        let decided = log::take().into_iter().map(|(by, decision)| Event::Decided { by, decision });
        // What comes late of a segment is written once that is sealed, often in the same millisecond.
        let leads = |event: &Event| matches!(event, Event::Decided { decision: Decision::Sealed { .. }, .. });
        let (sealed, decided): (Vec<_>, Vec<_>) = decided.partition(leads);
        for event in sealed.into_iter().chain(self.world.take_events()).chain(decided) {
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
                Event::BeginsAgain { node } => _ = self.stopping.remove(&node),
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
        self.see_paths(&boots)
    }

    /// Who reaches whom is known only here.
    fn see_paths(&mut self, boots: &[Option<Boot>]) -> Result<(), Violation> {
        let network = self.world.network();
        let runs = |node| !self.down.contains(&node);
        let through = |from: NodeIndex, to: NodeIndex| {
            runs(from) && runs(to) && network.is_fair(self.addresses[from], self.addresses[to])
        };
        // Whoever is told to stop is to stay down.
        let up = |node| !(self.stopping.contains(&node) || self.kept_down.contains(&node));
        if self.now_ms.is_multiple_of(PATHS_EVERY_MS) {
            self.checkers.paths(self.now_ms, self.plan.nodes, &through, &up);
        }
        let reaches = |from: NodeIndex, to: NodeIndex| up(from) && up(to) && through(from, to);
        let seen = self.reach.tick(self.now_ms, boots, reaches);
        seen.map_err(|what| Violation { at_ms: self.now_ms, checker: Reach::NAME, what })
    }

    /// The boot of a node that runs.
    pub(super) fn boot_of(&self, node: NodeIndex) -> Option<Boot> {
        self.hosts.boots()[node].clone()
    }

    /// The nodes that are to agree.
    pub(super) fn core(&self) -> BTreeSet<NodeIndex> {
        let parted = |node: &NodeIndex| self.ailing.get(node).is_some_and(|how| how.parts());
        (0..self.plan.nodes).filter(|node| !parted(node)).collect()
    }

    /// What the core is to agree about: the boots of its nodes, and the connections there.
    pub(super) fn in_core(&self) -> (Vec<Option<Boot>>, Connected) {
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

    /// A node that holds still goes on.
    pub(super) fn go_on(&mut self, node: NodeIndex) {
        if self.still.remove(&node) {
            self.world.network().set_still(self.addresses[node], false);
            self.sim.release(node_name(node), CLIENTS);
            self.world.tell(Event::WentOn { node });
        }
    }

    /// Takes a node's power. Destructors run all the same: what they send goes nowhere.
    pub(super) fn crash(&mut self, node: NodeIndex) {
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

    /// A node that is down gets its power back.
    pub(super) fn boot(&mut self, node: NodeIndex) {
        self.world.network().set_silent(self.addresses[node], false);
        self.sim.repair(node_name(node), CLIENTS);
        self.sim.bounce(node_name(node));
        self.down.remove(&node);
    }
}

/// The host of all clients.
pub(super) const CLIENTS: &str = "clients";
/// Datagrams that wait at one host. Source: 64 are not enough for quinn's bursts.
const UDP_PACKETS_MAX: usize = 65_536;
/// How long a process that ended with an error is left alone, the first time; then twice as long each time. Source: what
/// supervisors do, such as systemd (100 ms) and Kubernetes (doubling).
const RESTART_AFTER_MS: u64 = 100;
/// At most. Guess: far below what Kubernetes waits, so that a run sees the end of it.
const RESTART_AFTER_MAX_MS: u64 = 3_200;
/// Time between two looks at all paths, in milliseconds. Source: a cut that is shorter harms nobody.
const PATHS_EVERY_MS: u64 = 100;
