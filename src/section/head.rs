//! Where a section stands and what its records add up to. The records are elsewhere; this follows them.

use crate::section::{Delta, Digest, MergeError, Position, Record, Store};

/// Where a section stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Position and hash.
    pub digest: Digest,
    /// Number of records.
    pub len: u64,
}

impl Head {
    /// A section without records that is named by `position`.
    #[must_use]
    pub fn at(position: Position) -> Self {
        Self { digest: Digest { position, hash: 0 }, len: 0 }
    }

    /// The record of one key changed.
    pub(super) fn replace<R: Record>(&mut self, before: Option<&R>, after: Option<&R>) {
        self.digest.hash ^= before.map_or(0, R::hash) ^ after.map_or(0, R::hash);
        self.len += u64::from(after.is_some());
        self.len -= u64::from(before.is_some());
    }

    /// Puts one record in.
    pub(super) fn put<R: Record>(&mut self, record: &R, store: &mut impl Store<R>) {
        let before = store.put(record.clone());
        self.replace(before.as_ref(), Some(record));
    }

    /// Whether a copy that stands here has to apply `delta`; `false` when it holds all of it.
    ///
    /// # Errors
    /// [`MergeError::Incarnation`] and [`MergeError::Gap`]: it cannot.
    pub(super) fn takes<R: Record>(&self, delta: &Delta<R>) -> Result<bool, MergeError> {
        let held = self.digest.position;
        if delta.incarnation != held.incarnation {
            return Err(MergeError::Incarnation { found: delta.incarnation, held: held.incarnation });
        }
        if delta.from > held.version {
            return Err(MergeError::Gap { from: delta.from, held: held.version });
        }
        Ok(delta.to > held.version)
    }

    /// Applies a delta that it [takes](Self::takes). What the records add up to then is not compared with the delta's hash.
    pub(super) fn apply<R: Record>(&mut self, delta: &Delta<R>, store: &mut impl Store<R>) {
        // Removals first: a client that moved from one device to another never counts twice.
        for key in &delta.removes.0 {
            self.replace(store.take(key).as_ref(), None);
        }
        for record in &delta.upserts.0 {
            self.put(record, store);
        }
        self.digest.position = delta.end();
    }

    /// What somebody at `position` lacks of the section that stands here: nothing, or what `later` finds behind
    /// `position`. `None`: no delta leads on from there.
    pub(super) fn since<R: Record>(
        &self,
        position: Position,
        later: impl FnOnce() -> Option<Delta<R>>,
    ) -> Option<Delta<R>> {
        let held = self.digest.position;
        if position.incarnation != held.incarnation || position.version > held.version {
            return None;
        }
        if position == held { Some(Delta::none(self.digest)) } else { later() }
    }
}
