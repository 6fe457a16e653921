//! Bounds that no flag and no file sets: the product has one value for each, and a simulation draws
//! smaller ones to meet sooner what is rare otherwise, and a bench shows what they cost.

use std::time::Duration;

use crate::limits;

/// Bounds of replication, membership and copies that only simulations and benches change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// Changes that the owner of a section remembers.
    pub change_ring: usize,
    /// Changes that a copy of a section remembers.
    pub relay_changes: usize,
    /// Changes in one delta.
    pub delta_changes: usize,
    /// Entries in one chunk of a snapshot.
    pub snapshot_chunk_entries: usize,
    /// Changes of what is visible that a listener may be behind.
    pub diffs: usize,
    /// How long a dead member and its section are kept.
    pub purge_after: Duration,
    /// How long the client of a kept session has to acknowledge a message before other nodes are to hold it. Zero: they are at once.
    pub copied_after: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            change_ring: limits::CHANGE_RING_MAX,
            relay_changes: limits::RELAY_CHANGES_MAX,
            delta_changes: limits::DELTA_CHANGES_MAX,
            snapshot_chunk_entries: limits::SNAPSHOT_CHUNK_ENTRIES,
            diffs: limits::DIFFS_MAX,
            purge_after: limits::PURGE_AFTER,
            copied_after: limits::COPIED_AFTER,
        }
    }
}
