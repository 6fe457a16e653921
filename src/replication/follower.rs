//! The taker's side: copies a section, from its owner for as long as the link lives, or once from
//! whoever has it.

use std::time::Duration;

use tokio::sync::SemaphorePermit;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{debug, error, warn};

use crate::directory::{Digest, MergeError, Position, SnapshotFrame};
use crate::id::{Incarnation, NodeName};
use crate::key::Key;
use crate::limits;
use crate::mesh::Link;
use crate::mesh::codec::{CodecError, bounded_list, write_frame};
use crate::mesh::conduct::Breach;
use crate::mesh::notice::Notice;
use crate::metrics::label::Direction;
use crate::replica::Arriving;
use crate::replication::Replication;
use crate::replication::frame::{SECTION, SectionFrame, Subscribe};

/// Follows the peer's own section for as long as the connection lives. Returns what the peer did that ends the link.
pub(crate) async fn follow(with: &Replication, link: &Link) -> Option<Breach> {
    let peer = link.peer();
    let notice = Notice::new(limits::REFUSALS_LOGGED_EVERY);
    let mut pause = limits::SUBSCRIBE_AGAIN_MIN;
    loop {
        let since = Instant::now();
        let taker = Taker::new(with, &peer.name, peer.incarnation, true);
        match taker.run(link, true).await {
            Ok(()) => debug!(peer = %peer.name, "the section's stream ended, subscribing again"),
            Err(TakeError::Breach(Breach::Codec(CodecError::Broken(_))))
                if link.connection().close_reason().is_some() =>
            {
                return None;
            }
            Err(TakeError::Breach(breach)) if breach.offence().is_some() => return Some(breach),
            Err(TakeError::Merge(diverged @ MergeError::Diverged { .. })) => {
                with.metrics.directory_diverged.increment(1);
                if let Some(count) = notice.due(Instant::now()) {
                    error!(peer = %peer.name, error = %diverged, count, "a copy of a section is wrong and is pulled again");
                }
            }
            Err(failed) => {
                if let Some(count) = notice.due(Instant::now()) {
                    warn!(peer = %peer.name, error = %failed, count, "a section's stream failed, subscribing again");
                }
            }
        }
        sleep(pause).await;
        // One that lasted begins anew; one that fails at once is repeated ever more rarely.
        let lasted = since.elapsed() > 2 * limits::SUBSCRIBE_AGAIN_MAX;
        pause =
            if lasted { limits::SUBSCRIBE_AGAIN_MIN } else { (2 * pause).min(limits::SUBSCRIBE_AGAIN_MAX) };
    }
}

/// Fetches what is new of the section of `owner`, once, from the peer at the other end.
///
/// # Errors
/// [`TakeError`]; what was complete until then is merged.
pub(crate) async fn pull(
    with: &Replication,
    link: &Link,
    owner: &NodeName,
    incarnation: Incarnation,
) -> Result<(), TakeError> {
    Taker::new(with, owner, incarnation, false).run(link, false).await
}

/// Why a section could not be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TakeError {
    #[error(transparent)]
    Breach(#[from] Breach),
    #[error(transparent)]
    Merge(#[from] MergeError),
    #[error("the peer sent nothing for {PULL_SILENCE_MAX:?}")]
    Silent,
    #[error("a snapshot does not come to its end")]
    Endless,
}

/// Applies the frames of one subscription.
struct Taker<'a> {
    owner: &'a NodeName,
    incarnation: Incarnation,
    with: &'a Replication,
    /// Whether it is the owner that sends.
    direct: bool,
    /// What was held when the subscription was sent, so before it was answered.
    subscribed: Option<Digest>,
    /// Where the owner stood at the start; `None` once that is reached.
    head: Option<Position>,
    /// The snapshot that is arriving, and its place among those that may.
    arriving: Option<(Arriving<'a>, SemaphorePermit<'a>)>,
    /// How far it is: the last key and how many entries came, and until when it may take.
    filled: (Option<Key>, u64),
    complete_by: Option<Instant>,
}

impl<'a> Taker<'a> {
    fn new(with: &'a Replication, owner: &'a NodeName, incarnation: Incarnation, direct: bool) -> Self {
        let subscribed = with.replica.head(owner).map(|head| head.digest);
        Self {
            owner,
            incarnation,
            with,
            direct,
            subscribed,
            head: None,
            arriving: None,
            filled: (None, 0),
            complete_by: None,
        }
    }

    async fn run(mut self, link: &Link, follow: bool) -> Result<(), TakeError> {
        let position = self.subscribed.map_or(Position::default(), |held| held.position);
        let (mut send, mut reader) =
            SECTION.ask(link.connection(), link.version()).await.map_err(Breach::from)?;
        let subscribe = Subscribe { owner: self.owner.clone(), position, follow };
        write_frame(&mut send, &subscribe).await.map_err(Breach::from)?;
        loop {
            let next = reader.next::<SectionFrame>();
            // A snapshot holds a place that others wait for.
            let frame = match (self.complete_by, follow) {
                (None, true) => next.await,
                (None, false) => timeout(PULL_SILENCE_MAX, next).await.map_err(|_| TakeError::Silent)?,
                (Some(by), _) => {
                    let silent = Instant::now() + limits::SNAPSHOT_STALL_MAX;
                    timeout_at(by.min(silent), next).await.map_err(|_| TakeError::Endless)?
                }
            };
            let Some((frame, _)) = frame.map_err(Breach::from)? else { return Ok(()) };
            self.take(frame).await?;
        }
    }

    async fn take(&mut self, frame: SectionFrame) -> Result<(), TakeError> {
        let (replica, owner, metrics) = (&self.with.replica, self.owner, &self.with.metrics);
        let lost = match frame {
            SectionFrame::Head(digest) => {
                self.begin(&digest)?;
                Vec::new()
            }
            SectionFrame::Delta(delta) => match &mut self.arriving {
                Some((arriving, _)) => arriving.mend(&delta).map(|()| Vec::new())?,
                None => {
                    metrics.directory_deltas.with(Direction::Received).increment(1);
                    let lost = replica.merge_delta(owner, delta)?;
                    bounded_entries(replica.len_of(owner))?;
                    lost
                }
            },
            SectionFrame::Snapshot(SnapshotFrame::Begin(position)) => {
                if position.incarnation != self.incarnation {
                    let (found, held) = (position.incarnation, self.incarnation);
                    return Err(MergeError::Incarnation { found, held }.into());
                }
                // A place is given back before another one is asked for. Whoever waits here does not
                // read, and so holds back the sender.
                self.arriving = None;
                (self.filled, self.complete_by) = ((None, 0), None);
                let permit = self.with.snapshots_received.acquire().await.expect(NEVER_CLOSED);
                let arriving = replica.begin(owner, position)?;
                if arriving.is_none() {
                    metrics.directory_outdated.increment(1);
                }
                self.complete_by = arriving.is_some().then(|| Instant::now() + SNAPSHOT_TIME_MAX);
                self.arriving = arriving.map(|arriving| (arriving, permit));
                Vec::new()
            }
            SectionFrame::Snapshot(SnapshotFrame::Chunk(entries)) => {
                let (last, count) = self.filled;
                let keys = last.into_iter().chain(entries.0.iter().map(|entry| entry.key));
                if !keys.is_sorted_by(|before, after| before < after) {
                    let problem = "the entries of a snapshot are not in the order of their keys".to_owned();
                    return Err(Breach::Codec(CodecError::Header(problem)).into());
                }
                let count = count + entries.0.len() as u64;
                bounded_entries(count)?;
                self.filled = (entries.0.last().map(|entry| entry.key).or(last), count);
                if let Some((arriving, _)) = &mut self.arriving {
                    arriving.fill(&entries.0);
                }
                Vec::new()
            }
            SectionFrame::Snapshot(SnapshotFrame::End { digest, count }) => match self.arriving.take() {
                Some((arriving, _permit)) => {
                    metrics.directory_snapshots.with(Direction::Received).increment(1);
                    let held = replica.head(owner).map(|held| held.digest.position);
                    if held.is_some_and(|held| held >= digest.position) {
                        metrics.directory_outdated.increment(1);
                    }
                    self.complete_by = None;
                    arriving.end(digest, count)?
                }
                None => Vec::new(), // What is held is as new.
            },
        };
        if !lost.is_empty() {
            self.with.owners.lost(lost);
        }
        self.report();
        Ok(())
    }

    /// The first frame: where the section stands at the sender.
    fn begin(&mut self, digest: &Digest) -> Result<(), MergeError> {
        if self.direct {
            // Only a clock that was set back lets a boot start over under a used incarnation.
            if let Some(held) = self.subscribed.filter(|held| held.contradicts(digest)) {
                self.with.replica.distrust(self.owner, &held);
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
        let held = self.with.replica.head(self.owner);
        if held.is_some_and(|held| held.digest.position >= head) {
            self.head = None;
            if self.direct {
                // What a third node holds may be as old as what was held here.
                let lost = self.with.replica.prove(self.owner, self.incarnation);
                if !lost.is_empty() {
                    self.with.owners.lost(lost);
                }
            }
            self.with.owners.section_synced(self.owner);
        }
    }
}

/// Checks that a section has no more sessions than any node has.
fn bounded_entries(len: u64) -> Result<(), Breach> {
    let (len, max) = (usize::try_from(len).unwrap_or(usize::MAX), limits::SECTION_ENTRIES_MAX as usize);
    Ok(bounded_list("entries", len, max)?)
}

/// A snapshot may take so long. Guess: the largest one over a slow network.
const SNAPSHOT_TIME_MAX: Duration = Duration::from_secs(600);
/// A pull that brings nothing for so long is given up; the next round of digests tries again. Guess.
const PULL_SILENCE_MAX: Duration = Duration::from_secs(10);
const NEVER_CLOSED: &str = "nobody closes this semaphore";
