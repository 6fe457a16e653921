//! How a node stops: its clients are sent away a few at a time, then it leaves.
//!
//! A node that has failed does the same in a second. Whatever has failed may panic once more when it is
//! touched, or hang: each step goes on where the one before did not end.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::gateway::Phase;
use crate::id::Stamp;
use crate::key::Key;
use crate::limits;
use crate::node::shared::Shared;
use crate::session::{CloseReason, Registry, Session};
use crate::wire::Entropy;

/// How long each step of a stop may take.
pub(super) struct Steps {
    /// Telling gossip how this node is.
    tell: Duration,
    /// Closing the sessions.
    sessions: Duration,
    /// Ending the HTTP requests in progress.
    http: Duration,
    /// Waiting for what is on its way to the peers.
    grace: Duration,
}

impl Steps {
    /// Those of a node that stops in good order, or that has failed.
    pub(super) fn new(shared: &Shared, has_failed: bool) -> Self {
        if has_failed {
            return FAILED;
        }
        let drain_timeout = shared.config.timers.drain_timeout;
        let http = shared.http_stop_timeout();
        // What follows the sessions' end: requests in progress, receipts, the farewell.
        let sessions = drain_timeout.saturating_sub(http + 2 * LEAVE_GRACE).max(drain_timeout / 2);
        Self { tell: drain_timeout / 10, sessions, http: drain_timeout, grace: LEAVE_GRACE }
    }
}

/// Serves on for as long as balancers need to notice that the node is not ready any more. A node that nobody was sent to yet does not, nor
/// one that fails meanwhile.
pub(super) async fn delay(shared: &Shared) {
    let delay = shared.config.timers.drain_delay;
    let leaves = |phase: &mut Phase| {
        let was_ready = *phase == Phase::Ready;
        if was_ready {
            *phase = Phase::Leaving;
        }
        was_ready
    };
    if delay.is_zero() || !shared.phase.send_if_modified(leaves) {
        return;
    }
    info!(node = %shared.config.name, ?delay, "not ready any more; serving until the drain delay is over");
    tokio::select! {
        () = sleep(delay) => {}
        _ = shared.vitals.failed() => {}
    }
}

/// Stops a node. Its caller has a bound for all of it.
pub(super) async fn run(
    shared: &Arc<Shared>,
    http_face: Option<JoinHandle<()>>,
    tasks: &TaskTracker,
    steps: Steps,
) {
    shared.phase.send_replace(Phase::Draining);
    shared.router.stop_adopting();
    within(steps.tell, shared.advertise()).await;
    info!(node = %shared.config.name, "draining");
    let replaced = within(steps.sessions, replaced(shared));
    tokio::join!(within(steps.sessions, close_sessions(shared, steps.sessions)), replaced);
    end_parked(&shared.registry);
    shared.vitals.stop();
    shared.stop_http.cancel();
    // Its requests still need the links.
    if let Some(http_face) = http_face {
        within(steps.http, async { _ = http_face.await }).await;
    }
    sleep(steps.grace).await;
    shared.phase.send_replace(Phase::Stopped);
    within(steps.tell, shared.advertise()).await;
    shared.stop.cancel();
    within(limits::DRAIN_TIMEOUT, shared.links.leave()).await;
    tasks.close();
    tasks.wait().await;
    info!(node = %shared.config.name, "left");
}

/// Does a step, which may take too long or panic: the next one follows all the same.
async fn within(bound: Duration, step: impl Future<Output = ()>) {
    let _ = timeout(bound, AssertUnwindSafe(step).catch_unwind()).await;
}

/// Waits until other nodes hold what this one has held for theirs.
async fn replaced(shared: &Shared) {
    let started = Instant::now();
    shared.copies.until_replaced().await;
    debug!(waited = ?started.elapsed(), "no other node counts on the copies of this one any more");
}

/// Closes all sessions with 1012, and waits until their connections are gone or `budget` is used up. What is queued for them is
/// written first. Those that are kept for their clients are left to other nodes.
async fn close_sessions(shared: &Arc<Shared>, budget: Duration) {
    let started = Instant::now();
    let mut leaving = Leaving::default();
    leaving.send_away(shared, budget / 2).await;
    // What another node that stops has left to this one, which did not know better.
    if timeout(budget / 2, shared.router.until_adopted()).await.is_ok() {
        leaving.send_away(shared, budget / 4).await;
    }
    while shared.registry.len() > 0 && started.elapsed() < budget {
        sleep(POLL).await;
    }
    while leaving.tasks.join_next().await.is_some() {}
}

/// The sessions that were sent away.
#[derive(Default)]
struct Leaving {
    sent: HashSet<(Key, Stamp)>,
    /// Those that are left to other nodes.
    tasks: JoinSet<()>,
}

impl Leaving {
    /// Sends all away that were not before, spread over a `window` at most, so that they do not come back all at once.
    async fn send_away(&mut self, shared: &Arc<Shared>, window: Duration) {
        let started = Instant::now();
        let mut sessions = shared.registry.all();
        sessions.retain(|session| self.sent.insert((session.key(), session.stamp())));
        let count = u32::try_from(sessions.len()).unwrap_or(u32::MAX);
        if count > 0 {
            info!(sessions = count, "closing sessions");
        }
        let window = CLOSE_PACE.saturating_mul(count).min(window);
        for (index, session) in (0_u32..).zip(sessions) {
            let due = started + window.mul_f64(f64::from(index) / f64::from(count));
            // A sleep has a granularity of a millisecond: several sessions share one.
            if due > Instant::now() + Duration::from_millis(1) {
                sleep_until(due).await;
            }
            send_away(&session, &shared.entropy);
            if session.keep().is_some() {
                while self.tasks.len() >= LEAVING_MAX {
                    self.tasks.join_next().await;
                }
                self.tasks.spawn(leave(Arc::clone(shared), session));
            }
        }
    }
}

/// Leaves a session to another node once its client is away.
async fn leave(shared: Arc<Shared>, session: Arc<Session>) {
    session.until_parked().await;
    while !shared.router.leave_to_another(&session, shared.incarnation).await {
        if shared.roster.keepers(session.key()).is_empty() {
            return;
        }
        // Its client may be elsewhere already, of which this node hears soon.
        sleep(LEAVE_AGAIN).await;
    }
    if session.successor().is_some() {
        session.until_handed_over().await;
    }
}

/// What no other node has taken is over.
fn end_parked(registry: &Registry) {
    let parked = registry.all().into_iter().filter(|session| session.is_away());
    for session in parked.filter(|session| session.close(CloseReason::Expired)) {
        let messages = session.unacknowledged();
        warn!(key = %session.names(), messages, "no other node keeps this session for its client");
    }
}

/// Closes a session with 1012. That of a session in which something has failed may panic, and must not keep
/// the others from being told.
pub(super) fn send_away(session: &Session, entropy: &Entropy) {
    let retry_ms = entropy.between(limits::RETRY_MS.0, limits::RETRY_MS.1);
    let _ = catch_unwind(AssertUnwindSafe(|| session.close(CloseReason::Restarting { retry_ms })));
}

/// The steps of a node that has failed. Guess: half of [`FAULT_DRAIN`](limits::FAULT_DRAIN) for the clients, to
/// whom it matters most, and some round trips for each of the others.
const FAILED: Steps = Steps {
    tell: Duration::from_millis(50),
    sessions: Duration::from_millis(500),
    http: Duration::from_millis(200),
    grace: Duration::from_millis(50),
};
/// How long receipts and releases have to reach the peers before the links close. Source: longer than the
/// directory's gathering time and a round trip.
const LEAVE_GRACE: Duration = Duration::from_millis(300);
/// One session is closed for each of these, as long as half the budget lasts. Guess: 500 a second
/// is what the remaining nodes take in without noticing.
const CLOSE_PACE: Duration = Duration::from_millis(2);
/// Sessions that are left to other nodes at the same time. Guess: a few round trips each, and no node is flooded.
const LEAVING_MAX: usize = 256;
/// Pause before a session that no node has taken is offered again. Guess: some round trips.
const LEAVE_AGAIN: Duration = Duration::from_millis(50);
/// How often the remaining connections are counted.
const POLL: Duration = Duration::from_millis(10);

const _: () = {
    let steps = 2 * FAILED.tell.as_millis() + FAILED.sessions.as_millis() + FAILED.http.as_millis();
    assert!(steps + FAILED.grace.as_millis() < limits::FAULT_DRAIN.as_millis());
};
