//! TLS handshakes: so many at once, so that a storm of connects costs bounded memory.

use std::sync::Arc;

use super::pace::Pace;
use super::room::Room;
use crate::limits;

/// The places for handshakes.
pub(super) struct Handshakes(Arc<Room>);

impl Handshakes {
    /// None in progress.
    pub(super) fn new() -> Self {
        Self(Arc::new(Room::new(limits::TLS_HANDSHAKES_MAX)))
    }

    /// Runs a handshake once there is a place for it. `None`: it made room for another one.
    pub(super) async fn run<T>(&self, pace: &Arc<Pace>, handshake: impl Future<Output = T>) -> Option<T> {
        let place = self.0.enter(pace).await;
        tokio::select! {
            done = handshake => Some(done),
            () = place.has_to_go() => None,
        }
    }
}
