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
//! pulled only where the direct stream cannot bring it: the owner has not been reached for
//! [`RELAY_AFTER`](limits::RELAY_AFTER). A hash that differs at the same position is an alarm: the
//! copy is not served any more, and its owner's snapshot replaces it. What a digest asks for is decided in
//! [`comparing`](crate::replication::comparing).

use std::sync::Arc;

use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use crate::id::{Incarnation, NodeName};
use crate::limits;
use crate::mesh::codec::{CodecError, write_frame};
use crate::mesh::{Link, Links};
use crate::metrics::label::{Direction, PulledFrom, Task};
use crate::replication::allowance::Allowance;
use crate::replication::comparing::{self, Circumstances, Comparing, Consequence};
use crate::replication::follower;
use crate::replication::frame::{DIGESTS, DigestsFrame};
use crate::replication::shared::Replication;
use crate::section::Digest;
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
        let chosen = comparing::partner(linked.len(), |low, high| entropy.between(low, high));
        if let Some(chosen) = chosen {
            exchange(with, &linked[chosen]).await;
        }
    }
}

/// Compares all digests with the peer at the other end, and fetches what is newer there.
pub(crate) async fn exchange(with: &Arc<Replication>, link: &Arc<Link>) {
    let comparing = Comparing::asking(&with.replica);
    match timeout(limits::DIGEST_INTERVAL, ask(with, link, &comparing)).await {
        Ok(Ok(answer)) => {
            for (owner, theirs) in answer {
                consider(with, link, &comparing, &owner, &theirs);
            }
        }
        Ok(Err(failed)) => debug!(peer = %link.peer().name, error = %failed, "no exchange of digests"),
        Err(_) => debug!(peer = %link.peer().name, "an exchange of digests took too long"),
    }
}

async fn ask(
    with: &Replication,
    link: &Link,
    comparing: &Comparing,
) -> Result<Vec<(NodeName, Digest)>, CodecError> {
    let (mut send, mut answers) = DIGESTS.ask(link.connection(), link.version()).await?;
    let digests = comparing.held().iter().map(|(owner, digest)| (owner.clone(), *digest)).collect();
    write_frame(&mut send, &DigestsFrame(digests)).await?;
    let _ = send.finish(); // Fails on a closed stream only, and then so does the answer.
    with.metrics.directory_digests.with(Direction::Sent).increment(1);
    let answer = answers.next::<DigestsFrame>().await?;
    Ok(answer.map(|(DigestsFrame(digests), _)| digests).unwrap_or_default())
}

/// Answers a peer's digests, and fetches what is newer there.
///
/// # Errors
/// The stream broke.
pub(crate) async fn answer(
    with: &Arc<Replication>,
    link: &Arc<Link>,
    mut stream: quinn::SendStream,
    DigestsFrame(theirs): DigestsFrame,
) -> Result<(), CodecError> {
    with.metrics.directory_digests.with(Direction::Received).increment(1);
    let theirs = theirs.into_iter().collect();
    let comparing = Comparing::asked(&with.replica);
    write_frame(&mut stream, &DigestsFrame(comparing.answer(&theirs))).await?;
    let _ = stream.finish();
    for (owner, digest) in &theirs {
        consider(with, link, &comparing, owner, digest);
    }
    Ok(())
}

/// Does what one digest of a peer asks for.
fn consider(
    with: &Arc<Replication>,
    link: &Arc<Link>,
    comparing: &Comparing,
    owner: &NodeName,
    theirs: &Digest,
) {
    let peer = &link.peer().name;
    let told = (owner, theirs);
    match comparing.consider(&with.replica, peer, told, &Around { with, link }) {
        Consequence::Nothing => {}
        Consequence::Unheard => with.metrics.directory_accusations_ignored.increment(1),
        Consequence::Wrong { held, newly, pull: pulled } => {
            if newly {
                with.metrics.directory_diverged.increment(1);
                if let Some(count) = with.wrong.due(Instant::now()) {
                    error!(%owner, %peer, version = held.position.version, count,
                        "a copy of a section is wrong and is pulled again");
                }
            }
            if pulled {
                pull(with, link, owner, theirs);
            }
        }
        Consequence::Pull => pull(with, link, owner, theirs),
        Consequence::Refuse => with.metrics.directory_refused.increment(1),
    }
}

/// What decides about digests of the peer at the other end.
struct Around<'a> {
    with: &'a Replication,
    link: &'a Link,
}

impl Circumstances for Around<'_> {
    fn accuses(&self) -> bool {
        self.link.attached::<Allowance>().accuses(Instant::now())
    }

    fn is_stale(&self, owner: &NodeName) -> bool {
        self.with.owners.is_stale(owner)
    }

    fn admits(&self, owner: &NodeName, incarnation: Incarnation) -> bool {
        self.with.owners.admits(owner, incarnation)
    }
}

/// Fetches a section in the background, unless that is going on.
fn pull(with: &Arc<Replication>, link: &Arc<Link>, owner: &NodeName, theirs: &Digest) {
    if !with.pulling.lock().expect(NOT_POISONED).begin(owner) {
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
        with.pulling.lock().expect(NOT_POISONED).ended(&owner);
        if let Ok(Err(follower::TakeError::Breach(breach))) = &pulled {
            link.reject(breach);
        }
        if let Ok(Err(failed)) = pulled {
            debug!(%owner, peer = %link.peer().name, error = %failed, "a section could not be pulled");
        }
    });
}

const NOT_POISONED: &str = "no panic happens under this lock";
