//! TLS handshakes: so many at once, so that a storm of connects costs bounded memory.
//!
//! Callers that say nothing must not keep others out for as long as a handshake may take. When all places are taken,
//! each one who waits asks one of those inside to make room, the longest-waiting first: it goes, unless bytes have moved
//! since it began or was asked before.

use std::pin::pin;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::sleep;

use super::pace::Pace;
use crate::limits;

/// The places for handshakes.
pub(super) struct Handshakes {
    free: Semaphore,
    /// Somebody has waited for a place for as long as one has to be patient.
    wanted: Notify,
}

impl Handshakes {
    /// None in progress.
    pub(super) fn new() -> Self {
        Self { free: Semaphore::new(limits::TLS_HANDSHAKES_MAX), wanted: Notify::new() }
    }

    /// Runs a handshake once there is a place for it. `None`: it made room for another one.
    pub(super) async fn run<T>(&self, pace: &Pace, handshake: impl Future<Output = T>) -> Option<T> {
        let _place = self.place().await;
        tokio::select! {
            done = handshake => Some(done),
            () = self.has_to_go(pace) => None,
        }
    }

    async fn place(&self) -> SemaphorePermit<'_> {
        let mut free = pin!(self.free.acquire());
        loop {
            tokio::select! {
                biased;
                place = &mut free => return place.expect("the handshakes are never closed"),
                () = sleep(PATIENCE) => self.wanted.notify_one(),
            }
        }
    }

    async fn has_to_go(&self, pace: &Pace) {
        let mut seen = pace.moves();
        loop {
            self.wanted.notified().await;
            let moves = pace.moves();
            if moves == seen {
                return;
            }
            seen = moves; // It goes on. Whoever waits asks the next one in a while.
        }
    }
}

/// How long one waits for a place before another one has to make room. Guess: short beside the time that a client takes.
const PATIENCE: Duration = Duration::from_millis(50);
