//! Nodes, links and time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pushmesh::NodeName;
use pushmesh::id::{Incarnation, Stamp};
use pushmesh::internals::quorum::{
    Accepted, Acked, Boot, Config, Fence, GroupMember, GroupOwner, Opened, Position, Release, Seal,
    SealAnswer, Segment, Takeover, ToMember,
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

/// What is sent, by whom to whom. Those between owners and their members are on a link, in order.
#[derive(Debug, Clone)]
pub(super) enum Frame {
    ToMember(ToMember<u64>),
    Opened(Opened),
    Acked(Acked),
    Accepted(Accepted),
    /// With the number of the claim, and the owner of the group.
    Seal(usize, Boot, Seal),
    Answer(usize, Boot, SealAnswer<u64>),
    /// To a member of the group of that boot, or to the boot itself.
    Release(Boot, Release),
    /// A member of that group holds something of a session.
    Offer(Boot, Key),
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
    /// A node learns which configuration of a group is in effect.
    Row {
        node: NodeIndex,
        owner: Boot,
        config: Config,
    },
    /// A node learns of a claim, and whether nothing before it counts any more.
    View {
        node: NodeIndex,
        key: Key,
        fence: Fence,
        settled: bool,
    },
    /// A node learns that a boot is over.
    Over {
        node: NodeIndex,
        boot: Boot,
    },
    /// An owner accepts a message.
    Push,
    /// A client acknowledges.
    Ack,
    /// An owner looks at its members.
    Look,
    /// A session is claimed somewhere.
    Claim,
    /// The same, and not again and again.
    ClaimOnce,
    /// Members have what was written for a claim: a message, or what it follows.
    Known {
        claim: usize,
        at: Option<Position>,
    },
    /// A member looks at what it holds.
    Offer,
    /// A claim asks again, or takes what there is.
    Ask {
        claim: usize,
        left: u32,
    },
    /// Something bad happens.
    Fault,
    Boot(NodeIndex),
    Join(NodeIndex),
    Wake(NodeIndex),
    /// The link between two nodes is there again, unless it broke once more.
    Reconnected {
        ends: (NodeIndex, NodeIndex),
        link: u64,
    },
}

/// A node.
pub(super) struct Node {
    pub(super) boot: Boot,
    pub(super) up: bool,
    /// Cut off.
    pub(super) cut: bool,
    /// It stands still until then; what arrives waits.
    pub(super) asleep: Option<Duration>,
    /// Its own group.
    pub(super) owner: GroupOwner<u64>,
    /// What it holds for others.
    pub(super) members: BTreeMap<Boot, GroupMember<u64>>,
    /// What it knows of the groups of others.
    pub(super) rows: BTreeMap<Boot, Config>,
    /// The claims that it knows of, and whether nothing before them counts any more.
    pub(super) view: BTreeMap<Key, BTreeMap<Fence, bool>>,
    /// Boots that it knows to be over.
    pub(super) over: BTreeSet<Boot>,
    /// Its claims that stand.
    pub(super) sessions: BTreeMap<Key, usize>,
    /// Its clock is so far ahead, in milliseconds.
    pub(super) skew_ms: u64,
}

/// Between two nodes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    /// Grows with each break.
    pub(super) number: u64,
    pub(super) up: bool,
    /// When the last frame on it arrives, in each direction.
    pub(super) busy: [Duration; 2],
}

/// A claim of a session.
pub(super) struct Claim {
    pub(super) node: NodeIndex,
    pub(super) key: Key,
    pub(super) begun: Duration,
    /// Its client has shown the token of an earlier session.
    pub(super) resumes: bool,
    /// Or the clients of all sessions that its node knew of had been told of them, so that their members knew what they follow.
    pub(super) finds_all: bool,
    /// The claims that its node knew of when it was made.
    pub(super) after: BTreeSet<Fence>,
    pub(super) takeover: Takeover<u64>,
    /// The last number of its segment.
    pub(super) number: u64,
    /// What it has taken.
    pub(super) brought: BTreeSet<(Key, Position)>,
    /// What its members were told that it follows.
    pub(super) follows: Option<Vec<Boot>>,
    /// The session is elsewhere, or nowhere.
    pub(super) over: bool,
}

/// All of it.
pub(super) struct World {
    pub(super) now: Duration,
    pub(super) faults_end: Duration,
    pub(super) rng: StdRng,
    pub(super) queue: Queue<Event>,
    pub(super) nodes: Vec<Node>,
    pub(super) links: BTreeMap<(NodeIndex, NodeIndex), Link>,
    pub(super) claims: Vec<Claim>,
    /// The claim whose token the client of each session has.
    pub(super) tokens: BTreeMap<Key, Fence>,
    pub(super) asks_for_proof: bool,
    /// How many of the frames are lost that are not on a link.
    pub(super) loss: f64,
    /// For how many milliseconds at least nothing bad happens after something has.
    pub(super) calm_ms: u64,
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
        let nodes = (0..count).map(|node| {
            let skew_ms = if skewed { rng.random_range(0..2_000) } else { 0 };
            Node::new(boot(node, 1), skew_ms)
        });
        let nodes = nodes.collect();
        let ends = (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b)));
        let link = Link { number: 0, up: true, busy: [Duration::ZERO; 2] };
        let mut world = Self {
            now: Duration::ZERO,
            faults_end: Duration::from_millis(rng.random_range(1_000..6_000)),
            queue: Queue::new(),
            nodes,
            links: ends.map(|ends| (ends, link)).collect(),
            claims: Vec::new(),
            tokens: BTreeMap::new(),
            asks_for_proof,
            loss: if rng.random_bool(0.5) { 0.1 } else { 0.4 },
            calm_ms: if rng.random_bool(0.3) { 120 } else { 400 },
            history: History::default(),
            healed: false,
            record: Record::new(seed, told),
            rng,
        };
        for event in [Event::Look, Event::Push, Event::Ack, Event::Claim, Event::Offer, Event::Fault] {
            world.later(1, event);
        }
        world
    }

    /// Something is due after up to three times so many milliseconds, and at least that.
    pub(super) fn later(&mut self, millis: u64, event: Event) {
        let millis = self.rng.random_range(millis..=3 * millis);
        self.queue.put(self.now + Duration::from_millis(millis), event);
    }

    /// Sends a frame that may be lost, and overtaken.
    pub(super) fn send(&mut self, from: &Boot, to: &Boot, frame: Frame) {
        let is_lost = from.name != to.name && self.rng.random_bool(if self.healed { 0.0 } else { self.loss });
        if !is_lost && self.is_reachable(from, to) {
            let at = self.now + self.travels();
            self.queue.put(at, Event::Deliver { from: from.clone(), to: to.clone(), link: None, frame });
        }
    }

    /// Sends a frame on a link, on which nothing overtakes.
    pub(super) fn send_on_link(&mut self, from: &Boot, to: &Boot, frame: Frame) {
        let at = self.now + self.travels();
        let (a, b) = (index_of(&from.name), index_of(&to.name));
        let is_reachable = self.is_reachable(from, to);
        let Some(link) = self.links.get_mut(&ends(a, b)).filter(|link| link.up && is_reachable) else {
            return;
        };
        let busy = &mut link.busy[usize::from(a < b)];
        *busy = at.max(*busy);
        let (at, link) = (*busy, Some(link.number));
        self.queue.put(at, Event::Deliver { from: from.clone(), to: to.clone(), link, frame });
    }

    fn travels(&mut self) -> Duration {
        Duration::from_micros(self.rng.random_range(200..20_000))
    }

    fn is_reachable(&self, from: &Boot, to: &Boot) -> bool {
        let cut = |boot: &Boot| self.nodes[index_of(&boot.name)].cut;
        from.name == to.name || !(cut(from) || cut(to))
    }

    /// The link between two nodes breaks, and is there again after a while. What is on it is lost.
    pub(super) fn break_link(&mut self, a: NodeIndex, b: NodeIndex) {
        let is_long = !self.healed && self.rng.random_bool(0.3);
        let Some(link) = self.links.get_mut(&ends(a, b)) else { return };
        link.number += 1;
        link.up = false;
        let event = Event::Reconnected { ends: ends(a, b), link: link.number };
        self.later(if is_long { 300 } else { 50 }, event);
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

impl Node {
    /// A boot that knows nothing.
    pub(super) fn new(boot: Boot, skew_ms: u64) -> Self {
        let (members, rows, view, over, sessions) = Default::default();
        let owner = GroupOwner::new(boot.clone());
        Self { boot, up: true, cut: false, asleep: None, owner, members, rows, view, over, sessions, skew_ms }
    }
}

impl Claim {
    /// The next position of its segment.
    pub(super) fn next(&mut self) -> Position {
        self.number += 1;
        let Fence { stamp, by } = self.takeover.fence();
        Position { segment: Segment::of(&by.name, by.incarnation, *stamp), number: self.number }
    }

    pub(super) fn stamp(&self) -> Stamp {
        self.takeover.fence().stamp
    }
}

pub(super) fn boot(node: NodeIndex, incarnation: u64) -> Boot {
    let name = NodeName::new(node_name(node)).expect("a name of letters and digits");
    Boot { name, incarnation: Incarnation(incarnation) }
}

pub(super) fn key(number: u64) -> Key {
    Key { user: UserHash { high: 0, low: 0 }, device: DeviceHash(number) }
}

/// The ends of the link between two nodes.
pub(super) fn ends(a: NodeIndex, b: NodeIndex) -> (NodeIndex, NodeIndex) {
    (a.min(b), a.max(b))
}

/// Sessions.
pub(super) const KEYS: u64 = 3;
