//! The cluster of the fast level: all boots, what is on its way between them, and the loop.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use pushmesh::NodeName;
use pushmesh::config::Tuning;
use pushmesh::id::{Incarnation, Stamp};
use pushmesh::internals::{
    Digest, Digests, Key, KeyHasher, MemberState, Overlay, OverlayTimers, Owned, Position, Replica, Returned,
    Roster, Subscribe, decide_incarnation,
};
use rand::Rng;
use rand::rngs::StdRng;

use crate::entropy;
use crate::id::{NodeIndex, node_name};
use crate::model::boot::{Boot, BootId, LinkId, StreamId};
use crate::model::gossip::{GossipId, Heartbeats, Table};
use crate::model::history::History;
use crate::model::network::Network;
use crate::model::plan::{Plan, Step};
use crate::model::queue::Queue;
use crate::model::replication::Frame;
use crate::model::sessions::{Asker, Client};
use crate::network::Weather;
use crate::violation::Violation;

/// Something that is due.
pub(super) enum Event {
    /// The plan goes on.
    Step(usize),
    /// A node boots because it was superseded.
    Reboot(NodeIndex),
    /// A boot judges its members.
    Round(BootId),
    /// It sends keep-alives.
    KeepAlive(BootId),
    /// It gossips.
    Gossip(BootId),
    /// It compares digests.
    Compare(BootId),
    /// Its dial came to an end.
    Dialled { boot: BootId, to: NodeIndex, open: bool },
    /// A message arrives.
    Deliver(Box<Delivery>),
    /// A stream that a boot takes broke.
    Broken { boot: BootId, stream: StreamId },
    /// A stream that ended is subscribed to again.
    Resubscribe { boot: BootId, peer: NodeIndex, link: LinkId },
    /// A subscriber is sent what it lacks.
    Pump { boot: BootId, stream: StreamId },
    /// A session that was superseded is released.
    Release { boot: BootId, key: Key, stamp: Stamp },
    /// A client has waited for the end of its earlier session for long enough.
    Claims { boot: BootId, number: u64 },
    /// A dispute is looked at again.
    Disputed { boot: BootId, key: Key, stamp: Stamp, doubt: Option<Owned> },
    /// A boot that left closes its links.
    Farewell(BootId),
}

/// A message on its way.
pub(super) struct Delivery {
    from: BootId,
    from_node: NodeIndex,
    to: BootId,
    link: LinkId,
    message: Message,
}

/// What nodes say to each other.
#[derive(Debug, Clone)]
pub(super) enum Message {
    /// Heartbeats; answered.
    Gossip(Table),
    /// The answer.
    GossipBack(Table),
    /// A stream of a section begins.
    Subscribe { stream: StreamId, subscribe: Subscribe },
    /// A part of it.
    Frame { stream: StreamId, frame: Frame },
    /// Nobody reads that stream.
    Stop { stream: StreamId },
    /// Digests.
    Question { number: u64, digests: Digests },
    /// The news about them.
    Answer { number: u64, news: Vec<(NodeName, Digest)> },
    /// The session ends, if it is below that stamp. With a number it is answered. What the client has proven is for the
    /// checkers.
    Yield { key: Key, below: Stamp, number: u64, proven: Option<Stamp> },
    /// It has ended, or who is to be asked next.
    Yielded { number: u64, next: Option<NodeIndex> },
    /// Is the session there that was claimed with that stamp?
    Confirm { key: Key, stamp: Stamp, asker: Asker },
    /// Whether it is.
    Confirmed { key: Key, stamp: Stamp, asker: Asker, stands: bool },
    /// The sender left.
    Goodbye,
}

/// What is known of a node beyond its boots.
pub(super) struct Machine {
    /// Its process, if there is one.
    pub(super) boot: Option<BootId>,
    /// Until when it stands still.
    pub(super) asleep_until: Duration,
    /// What its disk says, if it has one.
    persisted: Option<Incarnation>,
    /// How far its wall clock is ahead of the start of the simulation, in milliseconds.
    clock_ms: u64,
    /// The incarnation of its last boot.
    last: Option<Incarnation>,
    /// It was superseded, and starts again in a moment.
    pub(super) reboots: bool,
    /// At the next boot the wall clock shows what it showed at the last one.
    repeats: bool,
}

/// A cluster that runs.
pub(super) struct Cluster {
    pub(super) plan: Plan,
    pub(super) now: Duration,
    pub(super) queue: Queue<Event>,
    pub(super) network: Network,
    /// Choices at run time.
    pub(super) choice: StdRng,
    pub(super) names: Vec<NodeName>,
    pub(super) machines: Vec<Machine>,
    pub(super) boots: Vec<Option<Box<Boot>>>,
    /// Who has which number in gossip.
    pub(super) identities: Vec<(NodeIndex, Incarnation)>,
    pub(super) clients: Vec<Client>,
    pub(super) history: History,
    /// What was met, and how often.
    pub(super) cases: BTreeMap<&'static str, u64>,
    pub(super) links: LinkId,
    pub(super) streams: StreamId,
    /// Deltas, snapshots and subscriptions of sections whose owner runs.
    pub(super) transfers: u64,
    /// The faults are over.
    pub(super) healed: bool,
    /// Messages that wait for the end of a cut.
    held: Vec<Delivery>,
    pub(super) failure: Option<Violation>,
    /// Follows everything that happens.
    pub(super) hash: u64,
    /// What happened, if it is to be told.
    pub(super) lines: Option<Vec<String>>,
}

impl Cluster {
    /// The cluster of a plan, before anything has happened.
    pub(super) fn new(seed: u64, plan: Plan, told: bool) -> Self {
        let network = Network::new(plan.nodes, plan.latency, entropy::stream(seed, "fast network"));
        let machines = plan.skews_ms.iter().map(|skew| Machine {
            boot: None,
            asleep_until: Duration::ZERO,
            persisted: None,
            clock_ms: EPOCH_MS + skew,
            last: None,
            reboots: false,
            repeats: false,
        });
        let names = (0..plan.nodes).map(|node| NodeName::new(node_name(node)).expect("it is a name"));
        let mut queue = Queue::new();
        for (index, (at, _)) in plan.steps.iter().enumerate() {
            queue.put(*at, Event::Step(index));
        }
        Self {
            now: Duration::ZERO,
            queue,
            network,
            choice: entropy::stream(seed, "fast choice"),
            names: names.collect(),
            machines: machines.collect(),
            clients: Client::all(plan.users),
            plan,
            boots: Vec::new(),
            identities: Vec::new(),
            history: History::default(),
            cases: BTreeMap::new(),
            links: 0,
            streams: 0,
            transfers: 0,
            healed: false,
            held: Vec::new(),
            failure: None,
            hash: seed,
            lines: told.then(Vec::new),
        }
    }

    /// Lets everything happen that is due until then, or until something is wrong.
    pub(super) fn run_until(&mut self, until: Duration) {
        while self.failure.is_none()
            && let Some((at, event)) = self.queue.next(until)
        {
            debug_assert!(at >= self.now, "time does not go back");
            self.now = at;
            self.happen(event);
        }
        self.now = self.now.max(until);
    }

    fn happen(&mut self, event: Event) {
        let boot = match &event {
            Event::Step(index) => {
                let step = self.plan.steps[*index].1.clone();
                return self.step(step);
            }
            Event::Reboot(node) => {
                self.machines[*node].reboots = false;
                return self.boot(*node);
            }
            Event::Round(boot)
            | Event::KeepAlive(boot)
            | Event::Gossip(boot)
            | Event::Compare(boot)
            | Event::Farewell(boot)
            | Event::Dialled { boot, .. }
            | Event::Broken { boot, .. }
            | Event::Resubscribe { boot, .. }
            | Event::Pump { boot, .. }
            | Event::Release { boot, .. }
            | Event::Claims { boot, .. }
            | Event::Disputed { boot, .. } => *boot,
            Event::Deliver(delivery) => delivery.to,
        };
        // It is out of its place while it works, so that it and the rest can be changed.
        let Some(mut working) = self.boots[boot].take() else { return };
        let wakes = self.machines[working.node].asleep_until;
        if wakes > self.now {
            self.queue.put(wakes, event);
            self.boots[boot] = Some(working);
            return;
        }
        self.mark(boot, &event);
        let stays = self.work(&mut working, event);
        if stays && working.overlay.self_superseded_by().is_none() {
            self.boots[boot] = Some(working);
            return;
        }
        let node = working.node;
        self.machines[node].boot = None;
        if !working.left {
            self.machines[node].reboots = true;
            self.tell(|_| format!("{} was superseded", node_name(node)));
            self.count("member: superseded itself, starts again");
            let pause = Duration::from_millis(self.choice.random_range(200..1_500));
            self.queue.put(self.now + pause, Event::Reboot(node));
        }
    }

    /// Does what is due for a boot. `false`: the process ends by it.
    fn work(&mut self, boot: &mut Boot, event: Event) -> bool {
        let id = boot.id;
        match event {
            Event::Step(_) | Event::Reboot(_) => {}
            Event::Round(_) => {
                self.round(boot);
                self.queue.put(self.now + pushmesh::limits::OVERLAY_TICK, Event::Round(id));
            }
            Event::KeepAlive(_) => {
                self.keep_alive(boot);
                self.queue.put(self.now + pushmesh::limits::LINK_KEEP_ALIVE, Event::KeepAlive(id));
            }
            Event::Gossip(_) => {
                self.gossip(boot);
                self.queue.put(self.now + pushmesh::limits::GOSSIP_INTERVAL, Event::Gossip(id));
            }
            Event::Compare(_) => {
                self.compare(boot);
                self.queue.put(self.now + pushmesh::limits::DIGEST_INTERVAL, Event::Compare(id));
            }
            Event::Dialled { to, open, .. } => return self.dialled(boot, to, open),
            Event::Broken { stream, .. } => self.broken(boot, stream),
            Event::Resubscribe { peer, link, .. } => {
                let link = boot.links.get(&peer).filter(|held| held.id == link);
                if let Some(incarnation) = link.map(|link| link.incarnation) {
                    self.subscribe(boot, peer, peer, incarnation, true);
                }
            }
            Event::Pump { stream, .. } => self.pump(boot, stream),
            Event::Release { key, stamp, .. } => self.release(boot, key, stamp),
            Event::Claims { number, .. } => self.claims(boot, number),
            Event::Disputed { key, stamp, doubt, .. } => self.disputed(boot, key, stamp, doubt),
            Event::Farewell(_) => {
                let peers: Vec<_> = boot.links.keys().copied().collect();
                peers.into_iter().for_each(|peer| self.send(boot, peer, Message::Goodbye));
                return false;
            }
            Event::Deliver(delivery) => self.receive(boot, *delivery),
        }
        true
    }

    fn receive(&mut self, boot: &mut Boot, delivery: Delivery) {
        let reliable = !matches!(delivery.message, Message::Gossip(_) | Message::GossipBack(_));
        if !self.network.is_open(delivery.from_node, boot.node) {
            if reliable {
                self.held.push(delivery);
            }
            return;
        }
        let Delivery { from_node: from, link, message, .. } = delivery;
        let now = self.now;
        let Some(held) = boot.links.get_mut(&from).filter(|held| held.id == link) else { return };
        held.hear(now, now);
        match message {
            Message::Gossip(table) => {
                boot.heard.merge(now, self.plan.bounds.gossip_lost_after, &table);
                // In a small cluster everybody is told in each round, so that answers would only cost time.
                if self.plan.nodes > GOSSIP_ANSWERED_ABOVE {
                    let table = boot.heard.table();
                    self.send(boot, from, Message::GossipBack(table));
                }
            }
            Message::GossipBack(table) => boot.heard.merge(now, self.plan.bounds.gossip_lost_after, &table),
            Message::Subscribe { stream, subscribe } => {
                self.subscribed(boot, from, link, stream, subscribe);
            }
            Message::Frame { stream, frame } => self.take(boot, from, stream, frame),
            Message::Stop { stream } => _ = boot.servers.remove(&stream),
            Message::Question { number, digests } => self.answer(boot, from, number, &digests),
            Message::Answer { number, news } => self.answered(boot, from, number, &news),
            Message::Yield { key, below, number, proven } => {
                self.yields(boot, from, (key, below, number), proven);
            }
            Message::Yielded { number, next } => self.yielded(boot, number, next),
            Message::Confirm { key, stamp, asker } => self.confirm(boot, from, key, stamp, asker),
            Message::Confirmed { key, stamp, asker, stands } => {
                self.confirmed(boot, from, (key, stamp, stands), asker);
            }
            Message::Goodbye => self.link_down(boot, from, true),
        }
    }

    /// Sends a message over the link to a peer, if there is one.
    pub(super) fn send(&mut self, boot: &mut Boot, to: NodeIndex, message: Message) {
        let Some(link) = boot.links.get(&to) else { return };
        let (peer, link) = (link.peer, link.id);
        let (mut delay, loses) = (self.network.delay(), self.network.loses());
        let doubles = self.network.doubles();
        if matches!(message, Message::Gossip(_) | Message::GossipBack(_)) {
            if doubles {
                let second = self.now + self.network.delay();
                self.deliver(second, boot, peer, link, message.clone());
            }
            if loses {
                return;
            }
        } else if loses {
            delay += RETRANSMISSION;
        }
        self.deliver(self.now + delay, boot, peer, link, message);
    }

    /// A message arrives at that time.
    pub(super) fn deliver(&mut self, at: Duration, boot: &Boot, to: BootId, link: LinkId, message: Message) {
        let delivery = Delivery { from: boot.id, from_node: boot.node, to, link, message };
        self.queue.put(at, Event::Deliver(Box::new(delivery)));
    }

    fn step(&mut self, step: Step) {
        self.tell(|_| format!("{step:?}"));
        match step {
            Step::Open { user, device, node, token } => self.open(user, device, node, token),
            Step::Close { user, device } => self.close(user, device),
            Step::Weather(weather) => {
                self.count("fault: weather");
                self.network.set_weather(weather);
            }
            Step::Cut(pairs) => {
                self.count("fault: cut");
                self.network.cut(&pairs);
            }
            Step::Join => self.join(),
            Step::Crash { node } => {
                if let Some(boot) = self.machines[node].boot.take() {
                    self.count("fault: crash");
                    self.boots[boot] = None;
                }
            }
            Step::Leave { node } => self.leave(node),
            Step::Boot { node } => self.boot(node),
            Step::SetBack { node, by_ms } => {
                self.count("fault: clock set back");
                let machine = &mut self.machines[node];
                match by_ms {
                    Some(by_ms) => machine.clock_ms -= by_ms,
                    None => machine.repeats = true,
                }
            }
            Step::Corrupt { node, owner } => self.corrupt(node, owner),
            Step::Sleep { node, time } => {
                self.count("fault: node slept");
                let until = self.now + time;
                self.machines[node].asleep_until = until;
                self.network.is_away(node, until);
            }
        }
    }

    fn join(&mut self) {
        self.network.join(self.now);
        // At once, so that nothing that is on its way overtakes them.
        for delivery in std::mem::take(&mut self.held) {
            if self.boots[delivery.from].is_some() {
                self.happen(Event::Deliver(Box::new(delivery)));
            }
        }
    }

    fn leave(&mut self, node: NodeIndex) {
        let Some(id) = self.running(node) else { return };
        let Some(mut boot) = self.boots[id].take() else { return };
        self.count("fault: stop in good order");
        boot.left = true;
        for (key, session) in std::mem::take(&mut boot.sessions) {
            self.release(&mut boot, key, session.stamp);
        }
        let pause = Duration::from_millis(self.choice.random_range(100..1_000));
        self.queue.put(self.now + pause, Event::Farewell(id));
        self.boots[id] = Some(boot);
    }

    /// Makes a copy wrong: it lacks a row, and is ahead of its owner.
    fn corrupt(&mut self, node: NodeIndex, owner: NodeIndex) {
        let name = self.names[owner].clone();
        let Some(boot) = self.running(node).and_then(|id| self.boots[id].as_deref_mut()) else { return };
        let Some(head) = boot.replica.head(&name) else { return };
        let Some(mut entries) = boot.replica.chunk(&name, None, usize::MAX) else { return };
        let Position { incarnation, version } = head.digest.position;
        let position = Position { incarnation, version: version + self.choice.random_range(1..4) };
        entries.pop();
        let hash = entries.iter().fold(0, |hash, entry| hash ^ entry.claim.hash(&entry.key));
        if let Ok(Some(mut snapshot)) = boot.replica.begin(&name, position) {
            snapshot.fill(&entries);
            let ended = snapshot.end(Digest { position, hash }, entries.len() as u64);
            self.history.forge(owner, incarnation);
            if ended.is_ok() {
                self.count("fault: copy made wrong");
            }
        }
    }

    /// Boots a node, if it does not run.
    pub(super) fn boot(&mut self, node: NodeIndex) {
        if self.machines[node].boot.is_some() {
            return;
        }
        let known = self.probe(node);
        let machine = &mut self.machines[node];
        let repeated = machine.last.filter(|_| std::mem::take(&mut machine.repeats));
        let wall_ms = repeated.map_or(machine.clock_ms + self.now.as_millis() as u64, |last| last.0);
        machine.clock_ms = wall_ms - self.now.as_millis() as u64;
        let incarnation = decide_incarnation(wall_ms, machine.persisted, known);
        let last = machine.last.replace(incarnation);
        machine.persisted = self.plan.data_dirs[node].then_some(incarnation);
        let id = self.boots.len();
        machine.boot = Some(id);
        if last.is_some_and(|last| incarnation < last) {
            self.count("member: booted under a lower incarnation");
        }
        if last == Some(incarnation) {
            self.count("member: booted under a used incarnation");
        }
        let boot = self.new_boot(id, node, incarnation);
        self.tell(|_| format!("{} boots as {incarnation}", node_name(node)));
        self.history.begin(id, node, incarnation);
        self.network.is_away(node, self.now);
        self.boots.push(Some(Box::new(boot)));
        let mut soon = |event, period: Duration| {
            let phase = Duration::from_micros(self.choice.random_range(0..period.as_micros() as u64));
            self.queue.put(self.now + phase, event);
        };
        soon(Event::Round(id), pushmesh::limits::OVERLAY_TICK);
        soon(Event::KeepAlive(id), pushmesh::limits::LINK_KEEP_ALIVE);
        soon(Event::Gossip(id), pushmesh::limits::OVERLAY_TICK);
        soon(Event::Compare(id), pushmesh::limits::DIGEST_INTERVAL);
    }

    fn new_boot(&mut self, id: BootId, node: NodeIndex, incarnation: Incarnation) -> Boot {
        let name = self.names[node].clone();
        let identity = (node, incarnation);
        let known = self.identities.iter().position(|held| *held == identity);
        let gossip_id: GossipId = known.unwrap_or(self.identities.len());
        if known.is_none() {
            self.identities.push(identity);
        }
        let bounds = &self.plan.bounds;
        let tuning = Tuning {
            change_ring: bounds.ring_changes,
            delta_changes: bounds.delta_changes,
            snapshot_chunk_entries: bounds.chunk_entries,
            ..Tuning::default()
        };
        // Keys are drawn, not hashed.
        let hasher = KeyHasher::new(&[0; 32]);
        let replica = Replica::new(name.clone(), incarnation, hasher, self.plan.takeover, tuning);
        let timers = OverlayTimers { purge_after: bounds.purge_after, ..OverlayTimers::default() };
        Boot {
            id,
            node,
            incarnation,
            gossip_id,
            since: self.now,
            replica: Arc::new(replica),
            overlay: Overlay::new(name.clone(), incarnation, timers),
            name,
            roster: Roster::default(),
            roster_is_fresh: false,
            returned: Returned::default(),
            heard: Heartbeats::default(),
            links: Default::default(),
            dials: Default::default(),
            followers: Default::default(),
            servers: Default::default(),
            pulling: Default::default(),
            asked: None,
            sessions: Default::default(),
            openings: Default::default(),
            rounds: 0,
            left: false,
            seen: Default::default(),
        }
    }

    /// The highest incarnation of a node that those know whom it asks at its boot: its seeds, whom they
    /// know, and so on.
    fn probe(&self, node: NodeIndex) -> Option<Incarnation> {
        let (mut asked, mut highest) = (BTreeSet::from([node]), None);
        let mut next: Vec<_> = self.seeds(node).collect();
        while let Some(one) = next.pop() {
            let reached = self.network.is_open(node, one) && self.network.is_open(one, node);
            if !asked.insert(one) || !reached || !self.is_awake(one) {
                continue;
            }
            let Some(boot) = self.machines[one].boot.and_then(|boot| self.boots[boot].as_deref()) else {
                continue;
            };
            highest = highest.max(boot.overlay.highest_incarnation(&self.names[node]));
            let alive = boot.overlay.members().filter(|member| member.state() == MemberState::Alive);
            next.extend(alive.filter_map(|member| self.names.iter().position(|name| name == member.name())));
        }
        highest
    }

    /// The nodes that a node knows from its configuration.
    pub(super) fn seeds(&self, node: NodeIndex) -> impl Iterator<Item = NodeIndex> + use<> {
        (0..self.plan.nodes).filter(move |seed| *seed != node).take(self.plan.seeds)
    }

    /// The process of a node that runs and does not stand still.
    pub(super) fn running(&self, node: NodeIndex) -> Option<BootId> {
        self.machines[node].boot.filter(|_| self.is_awake(node))
    }

    /// Whether a node does not stand still.
    pub(super) fn is_awake(&self, node: NodeIndex) -> bool {
        self.machines[node].asleep_until <= self.now
    }

    /// Whether a node has a process.
    pub(super) fn is_up(&self, node: NodeIndex) -> bool {
        self.machines[node].boot.is_some()
    }

    /// Whether a node's process has that incarnation.
    pub(super) fn is_current(&self, node: NodeIndex, incarnation: Incarnation) -> bool {
        self.is_up(node) && self.machines[node].last == Some(incarnation)
    }

    /// The wall clock of a node, in milliseconds.
    pub(super) fn wall_ms(&self, node: NodeIndex) -> u64 {
        self.machines[node].clock_ms + self.now.as_millis() as u64
    }

    /// Ends all faults; nodes that do not run boot, unless some stay away.
    pub(super) fn heal(&mut self, all: bool) {
        self.tell(|_| "Heal".to_owned());
        self.healed = true;
        self.network.set_weather(Weather::FAIR);
        self.join();
        for node in 0..self.plan.nodes {
            // Who is leaving is as good as gone.
            if let Some(id) = self.machines[node].boot
                && self.boots[id].as_deref().is_some_and(|boot| boot.left)
            {
                self.boots[id] = None;
                self.machines[node].boot = None;
            }
            if all || node < 2 {
                self.boot(node);
            }
        }
    }

    /// A case was met.
    pub(super) fn count(&mut self, case: &'static str) {
        *self.cases.entry(case).or_default() += 1;
    }

    /// Something that must be true is not.
    pub(super) fn fail(&mut self, checker: &'static str, what: String) {
        let at_ms = self.now.as_millis() as u64;
        self.failure.get_or_insert(Violation { at_ms, checker, what });
    }

    /// Something happened that people may want to read.
    pub(super) fn tell(&mut self, line: impl FnOnce(&Self) -> String) {
        if self.lines.is_some() {
            let line = format!("{:>12.6} {}", self.now.as_secs_f64(), line(self));
            self.lines.get_or_insert_default().push(line);
        }
    }

    /// Follows what happens, and tells of messages.
    fn mark(&mut self, boot: BootId, event: &Event) {
        let kind = match event {
            Event::Deliver(delivery) => delivery.message.number(),
            Event::Round(_) => 20,
            Event::KeepAlive(_) => 21,
            _ => 22,
        };
        for word in [self.now.as_nanos() as u64, boot as u64, kind] {
            self.hash = (self.hash ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
        }
        if let Event::Deliver(delivery) = event
            && self.lines.is_some()
            && !matches!(delivery.message, Message::Gossip(_) | Message::GossipBack(_))
        {
            let (from, to) = (delivery.from, delivery.to);
            self.tell(|_| format!("boot {to} < boot {from} {:?}", delivery.message));
        }
    }
}

impl Message {
    fn number(&self) -> u64 {
        match self {
            Message::Gossip(_) => 1,
            Message::GossipBack(_) => 2,
            Message::Subscribe { .. } => 3,
            Message::Frame { .. } => 4,
            Message::Stop { .. } => 5,
            Message::Question { .. } => 6,
            Message::Answer { .. } => 7,
            Message::Yield { .. } => 8,
            Message::Goodbye => 9,
            Message::Yielded { .. } => 10,
            Message::Confirm { .. } => 11,
            Message::Confirmed { .. } => 12,
        }
    }
}

/// The number of the node with that name.
pub(super) fn index_of(name: &NodeName) -> NodeIndex {
    let number = name.as_str().get(1..).and_then(|number| number.parse::<NodeIndex>().ok());
    number.and_then(|number| number.checked_sub(1)).expect("the names of a run have numbers")
}

/// The wall clock at the start. Arbitrary.
const EPOCH_MS: u64 = 1_795_000_000_000;
/// In larger clusters gossip is answered, as chitchat does it.
const GOSSIP_ANSWERED_ABOVE: usize = 6;
/// How much later a message arrives whose packet was lost. Source: QUIC's first probe, and some more.
const RETRANSMISSION: Duration = Duration::from_millis(300);
