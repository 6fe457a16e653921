//! What has happened to the group.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pushmesh::id::Stamp;
use pushmesh::internals::Key;
use pushmesh::internals::quorum::{Boot, Config, Entry, Fence};

/// A message: its session, the stamp of the claim, its number.
pub(super) type Place = (Key, Stamp, u64);

/// Where an entry stands.
pub(super) fn place_of(entry: &Entry<u64>) -> Place {
    (entry.key, entry.stamp, entry.number)
}

/// What has happened to the group, whatever anybody in it knows.
#[derive(Default)]
pub(super) struct History {
    /// All configurations that there ever were to be, by their epochs.
    pub(super) configs: BTreeMap<u32, Config>,
    /// The epoch that was announced last.
    pub(super) announced: u32,
    /// Messages that the owner has called stored.
    pub(super) stored: BTreeSet<Place>,
    /// Messages that nobody needs any more.
    pub(super) forgotten: BTreeSet<Place>,
    /// Takeovers that are complete, with when they were and what they brought.
    pub(super) sealed: Vec<(Key, Fence, Duration, BTreeSet<Place>)>,
    /// Fences of members, as they were last seen.
    pub(super) fences: BTreeMap<(Boot, Key), Fence>,
    /// What members held when they were looked at last.
    pub(super) held: BTreeMap<Boot, BTreeSet<Place>>,
    /// The owner went on without those that might have known of takeovers.
    pub(super) orphaned: bool,
}
