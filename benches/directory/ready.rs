//! How soon a node that starts holds everything: snapshots between real nodes in one process.
//!
//! The nodes share this machine's cores and its loopback. A snapshot is sent at a bounded rate
//! (`SNAPSHOT_BYTES_PER_SECOND`), so that the time of the first figure has a floor, which is told.

use std::time::Duration;

use pushmesh::internals::Entry;
use tokio::time::Instant;

use crate::member::Member;
use crate::server::Failure;
use crate::table::{Table, Verdict};

/// Measures a snapshot of a million sessions, and the start of a third node beside two of half as
/// many each.
///
/// # Errors
/// A node does not start, or its copy does not come.
pub(crate) fn run() -> Result<Vec<Table>, Failure> {
    Ok(vec![one_snapshot()?, third_node()?])
}

fn one_snapshot() -> Result<Table, Failure> {
    let mut table = Table::new(format!("A snapshot of {SESSIONS} sessions, to a node that starts"));
    let holder = Member::start("holder", &[])?;
    holder.claim(0..SESSIONS);
    let (cpu, sent) = (holder.cpu(), holder.sent());
    let begun = Instant::now();
    let taker = Member::start("taker", &[&holder])?;
    let started = begun.elapsed();
    taker.copied(&holder)?;
    let copied = begun.elapsed();
    taker.ready();
    let ready = begun.elapsed();
    let (cpu, sent) = (holder.cpu() - cpu, holder.sent() - sent);
    let met = Verdict::speed(ready < READY_MAX);
    table.goal("ready after", below(READY_MAX), seconds(ready), met);
    table.tell("started after", seconds(started));
    table.tell("copied after", seconds(copied));
    let bytes = SESSIONS as usize * Entry::BYTES;
    let floor = bytes as f64 / pushmesh::limits::SNAPSHOT_BYTES_PER_SECOND as f64;
    table.tell("the copy alone, by the rate of snapshots", seconds(Duration::from_secs_f64(floor)));
    table.tell("sent", format!("{sent}, {:.1} bytes a session", sent.bytes as f64 / SESSIONS as f64));
    table.tell("CPU time of the one that sent", seconds(cpu));
    table.tell("CPU time of the one that took", seconds(taker.cpu()));
    complete(&mut table, &taker, SESSIONS);
    taker.end();
    holder.end();
    Ok(table)
}

fn third_node() -> Result<Table, Failure> {
    let mut table = Table::new(format!("A third node starts, and two hold {} sessions each", SESSIONS / 2));
    let first = Member::start("first", &[])?;
    let second = Member::start("second", &[&first])?;
    second.ready();
    first.claim(0..SESSIONS / 2);
    second.claim(SESSIONS / 2..SESSIONS);
    first.copied(&second)?;
    second.copied(&first)?;
    let cpu = [&first, &second].map(Member::cpu);
    let begun = Instant::now();
    let third = Member::start("third", &[&first, &second])?;
    third.ready();
    let ready = begun.elapsed();
    let spent = [&first, &second].map(Member::cpu).into_iter().zip(cpu).map(|(after, before)| after - before);
    table.goal("ready after", below(READY_MAX), seconds(ready), Verdict::speed(ready < READY_MAX));
    table.tell("CPU time of the two that sent", seconds(spent.sum()));
    table.tell("CPU time of the one that took", seconds(third.cpu()));
    complete(&mut table, &third, SESSIONS);
    [third, second, first].into_iter().for_each(Member::end);
    Ok(table)
}

/// Whoever is ready answers for every session.
fn complete(table: &mut Table, member: &Member, sessions: u64) {
    let seen = member.node.sessions();
    table.goal(
        "sessions when ready",
        sessions.to_string(),
        seen.to_string(),
        Verdict::truth(seen == sessions),
    );
}

fn below(max: Duration) -> String {
    format!("< {} s", max.as_secs())
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

const SESSIONS: u64 = 1_000_000;
/// Source: the design.
const READY_MAX: Duration = Duration::from_secs(3);
