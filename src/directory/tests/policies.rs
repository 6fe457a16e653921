//! Which sessions of a user exclude each other, by policy, and that a healed partition ends the same
//! everywhere.

use super::*;

fn nodes(takeover: Takeover) -> [TestNode; 2] {
    ["a", "b"].map(|me| TestNode::with_policy(me, 1, 8, takeover))
}

/// Both learn what the other has until nothing changes.
fn heal([a, b]: &mut [TestNode; 2]) {
    for _ in 0..2 {
        let lost = a.pull(b, &name("b"), 64);
        a.let_go(&lost);
        let lost = b.pull(a, &name("a"), 64);
        b.let_go(&lost);
    }
    a.pull(b, &name("b"), 64);
}

fn held(nodes: &[TestNode; 2], number: u64) -> [bool; 2] {
    [0, 1].map(|index| nodes[index].own(key(number)).is_some())
}

#[test]
fn devices_of_a_user_do_not_exclude_each_other_by_default() {
    let mut nodes = nodes(Takeover::ExclusiveDevice);
    nodes[0].claim(key(0), 1_000);
    nodes[1].claim(key(1), 2_000);
    heal(&mut nodes);
    assert_eq!((held(&nodes, 0), held(&nodes, 1)), ([true, false], [false, true]));
}

#[test]
fn one_per_user_leaves_the_newest_session_of_a_user() {
    let mut nodes = nodes(Takeover::OnePerUser);
    nodes[0].claim(key(0), 1_000);
    nodes[0].claim(key(1), 1_500);
    assert_eq!((held(&nodes, 0), held(&nodes, 1)), ([false; 2], [true, false]), "on one node at once");
    nodes[1].claim(key(0), 1_200);
    heal(&mut nodes);
    assert_eq!((held(&nodes, 0), held(&nodes, 1)), ([false; 2], [true, false]));
    nodes[1].claim(key(2), 1);
    heal(&mut nodes);
    assert_eq!(held(&nodes, 1), [true, false], "another user excludes nobody");
}

#[test]
fn a_claim_says_whom_it_displaces() {
    let mut nodes = nodes(Takeover::OnePerUser);
    nodes[0].claim(key(0), 1_000);
    nodes[1].claim(key(1), 2_000);
    heal(&mut nodes);
    let displaced = nodes[0].shards.view(key(0)).displaced(key(0));
    let displaced: Vec<_> =
        displaced.iter().map(|(device, owned)| (device.0, owned.owner.as_str())).collect();
    assert_eq!(displaced, [(1, "b")]);
}

#[test]
fn so_many_newest_sessions_of_a_user_stay() {
    let many = |number| Key { device: DeviceHash(number), ..key(0) };
    let mut nodes = nodes(Takeover::MaxPerUser(2));
    nodes[0].claim(many(1), 1_000);
    nodes[1].claim(many(2), 2_000);
    nodes[0].claim(many(3), 3_000);
    nodes[1].claim(many(4), 4_000);
    heal(&mut nodes);
    let left = |node: &TestNode| [1, 2, 3, 4].map(|number| node.own(many(number)).is_some());
    assert_eq!(left(&nodes[0]), [false, false, true, false]);
    assert_eq!(left(&nodes[1]), [false, false, false, true]);
    let displaced = nodes[0].shards.view(many(5)).displaced(many(5));
    assert_eq!(displaced.iter().map(|(device, _)| device.0).collect::<Vec<_>>(), [3], "the oldest of them");
}

#[test]
fn where_the_newer_is_rejected_the_older_of_two_claims_stays_after_a_partition() {
    let mut nodes = nodes(Takeover::RejectNewer);
    nodes[0].claim(key(0), 2_000);
    nodes[1].claim(key(0), 1_000);
    nodes[0].claim(key(2), 1_000);
    nodes[1].claim(key(2), 1_000);
    heal(&mut nodes);
    assert_eq!(held(&nodes, 0), [false, true]);
    assert_eq!(held(&nodes, 2), [true, false], "a tie goes to the smaller name");
    for node in &nodes {
        assert_eq!(node.owner_of(key(0)).as_deref(), Some("b"));
        assert_eq!(node.owner_of(key(2)).as_deref(), Some("a"));
    }
}

#[test]
fn a_return_from_the_dead_counts_against_the_sessions_that_were_opened_meanwhile() {
    let mut nodes = nodes(Takeover::OnePerUser);
    nodes[0].claim(key(2), 1_000);
    let [a, b] = &mut nodes;
    b.pull(a, &name("a"), 64);
    b.hide("a", 1, true);
    b.claim(key(1), 1_000);
    a.claim(key(0), 3_000);
    assert_eq!(b.pull(a, &name("a"), 64), [], "the dead exclude nobody");
    b.hide("a", 1, false);
    let lost = b.prove("a", 1);
    assert_eq!(lost.iter().map(|lost| lost.key).collect::<Vec<_>>(), [key(1)]);
}

#[test]
fn the_next_connection_of_a_user_wins_also_at_a_slow_clock() {
    let mut nodes = nodes(Takeover::OnePerUser);
    let [a, b] = &mut nodes;
    a.claim(key(0), 5_000);
    b.pull(a, &name("a"), 64);
    b.claim(key(1), 4_000);
    assert!(b.own(key(1)).is_some());
    heal(&mut nodes);
    assert_eq!((held(&nodes, 0), held(&nodes, 1)), ([false; 2], [false, true]));
}

#[test]
fn a_delta_in_which_a_client_changes_its_device_closes_nobody() {
    let many = |number| Key { device: DeviceHash(number), ..key(0) };
    let mut nodes = nodes(Takeover::MaxPerUser(2));
    let [a, b] = &mut nodes;
    b.claim(many(9), 1_000);
    let old = a.claim(many(1), 2_000);
    b.pull(a, &name("a"), 64);
    a.release(many(1), old);
    a.claim(many(2), 3_000);
    assert_eq!(b.pull(a, &name("a"), 64), []);
}

/// What an owner claimed before it was hidden may be over when it is shown again. It is seen at once,
/// and takes nothing away before it is proven, whatever makes somebody look.
#[test]
fn a_stale_claim_of_a_returning_member_closes_nobody_whoever_looks() {
    let device = |number| Key { device: DeviceHash(number), ..key(0) };
    for look in 0..4 {
        let mut nodes = ["a", "b", "c"].map(|me| TestNode::new(me, 1, 8));
        let [a, b, c] = &mut nodes;
        b.claim(device(1), 1_000);
        a.claim(device(1), 2_000);
        b.hide("a", 1, true);
        assert_eq!(b.pull(a, &name("a"), 64), [], "the dead take nothing away");
        b.hide("a", 1, false);
        assert_eq!(b.owner_of(device(1)).as_deref(), Some("a"), "it is seen");
        let lost = match look {
            0 => b.audit(),
            1 => {
                let stamp = b.directory.next_stamp(device(2), 3_000, None, &mut b.shards);
                b.directory.claim(device(2), Claim { stamp, state: ClaimState::Connected }, &mut b.shards)
            }
            2 => {
                b.pull(c, &name("c"), 64);
                c.claim(device(3), 3_000);
                b.pull(c, &name("c"), 64)
            }
            _ => {
                c.claim(device(3), 3_000);
                b.pull_snapshot(c, &name("c"), 64)
            }
        };
        assert_eq!(lost, [], "look {look}");
        assert_eq!(b.prove("a", 1).len(), 1, "it stands");
    }
}
