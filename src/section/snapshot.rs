//! A whole section on its way to a peer, while its owner goes on writing.
//!
//! ```text
//!   Begin{position b} ─► Chunk* ─► Delta* ─► End{digest e, count}
//! ```
//!
//! The chunks are read one by one, each at whatever version the section has reached by then, so that
//! nobody has to copy or lock a large map. The deltas `(b, e]` follow and mend the difference: a
//! key written since `b` gets its record at `e`, and a key not written since `b` was the same in
//! every chunk. So the result is exactly the owner's map at `e`, which its hash confirms.

use serde::{Deserialize, Serialize};

use crate::id::NodeName;
use crate::section::{Copy, Delta, Digest, Head, MergeError, Packed, Position, Record, Store};

/// One frame of a snapshot; the deltas between travel as themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub enum SnapshotFrame<R: Record> {
    /// A snapshot begins; deltas from here on belong to it until its end.
    Begin(Position),
    /// Some records, in the order of keys.
    Chunk(Packed<R>),
    /// All records and deltas were sent; this is what they have to add up to.
    End {
        /// Position and hash.
        digest: Digest,
        /// Number of records.
        count: u64,
    },
}

/// A snapshot that is arriving, in a store that nobody reads before its end.
#[derive(Debug)]
pub(crate) struct Snapshot {
    owner: NodeName,
    head: Head,
}

impl Snapshot {
    /// One of the section of `owner` that begins at `position`.
    #[must_use]
    pub(crate) fn new(owner: NodeName, position: Position) -> Self {
        Self { owner, head: Head::at(position) }
    }

    /// Whose section it is.
    #[must_use]
    pub(crate) fn owner(&self) -> &NodeName {
        &self.owner
    }

    /// Puts the records of a chunk in.
    pub(crate) fn fill<R: Record>(&mut self, records: &[R], store: &mut impl Store<R>) {
        records.iter().for_each(|record| self.head.put(record, store));
    }

    /// Applies a delta that arrived between Begin and End. Its hash says nothing yet, because
    /// chunks may already hold what later deltas bring.
    ///
    /// # Errors
    /// [`MergeError::Gap`] or [`MergeError::Incarnation`] when it does not continue the snapshot.
    pub(crate) fn mend<R: Record>(
        &mut self,
        delta: &Delta<R>,
        store: &mut impl Store<R>,
    ) -> Result<(), MergeError> {
        if self.head.takes(delta)? {
            self.head.apply(delta, store);
        }
        Ok(())
    }

    /// Says that it is an exact copy, if it stands where End says.
    ///
    /// # Errors
    /// [`MergeError::Order`] when it stands elsewhere, [`MergeError::Diverged`] when the content is
    /// not what the owner has there.
    pub(crate) fn end<R: Record>(&self, digest: Digest, count: u64) -> Result<Copy<R>, MergeError> {
        if self.head.digest.position != digest.position {
            return Err(MergeError::Order);
        }
        if self.head.digest != digest || self.head.len != count {
            return Err(MergeError::Diverged { owner: self.owner.clone(), version: digest.position.version });
        }
        Ok(Copy::new(self.head))
    }
}
