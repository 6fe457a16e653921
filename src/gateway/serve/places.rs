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

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::pace::Pace;
use super::room::{Place, Room};
use super::share::Share;
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

    /// The shares of a port that has no WebSockets, where so many connections may stay.
    pub(crate) fn of_calls(connections: usize) -> Self {
        Self { websockets: 0, api: connections, spare: SPARE_CONNECTIONS }
    }

    /// All of them.
    pub(crate) fn all(self) -> usize {
        self.websockets.saturating_add(self.api + self.spare)
    }
}

/// The place of a connection for as long as it likes. In the extensions of a request for another protocol: what
/// outlives the request keeps a clone.
#[derive(Clone)]
pub(in crate::gateway) struct ConnectionSlot {
    _permit: Arc<OwnedSemaphorePermit>,
}

/// In the extensions of a request for which there is no place: it must not stay.
#[derive(Clone, Copy)]
pub(in crate::gateway) struct Crowded;

/// Where a connection that was accepted found a place.
pub(super) enum Seat {
    Regular(ConnectionSlot),
    /// There is time for one request.
    Spare(Place),
}

/// The places that are free.
pub(super) struct Places {
    regular: Share,
    spare: Arc<Room>,
    late: Arc<Room>,
}

impl Places {
    pub(super) fn new(shares: Shares) -> Self {
        Self {
            regular: Share::new(shares.websockets.saturating_add(shares.api)),
            spare: Arc::new(Room::new(shares.spare)),
            late: Arc::new(Room::new(LATE_CONNECTIONS)),
        }
    }

    /// A place for a connection that was accepted. When all are taken it gets a spare one.
    pub(super) async fn take(&self, pace: &Arc<Pace>) -> Seat {
        tokio::select! {
            biased;
            permit = self.regular.take() => Seat::Regular(ConnectionSlot { _permit: Arc::new(permit) }),
            place = self.spare.enter(pace) => Seat::Spare(place),
        }
    }

    /// The same after the stop.
    pub(super) async fn take_late(&self, pace: &Arc<Pace>) -> Seat {
        Seat::Spare(self.late.enter(pace).await)
    }

    /// Whether there is no place for one more.
    pub(super) fn are_taken(&self) -> bool {
        self.regular.is_taken()
    }

    /// Takes all that are free.
    #[cfg(test)]
    pub(super) fn take_all(&self) -> OwnedSemaphorePermit {
        self.regular.take_all()
    }

    /// Waits until all connections are gone that came before the stop.
    pub(super) async fn all_gone(&self) {
        self.regular.empty().await;
        self.spare.empty().await;
    }

    /// Waits until those are gone that came after it.
    pub(super) async fn late_gone(&self) {
        self.late.empty().await;
    }
}

/// Connections beside the WebSockets: one for each API request that may be in progress.
const API_CONNECTIONS: usize = limits::API_REQUESTS_MAX;
/// Connections when all places are taken. Guess: some probes and pushes at once.
const SPARE_CONNECTIONS: usize = 16;
/// Connections after the stop. Guess: the same.
const LATE_CONNECTIONS: usize = 16;

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
