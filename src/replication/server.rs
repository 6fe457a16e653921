//! The holder's side: sends a section to whoever asks for it.
//!
//! What comes next is decided in [`serving`](crate::replication::serving), which keeps no queue for a peer: a slow one
//! costs no memory, and one that has fallen behind what is remembered gets a snapshot. Under churn it gathers changes for
//! as long as [`waiting`](crate::replication::waiting) says.

use std::sync::Arc;
use std::time::Duration;

use quinn::SendStream;
use tokio::sync::{OwnedSemaphorePermit, SemaphorePermit, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::directory::{Entry, SnapshotFrame};
use crate::limits;
use crate::mesh::Link;
use crate::mesh::codec::{CodecError, write_frame};
use crate::mesh::stream::Priority;
use crate::metrics::label::Direction;
use crate::replication::allowance::Allowance;
use crate::replication::frame::{SectionFrame, Subscribe};
use crate::replication::serving::{Serving, Step};
use crate::replication::shared::Replication;
use crate::replication::waiting::Gathering;

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
    let mut serving = Serving::new(replica, subscribe);
    let mut snapshot: Option<SnapshotPlace<'_>> = None;
    let mut version = replica.watch_own();
    // Until something was sent the stream counts as quiet. A clock that has just begun has no earlier time.
    let mut sent: Option<Instant> = None;
    Priority::State.apply(&stream);
    loop {
        version.borrow_and_update();
        match serving.next(replica) {
            Step::Over => return Ok(()),
            Step::Place => {
                snapshot = Some(SnapshotPlace::wait(with, link).await);
                with.metrics.directory_snapshots.with(Direction::Sent).increment(1);
                Priority::Bulk.apply(&stream);
            }
            Step::Quiet => {
                let (peers, changes_max) = (with.owners.peers(), replica.tuning().delta_changes);
                let gathering = Gathering::new(peers, serving.cursor(), changes_max);
                let until = gathering.until(sent, Instant::now());
                if !gather(&mut version, gathering, until, &mut stream).await {
                    return Ok(());
                }
            }
            Step::Send(frame) => match &mut snapshot {
                Some(place) => {
                    place.write(&mut stream, frame).await?;
                    if !serving.is_snapshot() {
                        Priority::State.apply(&stream);
                        snapshot = None;
                    }
                }
                None => {
                    let delta = matches!(frame, SectionFrame::Delta(_));
                    if delta {
                        with.metrics.directory_deltas.with(Direction::Sent).increment(1);
                    }
                    write_frame(&mut stream, &frame).await?;
                    sent = if delta { Some(Instant::now()) } else { sent };
                }
            },
        }
    }
}

/// Waits for a change, then `until` then or for as many as one delta takes. `false`: nobody reads any more.
async fn gather(
    version: &mut watch::Receiver<u64>,
    gathering: Gathering,
    until: Instant,
    stream: &mut SendStream,
) -> bool {
    tokio::select! {
        changed = version.changed() => if changed.is_err() { return false },
        _ = stream.stopped() => return false,
    }
    tokio::select! {
        () = sleep_until(until) => {}
        _ = version.wait_for(|version| gathering.is_full(*version)) => {}
    }
    true
}

/// The right to send a snapshot, and how fast.
struct SnapshotPlace<'a> {
    _places: (OwnedSemaphorePermit, SemaphorePermit<'a>),
    /// When it began, and how much was sent since then.
    began: Instant,
    bytes: usize,
}

impl<'a> SnapshotPlace<'a> {
    async fn wait(with: &'a Replication, link: &'a Link) -> Self {
        // The peer's own place first: one that does not read holds up no other.
        let own =
            Arc::clone(link.attached::<Allowance>().snapshots()).acquire_owned().await.expect(NEVER_CLOSED);
        let of_all = with.snapshots_sent.acquire().await.expect(NEVER_CLOSED);
        Self { _places: (own, of_all), began: Instant::now(), bytes: 0 }
    }

    /// Writes a frame of the snapshot to a taker that reads, at a bounded rate; the taker's credit is the window of its
    /// stream.
    async fn write(&mut self, stream: &mut SendStream, frame: SectionFrame) -> Result<(), CodecError> {
        match &frame {
            SectionFrame::Snapshot(SnapshotFrame::Begin(_)) => (self.began, self.bytes) = (Instant::now(), 0),
            SectionFrame::Snapshot(SnapshotFrame::Chunk(chunk)) => self.bytes += chunk.0.len() * Entry::BYTES,
            _ => {}
        }
        let written = timeout(limits::SNAPSHOT_STALL_MAX, write_frame(stream, &frame)).await;
        let silent = || CodecError::Broken("the taker of a snapshot does not read it".to_owned());
        written.unwrap_or_else(|_| Err(silent()))?;
        let due = self.began
            + Duration::from_secs_f64(self.bytes as f64 / limits::SNAPSHOT_BYTES_PER_SECOND as f64);
        // A sleep has a granularity of a millisecond: several chunks share one.
        if due > Instant::now() + Duration::from_millis(1) {
            sleep_until(due).await;
        }
        Ok(())
    }
}

const NEVER_CLOSED: &str = "nobody closes this semaphore";
