//! Finds out what the streams of sections did not bring, and fetches it.
//!
//! ```text
//!   every 2 s, and when a link comes up:
//!   a ── Digests{all that a would serve} ──► b      b pulls what is newer at a
//!     ◄── Digests{what is newer at b, or differs} ──   a pulls what is newer at b
//! ```
//!
//! A digest is a name, a position and a hash. Equal ones move nothing, and nobody replies to a reply,
//! so that an idle cluster sends the same few bytes however many sessions it has. What is newer is
//! pulled only where the direct stream can not bring it: the owner has not been reached for
//! [`RELAY_AFTER`](limits::RELAY_AFTER). A hash that differs at the same position is an alarm: the
//! copy is not served any more, and its owner's snapshot replaces it.

use std::sync::Arc;

use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use crate::directory::{self, Digest, Finding};
use crate::id::NodeName;
use crate::limits;
use crate::mesh::Links;
use crate::mesh::codec::{CodecError, FrameReader, StreamKind, write_frame};
use crate::mesh::frame::Digests;
use crate::mesh::lane::DIRECTORY_PRIORITY;
use crate::mesh::link::{Link, LinkContext};
use crate::mesh::replication;
use crate::metrics::label::{Direction, PulledFrom, Task};
use crate::wire::Entropy;

/// Exchanges digests with one random peer in each interval and sweeps what is over, until `stop`.
pub(crate) async fn run(
    links: Arc<Links>,
    context: Arc<LinkContext>,
    entropy: Arc<Entropy>,
    stop: CancellationToken,
) {
    let mut tick = interval(limits::DIGEST_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        let swept = context.replica.sweep().await;
        context.metrics.directory_swept.increment(swept as u64);
        let linked = links.all();
        if let Some(last) = linked.len().checked_sub(1) {
            let chosen = entropy.between(0, last as u64) as usize;
            exchange(&linked[chosen], &context).await;
        }
    }
}

/// Compares all digests with the peer at the other end, and fetches what is newer there.
pub(crate) async fn exchange(link: &Arc<Link>, context: &Arc<LinkContext>) {
    let asked = context.replica.heads().into_iter().collect();
    match timeout(limits::DIGEST_INTERVAL, ask(link, context, &asked)).await {
        Ok(Ok(answer)) => {
            for (owner, theirs) in answer {
                consider(link, context, &owner, asked.get(&owner), &theirs, true);
            }
        }
        Ok(Err(failed)) => debug!(peer = %link.peer().name, error = %failed, "no exchange of digests"),
        Err(_) => debug!(peer = %link.peer().name, "an exchange of digests took too long"),
    }
}

async fn ask(
    link: &Link,
    context: &LinkContext,
    asked: &directory::Digests,
) -> Result<Vec<(NodeName, Digest)>, CodecError> {
    let broken = |error: &dyn std::fmt::Display| CodecError::Broken(error.to_string());
    let (mut send, recv) = link.connection().open_bi().await.map_err(|e| broken(&e))?;
    let _ = send.set_priority(DIRECTORY_PRIORITY);
    send.write_all(&StreamKind::Digests.preface()).await.map_err(|e| broken(&e))?;
    let digests = asked.iter().map(|(owner, digest)| (owner.clone(), *digest)).collect();
    write_frame(&mut send, &Digests(digests)).await?;
    let _ = send.finish(); // Fails on a closed stream only, and then so does the answer.
    context.metrics.directory_digests.with(Direction::Sent).increment(1);
    let answer = FrameReader::answers(recv).next::<Digests>().await?;
    Ok(answer.map(|(Digests(digests), _)| digests).unwrap_or_default())
}

/// Answers a peer's digests, and fetches what is newer there.
///
/// # Errors
/// The stream broke.
pub(crate) async fn answer(
    link: &Arc<Link>,
    context: &Arc<LinkContext>,
    mut stream: quinn::SendStream,
    Digests(theirs): Digests,
) -> Result<(), CodecError> {
    context.metrics.directory_digests.with(Direction::Received).increment(1);
    let theirs = theirs.into_iter().collect();
    let ours = context.replica.heads().into_iter().collect();
    write_frame(&mut stream, &Digests(directory::news(&ours, &theirs))).await?;
    let _ = stream.finish();
    for (owner, digest) in &theirs {
        consider(link, context, owner, ours.get(owner), digest, false);
    }
    Ok(())
}

/// Does what one digest of a peer asks for.
fn consider(
    link: &Arc<Link>,
    context: &Arc<LinkContext>,
    owner: &NodeName,
    held: Option<&Digest>,
    theirs: &Digest,
    answered: bool,
) {
    if owner == context.replica.me() {
        return; // Nobody knows this node's own section better.
    }
    let direct = *owner == link.peer().name;
    let distrusted = direct && context.replica.is_distrusted(owner);
    match Finding::of(held, theirs, direct, answered, distrusted) {
        Finding::Nothing => {}
        Finding::Wrong if !link.conduct().accuses(Instant::now()) => {
            context.metrics.directory_accusations_ignored.increment(1);
        }
        Finding::Wrong => {
            let held = held.expect("only what is held is found to be wrong");
            if context.replica.distrust(owner, held) {
                context.metrics.directory_diverged.increment(1);
                if let Some(count) = context.wrong.due(Instant::now()) {
                    error!(%owner, peer = %link.peer().name, version = held.position.version, count,
                        "a copy of a section is wrong and is pulled again");
                }
            }
            // Between two copies nobody knows which one is wrong: only the owner does.
            if direct {
                pull(link, context, owner, theirs);
            }
        }
        Finding::Mend => pull(link, context, owner, theirs),
        Finding::Newer if !context.service.is_stale(owner) => {}
        Finding::Newer if context.service.admits(owner, theirs.position.incarnation) => {
            pull(link, context, owner, theirs);
        }
        Finding::Newer => context.metrics.directory_refused.increment(1),
    }
}

/// Fetches a section in the background, unless that is going on.
fn pull(link: &Arc<Link>, context: &Arc<LinkContext>, owner: &NodeName, theirs: &Digest) {
    if !context.pulling.lock().expect(NOT_POISONED).insert(owner.clone()) {
        return;
    }
    let (link, context) = (Arc::clone(link), Arc::clone(context));
    let (owner, incarnation) = (owner.clone(), theirs.position.incarnation);
    tokio::spawn(async move {
        context
            .metrics
            .directory_pulls
            .with(if owner == link.peer().name { PulledFrom::Owner } else { PulledFrom::Relay })
            .increment(1);
        let pulling = replication::pull(link.connection(), &owner, incarnation, &context);
        let pulled = context.vitals.contained(Task::Pull, pulling).await;
        context.pulling.lock().expect(NOT_POISONED).remove(&owner);
        if let Ok(Err(replication::TakeError::Breach(breach))) = &pulled {
            link.reject(&context, breach);
        }
        if let Ok(Err(failed)) = pulled {
            debug!(%owner, peer = %link.peer().name, error = %failed, "a section could not be pulled");
        }
    });
}

const NOT_POISONED: &str = "no panic happens under this lock";
