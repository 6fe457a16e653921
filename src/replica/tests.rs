//! The replica by example, and listeners to it while several threads change it.

use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::Duration;

use super::*;
use crate::directory::{Claim, ClaimState};
use crate::events::Event;

#[test]
fn what_a_clients_own_session_stood_above_does_not_keep_the_client_out() {
    let (me, other) = (NodeName::new("a").unwrap(), NodeName::new("dead").unwrap());
    let (hasher, tuning) = (KeyHasher::new(&[0; 32]), Tuning::default());
    let replica = Arc::new(Replica::new(me, Incarnation(1), hasher, Takeover::RejectNewer, tuning));
    let key = Key { user: UserHash { high: 1, low: 1 }, device: DeviceHash(1) };
    let stamp = Stamp::from_raw;
    // The claim of an owner that cannot let go any more, older than the session whose token is shown.
    let claim = Claim { stamp: stamp(5), state: ClaimState::Connected };
    let position = Position { incarnation: Incarnation(1), version: 1 };
    let mut arriving = replica.begin(&other, position).unwrap().unwrap();
    arriving.fill(&[Entry { key, claim }]);
    arriving.end(Digest { position, hash: claim.hash(&key) }, 1).unwrap();
    let claims = |resumed, below: Option<u64>| {
        replica.claim(key, 0, None, Some(stamp(resumed)), below.map(stamp), |_| {}).map(|_| ())
    };
    assert_eq!(claims(9, None), Err(HeldByAnother));
    assert_eq!(claims(4, Some(5)), Err(HeldByAnother));
    assert_eq!(claims(9, Some(10)), Ok(()));
    assert_eq!(replica.lookup(key).map(|owned| owned.state), Some(ClaimState::Resumed));
}

fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

fn key(number: u64) -> Key {
    // Spread over the views, so that several listeners' numbers count.
    Key { user: UserHash { high: number << 56 | number, low: 0 }, device: DeviceHash(1) }
}

fn replica(diffs: usize) -> Arc<Replica> {
    let tuning = Tuning { diffs, ..Tuning::default() };
    let (me, hasher) = (name("me"), KeyHasher::new(&[0; 32]));
    Arc::new(Replica::new(me, Incarnation(1), hasher, Takeover::ExclusiveDevice, tuning))
}

fn claim(replica: &Replica, number: u64) -> Stamp {
    replica.claim(key(number), 0, None, None, None, |_| {}).unwrap().stamp
}

/// A peer's section with these keys, at a version as large as their number.
fn hold(replica: &Arc<Replica>, owner: &NodeName, version: u64, numbers: std::ops::Range<u64>) {
    let position = Position { incarnation: Incarnation(1), version };
    let claim = Claim { stamp: Stamp::from_raw(version), state: ClaimState::Connected };
    let entries: Vec<_> = numbers.map(|number| Entry { key: key(number), claim }).collect();
    let hash = entries.iter().fold(0, |hash, entry| hash ^ claim.hash(&entry.key));
    let mut arriving = replica.begin(owner, position).unwrap().unwrap();
    arriving.fill(&entries);
    arriving.end(Digest { position, hash }, entries.len() as u64).unwrap();
}

/// Hears all that there is to hear now. Returns how many changes that were.
fn hear(mirror: &mut Mirror, replica: &Replica) -> usize {
    let Heard { diffs, missed } = mirror.hear(replica).expect("each change is told once, in its order");
    assert_eq!(missed, 0);
    diffs
}

#[test]
fn a_snapshot_that_does_not_add_up_takes_no_lost_session_from_whoever_has_to_tell_of_it() {
    let replica = replica(64);
    let (peer, boot) = (name("peer"), Incarnation(1));
    hold(&replica, &peer, 1, 5..6);
    replica.set_hidden(&peer, boot, true);
    assert_eq!(replica.adopt(), []);
    let mine = claim(&replica, 1);
    hold(&replica, &peer, u64::MAX >> 1, 1..2);
    replica.set_hidden(&peer, boot, false);
    // Decided by one, who has not let the views follow yet, when the snapshot of another fails.
    assert!(replica.lock().prove(&peer, boot));
    let position = Position { incarnation: boot, version: 1 };
    let arriving = replica.begin(&name("third"), position).unwrap().unwrap();
    assert!(arriving.end(Digest { position, hash: 7 }, 1).is_err());
    assert_eq!(replica.adopt().into_iter().map(|lost| lost.stamp).collect::<Vec<_>>(), [mine]);
}

#[test]
fn a_claim_for_a_client_that_is_away_stands_against_none_that_the_client_has_made_itself() {
    let replica = replica(64);
    let (peer, boot) = (name("peer"), Incarnation(1));
    let ms = |stamp: Stamp| stamp.unix_ms();
    let left = Stamp::from_raw(100 << 16);
    let parked = |number| replica.claim_parked(key(number), left, None, |_| {}).map(|claimed| claimed.stamp);
    // The client has gone on at a node that is hidden by now, and comes back.
    hold(&replica, &peer, 900 << 16, 1..3);
    replica.set_hidden(&peer, boot, true);
    assert_eq!(replica.adopt(), []);
    let mine = parked(1).expect("no later claim is shown");
    assert!(mine > left && ms(mine) <= ms(left) + 1, "{mine:?}");
    replica.set_hidden(&peer, boot, false);
    let lost = replica.prove(&peer, boot).into_iter().map(|lost| (lost.stamp, lost.winner));
    assert_eq!(lost.collect::<Vec<_>>(), [(mine, peer)], "it makes room");
    assert_eq!(parked(2), Err(HeldByAnother), "a later claim is shown");
    let own = replica.claim(key(3), 900, None, None, None, |_| {}).expect("nobody has it").stamp;
    assert_eq!(parked(3), Err(HeldByAnother), "the client is here");
    assert_eq!(replica.lookup(key(3)).map(|owned| owned.stamp), Some(own));
}

// Where the clock of the client's node was behind, which of the two was above the other was a matter of their counters.
#[test]
fn a_client_that_is_back_is_above_whoever_keeps_its_session_on_also_by_a_clock_that_is_behind() {
    let left = Stamp::from_raw(1_000 << 16);
    // Each of their counters is below that of the one before.
    let kept = (0..16).fold(left, |after, _| Stamp::next(0, Some(after)).counted(0));
    let back = replica(64).claim(key(1), 900, None, Some(left), None, |_| {}).expect("it is free").stamp;
    assert!(back > kept && back.unix_ms() <= left.unix_ms() + 17, "{back:?} {kept:?}");
}

#[test]
fn a_session_is_registered_before_its_claim_is_seen() {
    let replica = replica(64);
    let mut registered = None;
    let claimed = replica.claim(key(1), 0, None, None, None, |stamp| {
        assert_eq!((replica.lookup(key(1)), replica.sessions_of(key(1).user)), (None, Vec::new()));
        registered = Some(stamp);
    });
    let stamp = claimed.unwrap().stamp;
    assert_eq!((registered, replica.lookup(key(1)).map(|owned| owned.stamp)), (Some(stamp), Some(stamp)));
}

#[test]
fn the_views_follow_a_decision_while_the_directory_is_free() {
    let replica = replica(64);
    let (peer, boot) = (name("peer"), Incarnation(1));
    hold(&replica, &peer, 1, 1..6);
    let (decided, seen) = (mpsc::channel(), mpsc::channel());
    thread::scope(|scope| {
        let held = replica.views.read(Views::LEN - 1);
        scope.spawn(|| {
            replica.set_hidden(&peer, boot, true);
            decided.0.send(()).unwrap();
            assert_eq!(replica.adopt(), []);
        });
        decided.1.recv().unwrap();
        scope.spawn(|| {
            // The first view has followed, and the last one cannot: the walk is on its way.
            while replica.lookup(key(1)).is_some() {
                thread::yield_now();
            }
            seen.0.send(replica.head(replica.me())).unwrap();
        });
        let head = seen.1.recv_timeout(Duration::from_secs(60));
        drop(held);
        head.expect("whoever lets the views follow holds the directory's mutex");
    });
}

#[test]
fn a_listener_hears_of_claims_releases_merges_and_members_that_go_and_return() {
    let replica = replica(64);
    let first = claim(&replica, 1);
    let mut mirror = Mirror::of(&replica);
    assert_eq!(hear(&mut mirror, &replica), 0, "what was read is not told");
    claim(&replica, 2);
    replica.release(key(1), first);
    assert_eq!(hear(&mut mirror, &replica), 2);
    hold(&replica, &name("peer"), 1, 2..6);
    assert_eq!(hear(&mut mirror, &replica), 3, "the claim of this node stays ahead");
    replica.set_hidden(&name("peer"), Incarnation(1), true);
    assert_eq!(hear(&mut mirror, &replica), 0, "it is decided, and not seen yet");
    assert_eq!(replica.adopt(), []);
    assert_eq!(hear(&mut mirror, &replica), 3);
    replica.set_hidden(&name("peer"), Incarnation(1), false);
    assert_eq!(replica.adopt(), []);
    hold(&replica, &name("peer"), 2, 4..7);
    assert_eq!(hear(&mut mirror, &replica), 3 + 4, "one that went, one that came, two with another stamp");
    replica.discard(&name("peer"), Incarnation(1), true);
    assert_eq!(replica.adopt(), []);
    assert_eq!(hear(&mut mirror, &replica), 3);
    mirror.check(&replica).unwrap();
}

#[test]
fn a_listener_that_falls_behind_is_told_once_and_hears_nothing_before_it_has_read_again() {
    let replica = replica(4);
    let mut mirror = Mirror::of(&replica);
    (0..9).for_each(|number| _ = claim(&replica, number));
    assert_eq!(mirror.listener.try_next(), Some(Event::Missed));
    assert_eq!(mirror.listener.try_next(), None);
    (9..20).for_each(|number| _ = claim(&replica, number));
    assert_eq!(mirror.listener.try_next(), None, "once");
    mirror.read(&replica);
    claim(&replica, 20);
    assert_eq!(hear(&mut mirror, &replica), 1);
    mirror.check(&replica).unwrap();
}

#[test]
fn views_keep_nothing_for_a_listener_that_is_gone() {
    let replica = replica(64);
    drop(Mirror::of(&replica));
    let listened = || (0..Views::LEN).filter(|index| replica.views.read(*index).is_listened()).count();
    assert_eq!(listened(), Views::LEN);
    (0..256).for_each(|number| _ = claim(&replica, number));
    assert_eq!(listened(), 0);
    let mut mirror = Mirror::of(&replica);
    claim(&replica, 7);
    assert_eq!(hear(&mut mirror, &replica), 1, "and begin again for the next one");
    mirror.check(&replica).unwrap();
}

#[test]
fn listeners_hear_each_change_once_in_its_order_while_threads_claim_merge_and_hide() {
    const ROUNDS: u64 = 300;
    for diffs in [8, 1 << 16] {
        let replica = replica(diffs);
        let begin = Barrier::new(4);
        let mut mirror = Mirror::of(&replica);
        thread::scope(|scope| {
            scope.spawn(|| {
                begin.wait();
                (0..ROUNDS * 8).for_each(|round| {
                    let stamp = claim(&replica, round % 16);
                    replica.release(key(round % 16), stamp);
                });
            });
            scope.spawn(|| {
                begin.wait();
                (1..ROUNDS).for_each(|round| hold(&replica, &name("peer"), round, round % 8..12));
            });
            scope.spawn(|| {
                begin.wait();
                (0..ROUNDS).for_each(|round| {
                    replica.set_hidden(&name("peer"), Incarnation(1), round % 2 == 0);
                    let _ = replica.adopt();
                });
            });
            begin.wait();
            (0..ROUNDS).for_each(|_| _ = mirror.hear(&replica).unwrap());
        });
        mirror.hear(&replica).unwrap();
        mirror.check(&replica).unwrap();
    }
}

#[tokio::test]
async fn whoever_waits_hears_what_comes_and_that_the_node_has_stopped() {
    let replica = replica(64);
    let mut mirror = Mirror::of(&replica);
    let claiming = Arc::clone(&replica);
    let (event, stamp) = tokio::join!(mirror.listener.next(), async move { claim(&claiming, 1) });
    let Some(Event::Diff(diff)) = event else { panic!("{event:?}") };
    assert_eq!((diff.key, diff.before, diff.after.map(|owned| owned.stamp)), (key(1), None, Some(stamp)));
    drop(replica);
    assert_eq!(mirror.listener.next().await, None);
}
