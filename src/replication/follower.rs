//! The taker's side: copies a section, from its owner for as long as the link lives, or once from
//! whoever has it. What a frame does is decided in [`taking`](crate::replication::taking), how long is waited in
//! [`waiting`](crate::replication::waiting).

use tokio::sync::SemaphorePermit;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, error, warn};

use crate::directory::SnapshotFrame;
use crate::id::{Incarnation, NodeName};
use crate::limits;
use crate::mesh::Link;
use crate::mesh::codec::{CodecError, write_frame};
use crate::mesh::conduct::Breach;
use crate::mesh::notice::Notice;
use crate::metrics::label::Direction;
use crate::replication::frame::{SECTION, SectionFrame};
use crate::replication::shared::Replication;
use crate::replication::taking::{Change, Refused, Taken, Taking};
use crate::replication::waiting::{PULL_SILENCE_MAX, Pauses, patience};
use crate::section::MergeError;

/// Follows the peer's own section for as long as the connection lives. Returns what the peer did that ends the link.
pub(crate) async fn follow(with: &Replication, link: &Link) -> Option<Breach> {
    let peer = link.peer();
    let notice = Notice::new(limits::REFUSALS_LOGGED_EVERY);
    let mut pauses = Pauses::default();
    loop {
        let since = Instant::now();
        let taking = Taking::new(&with.replica, peer.name.clone(), peer.incarnation, true);
        match take(with, link, taking, true).await {
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
        sleep(pauses.ended(since.elapsed())).await;
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
    let taking = Taking::new(&with.replica, owner.clone(), incarnation, false);
    take(with, link, taking, false).await
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

impl From<Refused> for TakeError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Merge(error) => Self::Merge(error),
            Refused::Disorder => Breach::Codec(CodecError::Header(refused.to_string())).into(),
            Refused::TooMany(len) => {
                let len = usize::try_from(len).unwrap_or(usize::MAX);
                let max = limits::SECTION_ENTRIES_MAX as usize;
                Breach::Codec(CodecError::Oversize { part: "entries", len, max }).into()
            }
        }
    }
}

/// Takes a section over one stream.
async fn take(with: &Replication, link: &Link, mut taking: Taking, follow: bool) -> Result<(), TakeError> {
    let (mut send, mut reader) =
        SECTION.ask(link.connection(), link.version()).await.map_err(Breach::from)?;
    let subscribe = taking.subscribe(follow);
    let owner = &subscribe.owner;
    write_frame(&mut send, &subscribe).await.map_err(Breach::from)?;
    // The place of the snapshot that is arriving among those that may, and since when it arrives.
    let mut place: Option<(SemaphorePermit<'_>, Instant)> = None;
    loop {
        let next = reader.next::<SectionFrame>();
        let frame = match patience(follow, place.as_ref().map(|(_, since)| since.elapsed())) {
            None => next.await,
            Some(patience) => timeout(patience, next)
                .await
                .map_err(|_| if place.is_some() { TakeError::Endless } else { TakeError::Silent })?,
        };
        let Some((frame, _)) = frame.map_err(Breach::from)? else { return Ok(()) };
        if matches!(frame, SectionFrame::Snapshot(SnapshotFrame::Begin(_))) {
            // A place is given back before another one is asked for. Whoever waits here does not
            // read, and so holds back the sender.
            taking.give_up();
            drop(place.take());
            let permit = with.snapshots_received.acquire().await.expect(NEVER_CLOSED);
            place = Some((permit, Instant::now()));
        }
        let Taken { change, lost, synced } = taking.take(frame)?;
        count(with, change);
        place = place.filter(|_| taking.is_filling());
        if !lost.is_empty() {
            with.owners.lost(lost);
        }
        if synced {
            with.owners.section_synced(owner);
        }
    }
}

fn count(with: &Replication, change: Change) {
    let metrics = &with.metrics;
    match change {
        Change::Merged => metrics.directory_deltas.with(Direction::Received).increment(1),
        Change::Replaced | Change::Outdated => {
            metrics.directory_snapshots.with(Direction::Received).increment(1);
        }
        Change::None | Change::Unneeded => {}
    }
    if matches!(change, Change::Unneeded | Change::Outdated) {
        metrics.directory_outdated.increment(1);
    }
}

const NEVER_CLOSED: &str = "nobody closes this semaphore";
