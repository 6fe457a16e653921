//! The session-ownership directory: which node owns the live connection of user U on device D.
//!
//! Every entry has exactly one natural writer, the node that holds the socket. So the replicated
//! state is a map from node to [`Section`], the versioned map of what that node owns, and two
//! copies of a section merge by taking the one with the larger (incarnation, version): a chain, so
//! that merging is commutative, associative and idempotent. Who wins a key that two sections claim
//! is decided in the [`View`] by `max (stamp, node name, incarnation)`.
//!
//! ```text
//!   claim / release ──► own Section ──► ChangeRing ──► Delta | Snapshot ──► peers
//!   Delta | Snapshot of a peer ──► its Section ──► Merged { view changes, own keys lost }
//! ```
//!
//! There are no tombstones and no version vectors: a removal lives only in the owner's bounded
//! [`ChangeRing`], which is transport and not state. A replica holds exactly the owner's map at the
//! position it names, never a partial prefix. Everything here is pure: input in, changes out; the
//! concurrent shell around it is [`replica`](crate::replica).

use std::collections::BTreeMap;

use crate::id::{Incarnation, NodeName, SessionKey, Stamp};

mod claim;
mod delta;
mod digest;
mod ring;
mod section;
mod snapshot;
#[cfg(test)]
mod tests;
mod view;

pub(crate) use claim::{Claim, ClaimState};
pub(crate) use delta::Delta;
pub(crate) use digest::{Digest, Position};
pub(crate) use ring::ChangeRing;
pub(crate) use section::Section;
pub(crate) use snapshot::{Snapshot, SnapshotFrame};
pub(crate) use view::{Counts, Owned, View, ViewChange};

/// All sections that a node holds: its own, which it writes, and copies of its peers'.
pub(crate) struct Directory {
    me: NodeName,
    own: Section,
    ring: ChangeRing,
    others: BTreeMap<NodeName, Replicated>,
}

struct Replicated {
    section: Section,
    hidden: bool,
}

/// A key of this node that another node claims with a greater stamp.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lost {
    /// The key.
    pub(crate) key: SessionKey,
    /// The stamp of the claim that lost.
    pub(crate) stamp: Stamp,
    /// Who owns it now.
    pub(crate) winner: NodeName,
    /// With which stamp.
    pub(crate) winner_stamp: Stamp,
}

/// What a merge changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Merged {
    /// Changes of the view, in order.
    pub(crate) changes: Vec<ViewChange>,
    /// Keys that this node has lost.
    pub(crate) lost: Vec<Lost>,
}

/// Why a delta or a snapshot was not merged. Nothing changed, but for [`MergeError::Diverged`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MergeError {
    /// The delta starts after what this replica holds.
    #[error("a delta from version {from} does not reach back to version {held}")]
    Gap {
        /// Where the delta starts.
        from: u64,
        /// What is held.
        held: u64,
    },
    /// The content is of a boot that is over, or of one that is not known yet.
    #[error("the content is of incarnation {found}, the section of {held}")]
    Incarnation {
        /// In the delta.
        found: Incarnation,
        /// In the section.
        held: Incarnation,
    },
    /// The content differs from the owner's at the same position. The section was discarded.
    #[error("the section of {owner} differs from its owner's at version {version}")]
    Diverged {
        /// Whose section.
        owner: NodeName,
        /// At which version.
        version: u64,
    },
    /// Frames of a snapshot arrived out of order.
    #[error("a snapshot frame arrived out of order")]
    Order,
    /// A peer speaks of a section that is not its own, or of this node's.
    #[error("the section of {0} is written by this node alone")]
    Own(NodeName),
}

impl Directory {
    /// An empty directory of the node `me` in this boot.
    pub(crate) fn new(me: NodeName, incarnation: Incarnation, ring_changes_max: usize) -> Self {
        Self {
            me,
            own: Section::new(incarnation),
            ring: ChangeRing::new(ring_changes_max),
            others: BTreeMap::new(),
        }
    }

    /// This node's section.
    pub(crate) fn own(&self) -> &Section {
        &self.own
    }

    /// Claims `key`. `seen` is the greatest stamp of the key that is known from anywhere.
    pub(crate) fn claim(&mut self, key: SessionKey, now_ms: u64, seen: Option<Stamp>) -> (Claim, ViewChange) {
        let claim = Claim { stamp: Stamp::next(now_ms, seen), state: ClaimState::Connected };
        debug_assert!(seen.is_none_or(|s| claim.stamp > s), "a new claim is above all that was seen");
        self.write(key.clone(), Some(claim));
        (
            claim,
            ViewChange::Upsert { owner: self.me.clone(), incarnation: self.own.incarnation(), key, claim },
        )
    }

    /// Releases the claim of `key` with `stamp`. A newer claim of the same key is not touched, and
    /// neither is another node's.
    pub(crate) fn release(&mut self, key: &SessionKey, stamp: Stamp) -> Option<ViewChange> {
        if self.own.get(key).is_none_or(|held| held.stamp != stamp) {
            return None;
        }
        self.write(key.clone(), None);
        Some(ViewChange::Remove { owner: self.me.clone(), key: key.clone() })
    }

    fn write(&mut self, key: SessionKey, claim: Option<Claim>) {
        self.own.write(key.clone(), claim);
        self.ring.push(self.own.version(), self.own.hash(), key, claim);
    }

    /// What a peer at `position` of this node's section lacks: up to `changes_max` changes.
    /// `None` means that only a snapshot can help it.
    pub(crate) fn delta_since(&self, position: Position, changes_max: usize) -> Option<Delta> {
        if position.incarnation != self.own.incarnation() || position.version > self.own.version() {
            return None;
        }
        self.ring.delta(position, self.own.digest(), changes_max)
    }

    /// What is held of the section of `owner`.
    pub(crate) fn position(&self, owner: &NodeName) -> Position {
        self.others.get(owner).map_or(Position::default(), |r| r.section.position())
    }

    /// Position and hash of what is held of the section of `owner`.
    pub(crate) fn held(&self, owner: &NodeName) -> Option<Digest> {
        self.others.get(owner).map(|r| r.section.digest())
    }

    /// Number of claims in the copy of the section of `owner`.
    pub(crate) fn len_of(&self, owner: &NodeName) -> usize {
        self.others.get(owner).map_or(0, |r| r.section.len())
    }

    /// Merges a delta of the section of `owner`.
    ///
    /// # Errors
    /// [`MergeError`]; after [`MergeError::Diverged`] the section is gone and has to be pulled again.
    pub(crate) fn merge_delta(
        &mut self,
        owner: &NodeName,
        delta: Delta,
    ) -> Result<Merged, (MergeError, Merged)> {
        let unchanged = |error| Err((error, Merged::default()));
        if *owner == self.me {
            return unchanged(MergeError::Own(owner.clone()));
        }
        let Some(replicated) = self.others.get_mut(owner) else {
            return unchanged(MergeError::Gap { from: delta.from, held: 0 });
        };
        let held = replicated.section.position();
        if delta.incarnation != held.incarnation {
            return unchanged(MergeError::Incarnation { found: delta.incarnation, held: held.incarnation });
        }
        if delta.to <= held.version {
            return Ok(Merged::default());
        }
        if held.version < delta.from {
            return unchanged(MergeError::Gap { from: delta.from, held: held.version });
        }
        replicated.section.apply(&delta);
        if replicated.section.hash() != delta.hash {
            let mut merged = self.discard(owner, delta.incarnation);
            // The delta took these out of the section already, but not out of the view.
            let removed =
                delta.removes.into_iter().map(|key| ViewChange::Remove { owner: owner.clone(), key });
            merged.changes.extend(removed);
            return Err((MergeError::Diverged { owner: owner.clone(), version: delta.to }, merged));
        }
        let hidden = replicated.hidden;
        let mut merged = Merged::default();
        for (key, claim) in delta.upserts {
            self.note_upsert(owner, delta.incarnation, hidden, key, claim, &mut merged);
        }
        for key in delta.removes {
            merged.changes.push(ViewChange::Remove { owner: owner.clone(), key });
        }
        Ok(merged)
    }

    /// Takes a whole section of `owner`, unless what is held is as new or newer.
    ///
    /// # Errors
    /// [`MergeError::Own`].
    pub(crate) fn merge_section(&mut self, owner: &NodeName, section: Section) -> Result<Merged, MergeError> {
        if *owner == self.me {
            return Err(MergeError::Own(owner.clone()));
        }
        let held = self.others.get(owner);
        if held.is_some_and(|r| r.section.position() >= section.position()) {
            return Ok(Merged::default());
        }
        // A new incarnation is a new process: what was hidden about the old one does not bind it.
        let hidden = held.is_some_and(|r| r.hidden && r.section.incarnation() == section.incarnation());
        let mut merged = Merged::default();
        let old = self.others.remove(owner);
        if let Some(old) = &old {
            for (key, _) in old.section.iter().filter(|(key, _)| section.get(key).is_none()) {
                merged.changes.push(ViewChange::Remove { owner: owner.clone(), key: key.clone() });
            }
        }
        merged.changes.push(ViewChange::Hidden { owner: owner.clone(), hidden });
        for (key, claim) in section.iter() {
            self.note_upsert(owner, section.incarnation(), hidden, key.clone(), *claim, &mut merged);
        }
        self.others.insert(owner.clone(), Replicated { section, hidden });
        Ok(merged)
    }

    /// Hides or shows the claims that `owner` made in the boot `incarnation`. Showing can cost this
    /// node keys that the owner claimed while it was hidden.
    pub(crate) fn set_hidden(&mut self, owner: &NodeName, incarnation: Incarnation, hidden: bool) -> Merged {
        let mut merged = Merged::default();
        let Some(replicated) = self.others.get_mut(owner) else { return merged };
        if replicated.hidden == hidden || replicated.section.incarnation() != incarnation {
            return merged;
        }
        replicated.hidden = hidden;
        merged.changes.push(ViewChange::Hidden { owner: owner.clone(), hidden });
        if !hidden {
            let section = &self.others[owner].section;
            let lost = self.own.iter().filter_map(|(key, mine)| {
                section.get(key).and_then(|theirs| self.lost(key, *mine, owner, theirs))
            });
            merged.lost.extend(lost);
        }
        merged
    }

    /// Forgets the section of `owner` if it is of the boot `incarnation` or of an earlier one: the
    /// owner left, was superseded or purged, or the copy diverged.
    pub(crate) fn discard(&mut self, owner: &NodeName, incarnation: Incarnation) -> Merged {
        let mut merged = Merged::default();
        if self.others.get(owner).is_none_or(|held| held.section.incarnation() > incarnation) {
            return merged;
        }
        if let Some(replicated) = self.others.remove(owner) {
            let keys = replicated.section.iter().map(|(key, _)| key.clone());
            merged.changes.extend(keys.map(|key| ViewChange::Remove { owner: owner.clone(), key }));
            merged.changes.push(ViewChange::Hidden { owner: owner.clone(), hidden: false });
        }
        merged
    }

    fn note_upsert(
        &self,
        owner: &NodeName,
        incarnation: Incarnation,
        hidden: bool,
        key: SessionKey,
        claim: Claim,
        merged: &mut Merged,
    ) {
        if !hidden && let Some(mine) = self.own.get(&key) {
            merged.lost.extend(self.lost(&key, mine, owner, claim));
        }
        merged.changes.push(ViewChange::Upsert { owner: owner.clone(), incarnation, key, claim });
    }

    /// This node closes its session only on seeing a *strictly greater* claim, so that of two
    /// claimants at most one lets go.
    fn lost(&self, key: &SessionKey, mine: Claim, owner: &NodeName, theirs: Claim) -> Option<Lost> {
        ((theirs.stamp, owner) > (mine.stamp, &self.me)).then(|| Lost {
            key: key.clone(),
            stamp: mine.stamp,
            winner: owner.clone(),
            winner_stamp: theirs.stamp,
        })
    }
}
