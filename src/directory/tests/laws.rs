//! The laws of the directory, over random histories.
//!
//! - A copy at a position is exactly the owner's map at that position, whatever was lost, repeated,
//!   reordered, truncated, overtaken or broken off on the way; so a removed key is never shown again.
//! - Merging is commutative, associative and idempotent: copies that met the same states in any order
//!   and number are equal.
//! - Replaying the diffs gives what is visible: each change of it is told once, in its order, under all policies.
//! - No session is lost to a claim that is not proven, whoever looks and why.
//! - When all is delivered every node shows the same single winner for a key, and only the winner
//!   still has the session.

use proptest::prelude::*;

use super::*;

const KEYS: u64 = 6;

/// An owner whose map is recorded at each of its positions.
struct Recorded {
    node: TestNode,
    history: BTreeMap<Position, BTreeMap<Key, Claim>>,
}

impl Recorded {
    fn new(me: &str, incarnation: u64, ring_max: usize) -> Self {
        let mut recorded = Self { node: TestNode::new(me, incarnation, ring_max), history: BTreeMap::new() };
        recorded.record();
        recorded
    }

    fn record(&mut self) {
        let me = self.node.me();
        self.history.insert(self.node.position(&me), self.node.section(&me));
    }

    /// Claims the key, or releases it if it is claimed.
    fn toggle(&mut self, number: u64, now_ms: u64) {
        match self.node.own(key(number)) {
            Some(claim) => self.node.release(key(number), claim.stamp),
            None => {
                self.node.claim(key(number), now_ms);
            }
        }
        self.record();
    }

    fn position(&self) -> Position {
        self.node.position(&self.node.me())
    }

    /// A snapshot as it would be if it began at the version `begin`, was read in two parts and was
    /// mended by deltas up to `end`.
    fn snapshot(&self, begin: Position, middle: Position, end: Position, deltas: Vec<Delta>) -> Message {
        let half = |at: Position, upper: bool| -> Vec<Entry> {
            let entries = self.history[&at].iter().filter(|(key, _)| (**key > KEY_OF_HALF) == upper);
            entries.map(|(key, claim)| Entry { key: *key, claim: *claim }).collect()
        };
        let map = &self.history[&end];
        let hash = map.iter().fold(0, |hash, (key, claim)| hash ^ claim.hash(key));
        let digest = Digest { position: end, hash };
        let chunks = vec![half(begin, false), half(middle, true)];
        Message::Snapshot { begin, chunks, deltas, digest, count: map.len() as u64 }
    }
}

const KEY_OF_HALF: Key = Key { user: UserHash { high: 1 << 62, low: 0 }, device: DeviceHash(0) };

/// Something that is on its way from an owner, or a peer that repeats it.
#[derive(Debug, Clone)]
enum Message {
    Delta(Delta),
    Snapshot { begin: Position, chunks: Vec<Vec<Entry>>, deltas: Vec<Delta>, digest: Digest, count: u64 },
}

/// How a message arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Whole,
    /// Only its first half does.
    BrokenOff,
    /// Another one arrives between its halves.
    Overtaken,
}

impl TestNode {
    /// Takes a message as the stream would, with `other` between its halves if it is overtaken.
    fn deliver(
        &mut self,
        owner: &NodeName,
        message: &Message,
        way: Way,
        other: &Message,
    ) -> Result<(), MergeError> {
        match message {
            Message::Delta(delta) => {
                self.directory.merge_delta(owner, delta.clone(), &mut self.shards).map(drop)
            }
            Message::Snapshot { begin, chunks, deltas, digest, count } => {
                let begun = self.directory.begin(owner, *begin)?;
                let Some(mut snapshot) = begun else { return Ok(()) };
                self.directory.fill(&mut snapshot, &chunks[0], &mut self.shards);
                match way {
                    Way::Whole => {}
                    Way::BrokenOff => {
                        self.directory.give_up(snapshot);
                        return Ok(());
                    }
                    Way::Overtaken => {
                        let overtaking = self.deliver(owner, other, Way::Whole, other);
                        assert!(
                            matches!(overtaking, Ok(()) | Err(MergeError::Gap { .. })),
                            "what an owner sends never diverges: {overtaking:?}"
                        );
                    }
                }
                let reached = self.position(owner);
                let (directory, shards) = (&mut self.directory, &mut self.shards);
                directory.fill(&mut snapshot, &chunks[1], shards);
                for delta in deltas {
                    directory.mend(&mut snapshot, delta, shards).expect("its deltas follow each other");
                }
                let ended = directory.end(snapshot, *digest, *count);
                self.adopt();
                assert!(self.position(owner) >= reached, "what was overtaken does not lead back");
                ended
            }
        }
    }
}

/// What an owner does, and which message is made of it.
#[derive(Debug, Clone)]
enum Act {
    Toggle(u64, u64),
    /// A delta from so many versions back, of so many changes.
    Delta(u64, usize),
    /// A snapshot that began so many versions back, whose second half was read after so many more,
    /// mended by deltas of so many changes.
    Snapshot(u64, u64, usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..KEYS, 0..50u64).prop_map(|(key, now_ms)| Act::Toggle(key, now_ms)),
        2 => (0..6u64, 1..4usize).prop_map(|(back, max)| Act::Delta(back, max)),
        1 => (0..6u64, 0..6u64, 1..4usize).prop_map(|(back, more, max)| Act::Snapshot(back, more, max)),
    ]
}

/// All that an owner has sent in its life, and the owner as it is at the end.
fn life(acts: &[Act], incarnation: u64, ring_max: usize) -> (Recorded, Vec<Message>) {
    let mut owner = Recorded::new("o", incarnation, ring_max);
    let me = owner.node.me();
    let mut messages = Vec::new();
    for act in acts {
        let head = owner.position();
        let back = |versions: u64| Position { version: head.version.saturating_sub(versions), ..head };
        match *act {
            Act::Toggle(number, now_ms) => owner.toggle(number, now_ms),
            Act::Delta(versions, max) => {
                messages
                    .extend(owner.node.directory.delta_since(&me, back(versions), max).map(Message::Delta));
            }
            Act::Snapshot(versions, more, max) => {
                let (begin, middle) = (back(versions), back(versions.saturating_sub(more)));
                let (mut at, mut deltas) = (begin, Vec::new());
                while let Some(delta) = owner.node.directory.delta_since(&me, at, max) {
                    if delta.is_empty() {
                        messages.push(owner.snapshot(begin, middle, head, deltas));
                        break;
                    }
                    at = delta.end();
                    deltas.push(delta);
                }
            }
        }
    }
    (owner, messages)
}

fn way() -> impl Strategy<Value = Way> {
    prop_oneof![2 => Just(Way::Whole), 1 => Just(Way::BrokenOff), 2 => Just(Way::Overtaken)]
}

proptest! {
    #[test]
    fn a_copy_is_the_owners_map_at_its_position_whatever_happens_on_the_way(
        acts in prop::collection::vec(act(), 0..60),
        order in prop::collection::vec((any::<[prop::sample::Index; 2]>(), way()), 0..80),
        ring_max in 1..8usize,
    ) {
        let (owner, messages) = life(&acts, 1, ring_max);
        let me = owner.node.me();
        let mut copy = TestNode::new("c", 1, 8);
        let mut last = Position::default();
        // Any order, any number of times, some never, some broken off.
        for (indices, way) in order.iter().filter(|_| !messages.is_empty()) {
            let [message, other] = indices.map(|index| index.get(&messages));
            let delivered = copy.deliver(&me, message, *way, other);
            prop_assert!(
                matches!(delivered, Ok(()) | Err(MergeError::Gap { .. })),
                "what an owner sends never diverges: {:?}", delivered
            );
            copy.hear();
            let position = copy.position(&me);
            prop_assert!(position >= last, "positions do not go back");
            last = position;
            let expected = owner.history.get(&position).cloned().unwrap_or_default();
            prop_assert_eq!(copy.section(&me), expected.clone());
            for number in 0..KEYS {
                let shown = copy.lookup(key(number)).map(|owned| owned.stamp);
                prop_assert_eq!(shown, expected.get(&key(number)).map(|claim| claim.stamp));
            }
        }
        copy.pull(&owner.node, &me, 2);
        prop_assert_eq!(copy.position(&me), owner.position());
        prop_assert_eq!(copy.section(&me), owner.node.section(&me));
        copy.sweep();
        prop_assert_eq!(copy.shards.0.iter().map(|view| view.page(None, 99).len()).sum::<usize>(),
            owner.node.section(&me).len());
    }

    #[test]
    fn merging_states_is_commutative_associative_and_idempotent(
        lives in prop::collection::vec(prop::collection::vec((0..KEYS, 0..50u64), 0..12), 1..3),
        first in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        second in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        // Every state that the boots of one node went through.
        let mut states = Vec::new();
        for (boot, toggles) in (1..).zip(&lives) {
            let mut owner = Recorded::new("o", boot, 99);
            toggles.iter().for_each(|(number, now_ms)| owner.toggle(*number, *now_ms));
            states.extend(owner.history.keys().map(|at| owner.snapshot(*at, *at, *at, Vec::new())));
        }
        let owner = name("o");
        let merged = |order: &mut dyn Iterator<Item = &Message>| {
            let mut copy = TestNode::new("c", 1, 8);
            for state in order {
                let _ = copy.deliver(&owner, state, Way::Whole, state); // An older boot is refused.
            }
            (copy.position(&owner), copy.section(&owner))
        };
        let chosen: Vec<_> = first.iter().map(|index| index.get(&states)).collect();
        let again: Vec<_> = second.iter().filter(|_| !chosen.is_empty()).map(|i| *i.get(&chosen)).collect();
        let expected = merged(&mut chosen.iter().copied());
        prop_assert_eq!(&merged(&mut chosen.iter().rev().copied()), &expected, "commutative");
        prop_assert_eq!(&merged(&mut chosen.iter().chain(&again).copied()), &expected, "idempotent");
        let mut sorted = chosen.clone();
        sorted.sort_by_key(|state| match state {
            Message::Snapshot { digest, .. } => std::cmp::Reverse(digest.position.version),
            Message::Delta(_) => unreachable!("states only"),
        });
        prop_assert_eq!(&merged(&mut sorted.into_iter().chain(again)), &expected, "associative");
    }
}

/// One step of a random history of three nodes.
#[derive(Debug, Clone)]
enum Step {
    Claim {
        node: usize,
        key: u64,
        now_ms: u64,
    },
    Release {
        node: usize,
        key: u64,
    },
    /// `to` copies the section of `owner` from `from`.
    Pull {
        to: usize,
        from: usize,
        owner: usize,
        max: usize,
    },
    Hide {
        node: usize,
        owner: usize,
        hidden: bool,
    },
    Prove {
        node: usize,
        owner: usize,
    },
    /// A member was purged and is one again, or its former boot is over.
    Forget {
        node: usize,
        owner: usize,
        over: bool,
    },
    Sweep {
        node: usize,
    },
    Restart {
        node: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3usize, 0..KEYS, 0..50u64).prop_map(|(node, key, now_ms)| Step::Claim { node, key, now_ms }),
        4 => (0..3usize, 0..KEYS).prop_map(|(node, key)| Step::Release { node, key }),
        8 => (0..3usize, 0..3usize, 0..3usize, 1..4usize)
            .prop_map(|(to, from, owner, max)| Step::Pull { to, from, owner, max }),
        2 => (0..3usize, 0..3usize, any::<bool>())
            .prop_map(|(node, owner, hidden)| Step::Hide { node, owner, hidden }),
        1 => (0..3usize, 0..3usize).prop_map(|(node, owner)| Step::Prove { node, owner }),
        1 => (0..3usize, 0..3usize, any::<bool>())
            .prop_map(|(node, owner, over)| Step::Forget { node, owner, over }),
        1 => (0..3usize).prop_map(|node| Step::Sweep { node }),
        1 => (0..3usize).prop_map(|node| Step::Restart { node }),
    ]
}

struct Cluster {
    nodes: Vec<TestNode>,
    boots: Vec<u64>,
    /// For each node, the boots of each owner up to which nothing is taken any more.
    over: [[u64; 3]; 3],
    ring_max: usize,
    takeover: Takeover,
}

const NAMES: [&str; 3] = ["a", "b", "c"];

impl Cluster {
    fn new(ring_max: usize, takeover: Takeover) -> Self {
        let nodes = NAMES.iter().map(|me| TestNode::with_policy(me, 1, ring_max, takeover)).collect();
        Self { nodes, boots: vec![1; 3], over: [[0; 3]; 3], ring_max, takeover }
    }

    fn pull(&mut self, to: usize, from: usize, owner: usize, max: usize) {
        if to == from || to == owner {
            return;
        }
        let from_node = std::mem::replace(&mut self.nodes[from], TestNode::new("gone", 1, 1));
        let over = boot(self.over[to][owner] + 1);
        let owner = name(NAMES[owner]);
        let held = self.nodes[to].position(&owner).incarnation.max(over);
        // A boot that is over is not offered by who knows better, and refused by who does.
        if from_node.position(&owner).incarnation >= held {
            let lost = self.nodes[to].pull(&from_node, &owner, max);
            self.lose(to, &lost);
        }
        self.nodes[from] = from_node;
    }

    /// Sessions are lost, to claims that are proven.
    fn lose(&mut self, node: usize, lost: &[Lost]) {
        for Lost { key, winner, winner_stamp, .. } in lost {
            let known = self.nodes[node].shards.view(*key).known(key.user);
            let wins = |known: &&Known| known.holder.owner == *winner && known.claim.stamp == *winner_stamp;
            let standings: Vec<_> = known.iter().filter(wins).map(|known| known.holder.standing).collect();
            // One that was released by the next delta may be gone.
            assert!(!standings.contains(&Standing::Unproven), "lost to {winner}, which is not proven");
        }
        self.nodes[node].let_go(lost);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Claim { node, key: number, now_ms } => {
                let TestNode { directory, shards, .. } = &mut self.nodes[node];
                let stamp = directory.next_stamp(key(number), now_ms, None, shards);
                let claim = Claim { stamp, state: ClaimState::Connected };
                let lost = directory.claim(key(number), claim, shards);
                self.lose(node, &lost);
            }
            Step::Release { node, key: number } => {
                if let Some(claim) = self.nodes[node].own(key(number)) {
                    self.nodes[node].release(key(number), claim.stamp);
                }
            }
            Step::Pull { to, from, owner, max } => self.pull(to, from, owner, max),
            Step::Hide { node, owner, hidden } if node != owner => {
                self.nodes[node].hide(NAMES[owner], self.boots[owner], hidden);
            }
            Step::Prove { node, owner } if node != owner => {
                let lost = self.nodes[node].prove(NAMES[owner], self.boots[owner]);
                self.lose(node, &lost);
            }
            Step::Sweep { node } => {
                self.nodes[node].sweep();
            }
            Step::Restart { node } => {
                self.boots[node] += 1;
                self.over[node] = [0; 3];
                self.nodes[node] =
                    TestNode::with_policy(NAMES[node], self.boots[node], self.ring_max, self.takeover);
            }
            Step::Forget { node, owner, over: true } if node != owner => {
                self.over[node][owner] = self.boots[owner] - 1;
                self.nodes[node].discard(NAMES[owner], self.over[node][owner], true);
            }
            Step::Forget { node, owner, over: false } if node != owner => {
                self.nodes[node].discard(NAMES[owner], self.boots[owner], false);
                self.nodes[node].hear();
                self.nodes[node].hide(NAMES[owner], self.boots[owner], false);
            }
            Step::Hide { .. } | Step::Prove { .. } | Step::Forget { .. } => {}
        }
        self.nodes.iter_mut().for_each(TestNode::hear);
    }

    /// Everybody is shown and everything is delivered.
    fn heal(&mut self) {
        for node in 0..3 {
            for owner in (0..3).filter(|owner| *owner != node) {
                self.step(Step::Hide { node, owner, hidden: false });
                self.step(Step::Prove { node, owner });
            }
        }
        // A pull may make the puller release, which its peers have yet to see.
        for _ in 0..3 {
            for to in 0..3 {
                for from in 0..3 {
                    self.pull(to, from, from, 2);
                }
            }
        }
    }
}

fn any_policy() -> impl Strategy<Value = Takeover> {
    prop_oneof![
        3 => Just(Takeover::ExclusiveDevice),
        1 => Just(Takeover::OnePerUser),
        1 => Just(Takeover::MaxPerUser(2)),
        1 => Just(Takeover::RejectNewer),
    ]
}

proptest! {
    #[test]
    fn copies_converge_and_every_key_has_one_holder_that_all_agree_on(
        steps in prop::collection::vec(step(), 0..120),
        ring_max in 1..6usize,
        takeover in any_policy(),
    ) {
        let mut cluster = Cluster::new(ring_max, takeover);
        for step in steps {
            // Who wins now may be beaten later, but nobody loses to a claim that is not greater.
            cluster.step(step);
        }
        cluster.heal();
        let nodes = &cluster.nodes;
        for number in 0..KEYS {
            let holders: Vec<_> = nodes.iter().filter(|node| node.own(key(number)).is_some()).collect();
            prop_assert!(holders.len() <= 1, "two nodes hold one key");
            let expected = holders.first().map(|node| node.me().to_string());
            for node in nodes {
                prop_assert_eq!(node.owner_of(key(number)), expected.clone());
            }
        }
        for owner in nodes {
            let me = owner.me();
            for node in nodes.iter().filter(|node| node.me() != me) {
                prop_assert_eq!(node.section(&me), owner.section(&me));
                prop_assert_eq!(node.directory.head(&me).map(|head| head.len), Some(owner.directory.own().len));
            }
        }
        let max = match takeover {
            Takeover::OnePerUser => 1,
            _ => 2, // As many devices as a user has here.
        };
        for number in (0..KEYS).step_by(2) {
            let devices = nodes[0].shards.view(key(number)).user(key(number).user).len();
            prop_assert!(devices <= max, "{} sessions of one user", devices);
        }
    }

    #[test]
    fn a_claim_is_never_lost_but_to_another_ones(
        keys in prop::collection::vec((0..KEYS, 0..50u64), 1..30),
    ) {
        let mut node = TestNode::new("a", 1, 8);
        for (number, now_ms) in keys {
            let stamp = node.claim(key(number), now_ms);
            prop_assert_eq!(node.own(key(number)).map(|claim| claim.stamp), Some(stamp));
        }
        prop_assert_eq!(node.shards.0.iter().flat_map(View::audit).collect::<Vec<_>>(), []);
    }
}
