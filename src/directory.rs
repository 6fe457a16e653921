//! The session-ownership directory: which node owns the live connection of user U on device D.
//!
//! Every entry has exactly one natural writer, the node that holds the socket. So the replicated
//! state is a map from node to *section*, the versioned map of what that node owns, and two copies of
//! a section merge by taking the one with the larger (incarnation, version): a chain, so that merging
//! is commutative, associative and idempotent. Who wins a key that two sections claim is decided in
//! the [`View`] by `max (stamp, node name, incarnation)`.
//!
//! ```text
//!   claim / release ──► own rows ──► ChangeRing ──► Delta | Snapshot ──► peers
//!   Delta | Snapshot of a peer ──► rows of its slot ──► own sessions lost
//!   any change of what is visible ──► Diff ──► listeners
//! ```
//!
//! There are no tombstones and no version vectors: a removal lives only in the owner's bounded
//! [`ChangeRing`], which is transport and not state. A copy holds exactly the owner's map at the
//! position it names, never a partial prefix.
//!
//! The rows of all sections are kept once, in the views that pushes read, one for each part of the
//! users ([`Shards`]); here stand the heads of the sections and who may write what. Everything is
//! pure: input in, changes out; the concurrent shell around it is [`replica`](crate::replica).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::id::{Incarnation, NodeName, Stamp};
use crate::key::{Key, UserHash};
use crate::limits;
use crate::section::{Digest, MergeError, Position};

mod claim;
mod delta;
mod diff;
mod entry;
mod order;
mod owned;
pub mod policy;
mod ring;
mod section;
mod slot;
mod snapshot;
mod table;
#[cfg(test)]
mod tests;
mod view;

pub use claim::{Claim, ClaimState};
pub use delta::Delta;
pub use diff::Diff;
pub use entry::Entry;
pub use owned::Owned;
use ring::ChangeRing;
pub use section::Head;
pub use slot::{Holder, SlotId, Slots, Standing};
pub use snapshot::{Snapshot, SnapshotFrame};
pub use table::{Row, Table};
pub use view::{Counts, Known, Lost, Rival, View};

use section::{Copy, Recent};

/// Where the rows are kept: one view for each part of the users.
pub trait Shards {
    /// Works with the view that holds `user`.
    fn with<R>(&mut self, user: UserHash, work: impl FnOnce(&mut View) -> R) -> R;
}

/// The heads of all sections that a node holds: its own, which it writes, and copies of its peers'.
pub struct Directory {
    me: NodeName,
    own: Head,
    ring: ChangeRing,
    others: BTreeMap<NodeName, Other>,
    /// The counter of the latest stamp: it goes on with every claim, and begins elsewhere with every boot.
    counter: u16,
    /// Changes that a copy remembers.
    relay_changes_max: usize,
    slots: Arc<Slots>,
}

/// What is known of another node's section.
#[derive(Default)]
struct Other {
    copy: Option<Copy>,
    /// The boot whose claims are hidden, because it is dead.
    hidden: Option<Incarnation>,
    /// The boot that was hidden and is back, and whose claims are not known to be of today yet.
    unproven: Option<Incarnation>,
    /// Boots up to this one are over: nothing of theirs is taken any more.
    over: Incarnation,
    /// This boot is not a member any more: nothing of it is taken until it is one again.
    purged: Option<Incarnation>,
}

impl Other {
    /// What the rows of its copy count for.
    fn standing(&self) -> Standing {
        match (self.hidden, self.unproven) {
            (Some(_), _) => Standing::Hidden,
            (None, Some(_)) => Standing::Unproven,
            (None, None) => Standing::Shown,
        }
    }
}

impl Directory {
    /// An empty directory of the node `me` in this boot, which remembers so many changes of its own
    /// section and of each copy.
    #[must_use]
    pub fn new(
        me: NodeName,
        incarnation: Incarnation,
        ring_changes_max: usize,
        relay_changes_max: usize,
    ) -> Self {
        Self {
            slots: Arc::new(Slots::new(me.clone(), incarnation)),
            me,
            own: Head::at(Position { incarnation, version: 0 }),
            ring: ChangeRing::new(ring_changes_max),
            others: BTreeMap::new(),
            counter: incarnation.0 as u16,
            relay_changes_max,
        }
    }

    /// The node that writes this directory's own section.
    #[must_use]
    pub fn me(&self) -> &NodeName {
        &self.me
    }

    /// What the slots stand for now. The views follow when they [adopt](View::adopt) them, which whoever changes the slots
    /// sees to.
    #[must_use]
    pub fn slots(&self) -> &Arc<Slots> {
        &self.slots
    }

    /// Where this node's own section stands.
    #[must_use]
    pub fn own(&self) -> Head {
        self.own
    }

    /// The stamp for a claim of `key`, above `seen` and above all that is known of the key here. Claims are counted,
    /// whatever their key: nothing is known any more of one that was released, and its stamp, which its client
    /// has in a resume token, must not be that of the next session, also if the clock stands still or is behind.
    pub fn next_stamp(
        &mut self,
        key: Key,
        now_ms: u64,
        seen: Option<Stamp>,
        shards: &mut impl Shards,
    ) -> Stamp {
        self.counter = self.counter.wrapping_add(1);
        let known = shards.with(key.user, |view| view.stamp(key)).max(seen);
        Stamp::next(now_ms, known).counted(self.counter)
    }

    /// Claims `key` for this node. The sessions of this node that it excludes are in the result.
    pub fn claim(&mut self, key: Key, claim: Claim, shards: &mut impl Shards) -> Vec<Lost> {
        let (before, lost) = shards.with(key.user, |view| {
            let before = view.put(Row::new(key, claim, SlotId::OWN));
            (before, view.lost(key.user))
        });
        debug_assert!(
            before.is_none_or(|held| held.stamp < claim.stamp),
            "a new claim is above the last one"
        );
        self.write(key, before, Some(claim));
        lost
    }

    /// Releases the claim of `key` with `stamp`. A newer claim of the same key is not touched, and
    /// neither is another node's. Returns whether there was something to release.
    pub fn release(&mut self, key: Key, stamp: Stamp, shards: &mut impl Shards) -> bool {
        self.rewrite(key, stamp, None, shards)
    }

    /// The claim of `key` with `stamp` has yielded: it is released soon. Returns whether that is new.
    pub fn yielded(&mut self, key: Key, stamp: Stamp, shards: &mut impl Shards) -> bool {
        self.rewrite(key, stamp, Some(Claim { stamp, state: ClaimState::Yielded }), shards)
    }

    /// Puts `after` in the place of the own claim of `key` with `stamp`. Returns whether that changes something.
    fn rewrite(&mut self, key: Key, stamp: Stamp, after: Option<Claim>, shards: &mut impl Shards) -> bool {
        let before = shards.with(key.user, |view| {
            let held = view.claim_of(key, SlotId::OWN);
            let held = held.filter(|held| held.stamp == stamp && Some(*held) != after)?;
            match after {
                Some(claim) => view.put(Row::new(key, claim, SlotId::OWN)),
                None => view.take(key, SlotId::OWN),
            };
            Some(held)
        });
        if before.is_some() {
            self.write(key, before, after);
        }
        before.is_some()
    }

    fn write(&mut self, key: Key, before: Option<Claim>, after: Option<Claim>) {
        self.own.replace(&key, before, after);
        self.own.digest.position.version += 1;
        self.ring.push(self.own.digest.position.version, self.own.digest.hash, key, after);
    }

    /// What somebody at `position` of the section of `owner` lacks: up to `changes_max` changes of
    /// this node's own section, or one delta as it was received of another's. It is empty for who
    /// lacks nothing. `None` means that only a snapshot can help.
    #[must_use]
    pub fn delta_since(&self, owner: &NodeName, position: Position, changes_max: usize) -> Option<Delta> {
        let head = self.head(owner)?.digest;
        if position.incarnation != head.position.incarnation || position.version > head.position.version {
            return None;
        }
        if position == head.position {
            let Position { incarnation, version } = position;
            let hash = head.hash;
            return Some(Delta { incarnation, from: version, to: version, hash, ..Delta::default() });
        }
        if *owner == self.me {
            return self.ring.delta(position, head, changes_max);
        }
        self.copy(owner)?.recent.after(position.version).cloned()
    }

    /// Where a section stands that this node would serve: its own, or an exact copy.
    #[must_use]
    pub fn head(&self, owner: &NodeName) -> Option<Head> {
        if *owner == self.me {
            return Some(self.own);
        }
        self.copy(owner).filter(|copy| copy.exact).map(|copy| copy.head)
    }

    /// Every section that this node would serve, by owner.
    pub fn heads(&self) -> impl Iterator<Item = (&NodeName, Head)> {
        let others = self.others.keys().filter_map(|owner| Some((owner, self.head(owner)?)));
        std::iter::once((&self.me, self.own)).chain(others)
    }

    /// Number of claims that are held of `owner`, exact copy or not.
    #[must_use]
    pub fn len_of(&self, owner: &NodeName) -> u64 {
        if *owner == self.me { self.own.len } else { self.copy(owner).map_or(0, |copy| copy.head.len) }
    }

    /// The slot of a section that this node would serve.
    #[must_use]
    pub fn slot_of(&self, owner: &NodeName) -> Option<SlotId> {
        if *owner == self.me {
            return Some(SlotId::OWN);
        }
        self.copy(owner).filter(|copy| copy.exact).map(|copy| copy.slot)
    }

    fn copy(&self, owner: &NodeName) -> Option<&Copy> {
        self.others.get(owner)?.copy.as_ref()
    }

    /// Merges a delta of the section of `owner`. The sessions that this node loses by it are in the
    /// result.
    ///
    /// # Errors
    /// [`MergeError`]; after [`MergeError::Diverged`] a snapshot has to be pulled.
    pub fn merge_delta(
        &mut self,
        owner: &NodeName,
        delta: Delta,
        shards: &mut impl Shards,
    ) -> Result<Vec<Lost>, MergeError> {
        if *owner == self.me {
            return Err(MergeError::Own(owner.clone()));
        }
        let copy = self.others.get_mut(owner).and_then(|other| other.copy.as_mut()).filter(|copy| copy.exact);
        let Some(copy) = copy else { return Err(MergeError::Gap { from: delta.from, held: 0 }) };
        if !copy.head.takes(&delta)? {
            return Ok(Vec::new());
        }
        let slot = copy.slot;
        // Removals first: a client that moved from one device to another never counts twice.
        for key in &delta.removes.0 {
            let before = shards.with(key.user, |view| view.take(*key, slot));
            copy.head.replace(key, before, None);
        }
        let mut lost = Vec::new();
        for Entry { key, claim } in &delta.upserts.0 {
            let before = shards.with(key.user, |view| {
                let before = view.put(Row::new(*key, *claim, slot));
                lost.extend(view.lost(key.user));
                before
            });
            copy.head.replace(key, before, Some(*claim));
        }
        copy.head.digest.position.version = delta.to;
        if copy.head.digest.hash != delta.hash {
            copy.exact = false;
            return Err(MergeError::Diverged { owner: owner.clone(), version: delta.to });
        }
        copy.recent.push(delta, self.relay_changes_max);
        Ok(lost)
    }

    /// Whether there is a copy of the section of `owner` that was found to be wrong.
    #[must_use]
    pub fn is_distrusted(&self, owner: &NodeName) -> bool {
        self.copy(owner).is_some_and(|copy| !copy.exact)
    }

    /// The copy that had the digest `held` was found to be wrong: it is not served any more, and a
    /// snapshot has to replace it. Its rows stay until then. Returns whether there was such a copy.
    pub fn distrust(&mut self, owner: &NodeName, held: &Digest) -> bool {
        let copy = self.others.get_mut(owner).and_then(|other| other.copy.as_mut());
        // What was wrong at one version is wrong at those that were reached from it.
        let boot = held.position.incarnation;
        let wrong = copy.filter(|copy| copy.exact && copy.head.digest.position.incarnation == boot);
        wrong.map(|copy| copy.exact = false).is_some()
    }

    /// Begins to take a snapshot. `None`: what is held is as new.
    ///
    /// # Errors
    /// [`MergeError::Own`], [`MergeError::Incarnation`] for a boot that is over, [`MergeError::Full`].
    pub fn begin(&mut self, owner: &NodeName, position: Position) -> Result<Option<Snapshot>, MergeError> {
        if *owner == self.me {
            return Err(MergeError::Own(owner.clone()));
        }
        self.admit(owner, position.incarnation)?;
        if self.head(owner).is_some_and(|held| held.digest.position >= position) {
            return Ok(None);
        }
        let slots = Arc::make_mut(&mut self.slots);
        let slot = slots.begin(owner.clone(), position.incarnation).ok_or(MergeError::Full)?;
        Ok(Some(Snapshot::new(owner.clone(), slot, position)))
    }

    /// Writes a chunk of a snapshot.
    pub fn fill(&mut self, snapshot: &mut Snapshot, entries: &[Entry], shards: &mut impl Shards) {
        snapshot.fill(entries, shards);
    }

    /// Applies a delta that belongs to a snapshot.
    ///
    /// # Errors
    /// [`MergeError::Gap`] or [`MergeError::Incarnation`] when it does not continue the snapshot.
    pub fn mend(
        &mut self,
        snapshot: &mut Snapshot,
        delta: &Delta,
        shards: &mut impl Shards,
    ) -> Result<(), MergeError> {
        snapshot.mend(delta, shards)
    }

    /// Ends a snapshot: it is the copy of its owner's section from now on, unless what is held has
    /// become as new meanwhile.
    ///
    /// # Errors
    /// [`MergeError`]; the snapshot is given up then.
    pub fn end(&mut self, snapshot: Snapshot, digest: Digest, count: u64) -> Result<(), MergeError> {
        let Snapshot { owner, slot, head, .. } = &snapshot;
        let accepted = self
            .admit(owner, digest.position.incarnation)
            .and_then(|()| snapshot.check(digest, count))
            .map(|()| self.head(owner).is_none_or(|held| held.digest.position < digest.position));
        if !matches!(accepted, Ok(true)) {
            self.give_up(snapshot);
            return accepted.map(|_| ());
        }
        let other = self.others.entry(owner.clone()).or_default();
        let incarnation = digest.position.incarnation;
        // A new incarnation is a new process: what was hidden about the old one does not bind it.
        other.hidden = other.hidden.filter(|hidden| *hidden == incarnation);
        other.unproven = other.unproven.filter(|unproven| *unproven == incarnation);
        let standing = other.standing();
        let copy = Copy { slot: *slot, head: *head, exact: true, recent: Recent::default() };
        let old = other.copy.replace(copy);
        let slots = Arc::make_mut(&mut self.slots);
        slots.set(*slot, standing);
        if let Some(old) = old {
            slots.set(old.slot, Standing::Retired);
        }
        Ok(())
    }

    /// Gives up a snapshot that will not end.
    pub fn give_up(&mut self, snapshot: Snapshot) {
        Arc::make_mut(&mut self.slots).set(snapshot.slot, Standing::Retired);
    }

    /// Refuses what is of a boot that is over, or older than what is held.
    fn admit(&self, owner: &NodeName, incarnation: Incarnation) -> Result<(), MergeError> {
        let Some(other) = self.others.get(owner) else { return Ok(()) };
        let held = other.copy.as_ref().map(|copy| copy.head.digest.position.incarnation);
        let gone = other.over.max(other.purged.unwrap_or_default());
        if incarnation <= gone || held.is_some_and(|held| incarnation < held) {
            let held = held.unwrap_or(gone);
            return Err(MergeError::Incarnation { found: incarnation, held });
        }
        Ok(())
    }

    /// Hides or shows the claims that `owner`, which is a member, made in the boot `incarnation`, held now
    /// or later. What is shown again takes nothing away before it is [proven](Self::prove). Returns whether
    /// that is still to come.
    pub fn set_hidden(&mut self, owner: &NodeName, incarnation: Incarnation, hidden: bool) -> bool {
        let other = self.others.entry(owner.clone()).or_default();
        other.purged = other.purged.filter(|purged| *purged != incarnation);
        if (other.hidden == Some(incarnation)) == hidden {
            return false;
        }
        other.hidden = hidden.then_some(incarnation);
        other.unproven = (!hidden).then_some(incarnation);
        self.stand(owner, incarnation);
        !hidden
    }

    /// What is held of `owner` in the boot `incarnation` is of today: its section has arrived since it is
    /// back, or did not for so long that nobody waits for it any more. Returns whether its claims count
    /// only from now on: the sessions of this node may have lost against them.
    pub fn prove(&mut self, owner: &NodeName, incarnation: Incarnation) -> bool {
        let unproven = self.others.get_mut(owner).map(|other| &mut other.unproven);
        let proven = unproven.and_then(|unproven| unproven.take_if(|held| *held == incarnation)).is_some();
        if proven {
            self.stand(owner, incarnation);
        }
        proven
    }

    /// The copy of the section of `owner`, if it is of that boot, counts for what is known of the boot.
    fn stand(&mut self, owner: &NodeName, incarnation: Incarnation) {
        let Some(other) = self.others.get(owner) else { return };
        let of_boot = |copy: &&Copy| copy.head.digest.position.incarnation == incarnation;
        if let Some(copy) = other.copy.as_ref().filter(of_boot) {
            Arc::make_mut(&mut self.slots).set(copy.slot, other.standing());
        }
    }

    /// Forgets the section of `owner` if it is of the boot `incarnation` or of an earlier one.
    /// `over`: that boot has ended for good, so that nothing of it is taken any more. Otherwise nothing is
    /// until it is a member again: nobody would hide what arrives late.
    pub fn discard(&mut self, owner: &NodeName, incarnation: Incarnation, over: bool) {
        let other = self.others.entry(owner.clone()).or_default();
        if over {
            other.over = other.over.max(incarnation);
        } else {
            other.purged = other.purged.max(Some(incarnation));
        }
        other.hidden = other.hidden.filter(|hidden| *hidden > incarnation);
        other.unproven = other.unproven.filter(|unproven| *unproven > incarnation);
        let old = other.copy.take_if(|copy| copy.head.digest.position.incarnation <= incarnation);
        if let Some(old) = old {
            Arc::make_mut(&mut self.slots).set(old.slot, Standing::Retired);
        }
        self.forget_the_oldest();
    }

    /// Bounds what is remembered of nodes that are gone.
    fn forget_the_oldest(&mut self) {
        if self.others.len() > 2 * limits::PEERS_MAX {
            let gone = self.others.iter().filter(|(_, other)| other.copy.is_none());
            let oldest = gone.min_by_key(|(_, other)| other.over).map(|(owner, _)| owner.clone());
            oldest.and_then(|owner| self.others.remove(&owner));
        }
    }

    /// The slots whose rows wait for being swept from every view.
    #[must_use]
    pub fn retired(&self) -> Vec<SlotId> {
        self.slots.retired()
    }

    /// The rows of these slots are gone from every view.
    pub fn swept(&mut self, slots: &[SlotId]) {
        if !slots.is_empty() {
            Arc::make_mut(&mut self.slots).free(slots);
        }
    }
}
