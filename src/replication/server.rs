//! The holder's side: sends a section to whoever asks for it.
//!
//! It keeps no queue for a peer, only a cursor into the changes: a slow peer costs no memory, and
//! one that has fallen behind what is remembered gets a snapshot. A stream that has been quiet sends
//! its first change at once; under churn it gathers changes for a time that grows with the cluster.

use std::time::Duration;

use quinn::SendStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::directory::{Entry, Packed, Position, Record, SnapshotFrame};
use crate::id::NodeName;
use crate::limits;
use crate::mesh::Link;
use crate::mesh::codec::{CodecError, write_frame};
use crate::mesh::stream::{DIRECTORY_PRIORITY, SNAPSHOT_PRIORITY};
use crate::metrics::label::Direction;
use crate::replica::Replica;
use crate::replication::Replication;
use crate::replication::frame::{SectionFrame, Subscribe};

/// Sends a section: this node's own for as long as somebody follows it, a copy of another's once.
///
/// # Errors
/// The stream broke.
pub(crate) async fn serve(
    with: &Replication,
    link: &Link,
    mut stream: SendStream,
    subscribe: Subscribe,
) -> Result<(), CodecError> {
    let replica = &with.replica;
    let changes_max = replica.tuning().delta_changes;
    let Subscribe { owner, position, follow } = subscribe;
    let follow = follow && owner == *replica.me();
    let _ = stream.set_priority(DIRECTORY_PRIORITY);
    let Some(head) = replica.head(&owner) else { return Ok(()) };
    write_frame(&mut stream, &SectionFrame::Head(head.digest)).await?;
    let mut version = replica.watch_own();
    let mut cursor = position;
    // Until something was sent the stream counts as quiet. A clock that has just begun has no earlier time.
    let mut sent: Option<Instant> = None;
    loop {
        version.borrow_and_update();
        match replica.delta_since(&owner, cursor, changes_max) {
            None => match send_snapshot(with, link, &owner, &mut stream).await? {
                Some(at) => cursor = at,
                None => return Ok(()),
            },
            Some(delta) if delta.is_empty() => {
                if !follow {
                    return Ok(());
                }
                let window = window(with.owners.peers());
                let full = cursor.version + changes_max as u64;
                let flush = sent.map_or_else(Instant::now, |sent| sent + window);
                if !gather(&mut version, full, flush, &mut stream).await {
                    return Ok(());
                }
            }
            Some(delta) => {
                with.metrics.directory_deltas.with(Direction::Sent).increment(1);
                cursor = delta.end();
                write_frame(&mut stream, &SectionFrame::Delta(delta)).await?;
                sent = Some(Instant::now());
            }
        }
    }
}

/// Waits for a change, then until `flush` or until a delta is full, which it is at the version `full`.
/// `false`: nobody reads any more.
async fn gather(
    version: &mut watch::Receiver<u64>,
    full: u64,
    flush: Instant,
    stream: &mut SendStream,
) -> bool {
    tokio::select! {
        changed = version.changed() => if changed.is_err() { return false },
        _ = stream.stopped() => return false,
    }
    tokio::select! {
        () = sleep_until(flush) => {}
        _ = version.wait_for(|version| *version >= full) => {}
    }
    true
}

/// How long changes are gathered under churn in a cluster of this many peers.
fn window(peers: usize) -> Duration {
    let members = u32::try_from(peers + 1).unwrap_or(u32::MAX);
    limits::COALESCE_PER_MEMBER.saturating_mul(members).clamp(limits::COALESCE_MIN, limits::COALESCE_MAX)
}

/// Sends a snapshot and returns where it ends; `None` when the section is not here any more.
async fn send_snapshot(
    with: &Replication,
    link: &Link,
    owner: &NodeName,
    stream: &mut SendStream,
) -> Result<Option<Position>, CodecError> {
    let replica = &with.replica;
    // The peer's own place first: one that does not read holds up no other.
    let _own = link.bulk().acquire().await.expect(NEVER_CLOSED);
    let _permit = with.snapshots_sent.acquire().await.expect(NEVER_CLOSED);
    with.metrics.directory_snapshots.with(Direction::Sent).increment(1);
    let _ = stream.set_priority(SNAPSHOT_PRIORITY);
    'whole: loop {
        let Some(head) = replica.head(owner) else { return Ok(None) };
        let mut at = head.digest.position;
        write(stream, SectionFrame::Snapshot(SnapshotFrame::Begin(at))).await?;
        if !send_chunks(replica, owner, stream).await? {
            return Ok(None);
        }
        // What was written meanwhile; the end has to name a position where nothing is missing.
        loop {
            // The changes since the beginning are forgotten: this snapshot can not be mended.
            let Some(delta) = replica.delta_since(owner, at, replica.tuning().delta_changes) else {
                continue 'whole;
            };
            if !delta.is_empty() {
                at = delta.end();
                write(stream, SectionFrame::Delta(delta)).await?;
                continue;
            }
            if let Some(head) = replica.head(owner).filter(|head| head.digest.position == at) {
                let (digest, count) = (head.digest, head.len);
                write(stream, SectionFrame::Snapshot(SnapshotFrame::End { digest, count })).await?;
                let _ = stream.set_priority(DIRECTORY_PRIORITY);
                return Ok(Some(at));
            }
        }
    }
}

/// Sends all entries at a bounded rate; the taker's credit is the window of its stream. `false`: the
/// section is not here any more.
async fn send_chunks(
    replica: &Replica,
    owner: &NodeName,
    stream: &mut SendStream,
) -> Result<bool, CodecError> {
    let started = Instant::now();
    let (mut after, mut bytes) = (None, 0);
    loop {
        let chunk = replica.chunk(owner, after, replica.tuning().snapshot_chunk_entries);
        let Some(chunk) = chunk else { return Ok(false) };
        let Some(last) = chunk.last() else { return Ok(true) };
        after = Some(last.key);
        bytes += chunk.len() * Entry::BYTES;
        write(stream, SectionFrame::Snapshot(SnapshotFrame::Chunk(Packed(chunk)))).await?;
        let due = started + Duration::from_secs_f64(bytes as f64 / limits::SNAPSHOT_BYTES_PER_SECOND as f64);
        // A sleep has a granularity of a millisecond: several chunks share one.
        if due > Instant::now() + Duration::from_millis(1) {
            sleep_until(due).await;
        }
    }
}

/// Writes a frame of a snapshot to a taker that reads.
async fn write(stream: &mut SendStream, frame: SectionFrame) -> Result<(), CodecError> {
    let written = timeout(limits::SNAPSHOT_STALL_MAX, write_frame(stream, &frame)).await;
    written.unwrap_or_else(|_| Err(CodecError::Broken("the taker of a snapshot does not read it".to_owned())))
}

const NEVER_CLOSED: &str = "nobody closes this semaphore";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gathering_time_grows_with_the_cluster_between_its_bounds() {
        assert_eq!(window(2), limits::COALESCE_MIN);
        assert_eq!(window(99), Duration::from_millis(50));
        assert_eq!(window(10_000), limits::COALESCE_MAX);
    }
}
