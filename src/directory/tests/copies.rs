//! How copies of a section follow their owner: deltas, snapshots and relays.

use super::*;

#[test]
fn a_delta_over_a_gap_is_refused_and_a_repeated_one_changes_nothing() {
    let (mut a, mut b) = (TestNode::new("a", 1, 8), TestNode::new("b", 1, 8));
    let owner = name("a");
    b.pull(&a, &owner, 64);
    a.claim(key(1), 1_000);
    let first = a.directory.delta_since(&owner, b.position(&owner), 1).unwrap();
    a.claim(key(2), 1_000);
    let second = a.directory.delta_since(&owner, first.end(), 1).unwrap();
    let gap = b.directory.merge_delta(&owner, second.clone(), &mut b.shards);
    assert_eq!(gap, Err(MergeError::Gap { from: 1, held: 0 }));
    b.directory.merge_delta(&owner, first.clone(), &mut b.shards).unwrap();
    assert_eq!(b.directory.merge_delta(&owner, first, &mut b.shards), Ok(Vec::new()));
    b.directory.merge_delta(&owner, second, &mut b.shards).unwrap();
    assert_eq!(b.section(&owner), a.section(&owner));
}

#[test]
fn a_copy_that_differs_from_its_owner_is_not_served_and_a_snapshot_replaces_it() {
    let (mut a, mut b) = (TestNode::new("a", 1, 8), TestNode::new("b", 1, 8));
    let owner = name("a");
    a.claim(key(1), 1_000);
    let stamp = a.claim(key(3), 1_000);
    b.pull(&a, &owner, 64);
    a.claim(key(2), 1_000);
    a.release(key(3), stamp);
    let mut delta = a.directory.delta_since(&owner, b.position(&owner), 64).unwrap();
    delta.upserts.0.clear(); // What a lost write would look like.
    let diverged = b.directory.merge_delta(&owner, delta, &mut b.shards);
    assert_eq!(diverged, Err(MergeError::Diverged { owner: owner.clone(), version: 4 }));
    assert_eq!(b.directory.head(&owner), None, "nobody is served from here");
    assert_eq!(b.owner_of(key(1)).as_deref(), Some("a"), "and nobody is lost from view");
    b.pull(&a, &owner, 64);
    assert_eq!(b.section(&owner), a.section(&owner));
    assert_eq!(b.owner_of(key(2)).as_deref(), Some("a"));
}

#[test]
fn a_snapshot_that_is_written_to_while_it_travels_ends_where_the_owner_is() {
    let (mut a, mut b) = (TestNode::new("a", 1, 64), TestNode::new("b", 1, 64));
    let owner = name("a");
    let stamps: Vec<_> = (0..10).map(|n| a.claim(key(n), 1_000)).collect();
    let begin = a.position(&owner);
    let mut snapshot = b.directory.begin(&owner, begin).unwrap().unwrap();
    let entries = |node: &TestNode, after: Option<Key>| -> Vec<Entry> {
        let rows = node.section(&name("a")).into_iter().filter(|(key, _)| after.is_none_or(|a| *key > a));
        rows.map(|(key, claim)| Entry { key, claim }).collect()
    };
    let first = &entries(&a, None)[..5];
    b.directory.fill(&mut snapshot, first, &mut b.shards);
    assert_eq!(b.owner_of(key(1)), None, "nobody sees a part of it");
    let (sent, unsent) = (first[0].key, entries(&a, Some(first[4].key))[0].key);
    for key in [sent, unsent] {
        a.release(key, stamps[key.device.0 as usize]);
    }
    a.claim(key(11), 2_000);
    b.directory.fill(&mut snapshot, &entries(&a, Some(first[4].key)), &mut b.shards);
    let mut at = begin;
    while let Some(delta) = a.directory.delta_since(&owner, at, 2).filter(|delta| !delta.is_empty()) {
        at = delta.end();
        b.directory.mend(&mut snapshot, &delta, &mut b.shards).unwrap();
    }
    let head = a.directory.own();
    b.directory.end(snapshot, head.digest, head.len).unwrap();
    assert_eq!(b.section(&owner), a.section(&owner));
}

#[test]
fn an_unfinished_snapshot_is_refused_and_swept() {
    let (mut a, mut b) = (TestNode::new("a", 1, 64), TestNode::new("b", 1, 64));
    let owner = name("a");
    a.claim(key(1), 1_000);
    a.claim(key(2), 1_000);
    let head = a.directory.own();
    let mut snapshot = b.directory.begin(&owner, head.digest.position).unwrap().unwrap();
    let entry = Entry { key: key(1), claim: a.own(key(1)).unwrap() };
    b.directory.fill(&mut snapshot, &[entry], &mut b.shards);
    let ended = b.directory.end(snapshot, head.digest, head.len);
    assert_eq!(ended, Err(MergeError::Diverged { owner: owner.clone(), version: 2 }));
    assert_eq!((b.owner_of(key(1)), b.sweep(), b.sweep()), (None, 1, 0));
}

#[test]
fn a_third_node_serves_what_it_holds_of_a_section() {
    let mut nodes = ["a", "b", "c"].map(|me| TestNode::new(me, 1, 64));
    let owner = name("a");
    let [a, b, c] = &mut nodes;
    a.claim(key(1), 1_000);
    b.pull(a, &owner, 64);
    c.pull(b, &owner, 64);
    let stamp = a.claim(key(2), 1_000);
    a.release(key(2), stamp);
    a.claim(key(4), 1_000);
    b.pull(a, &owner, 2);
    let delta = b.directory.delta_since(&owner, c.position(&owner), 64).expect("b remembers the delta");
    assert_eq!((delta.from, delta.to), (1, 3), "as it came from the owner");
    c.pull(b, &owner, 64);
    assert_eq!(c.section(&owner), a.section(&owner));
}

#[test]
fn a_page_continues_after_its_last_key_and_counts_are_exact() {
    let mut a = TestNode::new("a", 1, 64);
    for number in 0..6 {
        a.claim(key(number), 1_000);
    }
    let view = &a.shards.0[0];
    let first = view.page(None, 3);
    let second = view.page(first.last().map(|(key, _)| *key), 3);
    let keys: Vec<_> = first.iter().chain(&second).map(|(key, _)| *key).collect();
    assert_eq!(keys, [key(0), key(1), key(4), key(5)]);
    let mut counts = Counts::default();
    a.shards.0.iter().for_each(|view| view.count(&mut counts));
    assert_eq!((counts.sessions, counts.users, counts.by_node[&name("a")]), (6, 3, 6));
}
