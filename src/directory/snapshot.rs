//! A whole section on its way to a peer, while its owner goes on writing.
//!
//! ```text
//!   Begin{position b} ─► Chunk* ─► Delta* ─► End{digest e, count}
//! ```
//!
//! The chunks are read one by one, each at whatever version the section has reached by then, so that
//! nobody has to copy or lock a large map. The deltas `(b, e]` follow and mend the difference: a
//! key written since `b` gets its value at `e`, and a key not written since `b` was the same in
//! every chunk. So the result is exactly the owner's map at `e`, which its hash confirms.
//!
//! The receiver writes the rows under a slot that nobody sees (see [`Slots`](crate::directory::Slots)).
//! At `End` that slot takes the place of the one before, in one step: what the old copy had and the
//! snapshot has not is swept with the old slot.

use serde::{Deserialize, Serialize};

use crate::directory::{Delta, Digest, Entry, Head, MergeError, Packed, Position, Row, Shards, SlotId};
use crate::id::NodeName;
use crate::key::{Key, UserHash};

/// One frame of a snapshot; the deltas between travel as themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SnapshotFrame {
    /// A snapshot begins; deltas from here on belong to it until its end.
    Begin(Position),
    /// Some entries, in the order of keys.
    Chunk(Packed<Entry>),
    /// All entries and deltas were sent; this is what they have to add up to.
    End {
        /// Position and hash.
        digest: Digest,
        /// Number of entries.
        count: u64,
    },
}

/// A snapshot that is arriving: [`Directory::begin`](crate::directory::Directory::begin) makes one,
/// and one that is not ended has to be given up.
#[derive(Debug)]
pub struct Snapshot {
    pub(super) owner: NodeName,
    pub(super) slot: SlotId,
    pub(super) head: Head,
    /// Users that this node has sessions of, too.
    pub(super) contested: Vec<UserHash>,
}

impl Snapshot {
    pub(super) fn new(owner: NodeName, slot: SlotId, position: Position) -> Self {
        Self { owner, slot, head: Head::at(position), contested: Vec::new() }
    }

    /// Whose section it is.
    #[must_use]
    pub fn owner(&self) -> &NodeName {
        &self.owner
    }

    /// Writes the entries of a chunk.
    pub(super) fn fill(&mut self, entries: &[Entry], shards: &mut impl Shards) {
        for Entry { key, claim } in entries {
            let row = Row::new(*key, *claim, self.slot);
            let (before, contested) = shards.with(key.user, |view| (view.put(row), view.has_own(key.user)));
            self.head.replace(key, before, Some(*claim));
            if contested && self.contested.last() != Some(&key.user) {
                self.contested.push(key.user);
            }
        }
    }

    /// Applies a delta that arrived between Begin and End. Its hash says nothing yet, because
    /// chunks may already hold what later deltas bring.
    ///
    /// # Errors
    /// [`MergeError::Gap`] or [`MergeError::Incarnation`] when it does not continue the snapshot.
    pub(super) fn mend(&mut self, delta: &Delta, shards: &mut impl Shards) -> Result<(), MergeError> {
        if self.head.takes(delta)? {
            self.fill(&delta.upserts.0, shards);
            for key in &delta.removes.0 {
                self.remove(*key, shards);
            }
            self.head.digest.position = delta.end();
        }
        Ok(())
    }

    fn remove(&mut self, key: Key, shards: &mut impl Shards) {
        let before = shards.with(key.user, |view| view.take(key, self.slot));
        self.head.replace(&key, before, None);
    }

    /// Whether it stands where End says.
    ///
    /// # Errors
    /// [`MergeError::Order`] when it stands elsewhere, [`MergeError::Diverged`] when the content is
    /// not what the owner has there.
    pub(super) fn check(&self, digest: Digest, count: u64) -> Result<(), MergeError> {
        if self.head.digest.position != digest.position {
            return Err(MergeError::Order);
        }
        if self.head.digest != digest || self.head.len != count {
            return Err(MergeError::Diverged { owner: self.owner.clone(), version: digest.position.version });
        }
        Ok(())
    }
}
