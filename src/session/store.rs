//! How much a node holds for clients that have not acknowledged it, and how much it may.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use crate::key::Key;
use crate::metrics::Metrics;
use crate::metrics::label::{Dropped, Origin};
use crate::session::copied::Copying;
use crate::session::room::{Room, cost};

/// The bounds of what is kept, and how much of it is in use.
pub(crate) struct Store {
    pub(super) bounds: StoreBounds,
    here: AtomicUsize,
    elsewhere: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
    /// Who copies to other nodes what is kept here.
    copying: OnceLock<Weak<dyn Copying>>,
}

impl Store {
    /// Nothing is kept yet.
    pub(crate) fn new(bounds: StoreBounds, metrics: Arc<Metrics>) -> Self {
        Self {
            bounds,
            here: AtomicUsize::new(0),
            elsewhere: Arc::default(),
            metrics,
            copying: OnceLock::new(),
        }
    }

    /// From now on what is kept is copied to other nodes.
    ///
    /// # Panics
    /// When called twice.
    pub(crate) fn copy_by(&self, copying: Weak<dyn Copying>) {
        assert!(self.copying.set(copying).is_ok(), "copies are made by one");
    }

    /// Who copies what is kept to other nodes, if anybody does.
    pub(super) fn copying(&self) -> Option<Arc<dyn Copying>> {
        self.copying.get()?.upgrade()
    }

    /// Whether what is kept is copied at all.
    pub(super) fn is_copying(&self) -> bool {
        self.copying().is_some_and(|copying| copying.is_made())
    }

    /// Whether there are nodes that hold what is kept of that session.
    pub(super) fn is_copied(&self, key: Key) -> bool {
        self.copying().is_some_and(|copying| copying.is_possible(key))
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

    /// Takes room for a message with so many bytes of payload that is held for another node, if there is some.
    pub(crate) fn room(&self, payload_bytes: usize) -> Option<Arc<Room>> {
        let is_there = self.reserve(Origin::Elsewhere, cost(payload_bytes));
        is_there.then(|| Room::counted(Arc::clone(&self.elsewhere), payload_bytes))
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
