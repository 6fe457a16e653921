//! How much a node holds for clients that have not acknowledged it, and how much it may.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::metrics::Metrics;
use crate::metrics::label::{Dropped, Origin};

/// The bounds of what is kept, and how much of it is in use.
pub(crate) struct Store {
    pub(super) bounds: StoreBounds,
    here: AtomicUsize,
    elsewhere: AtomicUsize,
    metrics: Arc<Metrics>,
}

impl Store {
    /// Nothing is kept yet.
    pub(crate) fn new(bounds: StoreBounds, metrics: Arc<Metrics>) -> Self {
        Self { bounds, here: AtomicUsize::new(0), elsewhere: AtomicUsize::new(0), metrics }
    }

    /// Counts messages that were held and will not be delivered.
    pub(super) fn dropped(&self, why: Dropped, messages: usize) {
        self.metrics.kept_dropped.with(why).increment(messages as u64);
    }

    /// Bytes in use by what was accepted there.
    pub(crate) fn used(&self, origin: Origin) -> usize {
        self.counter(origin).load(Ordering::Relaxed)
    }

    /// Takes room, if there is some.
    pub(super) fn reserve(&self, origin: Origin, bytes: usize) -> bool {
        let fits = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.bounds.node_bytes_max);
        self.counter(origin).fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }

    /// Gives it back.
    pub(super) fn release(&self, origin: Origin, bytes: usize) {
        let before = self.counter(origin).fetch_sub(bytes, Ordering::Relaxed);
        debug_assert!(before >= bytes, "no more is given back than was taken");
    }

    fn counter(&self, origin: Origin) -> &AtomicUsize {
        match origin {
            Origin::Here => &self.here,
            Origin::Elsewhere => &self.elsewhere,
        }
    }
}

/// How much a node holds for its clients at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoreBounds {
    /// Messages of one session beyond those of its outbox.
    pub(crate) messages_max: usize,
    /// Bytes of one session beyond those of its outbox.
    pub(crate) bytes_max: usize,
    /// Bytes of the node, for each origin.
    pub(crate) node_bytes_max: usize,
}
