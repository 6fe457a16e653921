//! What a session costs in memory, on every node of the cluster.
//!
//! Bytes are those that the replica has allocated and not freed, counted by the allocator of this
//! program. What the kernel gives the process for them is told beside it; it is more where freed
//! memory was not given back.

use std::sync::Arc;

use pushmesh::internals::Replica;

use crate::ALLOCATOR;
use crate::population::{OWNERS, Peer, claim, empty, filled, session};
use crate::proc::resident_bytes;
use crate::server::Failure;
use crate::table::{Table, Verdict};

/// Measures the directory of one million sessions, and while it grows from half to twice as many.
///
/// # Errors
/// A snapshot was refused.
pub(crate) fn run() -> Result<Vec<Table>, Failure> {
    let mut table = Table::new("Memory of the directory, of every node");
    let resident = resident_bytes();
    let before = ALLOCATOR.allocated();
    let (replica, peers) = filled(MILLION);
    let all = ALLOCATOR.allocated() - before;
    drop(peers);
    let held = ALLOCATOR.allocated() - before;
    goal(&mut table, "bytes a session at 1000000, three nodes", held as f64 / MILLION as f64);
    let resident = resident_bytes().saturating_sub(resident);
    table.tell("resident bytes a session, what the bench held meanwhile included", per_session(resident));
    table.tell("what the bench held of it", per_session((all - held) as u64));
    replaced(&mut table, &replica, held)?;
    drop(replica);
    growing(&mut table);
    Ok(vec![table])
}

/// While a snapshot replaces a copy both are there, and until the next sweep.
fn replaced(table: &mut Table, replica: &Arc<Replica>, held: usize) -> Result<(), Failure> {
    let mut peer = Peer::new(1, MILLION, replica.hasher().clone());
    let _ = peer.delta(1); // Newer than what is held.
    let entries = peer.entries();
    let before = ALLOCATOR.allocated();
    peer.send(replica, &entries);
    let doubled = held + ALLOCATOR.allocated() - before;
    table.tell("while one of the three copies is replaced", per_session(doubled as u64));
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let before = ALLOCATOR.allocated();
    let rows = runtime.block_on(replica.sweep());
    let swept = doubled + ALLOCATOR.allocated() - before;
    let whole = rows as u64 == MILLION.div_ceil(OWNERS as u64) || rows as u64 == MILLION / OWNERS as u64;
    table.goal("rows swept after it", "a third", rows.to_string(), Verdict::truth(whole));
    table.tell("after the sweep", per_session(swept as u64));
    Ok(())
}

/// The worst moments are those after tables have grown.
fn growing(table: &mut Table) {
    let before = ALLOCATOR.allocated();
    let replica = empty();
    let mut worst = (0.0, 0);
    let mut number = 0;
    while number < GROWN_TO {
        let until = number + STEP;
        (number..until).for_each(|number| claim(&replica, number));
        number = until;
        let each = (ALLOCATOR.allocated() - before) as f64 / number as f64;
        if number >= GROWN_FROM && each > worst.0 {
            worst = (each, number);
        }
    }
    let what = format!("the worst from {GROWN_FROM} to {GROWN_TO}, at {}", worst.1);
    goal(table, &what, worst.0);
    assert!(replica.lookup_named(&session(number - 1)).is_some(), "the last one is there");
}

fn goal(table: &mut Table, what: &str, each: f64) {
    table.goal(
        what,
        format!("<= {BYTES_MAX} bytes"),
        format!("{each:.1} bytes"),
        Verdict::speed(each <= BYTES_MAX),
    );
}

fn per_session(bytes: u64) -> String {
    format!("{:.1} bytes", bytes as f64 / MILLION as f64)
}

/// Source: the design's budget.
const BYTES_MAX: f64 = 80.0;
const MILLION: u64 = 1_000_000;
const GROWN_FROM: u64 = 500_000;
const GROWN_TO: u64 = 2_000_000;
/// A table of a shard grows after 1,000 sessions more or less at these sizes, and all at about the
/// same time: steps this small see the worst.
const STEP: u64 = 10_000;
