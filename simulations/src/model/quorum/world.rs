//! Nodes, links and time.

use std::collections::BTreeMap;
use std::time::Duration;

use pushmesh::NodeName;
use pushmesh::id::{Incarnation, Stamp};
use pushmesh::internals::quorum::{
    Accepted, Acked, Boot, Config, GroupMember, GroupOwner, Opened, Seal, SealAnswer, Sealing, ToMember,
};
use pushmesh::internals::{DeviceHash, Key, UserHash};
use rand::Rng;
use rand::rngs::StdRng;

use crate::entropy;
use crate::id::{NodeIndex, node_name};
use crate::model::cluster::index_of;
use crate::model::queue::Queue;
use crate::model::quorum::history::History;
use crate::model::record::Record;

/// What is sent, by whom to whom.
#[derive(Debug, Clone)]
pub(super) enum Frame {
    ToMember(ToMember<u64>),
    Opened(Opened),
    Acked(Acked),
    Accepted(Accepted),
    /// With the number of the claim.
    Seal(usize, Seal),
    Answer(usize, SealAnswer<u64>),
}

/// What is due.
#[derive(Debug, Clone)]
pub(super) enum Event {
    /// Something arrives, if the link is still the one that it was sent on.
    Deliver {
        from: Boot,
        to: Boot,
        link: Option<u64>,
        frame: Frame,
    },
    /// A node learns which configuration is in effect.
    Row {
        node: NodeIndex,
        config: Config,
    },
    /// The owner learns that a boot is over.
    Over(Boot),
    /// The owner accepts a message.
    Push,
    /// A client acknowledges.
    Ack,
    /// The owner looks at its members.
    Look,
    /// A session is claimed somewhere.
    Claim,
    /// A claim asks again, or is given up.
    Ask {
        claim: usize,
        left: u32,
    },
    /// Something bad happens.
    Fault,
    Boot(NodeIndex),
    Join(NodeIndex),
    Wake(NodeIndex),
    /// The link to the owner is there again, unless it broke once more.
    Reconnected {
        node: NodeIndex,
        link: u64,
    },
}

/// A node: number 0 is the owner.
pub(super) struct Node {
    pub(super) boot: Boot,
    pub(super) up: bool,
    /// Cut off.
    pub(super) cut: bool,
    /// It stands still until then; what arrives waits.
    pub(super) asleep: Option<Duration>,
    pub(super) member: GroupMember<u64>,
    /// What it knows of the group.
    pub(super) row: Config,
    /// Its clock is so far ahead, in milliseconds.
    pub(super) skew_ms: u64,
    /// The link to the owner, and whether it is there.
    pub(super) link: u64,
    pub(super) linked: bool,
    /// When the last frame on it arrives, in each direction.
    pub(super) busy: [Duration; 2],
}

/// A claim that takes a session over.
pub(super) struct Claim {
    pub(super) boot: Boot,
    pub(super) key: Key,
    pub(super) begun: Duration,
    pub(super) sealing: Sealing<u64>,
}

/// All of it.
pub(super) struct World {
    pub(super) now: Duration,
    pub(super) faults_end: Duration,
    pub(super) rng: StdRng,
    pub(super) queue: Queue<Event>,
    pub(super) owner: Option<GroupOwner<u64>>,
    pub(super) nodes: Vec<Node>,
    pub(super) claims: Vec<Claim>,
    /// The stamp of the owner's session of each key, and its last number.
    pub(super) sessions: BTreeMap<Key, (Stamp, u64)>,
    pub(super) asks_for_proof: bool,
    /// How many of the frames are lost that go to and from whoever seals.
    pub(super) loss: f64,
    pub(super) history: History,
    pub(super) healed: bool,
    pub(super) record: Record,
}

impl World {
    pub(super) fn new(seed: u64, told: bool) -> Self {
        let mut rng = entropy::stream(seed, "quorum");
        let count = rng.random_range(3..=7);
        let asks_for_proof = rng.random_bool(0.25);
        let skewed = rng.random_bool(0.5);
        let owner = boot(0, 1);
        let nodes = (0..count).map(|node| {
            let skew_ms = if skewed { rng.random_range(0..2_000) } else { 0 };
            let boot = boot(node, 1);
            Node {
                member: GroupMember::new(boot.clone(), owner.clone(), asks_for_proof),
                boot,
                up: true,
                cut: false,
                asleep: None,
                row: Config { epoch: 0, members: Vec::new() },
                skew_ms,
                link: 0,
                linked: true,
                busy: [Duration::ZERO; 2],
            }
        });
        let nodes = nodes.collect();
        let mut world = Self {
            now: Duration::ZERO,
            faults_end: Duration::from_millis(rng.random_range(1_000..6_000)),
            queue: Queue::new(),
            owner: Some(GroupOwner::new(owner)),
            nodes,
            claims: Vec::new(),
            sessions: (0..KEYS).map(|number| (key(number), (Stamp::from_raw(1 << 16), 0))).collect(),
            asks_for_proof,
            loss: if rng.random_bool(0.5) { 0.1 } else { 0.4 },
            history: History::default(),
            healed: false,
            record: Record::new(seed, told),
            rng,
        };
        for event in [Event::Look, Event::Push, Event::Ack, Event::Claim, Event::Fault] {
            world.later(1, event);
        }
        world
    }

    /// Something is due after up to three times so many milliseconds, and at least that.
    pub(super) fn later(&mut self, millis: u64, event: Event) {
        let millis = self.rng.random_range(millis..=3 * millis);
        self.queue.put(self.now + Duration::from_millis(millis), event);
    }

    /// Sends a frame. `ordered`: on the link between the owner and the other one, on which nothing overtakes.
    pub(super) fn send(&mut self, from: &Boot, to: &Boot, frame: Frame, ordered: bool) {
        let (a, b) = (index_of(&from.name), index_of(&to.name));
        if self.nodes[a].cut || self.nodes[b].cut || (!ordered && self.rng.random_bool(self.loss())) {
            return;
        }
        let mut at = self.now + Duration::from_micros(self.rng.random_range(200..20_000));
        let mut link = None;
        if ordered {
            let (other, direction) = if a == 0 { (b, 0) } else { (a, 1) };
            let node = &mut self.nodes[other];
            if !node.linked {
                return;
            }
            at = at.max(node.busy[direction]);
            node.busy[direction] = at;
            link = Some(node.link);
        }
        self.queue.put(at, Event::Deliver { from: from.clone(), to: to.clone(), link, frame });
    }

    fn loss(&self) -> f64 {
        if self.healed { 0.0 } else { self.loss }
    }

    /// The link between the owner and a node breaks, and is there again after a while. What is on it is lost.
    pub(super) fn break_link(&mut self, node: NodeIndex) {
        self.nodes[node].link += 1;
        self.nodes[node].linked = false;
        let is_long = !self.healed && self.rng.random_bool(0.3);
        self.link_later(if is_long { 300 } else { 50 }, node);
    }

    /// The link to the owner is there after so many milliseconds, or three times as many.
    pub(super) fn link_later(&mut self, millis: u64, node: NodeIndex) {
        let link = self.nodes[node].link;
        self.later(millis, Event::Reconnected { node, link });
    }

    pub(super) fn count(&mut self, case: &'static str) {
        self.record.count(case, 1);
    }

    pub(super) fn tell(&mut self, line: impl FnOnce() -> String) {
        self.record.tell(self.now, line);
    }

    pub(super) fn fail(&mut self, checker: &'static str, what: String) {
        self.record.fail(self.now, checker, what);
    }
}

pub(super) fn boot(node: NodeIndex, incarnation: u64) -> Boot {
    let name = NodeName::new(node_name(node)).expect("a name of letters and digits");
    Boot { name, incarnation: Incarnation(incarnation) }
}

pub(super) fn key(number: u64) -> Key {
    Key { user: UserHash { high: 0, low: 0 }, device: DeviceHash(number) }
}

/// Sessions of the group.
pub(super) const KEYS: u64 = 3;
