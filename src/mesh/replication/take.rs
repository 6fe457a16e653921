//! The taker's side: copies a section, from its owner for as long as the link lives, or once from
//! whoever has it.

use std::time::Duration;

use quinn::Connection;
use tokio::sync::SemaphorePermit;
use tokio::time::{sleep, timeout};
use tracing::{debug, error, warn};

use crate::directory::{Digest, MergeError, Position, SnapshotFrame};
use crate::id::{Incarnation, NodeName};
use crate::mesh::codec::{CodecError, FrameReader, StreamKind, write_frame};
use crate::mesh::frame::{SectionFrame, Subscribe};
use crate::mesh::link::{LinkContext, Peer};
use crate::replica::Arriving;

/// Follows the peer's own section for as long as the connection lives.
pub(crate) async fn follow(connection: &Connection, peer: &Peer, context: &LinkContext) {
    loop {
        let taker = Taker::new(&peer.name, peer.incarnation, context, true);
        match taker.run(connection, true).await {
            Ok(()) => debug!(peer = %peer.name, "the section's stream ended, subscribing again"),
            Err(TakeError::Codec(CodecError::Broken(_))) if connection.close_reason().is_some() => return,
            Err(TakeError::Merge(diverged @ MergeError::Diverged { .. })) => {
                context.metrics.directory_diverged.increment(1);
                error!(peer = %peer.name, error = %diverged, "a copy of a section is wrong and is pulled again");
            }
            Err(failed) => {
                warn!(peer = %peer.name, error = %failed, "a section's stream failed, subscribing again");
            }
        }
        sleep(RESUBSCRIBE_AFTER).await;
    }
}

/// Fetches what is new of the section of `owner`, once, from the peer at the other end.
///
/// # Errors
/// [`TakeError`]; what was complete until then is merged.
pub(crate) async fn pull(
    connection: &Connection,
    owner: &NodeName,
    incarnation: Incarnation,
    context: &LinkContext,
) -> Result<(), TakeError> {
    Taker::new(owner, incarnation, context, false).run(connection, false).await
}

/// Why a section could not be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TakeError {
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error(transparent)]
    Merge(#[from] MergeError),
    #[error("the peer sent nothing for {PULL_SILENCE_MAX:?}")]
    Silent,
}

/// Applies the frames of one subscription.
struct Taker<'a> {
    owner: &'a NodeName,
    incarnation: Incarnation,
    context: &'a LinkContext,
    /// Whether it is the owner that sends.
    direct: bool,
    /// What was held when the subscription was sent, so before it was answered.
    subscribed: Option<Digest>,
    /// Where the owner stood at the start; `None` once that is reached.
    head: Option<Position>,
    /// The snapshot that is arriving, and its place among those that may.
    arriving: Option<(Arriving<'a>, SemaphorePermit<'a>)>,
}

impl<'a> Taker<'a> {
    fn new(owner: &'a NodeName, incarnation: Incarnation, context: &'a LinkContext, direct: bool) -> Self {
        let subscribed = context.replica.head(owner).map(|head| head.digest);
        Self { owner, incarnation, context, direct, subscribed, head: None, arriving: None }
    }

    async fn run(mut self, connection: &Connection, follow: bool) -> Result<(), TakeError> {
        let position = self.subscribed.map_or(Position::default(), |held| held.position);
        let broken = |error: String| CodecError::Broken(error);
        let (mut send, recv) = connection.open_bi().await.map_err(|e| broken(e.to_string()))?;
        send.write_all(&StreamKind::Section.preface()).await.map_err(|e| broken(e.to_string()))?;
        write_frame(&mut send, &Subscribe { owner: self.owner.clone(), position, follow }).await?;
        let mut reader = FrameReader::answers(recv);
        loop {
            let next = reader.next::<SectionFrame>();
            let frame = if follow {
                next.await?
            } else {
                timeout(PULL_SILENCE_MAX, next).await.map_err(|_| TakeError::Silent)??
            };
            let Some((frame, _)) = frame else { return Ok(()) };
            self.take(frame).await?;
        }
    }

    async fn take(&mut self, frame: SectionFrame) -> Result<(), MergeError> {
        let (replica, owner, metrics) = (&self.context.replica, self.owner, &self.context.metrics);
        let lost = match frame {
            SectionFrame::Head(digest) => {
                self.begin(&digest)?;
                Vec::new()
            }
            SectionFrame::Delta(delta) => match &mut self.arriving {
                Some((arriving, _)) => arriving.mend(&delta).map(|()| Vec::new())?,
                None => {
                    metrics.directory_deltas("received");
                    replica.merge_delta(owner, delta)?
                }
            },
            SectionFrame::Snapshot(SnapshotFrame::Begin(position)) => {
                if position.incarnation != self.incarnation {
                    let (found, held) = (position.incarnation, self.incarnation);
                    return Err(MergeError::Incarnation { found, held });
                }
                // A place is given back before another one is asked for. Whoever waits here does not
                // read, and so holds back the sender.
                self.arriving = None;
                let permit = self.context.snapshots_received.acquire().await.expect(NEVER_CLOSED);
                let arriving = replica.begin(owner, position)?;
                if arriving.is_none() {
                    metrics.directory_outdated.increment(1);
                }
                self.arriving = arriving.map(|arriving| (arriving, permit));
                Vec::new()
            }
            SectionFrame::Snapshot(SnapshotFrame::Chunk(entries)) => {
                if let Some((arriving, _)) = &mut self.arriving {
                    arriving.fill(&entries.0);
                }
                Vec::new()
            }
            SectionFrame::Snapshot(SnapshotFrame::End { digest, count }) => match self.arriving.take() {
                Some((arriving, _permit)) => {
                    metrics.directory_snapshots("received");
                    let held = replica.head(owner).map(|held| held.digest.position);
                    if held.is_some_and(|held| held >= digest.position) {
                        metrics.directory_outdated.increment(1);
                    }
                    arriving.end(digest, count)?
                }
                None => Vec::new(), // What is held is as new.
            },
        };
        if !lost.is_empty() {
            self.context.service.lost(lost);
        }
        self.report();
        Ok(())
    }

    /// The first frame: where the section stands at the sender.
    fn begin(&mut self, digest: &Digest) -> Result<(), MergeError> {
        if self.direct {
            // Only a clock that was set back lets a boot start over under a used incarnation.
            if let Some(held) = self.subscribed.filter(|held| held.contradicts(digest)) {
                self.context.replica.distrust(self.owner, &held);
                let version = held.position.version;
                return Err(MergeError::Diverged { owner: self.owner.clone(), version });
            }
        }
        self.head = Some(digest.position);
        Ok(())
    }

    /// Says once that the copy has reached where the sender stood at the start: the owner, or who is
    /// asked because the owner is not reached.
    fn report(&mut self) {
        let Some(head) = self.head else { return };
        let held = self.context.replica.head(self.owner);
        if held.is_some_and(|held| held.digest.position >= head) {
            self.head = None;
            self.context.service.section_synced(self.owner);
        }
    }
}

/// A failed subscription is repeated after this. Guess: long enough not to spin.
const RESUBSCRIBE_AFTER: Duration = Duration::from_millis(100);
/// A pull that brings nothing for so long is given up; the next round of digests tries again. Guess.
const PULL_SILENCE_MAX: Duration = Duration::from_secs(10);
const NEVER_CLOSED: &str = "nobody closes this semaphore";
