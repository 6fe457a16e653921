//! The cluster of the fast level: all boots, what is known of their nodes, and what is on its way between them.

use std::time::Duration;

use pushmesh::NodeName;
use pushmesh::id::Incarnation;
use pushmesh::internals::{Member, MemberState};
use rand::rngs::StdRng;

use crate::entropy;
use crate::id::{NodeIndex, node_name};
use crate::model::boot::Boot;
use crate::model::client::Client;
use crate::model::due::{Delivery, Event};
use crate::model::history::History;
use crate::model::id::{BootId, LinkId, StreamId};
use crate::model::message::Message;
use crate::model::network::{Network, RETRANSMISSION};
use crate::model::plan::Plan;
use crate::model::queue::Queue;
use crate::model::record::Record;

/// What is known of a node beyond its boots.
pub(super) struct Machine {
    /// Its process, if there is one.
    pub(super) boot: Option<BootId>,
    /// Until when it stands still.
    pub(super) asleep_until: Duration,
    /// What its disk says, if it has one.
    pub(super) persisted: Option<Incarnation>,
    /// How far its wall clock is ahead of the start of the simulation, in milliseconds.
    pub(super) clock_ms: u64,
    /// The incarnation of its last boot.
    pub(super) last: Option<Incarnation>,
    /// It was superseded, and starts again in a moment.
    pub(super) reboots: bool,
    /// At the next boot the wall clock shows what it showed at the last one.
    pub(super) repeats: bool,
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
    pub(super) links: LinkId,
    pub(super) streams: StreamId,
    /// Deltas, snapshots and subscriptions of sections whose owner runs.
    pub(super) transfers: u64,
    /// The faults are over.
    pub(super) healed: bool,
    /// Messages that wait for the end of a cut.
    pub(super) held: Vec<Delivery>,
    pub(super) record: Record,
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
            links: 0,
            streams: 0,
            transfers: 0,
            healed: false,
            held: Vec::new(),
            record: Record::new(seed, told),
        }
    }

    /// Sends a message over the link to a peer that is in use, if there is one.
    pub(super) fn send(&mut self, boot: &mut Boot, to: NodeIndex, message: Message) {
        if let Some(link) = boot.links.get(&to).map(|link| link.id) {
            self.send_on(boot, (to, link), message);
        }
    }

    /// Sends a message over this link to a peer, if it is there.
    pub(super) fn send_on(&mut self, boot: &mut Boot, (to, link): (NodeIndex, LinkId), message: Message) {
        let Some(peer) = boot.link_mut(to, link).map(|link| link.peer) else { return };
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
        let arrived = false;
        let delivery = Delivery { from: boot.id, from_node: boot.node, to, link, message, arrived };
        self.queue.put(at, Event::Deliver(Box::new(delivery)));
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

    /// The boots that run, in the order of nodes.
    pub(super) fn running_boots(&self) -> impl Iterator<Item = &Boot> {
        let ids = self.machines.iter().filter_map(|machine| machine.boot);
        ids.filter_map(|id: BootId| self.boots[id].as_deref())
    }

    /// The wall clock of a node, in milliseconds.
    pub(super) fn wall_ms(&self, node: NodeIndex) -> u64 {
        self.machines[node].clock_ms + self.now.as_millis() as u64
    }

    /// A case was met.
    pub(super) fn count(&mut self, case: &'static str) {
        self.count_all(case, 1);
    }

    /// A case came so many times.
    pub(super) fn count_all(&mut self, case: &'static str, times: usize) {
        self.record.count(case, times as u64);
    }

    /// Something that must be true is not.
    pub(super) fn fail(&mut self, checker: &'static str, what: String) {
        self.record.fail(self.now, checker, what);
    }

    /// Something happened that people may want to read.
    pub(super) fn tell(&mut self, line: impl FnOnce(&Self) -> String) {
        if self.record.lines.is_some() {
            let line = line(self);
            self.record.tell(self.now, || line);
        }
    }
}

/// The number of the node with that name.
pub(super) fn index_of(name: &NodeName) -> NodeIndex {
    let number = name.as_str().get(1..).and_then(|number| number.parse::<NodeIndex>().ok());
    number.and_then(|number| number.checked_sub(1)).expect("the names of a run have numbers")
}

/// Whether a member is one that a node in order is.
pub(super) fn is_alive(member: &Member) -> bool {
    member.state() == MemberState::Alive
}

/// The wall clock at the start. Arbitrary.
const EPOCH_MS: u64 = 1_795_000_000_000;
