//! So many connections at once.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Places of one kind.
pub(super) struct Share {
    free: Arc<Semaphore>,
    all: u32,
}

impl Share {
    /// So many places, all free.
    pub(super) fn new(places: usize) -> Self {
        let all = u32::try_from(places.min(Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        Self { free: Arc::new(Semaphore::new(all as usize)), all }
    }

    /// How many there are.
    pub(super) fn places(&self) -> usize {
        self.all as usize
    }

    /// Waits for a place. Those who wait get one in the order in which they came.
    pub(super) async fn take(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.free).acquire_owned().await.expect(NEVER_CLOSED)
    }

    /// Whether none is free.
    pub(super) fn is_taken(&self) -> bool {
        self.free.available_permits() == 0
    }

    /// Waits until all are free.
    pub(super) async fn empty(&self) {
        let _all = self.free.acquire_many(self.all).await.expect(NEVER_CLOSED);
    }

    /// Takes all that are free.
    #[cfg(test)]
    pub(super) fn take_all(&self) -> OwnedSemaphorePermit {
        let free = u32::try_from(self.free.available_permits()).unwrap();
        Arc::clone(&self.free).try_acquire_many_owned(free).unwrap()
    }
}

const NEVER_CLOSED: &str = "the places are never closed";
