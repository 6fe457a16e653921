//! How the connections that a node may have are shared out.
//!
//! ```text
//!   all that fits ─┬─ places: WebSockets, and the API beside them ─ for as long as they like
//!                  └─ spare:  one request each, when all places are taken ─ probes and pushes still get in
//!   after the stop ── late:   one request each, until the last request of before has ended
//! ```
//!
//! WebSockets stay for long and would take everything, so that nobody could push to them: they get what the API and
//! the spare places leave.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};

use crate::limits;

/// How many connections there may be, by what they are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shares {
    pub(crate) websockets: usize,
    pub(super) api: usize,
    pub(super) spare: usize,
}

impl Shares {
    /// The shares of a node that wants `websockets`, where the operating system allows `connections_max` in all.
    pub(crate) fn new(websockets: usize, connections_max: Option<usize>) -> Self {
        let wanted = Self { websockets, api: API_CONNECTIONS, spare: SPARE_CONNECTIONS };
        let Some(max) = connections_max.filter(|max| *max < wanted.all()) else { return wanted };
        let part = (max / 4).max(1);
        let (api, spare) = (API_CONNECTIONS.min(part), SPARE_CONNECTIONS.min(part));
        Self { websockets: websockets.min(max.saturating_sub(api + spare)), api, spare }
    }

    /// All of them.
    pub(crate) fn all(self) -> usize {
        self.websockets.saturating_add(self.api + self.spare)
    }
}

/// The place of a connection among those that may be open. In the extensions of a request for another
/// protocol: what outlives the request keeps a clone.
#[derive(Clone)]
pub(in crate::gateway) struct ConnectionSlot {
    _permit: Arc<OwnedSemaphorePermit>,
    /// All places are taken: there is time for one request.
    pub(super) spare: bool,
}

impl ConnectionSlot {
    fn new(permit: OwnedSemaphorePermit, spare: bool) -> Self {
        Self { _permit: Arc::new(permit), spare }
    }
}

/// In the extensions of a request for which there is no place: it must not stay.
#[derive(Clone, Copy)]
pub(in crate::gateway) struct Crowded;

/// The places that are free.
pub(super) struct Places {
    regular: Share,
    spare: Share,
    late: Share,
    /// Somebody waits for a spare place, and has waited for as long as one has to be patient.
    wanted: Notify,
    patience: Mutex<Patience>,
}

/// How long the next caller waits before others have to make room for it. Each time it is over it is halved, so that a
/// crowd of callers that say nothing passes quickly; after a calm time it is whole again.
struct Patience {
    last: Duration,
    over: Option<Instant>,
}

impl Default for Patience {
    fn default() -> Self {
        Self { last: PATIENCE_MAX, over: None }
    }
}

impl Patience {
    /// How long to wait.
    fn now(&mut self) -> Duration {
        if self.over.is_some_and(|over| over.elapsed() >= CALM_AFTER) {
            *self = Self::default();
        }
        self.last
    }

    /// Somebody has waited for so long.
    fn is_over(&mut self) {
        *self = Self { last: (self.last / 2).max(PATIENCE_MIN), over: Some(Instant::now()) };
    }
}

/// Connections of one kind.
struct Share {
    free: Arc<Semaphore>,
    all: u32,
}

impl Share {
    fn new(connections: usize) -> Self {
        let all = u32::try_from(connections.min(Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        Self { free: Arc::new(Semaphore::new(all as usize)), all }
    }

    async fn take(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.free).acquire_owned().await.expect(NEVER_CLOSED)
    }

    async fn all(&self) {
        let _all = self.free.acquire_many(self.all).await.expect(NEVER_CLOSED);
    }
}

impl Places {
    pub(super) fn new(shares: Shares) -> Self {
        let regular = Share::new(shares.websockets.saturating_add(shares.api));
        Self {
            regular,
            spare: Share::new(shares.spare),
            late: Share::new(LATE_CONNECTIONS),
            wanted: Notify::new(),
            patience: Mutex::default(),
        }
    }

    /// A place for a connection that was accepted. When all are taken it gets a spare one; when those are taken too,
    /// whoever has one and keeps the node waiting has to go.
    pub(super) async fn take(&self) -> ConnectionSlot {
        loop {
            let patience = self.patience().now();
            tokio::select! {
                biased;
                permit = self.regular.take() => return ConnectionSlot::new(permit, false),
                permit = self.spare.take() => return ConnectionSlot::new(permit, true),
                () = sleep(patience) => {
                    self.patience().is_over();
                    self.wanted.notify_waiters();
                }
            }
        }
    }

    fn patience(&self) -> std::sync::MutexGuard<'_, Patience> {
        self.patience.lock().expect("no panic happens under this lock")
    }

    /// The same after the stop.
    pub(super) async fn take_late(&self) -> ConnectionSlot {
        ConnectionSlot::new(self.late.take().await, true)
    }

    /// Waits until somebody has waited for a spare place for as long as one has to be patient.
    pub(super) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Whether there is no place for one more.
    pub(super) fn are_taken(&self) -> bool {
        self.regular.free.available_permits() == 0
    }

    /// Takes all that are free.
    #[cfg(test)]
    pub(super) fn take_all(&self) -> OwnedSemaphorePermit {
        let free = u32::try_from(self.regular.free.available_permits()).unwrap();
        Arc::clone(&self.regular.free).try_acquire_many_owned(free).unwrap()
    }

    /// Waits until all connections are gone that came before the stop.
    pub(super) async fn all_gone(&self) {
        self.regular.all().await;
        self.spare.all().await;
    }

    /// Waits until those are gone that came after it.
    pub(super) async fn late_gone(&self) {
        self.late.all().await;
    }
}

/// Connections beside the WebSockets: one for each API request that may be in progress.
const API_CONNECTIONS: usize = limits::API_REQUESTS_MAX;
/// Connections when all places are taken. Guess: some probes and pushes at once.
const SPARE_CONNECTIONS: usize = 16;
/// Connections after the stop. Guess: the same.
const LATE_CONNECTIONS: usize = 16;
/// How long others wait for a spare place before one that says nothing makes room. Guess: a request comes with its
/// connection, and a part that is held back until the one before is acknowledged comes 40 ms later.
const PATIENCE_MAX: Duration = Duration::from_millis(100);
/// The same in a crowd. Arithmetic: 100 callers in three places pass in a third of a second.
const PATIENCE_MIN: Duration = Duration::from_millis(10);
/// How long nobody has waited when the crowd has passed. Guess.
const CALM_AFTER: Duration = Duration::from_secs(1);
const NEVER_CLOSED: &str = "the places are never closed";

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(websockets: usize, connections_max: Option<usize>) -> (usize, usize, usize) {
        let shares = Shares::new(websockets, connections_max);
        (shares.websockets, shares.api, shares.spare)
    }

    #[test]
    fn a_node_gets_what_it_wants_if_it_fits() {
        assert_eq!(shares(100, None), (100, API_CONNECTIONS, SPARE_CONNECTIONS));
        let all = 100 + API_CONNECTIONS + SPARE_CONNECTIONS;
        assert_eq!(shares(100, Some(all)), (100, API_CONNECTIONS, SPARE_CONNECTIONS));
        assert_eq!(shares(100, Some(all - 1)).0, 100, "the API needs less than it may have");
        assert_eq!(shares(usize::MAX, None).0, usize::MAX);
    }

    #[test]
    fn what_does_not_fit_is_shared_out_so_that_there_is_something_for_everybody() {
        assert_eq!(shares(100_000, Some(20_000)), (20_000 - 4_096 - 16, 4_096, 16));
        assert_eq!(shares(100_000, Some(38)), (20, 9, 9));
        assert_eq!(shares(1, Some(38)), (1, 9, 9));
        assert_eq!(shares(100, Some(0)), (0, 1, 1));
        for max in 8..5_000 {
            assert!(Shares::new(100_000, Some(max)).all() <= max, "{max}");
        }
    }
}
