//! How a node stops: its clients are sent away a few at a time, then it leaves.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use tracing::info;

use crate::limits;
use crate::session::{CloseReason, Registry};
use crate::wire::Entropy;

/// Closes all sessions with 1012, spread over time so that they do not come back all at once, and
/// waits until their connections are gone or `budget` is used up. What is queued for them is
/// written first.
pub(crate) async fn close_sessions(registry: &Arc<Registry>, entropy: &Entropy, budget: Duration) {
    let started = Instant::now();
    let sessions = registry.all();
    let count = u32::try_from(sessions.len()).unwrap_or(u32::MAX);
    if count > 0 {
        info!(sessions = count, "closing sessions");
    }
    let window = CLOSE_PACE.saturating_mul(count).min(budget / 2);
    for (index, session) in (0_u32..).zip(sessions) {
        let due = started + window.mul_f64(f64::from(index) / f64::from(count));
        // A sleep has a granularity of a millisecond: several sessions share one.
        if due > Instant::now() + Duration::from_millis(1) {
            sleep_until(due).await;
        }
        let retry_ms = entropy.between(limits::RETRY_MS.0, limits::RETRY_MS.1);
        session.close(CloseReason::Restarting { retry_ms });
    }
    while registry.len() > 0 && started.elapsed() < budget {
        sleep(POLL).await;
    }
}

/// One session is closed for each of these, as long as half the budget lasts. Guess: 500 a second
/// is what the remaining nodes take in without noticing.
const CLOSE_PACE: Duration = Duration::from_millis(2);
/// How often the remaining connections are counted.
const POLL: Duration = Duration::from_millis(10);
