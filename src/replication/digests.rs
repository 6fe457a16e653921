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
use crate::mesh::codec::{CodecError, write_frame};
use crate::mesh::{Link, Links};
use crate::metrics::label::{Direction, PulledFrom, Task};
use crate::replication::frame::{DIGESTS, Digests};
use crate::replication::{Replication, follower};
use crate::wire::Entropy;

/// Exchanges digests with one random peer in each interval and sweeps what is over, until `stop`.
pub(crate) async fn run(with: &Arc<Replication>, links: &Links, entropy: &Entropy, stop: &CancellationToken) {
    let mut tick = interval(limits::DIGEST_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        let swept = with.replica.sweep().await;
        with.metrics.directory_swept.increment(swept as u64);
        let linked = links.all();
        if let Some(last) = linked.len().checked_sub(1) {
            let chosen = entropy.between(0, last as u64) as usize;
            exchange(with, &linked[chosen]).await;
        }
    }
}

/// Compares all digests with the peer at the other end, and fetches what is newer there.
pub(crate) async fn exchange(with: &Arc<Replication>, link: &Arc<Link>) {
    let asked = with.replica.heads().into_iter().collect();
    match timeout(limits::DIGEST_INTERVAL, ask(with, link, &asked)).await {
        Ok(Ok(answer)) => {
            for (owner, theirs) in answer {
                consider(with, link, &owner, asked.get(&owner), &theirs, true);
            }
        }
        Ok(Err(failed)) => debug!(peer = %link.peer().name, error = %failed, "no exchange of digests"),
        Err(_) => debug!(peer = %link.peer().name, "an exchange of digests took too long"),
    }
}

async fn ask(
    with: &Replication,
    link: &Link,
    asked: &directory::Digests,
) -> Result<Vec<(NodeName, Digest)>, CodecError> {
    let (mut send, mut answers) = DIGESTS.ask(link.connection(), link.version()).await?;
    let digests = asked.iter().map(|(owner, digest)| (owner.clone(), *digest)).collect();
    write_frame(&mut send, &Digests(digests)).await?;
    let _ = send.finish(); // Fails on a closed stream only, and then so does the answer.
    with.metrics.directory_digests.with(Direction::Sent).increment(1);
    let answer = answers.next::<Digests>().await?;
    Ok(answer.map(|(Digests(digests), _)| digests).unwrap_or_default())
}

/// Answers a peer's digests, and fetches what is newer there.
///
/// # Errors
/// The stream broke.
pub(crate) async fn answer(
    with: &Arc<Replication>,
    link: &Arc<Link>,
    mut stream: quinn::SendStream,
    Digests(theirs): Digests,
) -> Result<(), CodecError> {
    with.metrics.directory_digests.with(Direction::Received).increment(1);
    let theirs = theirs.into_iter().collect();
    let ours = with.replica.heads().into_iter().collect();
    write_frame(&mut stream, &Digests(directory::news(&ours, &theirs))).await?;
    let _ = stream.finish();
    for (owner, digest) in &theirs {
        consider(with, link, owner, ours.get(owner), digest, false);
    }
    Ok(())
}

/// Does what one digest of a peer asks for.
fn consider(
    with: &Arc<Replication>,
    link: &Arc<Link>,
    owner: &NodeName,
    held: Option<&Digest>,
    theirs: &Digest,
    answered: bool,
) {
    if owner == with.replica.me() {
        return; // Nobody knows this node's own section better.
    }
    let direct = *owner == link.peer().name;
    let distrusted = direct && with.replica.is_distrusted(owner);
    match Finding::of(held, theirs, direct, answered, distrusted) {
        Finding::Nothing => {}
        Finding::Wrong if !link.conduct().accuses(Instant::now()) => {
            with.metrics.directory_accusations_ignored.increment(1);
        }
        Finding::Wrong => {
            let held = held.expect("only what is held is found to be wrong");
            if with.replica.distrust(owner, held) {
                with.metrics.directory_diverged.increment(1);
                if let Some(count) = with.wrong.due(Instant::now()) {
                    error!(%owner, peer = %link.peer().name, version = held.position.version, count,
                        "a copy of a section is wrong and is pulled again");
                }
            }
            // Between two copies nobody knows which one is wrong: only the owner does.
            if direct {
                pull(with, link, owner, theirs);
            }
        }
        Finding::Mend => pull(with, link, owner, theirs),
        Finding::Newer if !with.owners.is_stale(owner) => {}
        Finding::Newer if with.owners.admits(owner, theirs.position.incarnation) => {
            pull(with, link, owner, theirs);
        }
        Finding::Newer => with.metrics.directory_refused.increment(1),
    }
}

/// Fetches a section in the background, unless that is going on.
fn pull(with: &Arc<Replication>, link: &Arc<Link>, owner: &NodeName, theirs: &Digest) {
    if !with.pulling.lock().expect(NOT_POISONED).insert(owner.clone()) {
        return;
    }
    let (with, link) = (Arc::clone(with), Arc::clone(link));
    let (owner, incarnation) = (owner.clone(), theirs.position.incarnation);
    tokio::spawn(async move {
        with.metrics
            .directory_pulls
            .with(if owner == link.peer().name { PulledFrom::Owner } else { PulledFrom::Relay })
            .increment(1);
        let pulling = follower::pull(&with, &link, &owner, incarnation);
        let pulled = with.vitals.contained(Task::Pull, pulling).await;
        with.pulling.lock().expect(NOT_POISONED).remove(&owner);
        if let Ok(Err(follower::TakeError::Breach(breach))) = &pulled {
            link.reject(breach);
        }
        if let Ok(Err(failed)) = pulled {
            debug!(%owner, peer = %link.peer().name, error = %failed, "a section could not be pulled");
        }
    });
}

const NOT_POISONED: &str = "no panic happens under this lock";
