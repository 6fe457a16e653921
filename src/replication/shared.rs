//! What all that replication does on links has in common: the replica, and what is bounded for the whole node.

use std::sync::{Arc, Mutex};

use tokio::sync::Semaphore;

use crate::limits;
use crate::mesh::notice::Notice;
use crate::metrics::Metrics;
use crate::replica::Replica;
use crate::replication::comparing::Pulls;
use crate::replication::owners::Owners;
use crate::vital::Vitals;

/// Keeps the copies of all sections right.
pub(crate) struct Replication {
    pub(super) replica: Arc<Replica>,
    pub(super) owners: Arc<dyn Owners>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) vitals: Vitals,
    /// Snapshots that may be sent now.
    pub(super) snapshots_sent: Semaphore,
    /// Snapshots that may be received now.
    pub(super) snapshots_received: Semaphore,
    /// The sections that are being pulled.
    pub(super) pulling: Mutex<Pulls>,
    /// Of copies that are found to be wrong.
    pub(super) wrong: Notice,
}

impl Replication {
    /// Of this replica.
    pub(crate) fn new(replica: Arc<Replica>, owners: Arc<dyn Owners>, vitals: Vitals) -> Arc<Self> {
        Arc::new(Self {
            replica,
            owners,
            metrics: Arc::clone(vitals.metrics()),
            vitals,
            snapshots_sent: Semaphore::new(limits::SNAPSHOTS_MAX),
            snapshots_received: Semaphore::new(limits::SNAPSHOTS_MAX),
            pulling: Mutex::default(),
            wrong: Notice::new(limits::REFUSALS_LOGGED_EVERY),
        })
    }

    /// Whether a panic has left the list of what is being pulled half changed.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.pulling.is_poisoned()
    }
}
