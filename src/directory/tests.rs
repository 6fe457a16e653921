//! The directory's laws: copies converge to the owner's map, and a key has exactly one winner.

use proptest::prelude::*;

use super::*;
use crate::id::{DeviceId, UserId};

fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

fn key(number: u8) -> SessionKey {
    SessionKey::new(
        UserId::new(format!("u{}", number / 2)).unwrap(),
        DeviceId::new(format!("d{number}")).unwrap(),
    )
}

fn boot(number: u64) -> Incarnation {
    Incarnation(number)
}

/// A node with its view, for tests that look from outside.
struct TestNode {
    directory: Directory,
    view: View,
}

impl TestNode {
    fn new(me: &str, incarnation: u64, ring_max: usize) -> Self {
        Self { directory: Directory::new(name(me), boot(incarnation), ring_max), view: View::default() }
    }

    fn claim(&mut self, key: &SessionKey, now_ms: u64) -> Stamp {
        let (claim, change) = self.directory.claim(key.clone(), now_ms, self.view.stamp(key));
        self.view.apply(&change);
        claim.stamp
    }

    fn release(&mut self, key: &SessionKey, stamp: Stamp) {
        if let Some(change) = self.directory.release(key, stamp) {
            self.view.apply(&change);
        }
    }

    fn show(&mut self, merged: Merged) -> Vec<Lost> {
        merged.changes.iter().for_each(|change| self.view.apply(change));
        merged.lost
    }

    /// Brings this node's copy of `owner`'s section up to date, by deltas of `max` or by snapshot.
    fn pull(&mut self, owner: &TestNode, max: usize) -> Vec<Lost> {
        let owner_name = owner.directory.me.clone();
        let mut lost = Vec::new();
        loop {
            match owner.directory.delta_since(self.directory.position(&owner_name), max) {
                Some(delta) if delta.is_empty() => return lost,
                Some(delta) => {
                    let merged =
                        self.directory.merge_delta(&owner_name, delta).expect("a delta asked for fits");
                    lost.extend(self.show(merged));
                }
                None => {
                    let merged =
                        self.directory.merge_section(&owner_name, owner.directory.own.clone()).unwrap();
                    lost.extend(self.show(merged));
                }
            }
        }
    }

    fn owner_of(&self, key: &SessionKey) -> Option<String> {
        self.view.lookup(key).map(|owned| owned.owner.to_string())
    }
}

#[test]
fn a_claim_reaches_a_peer_and_a_release_takes_it_away() {
    let (mut a, mut b) = (TestNode::new("a", 1, 8), TestNode::new("b", 1, 8));
    let stamp = a.claim(&key(1), 1_000);
    b.pull(&a, 64);
    assert_eq!(b.owner_of(&key(1)).as_deref(), Some("a"));
    a.release(&key(1), stamp);
    b.pull(&a, 64);
    assert_eq!(b.owner_of(&key(1)), None);
}

#[test]
fn the_later_claim_wins_and_only_the_loser_is_told() {
    let (mut a, mut b) = (TestNode::new("a", 1, 8), TestNode::new("b", 1, 8));
    let first = a.claim(&key(1), 1_000);
    b.pull(&a, 64);
    let second = b.claim(&key(1), 10); // A slow clock: causality decides.
    assert!(second > first);
    let lost = a.pull(&b, 64);
    assert_eq!(lost, [Lost { key: key(1), stamp: first, winner: name("b"), winner_stamp: second }]);
    assert_eq!(b.pull(&a, 64), []);
    assert_eq!(a.owner_of(&key(1)).as_deref(), Some("b"));
    a.release(&key(1), first);
    b.pull(&a, 64);
    assert_eq!(b.owner_of(&key(1)).as_deref(), Some("b"), "the loser can not delete the winner");
}

#[test]
fn of_two_equal_claims_exactly_one_loses() {
    let (mut a, mut b) = (TestNode::new("a", 1, 8), TestNode::new("b", 1, 8));
    assert_eq!(a.claim(&key(1), 1_000), b.claim(&key(1), 1_000));
    assert_eq!(a.pull(&b, 64).len(), 1);
    assert_eq!(b.pull(&a, 64).len(), 0);
    assert_eq!((a.owner_of(&key(1)), b.owner_of(&key(1))), (Some("b".into()), Some("b".into())));
}

#[test]
fn a_release_of_an_older_stamp_does_nothing() {
    let mut a = TestNode::new("a", 1, 8);
    let older = a.claim(&key(1), 1_000);
    let newer = a.claim(&key(1), 1_000);
    a.release(&key(1), older);
    assert_eq!(a.view.lookup(&key(1)).map(|owned| owned.stamp), Some(newer));
}

#[test]
fn a_hidden_owner_is_not_seen_and_comes_back_without_a_transfer() {
    let (mut a, mut b) = (TestNode::new("a", 1, 8), TestNode::new("b", 1, 8));
    a.claim(&key(1), 1_000);
    b.pull(&a, 64);
    let merged = b.directory.set_hidden(&name("a"), boot(1), true);
    b.show(merged);
    assert_eq!(b.owner_of(&key(1)), None);
    assert!(b.view.stamp(&key(1)).is_some(), "a new claim still goes above it");
    let merged = b.directory.set_hidden(&name("a"), boot(1), false);
    b.show(merged);
    assert_eq!(b.owner_of(&key(1)).as_deref(), Some("a"));
}

#[test]
fn an_owner_that_returns_with_a_greater_claim_costs_the_key() {
    let (mut a, mut b) = (TestNode::new("a", 1, 8), TestNode::new("b", 1, 8));
    b.claim(&key(1), 1_000);
    a.claim(&key(2), 1_000);
    b.pull(&a, 64);
    let merged = b.directory.set_hidden(&name("a"), boot(1), true);
    b.show(merged);
    a.claim(&key(1), 2_000);
    assert_eq!(b.pull(&a, 64), [], "a hidden owner takes nothing");
    let merged = b.directory.set_hidden(&name("a"), boot(1), false);
    assert_eq!(b.show(merged).len(), 1);
}

#[test]
fn a_new_incarnation_replaces_the_old_section_whole() {
    let (mut a, mut b) = (TestNode::new("a", 1, 8), TestNode::new("b", 1, 8));
    a.claim(&key(1), 1_000);
    b.pull(&a, 64);
    let merged = b.directory.set_hidden(&name("a"), boot(1), true);
    b.show(merged);
    let mut reborn = TestNode::new("a", 2, 8);
    reborn.claim(&key(2), 2_000);
    b.pull(&reborn, 64);
    assert_eq!(b.owner_of(&key(1)), None);
    assert_eq!(b.owner_of(&key(2)).as_deref(), Some("a"), "what was hidden was the old boot");
    let late = b.directory.merge_section(&name("a"), a.directory.own.clone()).unwrap();
    assert_eq!(late, Merged::default(), "the old boot does not come back");
    assert_eq!(
        b.directory.discard(&name("a"), boot(1)),
        Merged::default(),
        "nor does its end touch the new one"
    );
}

#[test]
fn a_delta_over_a_gap_is_refused_and_a_repeated_one_changes_nothing() {
    let (mut a, mut b) = (TestNode::new("a", 1, 8), TestNode::new("b", 1, 8));
    b.pull(&a, 64);
    a.claim(&key(1), 1_000);
    let first = a.directory.delta_since(b.directory.position(&name("a")), 1).unwrap();
    a.claim(&key(2), 1_000);
    let second = a.directory.delta_since(first.end(), 1).unwrap();
    let gap = b.directory.merge_delta(&name("a"), second.clone()).unwrap_err().0;
    assert_eq!(gap, MergeError::Gap { from: 1, held: 0 });
    b.directory.merge_delta(&name("a"), first.clone()).unwrap();
    assert_eq!(b.directory.merge_delta(&name("a"), first).unwrap(), Merged::default());
    b.directory.merge_delta(&name("a"), second).unwrap();
    assert_eq!(b.directory.others[&name("a")].section, a.directory.own);
}

#[test]
fn a_copy_that_differs_from_its_owner_is_discarded() {
    let (mut a, mut b) = (TestNode::new("a", 1, 8), TestNode::new("b", 1, 8));
    a.claim(&key(1), 1_000);
    let stamp = a.claim(&key(3), 1_000);
    b.pull(&a, 64);
    a.claim(&key(2), 1_000);
    a.release(&key(3), stamp);
    let mut delta = a.directory.delta_since(b.directory.position(&name("a")), 64).unwrap();
    delta.upserts.clear(); // What a lost write would look like.
    let (error, merged) = b.directory.merge_delta(&name("a"), delta).unwrap_err();
    assert_eq!(error, MergeError::Diverged { owner: name("a"), version: 4 });
    b.show(merged);
    assert_eq!((b.owner_of(&key(1)), b.owner_of(&key(3))), (None, None), "nothing of it stays in the view");
    b.pull(&a, 64);
    assert_eq!(b.owner_of(&key(2)).as_deref(), Some("a"));
}

#[test]
fn a_snapshot_that_is_written_to_while_it_travels_ends_where_the_owner_is() {
    let mut a = TestNode::new("a", 1, 64);
    let stamps: Vec<_> = (0..10).map(|n| a.claim(&key(n), 1_000)).collect();
    let begin = a.directory.own.position();
    let mut snapshot = Snapshot::begin(begin);
    let first = a.directory.own.chunk(None, 5);
    let after = first.last().map(|(key, _)| key.clone());
    snapshot.chunk(first);
    a.release(&key(0), stamps[0]); // Sent already.
    a.release(&key(9), stamps[9]); // Not sent yet.
    a.claim(&key(11), 2_000);
    snapshot.chunk(a.directory.own.chunk(after.as_ref(), 64));
    let mut at = begin;
    while let Some(delta) = a.directory.delta_since(at, 2).filter(|delta| !delta.is_empty()) {
        at = delta.end();
        snapshot.delta(&delta).unwrap();
    }
    let section = snapshot.end(&name("a"), a.directory.own.digest(), a.directory.own.len() as u64).unwrap();
    assert_eq!(section, a.directory.own);
}

#[test]
fn an_unfinished_snapshot_is_refused() {
    let mut a = TestNode::new("a", 1, 64);
    a.claim(&key(1), 1_000);
    let own = &a.directory.own;
    let snapshot = Snapshot::begin(own.position());
    assert_eq!(
        snapshot.end(&name("a"), own.digest(), 1),
        Err(MergeError::Diverged { owner: name("a"), version: 1 })
    );
}

#[test]
fn a_page_continues_after_its_last_key_and_counts_are_exact() {
    let mut a = TestNode::new("a", 1, 64);
    for number in 0..6 {
        a.claim(&key(number), 1_000);
    }
    let first = a.view.page(None, 4);
    let second = a.view.page(first.last().map(|(key, _)| key), 4);
    let keys: Vec<_> = first.iter().chain(&second).map(|(key, _)| key.clone()).collect();
    assert_eq!(keys, (0..6).map(key).collect::<Vec<_>>());
    let mut counts = Counts::default();
    a.view.count(&mut counts);
    assert_eq!((counts.sessions, counts.users, counts.by_node[&name("a")]), (6, 3, 6));
}

/// One step of a random history of three nodes.
#[derive(Debug, Clone)]
enum Step {
    Claim { node: usize, key: u8, now_ms: u64 },
    Release { node: usize, key: u8 },
    Pull { to: usize, from: usize, max: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..3usize, 0..6u8, 0..50u64).prop_map(|(node, key, now_ms)| Step::Claim { node, key, now_ms }),
        (0..3usize, 0..6u8).prop_map(|(node, key)| Step::Release { node, key }),
        (0..3usize, 0..3usize, 1..4usize).prop_map(|(to, from, max)| Step::Pull { to, from, max }),
    ]
}

fn pull(nodes: &mut [TestNode], to: usize, from: usize, max: usize) {
    if to == from {
        return;
    }
    // The loser of a claim closes its session and releases its own entry, and nothing else.
    let owner = std::mem::replace(&mut nodes[from], TestNode::new("gone", 1, 1));
    let lost = nodes[to].pull(&owner, max);
    nodes[from] = owner;
    for Lost { key, stamp, .. } in lost {
        nodes[to].release(&key, stamp);
    }
}

proptest! {
    #[test]
    fn copies_converge_to_the_owners_maps_and_every_key_has_one_holder(
        steps in prop::collection::vec(step(), 0..120),
        ring_max in 1..6usize,
    ) {
        let mut nodes: Vec<_> = ["a", "b", "c"].iter().map(|me| TestNode::new(me, 1, ring_max)).collect();
        for step in steps {
            match step {
                Step::Claim { node, key: number, now_ms } => {
                    nodes[node].claim(&key(number), now_ms);
                }
                Step::Release { node, key: number } => {
                    if let Some(claim) = nodes[node].directory.own.get(&key(number)) {
                        nodes[node].release(&key(number), claim.stamp);
                    }
                }
                Step::Pull { to, from, max } => pull(&mut nodes, to, from, max),
            }
        }
        // A pull may make the puller release, which its peers have yet to see: twice is enough.
        for _ in 0..3 {
            for to in 0..3 {
                for from in 0..3 {
                    pull(&mut nodes, to, from, 2);
                }
            }
        }
        for number in 0..6 {
            let holders: Vec<_> =
                nodes.iter().filter(|node| node.directory.own.get(&key(number)).is_some()).collect();
            prop_assert!(holders.len() <= 1, "two nodes hold one key");
            let expected = holders.first().map(|node| node.directory.me.to_string());
            for node in &nodes {
                prop_assert_eq!(node.owner_of(&key(number)), expected.clone());
            }
        }
        for owner in &nodes {
            for node in nodes.iter().filter(|node| node.directory.me != owner.directory.me) {
                if owner.directory.own.version() > 0 {
                    let copy = &node.directory.others[&owner.directory.me].section;
                    prop_assert_eq!(copy, &owner.directory.own);
                }
            }
        }
    }
}
