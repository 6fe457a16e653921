//! A whole section on its way to a peer, while its owner goes on writing.
//!
//! ```text
//!   Begin{position b} ─► Chunk* ─► Delta* ─► End{digest e, count}
//! ```
//!
//! The chunks are read one by one, each at whatever version the owner has reached by then, so that
//! nobody has to copy or lock a large map. The deltas `(b, e]` follow and mend the difference: a
//! key written since `b` gets its value at `e`, and a key not written since `b` was the same in
//! every chunk. So the result is exactly the owner's map at `e`, which its hash confirms. The copy
//! that was held before is replaced at `End` and not before: keys that it had and the snapshot has
//! not are thereby swept.

use serde::{Deserialize, Serialize};

use crate::directory::{Claim, Delta, Digest, MergeError, Position, Section};
use crate::id::SessionKey;

/// One frame of a snapshot; the deltas between travel as themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SnapshotFrame {
    /// A snapshot begins; deltas from here on belong to it until its end.
    Begin(Position),
    /// Some entries, in the order of keys.
    Chunk(Vec<(SessionKey, Claim)>),
    /// All entries and deltas were sent; this is what they have to add up to.
    End {
        /// Position and hash.
        digest: Digest,
        /// Number of entries.
        count: u64,
    },
}

/// A snapshot that is arriving.
#[derive(Debug)]
pub(crate) struct Snapshot {
    section: Section,
}

impl Snapshot {
    /// Starts from what the Begin frame says.
    pub(crate) fn begin(position: Position) -> Self {
        Self { section: Section::at(position) }
    }

    /// Adds the entries of a chunk.
    pub(crate) fn chunk(&mut self, entries: Vec<(SessionKey, Claim)>) {
        self.section.fill(entries);
    }

    /// Applies a delta that arrived between Begin and End. Its hash says nothing yet, because
    /// chunks may already hold what later deltas bring.
    ///
    /// # Errors
    /// [`MergeError::Gap`] or [`MergeError::Incarnation`] when it does not continue the snapshot.
    pub(crate) fn delta(&mut self, delta: &Delta) -> Result<(), MergeError> {
        let held = self.section.position();
        if delta.incarnation != held.incarnation {
            return Err(MergeError::Incarnation { found: delta.incarnation, held: held.incarnation });
        }
        if delta.from > held.version {
            return Err(MergeError::Gap { from: delta.from, held: held.version });
        }
        if delta.to > held.version {
            self.section.apply(delta);
        }
        Ok(())
    }

    /// The finished section.
    ///
    /// # Errors
    /// [`MergeError::Order`] when it does not stand where End says, [`MergeError::Diverged`] (with
    /// `owner`) when the content is not what the owner has there.
    pub(crate) fn end(
        self,
        owner: &crate::id::NodeName,
        digest: Digest,
        count: u64,
    ) -> Result<Section, MergeError> {
        if self.section.position() != digest.position {
            return Err(MergeError::Order);
        }
        if self.section.hash() != digest.hash || self.section.len() as u64 != count {
            return Err(MergeError::Diverged { owner: owner.clone(), version: digest.position.version });
        }
        Ok(self.section)
    }
}
