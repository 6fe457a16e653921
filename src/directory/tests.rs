//! The directory by example; its laws, over random histories, are in [`laws`].

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::config::Takeover;
use crate::id::{Incarnation, NodeName, Stamp};
use crate::key::{DeviceHash, Key, UserHash};
use crate::limits;
use crate::section::{Digest, MergeError, Position};

mod copies;
mod laws;
mod policies;

pub(crate) const DEVICE: DeviceHash = DeviceHash(1);

pub(crate) fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

pub(crate) fn stamp(raw: u64) -> Stamp {
    Stamp::from_raw(raw)
}

pub(crate) fn owned(owner: &str, raw: u64, state: ClaimState) -> Owned {
    Owned { owner: name(owner), incarnation: Incarnation(1), stamp: stamp(raw), state }
}

/// Two devices a user; the users in both halves of the table.
fn key(number: u64) -> Key {
    let user = number / 2;
    let high = if user.is_multiple_of(2) { user << 40 } else { u64::MAX - user };
    Key { user: UserHash { high, low: 0 }, device: DeviceHash(number) }
}

fn boot(number: u64) -> Incarnation {
    Incarnation(number)
}

/// Two views, so that a law that holds within one only is found out.
struct TestShards(Vec<View>);

impl Shards for TestShards {
    fn with<R>(&mut self, user: UserHash, work: impl FnOnce(&mut View) -> R) -> R {
        work(&mut self.0[(user.high >> 63) as usize])
    }
}

impl TestShards {
    fn view(&self, key: Key) -> &View {
        &self.0[(key.user.high >> 63) as usize]
    }
}

/// A node with its views, and its sessions as far as they have not lost.
struct TestNode {
    directory: Directory,
    shards: TestShards,
    /// What is visible, as a listener knows it that has only heard of changes.
    heard: BTreeMap<Key, Owned>,
}

impl TestNode {
    fn new(me: &str, incarnation: u64, ring_max: usize) -> Self {
        Self::with_policy(me, incarnation, ring_max, Takeover::ExclusiveDevice)
    }

    fn with_policy(me: &str, incarnation: u64, ring_max: usize, takeover: Takeover) -> Self {
        let directory = Directory::new(name(me), boot(incarnation), ring_max, limits::RELAY_CHANGES_MAX);
        let view = || View::new(1, takeover, Arc::clone(directory.slots()));
        let mut shards = TestShards(vec![view(), view()]);
        shards.0.iter_mut().for_each(|view| _ = view.listen());
        Self { directory, shards, heard: BTreeMap::new() }
    }

    fn me(&self) -> NodeName {
        self.directory.me().clone()
    }

    fn claim(&mut self, key: Key, now_ms: u64) -> Stamp {
        let stamp = self.directory.next_stamp(key, now_ms, None, &mut self.shards);
        let claim = Claim { stamp, state: ClaimState::Connected };
        let lost = self.directory.claim(key, claim, &mut self.shards);
        self.let_go(&lost);
        stamp
    }

    fn release(&mut self, key: Key, stamp: Stamp) {
        self.directory.release(key, stamp, &mut self.shards);
    }

    /// The loser of a claim closes its session and releases its own entry, and nothing else.
    fn let_go(&mut self, lost: &[Lost]) {
        lost.iter().for_each(|lost| self.release(lost.key, lost.stamp));
    }

    fn own(&self, key: Key) -> Option<Claim> {
        self.shards.view(key).claim_of(key, SlotId::OWN)
    }

    fn position(&self, owner: &NodeName) -> Position {
        self.directory.head(owner).map_or(Position::default(), |head| head.digest.position)
    }

    /// What is served of a section, straight from the rows.
    fn section(&self, owner: &NodeName) -> BTreeMap<Key, Claim> {
        let Some(slot) = self.directory.slot_of(owner) else { return BTreeMap::new() };
        let rows = self.shards.0.iter().flat_map(|view| view.of_slot(slot, None));
        rows.map(|row| (row.key, row.claim())).collect()
    }

    /// Brings the copy of the section of `owner` to where `from` has it, by deltas of `max` or by a
    /// snapshot with chunks of `max`. Returns what was lost.
    fn pull(&mut self, from: &TestNode, owner: &NodeName, max: usize) -> Vec<Lost> {
        let (mut lost, mut last) = (Vec::new(), None);
        loop {
            let position = self.position(owner);
            if from.position(owner) <= position {
                return lost;
            }
            assert!(last.replace(position) != Some(position), "what was pulled leads on");
            match from.directory.delta_since(owner, self.position(owner), max) {
                Some(delta) => {
                    let merged = self.directory.merge_delta(owner, delta, &mut self.shards);
                    lost.extend(merged.expect("a delta that was asked for fits"));
                }
                None => lost.extend(self.pull_snapshot(from, owner, max)),
            }
        }
    }

    fn pull_snapshot(&mut self, from: &TestNode, owner: &NodeName, max: usize) -> Vec<Lost> {
        let head = from.directory.head(owner).unwrap();
        let begun = self.directory.begin(owner, head.digest.position);
        let mut snapshot = begun.expect("it is admitted").expect("it is newer");
        let entries: Vec<_> =
            from.section(owner).into_iter().map(|(key, claim)| Entry { key, claim }).collect();
        for chunk in entries.chunks(max) {
            self.directory.fill(&mut snapshot, chunk, &mut self.shards);
        }
        self.directory.end(snapshot, head.digest, head.len).expect("it adds up");
        self.adopt()
    }

    fn adopt(&mut self) -> Vec<Lost> {
        let slots = self.directory.slots();
        self.shards.0.iter_mut().for_each(|view| view.adopt(slots));
        self.shards.0.iter_mut().flat_map(View::take_lost).collect()
    }

    /// Returns whether what is shown is still to be proven.
    fn hide(&mut self, owner: &str, incarnation: u64, hidden: bool) -> bool {
        let unproven = self.directory.set_hidden(&name(owner), boot(incarnation), hidden);
        assert_eq!(self.adopt(), [], "nothing is lost to what is not proven");
        unproven
    }

    fn discard(&mut self, owner: &str, incarnation: u64, over: bool) {
        self.directory.discard(&name(owner), boot(incarnation), over);
        assert_eq!(self.adopt(), [], "what is over excludes nobody");
    }

    fn prove(&mut self, owner: &str, incarnation: u64) -> Vec<Lost> {
        self.directory.prove(&name(owner), boot(incarnation));
        self.adopt()
    }

    /// Hears of what has changed, and checks that it is just what has.
    fn hear(&mut self) {
        for (_, Diff { key, before, after }) in self.shards.0.iter_mut().flat_map(|view| view.tell()) {
            assert_ne!(before, after, "a diff changes something");
            let held = match after {
                Some(owned) => self.heard.insert(key, owned),
                None => self.heard.remove(&key),
            };
            assert_eq!(held, before, "{key:?}: each change is told once, in its order");
        }
        let visible = self.shards.0.iter().flat_map(|view| view.page(None, usize::MAX));
        assert_eq!(self.heard, visible.collect::<BTreeMap<_, _>>());
    }

    fn audit(&self) -> Vec<Lost> {
        self.shards.0.iter().flat_map(View::audit).collect()
    }

    fn sweep(&mut self) -> usize {
        let retired = self.directory.retired();
        assert_eq!(self.adopt(), [], "what is over excludes nobody");
        let rows = self.shards.0.iter_mut().map(View::sweep).sum();
        self.directory.swept(&retired);
        rows
    }

    fn lookup(&self, key: Key) -> Option<Owned> {
        self.shards.view(key).lookup(key)
    }

    fn owner_of(&self, key: Key) -> Option<String> {
        self.lookup(key).map(|owned| owned.owner.to_string())
    }
}

#[test]
fn two_claims_of_one_node_never_have_one_stamp_also_when_the_first_was_released() {
    let mut node = TestNode::new("a", 7, 64);
    let mut claim = |now_ms, key, seen| {
        let stamp = node.directory.next_stamp(key, now_ms, seen, &mut node.shards);
        node.directory.claim(key, Claim { stamp, state: ClaimState::Connected }, &mut node.shards);
        assert!(node.directory.release(key, stamp, &mut node.shards));
        stamp
    };
    let raw = |ms: u64, counter| Stamp::from_raw((ms << 16) + counter);
    let within_one_millisecond = [claim(5, key(1), None), claim(5, key(1), None), claim(5, key(2), None)];
    assert_eq!(within_one_millisecond, [raw(5, 8), raw(5, 9), raw(5, 10)]);
    assert_eq!(
        [claim(6, key(1), None), claim(5, key(1), None)],
        [raw(6, 11), raw(5, 12)],
        "a clock set back"
    );
    let ahead = Some(raw(99, 13));
    let behind = [claim(6, key(1), ahead), claim(6, key(1), ahead)];
    assert_eq!(
        behind,
        [raw(100, 13), raw(99, 14)],
        "above what it has seen, and each with a stamp of its own"
    );
}

#[test]
fn a_claim_reaches_a_peer_and_a_release_takes_it_away() {
    let (mut a, mut b) = (TestNode::new("a", 1, 8), TestNode::new("b", 1, 8));
    let stamp = a.claim(key(1), 1_000);
    b.pull(&a, &name("a"), 64);
    assert_eq!(b.owner_of(key(1)).as_deref(), Some("a"));
    a.release(key(1), stamp);
    b.pull(&a, &name("a"), 64);
    assert_eq!(b.owner_of(key(1)), None);
}

#[test]
fn the_later_claim_wins_and_only_the_loser_is_told() {
    let (mut a, mut b) = (TestNode::new("a", 1, 8), TestNode::new("b", 1, 8));
    let first = a.claim(key(1), 1_000);
    b.pull(&a, &name("a"), 64);
    let second = b.claim(key(1), 10); // A slow clock: causality decides.
    assert!(second > first);
    let lost = a.pull(&b, &name("b"), 64);
    assert_eq!(
        lost,
        [Lost {
            key: key(1),
            stamp: first,
            winner: name("b"),
            winner_stamp: second,
            rival: Rival::SameDevice
        }]
    );
    assert_eq!(b.pull(&a, &name("a"), 64), []);
    assert_eq!(a.owner_of(key(1)).as_deref(), Some("b"));
    a.release(key(1), first);
    b.pull(&a, &name("a"), 64);
    assert_eq!(b.owner_of(key(1)).as_deref(), Some("b"), "the loser cannot delete the winner");
}

#[test]
fn of_two_equal_claims_exactly_one_loses() {
    let (mut a, mut b) = (TestNode::new("a", 1, 8), TestNode::new("b", 1, 8));
    assert_eq!(a.claim(key(1), 1_000), b.claim(key(1), 1_000));
    assert_eq!(a.pull(&b, &name("b"), 64).len(), 1);
    assert_eq!(b.pull(&a, &name("a"), 64).len(), 0);
    assert_eq!((a.owner_of(key(1)), b.owner_of(key(1))), (Some("b".into()), Some("b".into())));
}

#[test]
fn a_release_of_an_older_stamp_does_nothing() {
    let mut a = TestNode::new("a", 1, 8);
    let older = a.claim(key(1), 1_000);
    let newer = a.claim(key(1), 1_000);
    a.release(key(1), older);
    assert_eq!(a.lookup(key(1)).map(|owned| owned.stamp), Some(newer));
}

#[test]
fn a_hidden_owner_is_not_seen_and_comes_back_without_a_transfer() {
    let (mut a, mut b) = (TestNode::new("a", 1, 8), TestNode::new("b", 1, 8));
    let stamp = a.claim(key(1), 1_000);
    b.pull(&a, &name("a"), 64);
    b.hide("a", 1, true);
    assert_eq!(b.owner_of(key(1)), None);
    let next = b.directory.next_stamp(key(1), 0, None, &mut b.shards);
    assert!(next > stamp, "a new claim still goes above it");
    b.hide("a", 1, false);
    assert_eq!(b.owner_of(key(1)).as_deref(), Some("a"));
}

#[test]
fn a_view_does_not_go_back_to_what_it_knows_to_be_over() {
    let (mut a, mut b) = (TestNode::new("a", 1, 8), TestNode::new("b", 1, 8));
    a.claim(key(1), 1_000);
    b.pull(&a, &name("a"), 64);
    let earlier = Arc::clone(b.directory.slots());
    b.hide("a", 1, true);
    b.shards.0.iter_mut().for_each(|view| view.adopt(&earlier)); // By somebody who was slow.
    assert_eq!(b.owner_of(key(1)), None);
}

#[test]
fn what_a_dead_node_claimed_is_hidden_also_when_it_is_copied_only_then() {
    let (mut a, mut b, mut c) =
        (TestNode::new("a", 1, 8), TestNode::new("b", 1, 8), TestNode::new("c", 1, 8));
    a.claim(key(1), 1_000);
    c.pull(&a, &name("a"), 64);
    b.hide("a", 1, true);
    b.pull(&c, &name("a"), 64);
    assert_eq!((b.owner_of(key(1)), b.directory.len_of(&name("a"))), (None, 1));
    b.hide("a", 1, false);
    assert_eq!(b.owner_of(key(1)).as_deref(), Some("a"));
}

#[test]
fn an_owner_that_returns_with_a_greater_claim_costs_the_key() {
    let (mut a, mut b) = (TestNode::new("a", 1, 8), TestNode::new("b", 1, 8));
    b.claim(key(1), 1_000);
    a.claim(key(2), 1_000);
    b.pull(&a, &name("a"), 64);
    b.hide("a", 1, true);
    a.claim(key(1), 2_000);
    assert_eq!(b.pull(&a, &name("a"), 64), [], "a hidden owner takes nothing");
    assert!(b.hide("a", 1, false), "it is to be proven");
    assert_eq!(b.audit(), []);
    assert_eq!(b.owner_of(key(1)).as_deref(), Some("a"), "and is seen");
    assert_eq!(b.prove("a", 2), [], "another boot proves nothing of this one");
    assert_eq!(b.prove("a", 1).len(), 1);
    assert_eq!(b.prove("a", 1), [], "once");
}

#[test]
fn what_arrives_of_a_member_that_is_back_is_unproven_until_it_is_said_to_be_of_today() {
    let (mut a, mut b) = (TestNode::new("a", 1, 8), TestNode::new("b", 1, 8));
    b.claim(key(1), 1_000);
    a.claim(key(1), 2_000);
    b.hide("a", 1, true);
    b.hide("a", 1, false);
    assert_eq!(b.pull_snapshot(&a, &name("a"), 64), [], "a third node may have sent it");
    let stamp = a.claim(key(3), 2_000);
    a.release(key(3), stamp);
    assert_eq!(b.pull(&a, &name("a"), 64), []);
    b.hide("a", 1, true);
    assert_eq!(b.prove("a", 1), [], "what is hidden is not proven");
    b.hide("a", 1, false);
    assert_eq!(b.prove("a", 1).len(), 1);
    let mut reborn = TestNode::new("a", 2, 8);
    reborn.claim(key(1), 3_000);
    b.hide("a", 1, true);
    b.hide("a", 1, false);
    assert_eq!(b.pull(&reborn, &name("a"), 64).len(), 1, "a new boot has nothing to prove");
}

#[test]
fn a_claim_that_is_known_to_be_over_is_looked_past() {
    let (mut a, mut b) = (TestNode::new("a", 1, 8), TestNode::new("b", 1, 8));
    let kept = b.claim(key(1), 1_000);
    let over = a.claim(key(1), 2_000);
    b.pull(&a, &name("a"), 64);
    let other = |owner: &str, stamp| b.shards.view(key(1)).lookup_other(key(1), &name(owner), stamp);
    assert_eq!(other("a", over).map(|owned| owned.owner.to_string()).as_deref(), Some("b"));
    assert_eq!(other("a", kept).map(|owned| owned.stamp), Some(over), "another claim of that owner");
    assert_eq!(other("b", over).map(|owned| owned.stamp), Some(over), "a claim of another owner");
}

#[test]
fn a_new_incarnation_replaces_the_old_section_whole() {
    let (mut a, mut b) = (TestNode::new("a", 1, 8), TestNode::new("b", 1, 8));
    a.claim(key(1), 1_000);
    b.pull(&a, &name("a"), 64);
    b.hide("a", 1, true);
    let mut reborn = TestNode::new("a", 2, 8);
    reborn.claim(key(2), 2_000);
    b.pull(&reborn, &name("a"), 64);
    assert_eq!(b.owner_of(key(1)), None);
    assert_eq!(b.owner_of(key(2)).as_deref(), Some("a"), "what was hidden was the old boot");
    let late = b.directory.begin(&name("a"), a.position(&name("a")));
    assert_eq!(late.unwrap_err(), MergeError::Incarnation { found: boot(1), held: boot(2) });
    b.discard("a", 1, true);
    assert_eq!(b.owner_of(key(2)).as_deref(), Some("a"), "nor does its end touch the new one");
}

#[test]
fn what_is_over_is_not_taken_from_anyone_and_what_was_purged_may_return() {
    let (mut a, mut b) = (TestNode::new("a", 1, 8), TestNode::new("b", 1, 8));
    a.claim(key(1), 1_000);
    b.pull(&a, &name("a"), 64);
    b.discard("a", 1, false);
    assert_eq!(b.owner_of(key(1)), None);
    b.hide("a", 1, false);
    b.pull(&a, &name("a"), 64);
    assert_eq!(b.owner_of(key(1)).as_deref(), Some("a"), "a purge is not for good");
    let arriving = b
        .directory
        .distrust(&name("a"), &a.directory.own().digest)
        .then(|| b.directory.begin(&name("a"), a.position(&name("a"))).unwrap().unwrap());
    b.discard("a", 1, true);
    let error = MergeError::Incarnation { found: boot(1), held: boot(1) };
    let head = a.directory.own();
    let ended = b.directory.end(arriving.unwrap(), head.digest, head.len);
    assert_eq!(ended, Err(error.clone()), "not even what was under way");
    assert_eq!(b.directory.begin(&name("a"), head.digest.position).unwrap_err(), error);
    assert_eq!(b.owner_of(key(1)), None);
}

#[test]
fn what_arrives_of_a_purged_boot_is_not_taken_until_it_is_a_member_again() {
    let (mut a, mut b) = (TestNode::new("a", 1, 8), TestNode::new("b", 1, 8));
    a.claim(key(1), 1_000);
    let head = a.directory.own();
    let arriving = b.directory.begin(&name("a"), head.digest.position).unwrap().unwrap();
    b.hide("a", 1, true);
    b.discard("a", 1, false);
    let error = MergeError::Incarnation { found: boot(1), held: boot(1) };
    let ended = b.directory.end(arriving, head.digest, head.len);
    assert_eq!(ended, Err(error.clone()), "it would be seen for ever");
    assert_eq!(b.directory.begin(&name("a"), head.digest.position).unwrap_err(), error);
    b.hide("a", 1, true);
    b.pull(&a, &name("a"), 64);
    assert_eq!(b.owner_of(key(1)), None, "it came back as it was: dead");
    b.discard("a", 1, false);
    b.hide("a", 2, false);
    let late = b.directory.begin(&name("a"), head.digest.position);
    assert_eq!(late.unwrap_err(), error, "a later boot does not bring the former one back");
    let mut reborn = TestNode::new("a", 2, 8);
    reborn.claim(key(1), 2_000);
    b.pull(&reborn, &name("a"), 64);
    assert_eq!(b.owner_of(key(1)).as_deref(), Some("a"), "a later boot is another one");
}
