//! How a section reaches the peers of its owner: one ordered stream for each peer.
//!
//! ```text
//!   follower ── Subscribe{position} ──► owner
//!            ◄── Head{digest} ── Delta* ── (Begin Chunk* Delta* End) ── Delta* …
//! ```
//!
//! The owner keeps no queue for a peer, only a cursor into its change ring: a slow peer costs no
//! memory, and one that falls off the ring gets a snapshot. A stream that has been quiet sends its
//! first change at once; under churn it gathers changes for a time that grows with the cluster.

use std::time::Duration;

use quinn::{Connection, SendStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, error, warn};

use crate::directory::{Digest, MergeError, Position, Snapshot, SnapshotFrame};
use crate::limits;
use crate::mesh::codec::{CodecError, FrameReader, StreamKind, write_frame};
use crate::mesh::frame::{SectionFrame, Subscribe};
use crate::mesh::lane::{DIRECTORY_PRIORITY, SNAPSHOT_PRIORITY};
use crate::mesh::link::{LinkContext, Peer};
use crate::replica::Replica;

/// Sends this node's section to a subscriber, for ever.
///
/// # Errors
/// The stream broke.
pub(crate) async fn publish(
    context: &LinkContext,
    mut stream: SendStream,
    subscribe: Subscribe,
) -> Result<(), CodecError> {
    let replica = &context.replica;
    let _ = stream.set_priority(DIRECTORY_PRIORITY);
    write_frame(&mut stream, &SectionFrame::Head(replica.own_digest())).await?;
    let mut version = replica.watch_own();
    let mut cursor = subscribe.position;
    let mut sent = Instant::now() - limits::COALESCE_MAX;
    loop {
        version.borrow_and_update();
        match replica.delta_since(cursor, limits::DELTA_CHANGES_MAX) {
            None => {
                context.metrics.directory_snapshots("sent");
                cursor = send_snapshot(replica, &mut stream).await?;
            }
            Some(delta) if delta.is_empty() => {
                let window = window(context.service.members().len());
                if !gather(&mut version, cursor, sent + window, &mut stream).await {
                    return Ok(());
                }
            }
            Some(delta) => {
                context.metrics.directory_deltas("sent");
                cursor = delta.end();
                write_frame(&mut stream, &SectionFrame::Delta(delta)).await?;
                sent = Instant::now();
            }
        }
    }
}

/// Waits for a change, then until `flush` or until a delta is full. `false`: nobody reads any more.
async fn gather(
    version: &mut watch::Receiver<u64>,
    cursor: Position,
    flush: Instant,
    stream: &mut SendStream,
) -> bool {
    tokio::select! {
        changed = version.changed() => if changed.is_err() { return false },
        _ = stream.stopped() => return false,
    }
    let full = cursor.version + limits::DELTA_CHANGES_MAX as u64;
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

async fn send_snapshot(replica: &Replica, stream: &mut SendStream) -> Result<Position, CodecError> {
    let _ = stream.set_priority(SNAPSHOT_PRIORITY);
    'whole: loop {
        let mut at = replica.own_digest().position;
        write_frame(stream, &SectionFrame::Snapshot(SnapshotFrame::Begin(at))).await?;
        let mut after = None;
        loop {
            let chunk = replica.own_chunk(after.as_ref(), limits::SNAPSHOT_CHUNK_ENTRIES);
            let Some((last, _)) = chunk.last() else { break };
            after = Some(last.clone());
            write_frame(stream, &SectionFrame::Snapshot(SnapshotFrame::Chunk(chunk))).await?;
        }
        // What was written meanwhile; the end has to name a position where nothing is missing.
        loop {
            // The ring moved past the beginning: this snapshot can not be mended, begin another.
            let Some(delta) = replica.delta_since(at, limits::DELTA_CHANGES_MAX) else { continue 'whole };
            if !delta.is_empty() {
                at = delta.end();
                write_frame(stream, &SectionFrame::Delta(delta)).await?;
            } else if let Some((digest, count)) = replica.own_at(at) {
                write_frame(stream, &SectionFrame::Snapshot(SnapshotFrame::End { digest, count })).await?;
                let _ = stream.set_priority(DIRECTORY_PRIORITY);
                return Ok(at);
            }
        }
    }
}

/// Follows the peer's section for as long as the connection lives.
pub(crate) async fn follow(connection: &Connection, peer: &Peer, context: &LinkContext) {
    loop {
        match follow_once(connection, peer, context).await {
            Ok(()) => debug!(peer = %peer.name, "the section's stream ended, subscribing again"),
            Err(FollowError::Codec(CodecError::Broken(_))) if connection.close_reason().is_some() => return,
            Err(FollowError::Merge(diverged @ MergeError::Diverged { .. })) => {
                context.metrics.directory_diverged.increment(1);
                error!(peer = %peer.name, error = %diverged, "a section was discarded and is pulled again");
            }
            Err(failed) => {
                warn!(peer = %peer.name, error = %failed, "a section's stream failed, subscribing again")
            }
        }
        sleep(RESUBSCRIBE_AFTER).await;
    }
}

#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error(transparent)]
    Merge(#[from] MergeError),
}

async fn follow_once(connection: &Connection, peer: &Peer, context: &LinkContext) -> Result<(), FollowError> {
    let subscribed = context.replica.held(&peer.name);
    let position = subscribed.map_or(Position::default(), |held| held.position);
    let (mut send, recv) = connection.open_bi().await.map_err(|e| CodecError::Broken(e.to_string()))?;
    send.write_all(&StreamKind::Section.preface()).await.map_err(|e| CodecError::Broken(e.to_string()))?;
    write_frame(&mut send, &Subscribe { position }).await?;
    let mut reader = FrameReader::answers(recv);
    let mut follower = Follower { peer, context, subscribed, head: None, snapshot: None };
    while let Some((frame, _)) = reader.next::<SectionFrame>().await? {
        follower.take(frame)?;
    }
    Ok(())
}

/// Applies the frames of one subscription.
struct Follower<'a> {
    peer: &'a Peer,
    context: &'a LinkContext,
    /// What was held when the subscription was sent, so before the owner answered.
    subscribed: Option<Digest>,
    /// Where the owner stood at the start; `None` once that is reached.
    head: Option<Position>,
    snapshot: Option<Snapshot>,
}

impl Follower<'_> {
    fn take(&mut self, frame: SectionFrame) -> Result<(), MergeError> {
        let (replica, owner) = (&self.context.replica, &self.peer.name);
        let lost = match frame {
            SectionFrame::Head(digest) => {
                // Only a clock that was set back lets a boot start over under a used incarnation.
                if self.subscribed.is_some_and(|held| held.contradicts(&digest)) {
                    replica.discard(owner, digest.position.incarnation);
                    return Err(MergeError::Diverged {
                        owner: owner.clone(),
                        version: digest.position.version,
                    });
                }
                self.head = Some(digest.position);
                Vec::new()
            }
            SectionFrame::Delta(delta) => match &mut self.snapshot {
                Some(snapshot) => snapshot.delta(&delta).map(|()| Vec::new())?,
                None => {
                    self.context.metrics.directory_deltas("received");
                    replica.merge_delta(owner, delta)?
                }
            },
            SectionFrame::Snapshot(SnapshotFrame::Begin(position)) => {
                if position.incarnation != self.peer.incarnation {
                    let (found, held) = (position.incarnation, self.peer.incarnation);
                    return Err(MergeError::Incarnation { found, held });
                }
                self.snapshot = Some(Snapshot::begin(position));
                Vec::new()
            }
            SectionFrame::Snapshot(SnapshotFrame::Chunk(entries)) => {
                self.snapshot.as_mut().ok_or(MergeError::Order)?.chunk(entries);
                Vec::new()
            }
            SectionFrame::Snapshot(SnapshotFrame::End { digest, count }) => {
                let section = self.snapshot.take().ok_or(MergeError::Order)?.end(owner, digest, count)?;
                self.context.metrics.directory_snapshots("received");
                replica.merge_section(owner, section)?
            }
        };
        if !lost.is_empty() {
            self.context.service.lost(lost);
        }
        if self.head.is_some_and(|head| replica.position(owner) >= head) {
            self.head = None;
            self.context.service.section_synced(self.peer);
        }
        Ok(())
    }
}

/// A failed subscription is repeated after this. Guess: long enough not to spin.
const RESUBSCRIBE_AFTER: Duration = Duration::from_millis(100);

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
