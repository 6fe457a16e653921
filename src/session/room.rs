//! Room at a node for the messages that it keeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::limits;

/// Room at a node for a message that it holds for another one, until this is dropped.
#[derive(Debug)]
pub(crate) struct Room {
    /// What counts the bytes in use.
    used: Arc<AtomicUsize>,
    bytes: usize,
}

impl Room {
    /// Room for a message with so many bytes of payload, which is counted already.
    pub(crate) fn counted(used: Arc<AtomicUsize>, payload_bytes: usize) -> Arc<Self> {
        Arc::new(Self { used, bytes: cost(payload_bytes) })
    }

    /// What counts it, for whoever gives it back. Somebody else's stays beside.
    pub(crate) fn counter(room: Arc<Self>) -> Arc<AtomicUsize> {
        let used = Arc::clone(&room.used);
        match Arc::try_unwrap(room) {
            Ok(mut own) => own.bytes = 0,
            Err(shared) => _ = used.fetch_add(shared.bytes, Ordering::Relaxed),
        }
        used
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Bytes that a message costs the node while it is kept.
pub(crate) fn cost(payload_bytes: usize) -> usize {
    payload_bytes + limits::KEPT_MESSAGE_OVERHEAD
}
