//! What one node owns: a versioned map from session key to claim.
//!
//! The owner writes it; a replica only ever moves it along the owner's own history, by a delta that
//! starts at or before its version, or by replacing it whole.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::directory::{Claim, Delta, Digest, Position};
use crate::id::{Incarnation, SessionKey};

/// The versioned map of one owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Section {
    position: Position,
    live: BTreeMap<SessionKey, Claim>,
    hash: u64,
}

impl Section {
    /// The empty section of a boot, at version 0.
    pub(crate) fn new(incarnation: Incarnation) -> Self {
        Self::at(Position { incarnation, version: 0 })
    }

    /// An empty map that is named by `position`: where a snapshot starts to fill in.
    pub(crate) fn at(position: Position) -> Self {
        Self { position, live: BTreeMap::new(), hash: 0 }
    }

    pub(crate) fn position(&self) -> Position {
        self.position
    }

    pub(crate) fn incarnation(&self) -> Incarnation {
        self.position.incarnation
    }

    pub(crate) fn version(&self) -> u64 {
        self.position.version
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest { position: self.position, hash: self.hash }
    }

    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    pub(crate) fn get(&self, key: &SessionKey) -> Option<Claim> {
        self.live.get(key).copied()
    }

    /// All entries, ordered by key.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&SessionKey, &Claim)> {
        self.live.iter()
    }

    /// Up to `entries_max` entries after `after`, in the order of keys.
    pub(crate) fn chunk(&self, after: Option<&SessionKey>, entries_max: usize) -> Vec<(SessionKey, Claim)> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.live
            .range::<SessionKey, _>((start, Bound::Unbounded))
            .take(entries_max)
            .map(|(key, claim)| (key.clone(), *claim))
            .collect()
    }

    /// The owner's write: one more version.
    pub(crate) fn write(&mut self, key: SessionKey, claim: Option<Claim>) {
        self.set(key, claim);
        self.position.version += 1;
    }

    /// Moves a copy along its owner's history, from a version inside `[delta.from, delta.to)` to `delta.to`.
    ///
    /// # Panics
    /// When the delta does not fit; the caller has checked it.
    pub(crate) fn apply(&mut self, delta: &Delta) {
        assert!(delta.incarnation == self.position.incarnation, "a delta continues one boot");
        assert!(
            delta.from <= self.position.version && self.position.version < delta.to,
            "a delta leaves no gap"
        );
        for (key, claim) in &delta.upserts {
            self.set(key.clone(), Some(*claim));
        }
        for key in &delta.removes {
            self.set(key.clone(), None);
        }
        self.position.version = delta.to;
        self.debug_check();
    }

    /// Adds the entries of a snapshot's chunk, without moving the position.
    pub(crate) fn fill(&mut self, entries: Vec<(SessionKey, Claim)>) {
        for (key, claim) in entries {
            self.set(key, Some(claim));
        }
    }

    fn set(&mut self, key: SessionKey, claim: Option<Claim>) {
        let new = claim.map_or(0, |c| c.hash(&key));
        let old = match claim {
            Some(claim) => self.live.insert(key.clone(), claim),
            None => self.live.remove(&key),
        };
        self.hash ^= new ^ old.map_or(0, |c| c.hash(&key));
    }

    fn debug_check(&self) {
        // Quadratic over a whole history, so only for the sizes of tests and simulations.
        if cfg!(debug_assertions) && self.live.len() < 256 {
            let hash = self.live.iter().fold(0, |hash, (key, claim)| hash ^ claim.hash(key));
            debug_assert_eq!(hash, self.hash, "the hash follows the content");
        }
    }
}
