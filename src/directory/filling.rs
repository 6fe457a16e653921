//! A snapshot that arrives in a slot.
//!
//! The rows are written under a slot that nobody sees (see [`Slots`](crate::directory::Slots)). At the end of the snapshot
//! that slot takes the place of the one before, in one step: what the old copy had and the snapshot has not is swept with
//! the old slot.

use crate::directory::rows::FilledRows;
use crate::directory::{Delta, Entry, Shards, SlotId};
use crate::id::NodeName;
use crate::section::{Copy, Digest, MergeError, Position, Snapshot};

/// A snapshot that is arriving: [`Directory::begin`](crate::directory::Directory::begin) makes one,
/// and one that is not ended has to be given up.
#[derive(Debug)]
pub struct Filling {
    slot: SlotId,
    snapshot: Snapshot,
}

impl Filling {
    pub(super) fn new(owner: NodeName, slot: SlotId, position: Position) -> Self {
        Self { slot, snapshot: Snapshot::new(owner, position) }
    }

    /// Whose section it is.
    #[must_use]
    pub fn owner(&self) -> &NodeName {
        self.snapshot.owner()
    }

    pub(super) fn slot(&self) -> SlotId {
        self.slot
    }

    /// Writes the entries of a chunk.
    pub(super) fn fill(&mut self, entries: &[Entry], shards: &mut impl Shards) {
        self.snapshot.fill(entries, &mut FilledRows::new(shards, self.slot, entries));
    }

    /// See [`Snapshot::mend`].
    ///
    /// # Errors
    /// See there.
    pub(super) fn mend(&mut self, delta: &Delta, shards: &mut impl Shards) -> Result<(), MergeError> {
        self.snapshot.mend(delta, &mut FilledRows::new(shards, self.slot, &delta.upserts.0))
    }

    /// See [`Snapshot::end`].
    ///
    /// # Errors
    /// See there.
    pub(super) fn end(&self, digest: Digest, count: u64) -> Result<Copy<Entry>, MergeError> {
        self.snapshot.end(digest, count)
    }
}
