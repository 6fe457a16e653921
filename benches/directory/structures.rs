//! What the structures cost: lookups, the expansion of a user, merges, claims.
//!
//! Times are taken over runs of [`RUN`] calls, and the median run is told: on a machine that others
//! use, a mean says more about them. Rates are calls for each second of this thread's CPU time, over
//! all calls, so that what a table costs now and then when it grows is in them.
//!
//! The names of a run are made just before it, as those of a request are, so that the reads which
//! miss the caches are the directory's.

use std::hint::black_box;
use std::thread;
use std::time::Duration;

use pushmesh::internals::{Delta, Key, Replica};
use pushmesh::{SessionKey, UserId};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::Instant;

use crate::figures::percentile;
use crate::options::Options;
use crate::population::{self, OWNERS, Peer, claim_key, session};
use crate::proc::thread_cpu;
use crate::server::Failure;
use crate::table::{Table, Verdict};

/// Measures the structures at each size.
///
/// # Errors
/// A delta was refused.
pub(crate) fn run(options: &Options) -> Result<Vec<Table>, Failure> {
    let mut sizes = vec![1_000_000, options.millions * 1_000_000];
    sizes.dedup();
    sizes.into_iter().map(|sessions| of_size(sessions, options.seed)).collect()
}

fn of_size(sessions: u64, seed: u64) -> Result<Table, Failure> {
    let mut table = Table::new(format!("Structures at {sessions} sessions of three nodes"));
    let (replica, mut peers) = population::filled(sessions);
    let found = replica.counts().sessions;
    table.goal(
        "sessions visible",
        sessions.to_string(),
        found.to_string(),
        Verdict::truth(found == sessions),
    );
    let read = f64::from(percentile(&reads(sessions, seed), 0.5)) / RUN as f64;
    table.tell("one read of memory of 64 bytes a session", format!("{read:.0} ns"));
    lookups(&mut table, &replica, sessions, seed);
    merges(&mut table, &replica, &mut peers)?;
    snapshots(&mut table, &peers[0]);
    returns(&mut table, sessions);
    claims(&mut table, &replica, sessions);
    Ok(table)
}

/// What this machine takes for a read that no cache and no page table helps with, each of which waits
/// for the one before; as [`timed_runs`]. No lookup is faster than one of them.
fn reads(lines: u64, seed: u64) -> Vec<u32> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut order: Vec<_> = (0..lines as usize).collect();
    // Sattolo: one cycle through all.
    for last in (1..order.len()).rev() {
        order.swap(last, random.random_range(0..last));
    }
    let lines: Vec<_> = order.into_iter().map(|next| [next; 8]).collect();
    let mut at = 0;
    let mut runs: Vec<_> = (0..RUNS)
        .map(|_| {
            let started = Instant::now();
            (0..RUN).for_each(|_| at = lines[at][0]);
            u32::try_from(started.elapsed().as_nanos()).unwrap_or(u32::MAX)
        })
        .collect();
    black_box(at);
    runs.sort_unstable();
    runs
}

fn lookups(table: &mut Table, replica: &Replica, sessions: u64, seed: u64) {
    let hit = |key: &SessionKey| assert!(replica.lookup_named(key).is_some(), "it is connected");
    let miss = |key: &SessionKey| assert!(replica.lookup_named(key).is_none(), "nobody has this device");
    let present = |number| session(number);
    let alone = timed_runs(sessions, seed, present, hit);
    told_in_ns(table, "lookup by names", Some(LOOKUP_MAX), &alone);
    let absent = |number| session(number + 2 * sessions);
    told_in_ns(
        table,
        "lookup of who is not there",
        Some(LOOKUP_MAX),
        &timed_runs(sessions, seed, absent, miss),
    );
    let mut both = thread::scope(|scope| {
        let other = scope.spawn(|| timed_runs(sessions, seed + 1, present, hit));
        let mut runs = timed_runs(sessions, seed, present, hit);
        runs.extend(other.join().expect("a lookup does not panic"));
        runs
    });
    both.sort_unstable();
    told_in_ns(table, "lookup by names, two threads at once", Some(LOOKUP_MAX), &both);
    let keyed = |key: &Key| assert!(replica.lookup(*key).is_some(), "it is connected");
    let keys = timed_runs(sessions, seed, |number| replica.hasher().key(&session(number)), keyed);
    told_in_ns(table, "lookup of what was hashed before", None, &keys);
    let user = |user: &UserId| assert!(!black_box(replica.user(user)).is_empty(), "it is connected");
    let users = timed_runs(sessions, seed, |number| session(number).user, user);
    told_in_ns(table, "sessions of a user", None, &users);
}

/// Calls with names of random sessions; nanoseconds of each run, sorted.
fn timed_runs<N>(sessions: u64, seed: u64, make: impl Fn(u64) -> N, call: impl Fn(&N)) -> Vec<u32> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut runs: Vec<_> = (0..RUNS)
        .map(|_| {
            let names: Vec<_> = (0..RUN).map(|_| make(random.random_range(0..sessions))).collect();
            let started = Instant::now();
            names.iter().for_each(&call);
            u32::try_from(started.elapsed().as_nanos()).unwrap_or(u32::MAX)
        })
        .collect();
    runs.sort_unstable();
    runs
}

fn told_in_ns(table: &mut Table, what: &str, goal: Option<Duration>, runs: &[u32]) {
    let ns = |share| f64::from(percentile(runs, share)) / RUN as f64;
    let (median, slow) = (ns(0.5), ns(0.9));
    let measured = format!("{median:.0} ns (the 90th of 100 runs {slow:.0})");
    match goal.map(|goal| goal.as_nanos()) {
        Some(goal) => {
            table.goal(what, format!("< {goal} ns"), measured, Verdict::speed(median < goal as f64));
        }
        None => table.tell(what, measured),
    }
}

fn merges(table: &mut Table, replica: &Replica, peers: &mut [Peer]) -> Result<(), Failure> {
    let mut changed = Duration::ZERO;
    // A batch at a time: all deltas at once would push the directory out of memory's way.
    for _ in 0..MERGE_BATCHES {
        let deltas: Vec<(usize, Delta)> = (0..MERGE_BATCH_DELTAS)
            .map(|number| (number % peers.len(), peers[number % peers.len()].delta(DELTA_CHANGES)))
            .collect();
        let before = thread_cpu();
        for (at, delta) in deltas {
            replica.merge_delta(&peers[at].name, delta)?;
        }
        changed += thread_cpu() - before;
    }
    let changes = MERGE_BATCHES * MERGE_BATCH_DELTAS * DELTA_CHANGES;
    let exact = peers.iter().all(|peer| {
        replica.head(&peer.name).is_some_and(|head| (head.digest, head.len) == (peer.digest(), peer.len()))
    });
    table.goal(
        "copies after the merges",
        "exact",
        if exact { "exact" } else { "not" },
        Verdict::truth(exact),
    );
    let rate = changes as f64 / changed.as_secs_f64();
    let met = Verdict::speed(rate > MERGES_MIN);
    table.goal("changes merged, 64 a delta", "> 1.00 M/s", format!("{:.2} M/s", rate / 1e6), met);
    Ok(())
}

/// A copy of one peer's section, to a node that holds nothing.
fn snapshots(table: &mut Table, peer: &Peer) {
    let entries = peer.entries();
    let taker = population::empty();
    let before = thread_cpu();
    peer.send(&taker, &entries);
    let rate = entries.len() as f64 / (thread_cpu() - before).as_secs_f64();
    table.tell("sessions of a snapshot applied", format!("{:.2} M/s", rate / 1e6));
}

/// A member goes and returns, at a node that has few sessions of its own among many of others. What that costs may grow
/// with the former, and not with the latter.
fn returns(table: &mut Table, sessions: u64) {
    let replica = population::empty();
    let peers: Vec<_> =
        (1..OWNERS as u64).map(|rest| Peer::new(rest, sessions, replica.hasher().clone())).collect();
    peers.iter().for_each(|peer| peer.send(&replica, &peer.entries()));
    (0..OWN_FEW).for_each(|number| population::claim(&replica, number * OWNERS as u64));
    let returning = &peers[0];
    let boot = returning.digest().position.incarnation;
    let before = thread_cpu();
    for _ in 0..RETURNS {
        for hidden in [true, false] {
            replica.set_hidden(&returning.name, boot, hidden);
            assert_eq!(replica.adopt(), [], "what is not proven excludes nobody");
        }
        assert_eq!(replica.prove(&returning.name, boot), [], "nobody has two sessions");
    }
    let each = (thread_cpu() - before) / RETURNS;
    let what = format!("a member goes and returns, {OWN_FEW} own sessions");
    table.tell(what, format!("{} us", each.as_micros()));
}

fn claims(table: &mut Table, replica: &Replica, sessions: u64) {
    let new = 2 * sessions..2 * sessions + CLAIMS;
    let keys: Vec<_> = new.map(|number| replica.hasher().key(&session(number))).collect();
    let before = thread_cpu();
    let stamps: Vec<_> = keys.iter().map(|key| claim_key(replica, *key)).collect();
    let claimed = thread_cpu();
    keys.iter().zip(stamps).for_each(|(key, stamp)| _ = replica.release(*key, stamp));
    let released = thread_cpu();
    let rate = |spent: Duration| format!("{:.2} M/s", CLAIMS as f64 / spent.as_secs_f64() / 1e6);
    table.tell("claims", rate(claimed - before));
    table.tell("releases", rate(released - claimed));
}

/// Calls that are timed together: some ten microseconds, far more than reading the clock takes.
const RUN: usize = 256;
/// Runs of each measurement; half a million calls.
const RUNS: usize = 2_000;
/// Source: the design's budget of a lookup.
const LOOKUP_MAX: Duration = Duration::from_nanos(200);
/// Source: the product's own limit.
const DELTA_CHANGES: usize = pushmesh::limits::DELTA_CHANGES_MAX;
const MERGE_BATCH_DELTAS: usize = 4_096;
const MERGE_BATCHES: usize = 8;
/// Changes a second. Source: the design.
const MERGES_MIN: f64 = 1e6;
/// Own sessions of a node that a member returns to. Guess: a node among many.
const OWN_FEW: u64 = 10_000;
/// Enough that the kernel's ticks do not matter.
const RETURNS: u32 = 500;
/// Enough that the kernel's ticks do not matter.
const CLAIMS: u64 = 500_000;
