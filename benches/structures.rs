//! The structures of the directory one by one, with the statistics of criterion.
//!
//! The goals stand in the bench `directory`, beside what real nodes do; this is for comparing two
//! versions of the code: `cargo bench --bench structures -- --save-baseline before`.

#![expect(missing_docs, reason = "criterion's macro makes a public function")]

use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use pushmesh::internals::{Entry, Key, Packed, Replica, SnapshotFrame};
use pushmesh::{SessionKey, UserId};
use serde::Serialize;

#[path = "support/population.rs"]
#[allow(dead_code, reason = "the bench `directory` uses all of it")]
mod population;

use population::{CHUNK_ENTRIES, Peer, claim_key, empty, filled, session};

fn lookups(criterion: &mut Criterion) {
    let (replica, _) = filled(SESSIONS);
    let names: Vec<SessionKey> = numbers().map(session).collect();
    let absent: Vec<SessionKey> = numbers().map(|number| session(number + SESSIONS)).collect();
    let users: Vec<UserId> = names.iter().map(|key| key.user.clone()).collect();
    let mut group = criterion.benchmark_group("read");
    group.throughput(Throughput::Elements(1));
    group.bench_function("lookup", cycle(&names, |key| replica.lookup_named(key)));
    group.bench_function("lookup_miss", cycle(&absent, |key| replica.lookup_named(key)));
    group.bench_function("user", cycle(&users, |user| replica.user(user)));
    group.finish();
}

/// A measured closure that calls with one of `names` after the other.
fn cycle<N, R>(names: &[N], call: impl Fn(&N) -> R) -> impl FnMut(&mut criterion::Bencher<'_>) {
    let mut next = names.iter().cycle();
    move |bencher| bencher.iter(|| next.next().map(&call))
}

fn writes(criterion: &mut Criterion) {
    let (replica, mut peers) = filled(SESSIONS);
    let mut group = criterion.benchmark_group("write");
    group.throughput(Throughput::Elements(1));
    let keys: Vec<_> = numbers().map(|number| replica.hasher().key(&session(number + SESSIONS))).collect();
    let mut next = keys.iter().cycle();
    group.bench_function("claim_and_release", |bencher| {
        bencher.iter(|| {
            let key = *next.next().expect("a cycle has no end");
            let stamp = claim_key(&replica, key);
            replica.release(key, stamp);
        });
    });
    group.throughput(Throughput::Elements(DELTA_CHANGES as u64));
    let peer = &mut peers[0];
    let owner = peer.name.clone();
    group.bench_function("merge_delta", |bencher| {
        // The deltas of a batch are made one after the other, and applied in the same order.
        let make = || peer.delta(DELTA_CHANGES);
        let merge = |delta| replica.merge_delta(&owner, delta).expect("it follows the one before");
        bencher.iter_batched(make, merge, BatchSize::SmallInput);
    });
    group.finish();
}

fn transport(criterion: &mut Criterion) {
    let (replica, peers) = filled(SESSIONS);
    let mut group = criterion.benchmark_group("transport");
    group.throughput(Throughput::Elements(CHUNK_ENTRIES as u64));
    let mut after = None;
    group.bench_function("snapshot_chunk_encode", |bencher| {
        bencher.iter(|| {
            let chunk = next_chunk(&replica, &mut after);
            encode(&SnapshotFrame::Chunk(Packed(chunk)))
        });
    });
    let peer = &peers[0];
    let entries = peer.entries();
    group.throughput(Throughput::Elements(peer.len()));
    group.sample_size(SNAPSHOT_SAMPLES);
    group.bench_function("snapshot_apply", |bencher| {
        bencher.iter_batched(empty, |taker| take(taker, peer, &entries), BatchSize::PerIteration);
    });
    group.finish();
}

/// The next chunk of this node's own section, from the beginning again after the last.
fn next_chunk(replica: &Replica, after: &mut Option<Key>) -> Vec<Entry> {
    let chunk = replica.chunk(replica.me(), *after, CHUNK_ENTRIES).expect("it serves its own section");
    *after = chunk.last().map(|entry| entry.key);
    chunk
}

/// Returns the replica, because nobody wants to measure how it is dropped.
fn take(taker: Arc<Replica>, peer: &Peer, entries: &[Entry]) -> Arc<Replica> {
    peer.send(&taker, entries);
    taker
}

fn digests(criterion: &mut Criterion) {
    let (replica, peers) = filled(SESSIONS);
    let mut group = criterion.benchmark_group("digests");
    group.throughput(Throughput::Elements(peers.len() as u64 + 1));
    group.bench_function("encode_three_heads", |bencher| {
        bencher.iter(|| encode(&replica.heads()));
    });
    group.finish();
}

/// Numbers of sessions far from each other. Their rows stay in a cache of the processor, so that the
/// instructions are measured; the bench `directory` reads rows that no cache has.
fn numbers() -> impl Iterator<Item = u64> {
    (0..NAMES).map(|at| at * SPREAD % SESSIONS)
}

fn encode(frame: &impl Serialize) -> Vec<u8> {
    bincode::serde::encode_to_vec(frame, bincode::config::standard()).expect("frames encode")
}

/// As the design's goals.
const SESSIONS: u64 = 1_000_000;
/// Few enough that names and rows stay in a cache of the second level.
const NAMES: u64 = 1_024;
/// A prime, so that the numbers differ.
const SPREAD: u64 = 15_485_863;
/// Each sample takes a good part of a second.
const SNAPSHOT_SAMPLES: usize = 10;
const DELTA_CHANGES: usize = pushmesh::limits::DELTA_CHANGES_MAX;

criterion_group!(benches, lookups, writes, transport, digests);
criterion_main!(benches);
