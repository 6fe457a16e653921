//! The heads of all sections that a node holds: who may write what, and what is taken from whom.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::directory::rows::MergedRows;
use crate::directory::{
    Claim, ClaimState, Delta, Entry, Filling, Lost, Row, Shards, SlotId, Slots, Standing,
};
use crate::id::{Incarnation, NodeName, Stamp};
use crate::key::Key;
use crate::limits;
use crate::section::{Copy, Digest, Head, Log, MergeError, Position, Write};

/// The heads of all sections that a node holds: its own, which it writes, and copies of its peers'.
pub struct Directory {
    me: NodeName,
    own: Log<Entry>,
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
    held: Option<Held>,
    /// The boot whose claims are hidden, because it is dead.
    hidden: Option<Incarnation>,
    /// The boot that was hidden and is back, and whose claims are not known to be of today yet.
    unproven: Option<Incarnation>,
    /// Boots up to this one are over: nothing of theirs is taken any more.
    over: Incarnation,
    /// This boot is not a member any more: nothing of it is taken until it is one again.
    purged: Option<Incarnation>,
}

/// A copy of a section.
struct Held {
    slot: SlotId,
    copy: Copy<Entry>,
}

impl Held {
    fn incarnation(&self) -> Incarnation {
        self.copy.head().digest.position.incarnation
    }
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
            own: Log::new(incarnation, ring_changes_max),
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
        self.own.head()
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
        let known = shards.with(key.user, |view| view.stamp(key)).max(seen);
        self.counted(Stamp::next(now_ms, known))
    }

    /// The stamp for a claim of a client that is away: just above `stamp`, that of its session, whatever else is known of the key.
    /// Claims that the client makes itself with the token of that session stand above it ([`Stamp::kept_on_until`]).
    pub fn next_parked_stamp(&mut self, stamp: Stamp) -> Stamp {
        self.counted(Stamp::next(0, Some(stamp)))
    }

    fn counted(&mut self, stamp: Stamp) -> Stamp {
        self.counter = self.counter.wrapping_add(1);
        stamp.counted(self.counter)
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

    /// The client of the claim of `key` with `stamp` is away, and the session kept. Returns whether that is new.
    pub fn parked(&mut self, key: Key, stamp: Stamp, shards: &mut impl Shards) -> bool {
        self.rewrite(key, stamp, Some(Claim { stamp, state: ClaimState::Parked }), shards)
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
        let entry = |claim| Entry { key, claim };
        let after = after.map_or(Write::Remove(key), |claim| Write::Put(entry(claim)));
        self.own.write(before.map(entry).as_ref(), after);
    }

    /// What somebody at `position` of the section of `owner` lacks: up to `changes_max` changes of
    /// this node's own section, or one delta as it was received of another's. It is empty for who
    /// lacks nothing. `None` means that only a snapshot can help.
    #[must_use]
    pub fn delta_since(&self, owner: &NodeName, position: Position, changes_max: usize) -> Option<Delta> {
        if *owner == self.me {
            return self.own.delta_since(position, changes_max);
        }
        self.exact(owner)?.copy.delta_since(position)
    }

    /// Where a section stands that this node would serve: its own, or an exact copy.
    #[must_use]
    pub fn head(&self, owner: &NodeName) -> Option<Head> {
        if *owner == self.me {
            return Some(self.own());
        }
        self.exact(owner).map(|held| held.copy.head())
    }

    /// Every section that this node would serve, by owner.
    pub fn heads(&self) -> impl Iterator<Item = (&NodeName, Head)> {
        let others = self.others.keys().filter_map(|owner| Some((owner, self.head(owner)?)));
        std::iter::once((&self.me, self.own())).chain(others)
    }

    /// Number of claims that are held of `owner`, exact copy or not.
    #[must_use]
    pub fn len_of(&self, owner: &NodeName) -> u64 {
        if *owner == self.me {
            self.own().len
        } else {
            self.held(owner).map_or(0, |held| held.copy.head().len)
        }
    }

    /// The slot of a section that this node would serve.
    #[must_use]
    pub fn slot_of(&self, owner: &NodeName) -> Option<SlotId> {
        if *owner == self.me {
            return Some(SlotId::OWN);
        }
        self.exact(owner).map(|held| held.slot)
    }

    fn held(&self, owner: &NodeName) -> Option<&Held> {
        self.others.get(owner)?.held.as_ref()
    }

    /// The copy of a section that is served.
    fn exact(&self, owner: &NodeName) -> Option<&Held> {
        self.held(owner).filter(|held| held.copy.is_exact())
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
        let held = self.others.get_mut(owner).and_then(|other| other.held.as_mut());
        let Some(Held { slot, copy }) = held else {
            return Err(MergeError::Gap { from: delta.from, held: 0 });
        };
        let mut rows = MergedRows::new(shards, *slot);
        copy.merge(owner, delta, self.relay_changes_max, &mut rows)?;
        Ok(rows.lost)
    }

    /// Whether there is a copy of the section of `owner` that was found to be wrong.
    #[must_use]
    pub fn is_distrusted(&self, owner: &NodeName) -> bool {
        self.held(owner).is_some_and(|held| !held.copy.is_exact())
    }

    /// The copy that had this digest was found to be wrong: it is not served any more, and a
    /// snapshot has to replace it. Its rows stay until then. Returns whether there was such a copy.
    pub fn distrust(&mut self, owner: &NodeName, digest: &Digest) -> bool {
        let held = self.others.get_mut(owner).and_then(|other| other.held.as_mut());
        held.is_some_and(|held| held.copy.distrust(digest))
    }

    /// Begins to take a snapshot. `None`: what is held is as new.
    ///
    /// # Errors
    /// [`MergeError::Own`], [`MergeError::Incarnation`] for a boot that is over, [`MergeError::Full`].
    pub fn begin(&mut self, owner: &NodeName, position: Position) -> Result<Option<Filling>, MergeError> {
        if *owner == self.me {
            return Err(MergeError::Own(owner.clone()));
        }
        self.admit(owner, position.incarnation)?;
        if self.head(owner).is_some_and(|held| held.digest.position >= position) {
            return Ok(None);
        }
        let slots = Arc::make_mut(&mut self.slots);
        let slot = slots.begin(owner.clone(), position.incarnation).ok_or(MergeError::Full)?;
        Ok(Some(Filling::new(owner.clone(), slot, position)))
    }

    /// Writes a chunk of a snapshot.
    pub fn fill(&mut self, snapshot: &mut Filling, entries: &[Entry], shards: &mut impl Shards) {
        snapshot.fill(entries, shards);
    }

    /// Applies a delta that belongs to a snapshot.
    ///
    /// # Errors
    /// [`MergeError::Gap`] or [`MergeError::Incarnation`] when it does not continue the snapshot.
    pub fn mend(
        &mut self,
        snapshot: &mut Filling,
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
    pub fn end(&mut self, snapshot: Filling, digest: Digest, count: u64) -> Result<(), MergeError> {
        let (owner, slot, incarnation) = (snapshot.owner(), snapshot.slot(), digest.position.incarnation);
        let newer = self.head(owner).is_none_or(|held| held.digest.position < digest.position);
        let copy = match self.admit(owner, incarnation).and_then(|()| snapshot.end(digest, count)) {
            Ok(copy) if newer => copy,
            refused => {
                self.give_up(snapshot);
                return refused.map(drop);
            }
        };
        let other = self.others.entry(owner.clone()).or_default();
        // A new incarnation is a new process: what was hidden about the old one does not bind it.
        other.hidden = other.hidden.filter(|hidden| *hidden == incarnation);
        other.unproven = other.unproven.filter(|unproven| *unproven == incarnation);
        let standing = other.standing();
        let old = other.held.replace(Held { slot, copy });
        let slots = Arc::make_mut(&mut self.slots);
        slots.set(slot, standing);
        if let Some(old) = old {
            slots.set(old.slot, Standing::Retired);
        }
        Ok(())
    }

    /// Gives up a snapshot that will not end.
    pub fn give_up(&mut self, snapshot: Filling) {
        Arc::make_mut(&mut self.slots).set(snapshot.slot(), Standing::Retired);
    }

    /// Refuses what is of a boot that is over, or older than what is held.
    fn admit(&self, owner: &NodeName, incarnation: Incarnation) -> Result<(), MergeError> {
        let Some(other) = self.others.get(owner) else { return Ok(()) };
        let held = other.held.as_ref().map(Held::incarnation);
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
        if let Some(held) = other.held.as_ref().filter(|held| held.incarnation() == incarnation) {
            Arc::make_mut(&mut self.slots).set(held.slot, other.standing());
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
        let old = other.held.take_if(|held| held.incarnation() <= incarnation);
        if let Some(old) = old {
            Arc::make_mut(&mut self.slots).set(old.slot, Standing::Retired);
        }
        self.forget_the_oldest();
    }

    /// Bounds what is remembered of nodes that are gone.
    fn forget_the_oldest(&mut self) {
        if self.others.len() > 2 * limits::PEERS_MAX {
            let gone = self.others.iter().filter(|(_, other)| other.held.is_none());
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
