//! Who owns what, over all sections: the index that every push reads.
//!
//! The winner of a key is the best of the rows whose slot is seen ([`Order`]). Which sessions a node has to let go of is
//! judged by the rows of proven slots alone ([`View::lost`]). A view is one shard of the whole:
//! [`replica`](crate::replica) spreads the users over several.
//!
//! Whatever changes what is visible leaves a [`Diff`]: a write of a row, and a slot that counts for something else from
//! now on.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::Takeover;
use crate::directory::diff::Diffs;
use crate::directory::order::{Order, Seen};
use crate::directory::policy::{self, Exceeds};
use crate::directory::{Claim, ClaimState, Diff, Holder, Owned, Row, SlotId, Slots, Table};
use crate::id::{NodeName, Stamp};
use crate::key::{DeviceHash, Key, UserHash};

/// A session of this node that another claim excludes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// The key.
    pub key: Key,
    /// The stamp of the claim that lost.
    pub stamp: Stamp,
    /// Who has the claim that excludes it.
    pub winner: NodeName,
    /// With which stamp.
    pub winner_stamp: Stamp,
    /// Of which session that claim is.
    pub rival: Rival,
}

/// The session whose claim takes the place of another one. Its order is a part of the mesh's wire format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rival {
    /// One of the same device.
    SameDevice,
    /// Another one of the user, beside which the policy leaves no room.
    OtherDevice,
}

/// Exact numbers of what is visible.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sessions with a visible owner.
    pub sessions: u64,
    /// Those of them whose client is away, and that are kept for it.
    pub parked: u64,
    /// Users with at least one of them.
    pub users: u64,
    /// Sessions by owner.
    pub by_node: BTreeMap<NodeName, u64>,
}

/// A row and who stands behind it, as it is explained to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The key.
    pub key: Key,
    /// The claim.
    pub claim: Claim,
    /// Who, and what its rows count for.
    pub holder: Holder,
    /// Whether it is the one that pushes follow.
    pub wins: bool,
}

/// The claims of some of the users.
pub struct View {
    table: Table,
    slots: Arc<Slots>,
    takeover: Takeover,
    diffs: Diffs,
    /// Sessions of this node that a slot has excluded by what it counts for since it was adopted.
    lost: Vec<Lost>,
}

impl View {
    /// A view of users that agree in the upper `skipped_bits` of their hash.
    #[must_use]
    pub fn new(skipped_bits: u32, takeover: Takeover, slots: Arc<Slots>) -> Self {
        let table = Table::new(skipped_bits);
        Self { table, slots, takeover, diffs: Diffs::default(), lost: Vec::new() }
    }

    /// Writes the row of a slot, and returns the claim that it replaces.
    pub fn put(&mut self, row: Row) -> Option<Claim> {
        if self.tells_of(row.slot) {
            return self.tell_of(row.key, |table| table.put(row));
        }
        self.table.put(row)
    }

    /// Makes room for rows that arrive in the order of keys: see [`Table::expect`].
    pub fn expect(&mut self, user: UserHash, per_hash: f64) {
        self.table.expect(user, per_hash);
    }

    /// Removes the row of a slot, and returns its claim.
    pub fn take(&mut self, key: Key, slot: SlotId) -> Option<Claim> {
        if self.tells_of(slot) {
            return self.tell_of(key, |table| table.take(key, slot));
        }
        self.table.take(key, slot)
    }

    /// Whether a change of a row of this slot may be one of what is visible, and somebody listens.
    fn tells_of(&self, slot: SlotId) -> bool {
        self.diffs.is_listened() && self.slots.seen(slot).is_some()
    }

    /// Changes a row of `key`, and keeps what that changes in what is visible.
    fn tell_of(&mut self, key: Key, change: impl FnOnce(&mut Table) -> Option<Claim>) -> Option<Claim> {
        let before = self.lookup(key);
        let claim = change(&mut self.table);
        let after = self.lookup(key);
        self.diffs.push(Diff::of(key, before, after));
        claim
    }

    /// From now on the slots stand for these, unless they are known already. The sessions of this node that
    /// are lost by it wait for [`View::take_lost`].
    pub fn adopt(&mut self, slots: &Arc<Slots>) {
        if slots.version() <= self.slots.version() {
            return;
        }
        let before = std::mem::replace(&mut self.slots, Arc::clone(slots));
        if self.diffs.is_listened() {
            self.tell_of_slots(&before);
        }
        if slots.proves_more_than(&before) {
            self.lost.extend(self.audit());
        }
    }

    /// Keeps a diff of every key whose winner is another one than with the slots of `before`. Walks all rows, if rows are
    /// seen that were not, or the other way round.
    fn tell_of_slots(&mut self, before: &Slots) {
        let turned = self.slots.turned(before);
        if turned.is_empty() {
            return;
        }
        let order = |slots| Order { slots, takeover: self.takeover };
        let (before, after) = (order(before), order(&self.slots));
        let mut rows = self.table.after(None).peekable();
        let mut of_key = Vec::new();
        while let Some(first) = rows.next() {
            of_key.clear();
            of_key.push(first);
            while let Some(row) = rows.next_if(|row| row.key == first.key) {
                of_key.push(row);
            }
            if of_key.iter().any(|row| turned.contains(&row.slot)) {
                let [before, after] =
                    [before, after].map(|order| order.winner(of_key.iter().copied()).map(Seen::owned));
                self.diffs.push(Diff::of(first.key, before, after));
            }
        }
    }

    /// The sessions of this node that were lost when slots were adopted, once.
    pub fn take_lost(&mut self) -> Vec<Lost> {
        std::mem::take(&mut self.lost)
    }

    /// From now on diffs are kept. Returns the number of the newest one so far.
    pub fn listen(&mut self) -> u64 {
        self.diffs.listen()
    }

    /// Whether diffs are kept.
    #[must_use]
    pub fn is_listened(&self) -> bool {
        self.diffs.is_listened()
    }

    /// From now on no diffs are kept.
    pub fn ignore(&mut self) {
        self.diffs.ignore();
    }

    /// The diffs since the last call, in the order in which they happened, with their numbers.
    pub fn tell(&mut self) -> impl Iterator<Item = (u64, Diff)> {
        self.diffs.tell()
    }

    /// Removes what is retired, and returns how many rows that were.
    pub fn sweep(&mut self) -> usize {
        let slots = Arc::clone(&self.slots);
        self.table.sweep(|slot| slots.is_retired(slot))
    }

    fn order(&self) -> Order<'_> {
        Order { slots: &self.slots, takeover: self.takeover }
    }

    /// The claim of a slot on a key.
    #[must_use]
    pub fn claim_of(&self, key: Key, slot: SlotId) -> Option<Claim> {
        self.table.user(key.user).find(|row| row.key == key && row.slot == slot).map(Row::claim)
    }

    /// The rows of a slot after `after`, in the order of keys.
    pub fn of_slot(&self, slot: SlotId, after: Option<Key>) -> impl Iterator<Item = &Row> {
        self.table.after(after).filter(move |row| row.slot == slot)
    }

    /// This node's own rows after `after`, in the order of keys.
    pub fn own(&self, after: Option<Key>) -> impl Iterator<Item = &Row> {
        self.table.own(after)
    }

    /// The visible owner of a session.
    #[must_use]
    pub fn lookup(&self, key: Key) -> Option<Owned> {
        self.winner(self.table.user(key.user).filter(|row| row.key == key))
    }

    /// The same without the claim `(owner, stamp)`, which is known not to stand.
    #[must_use]
    pub fn lookup_other(&self, key: Key, owner: &NodeName, stamp: Stamp) -> Option<Owned> {
        let is_other = |row: &&Row| {
            row.claim().stamp != stamp || self.slots.get(row.slot).is_none_or(|holder| holder.owner != *owner)
        };
        let rows = self.table.user(key.user).filter(|row| row.key == key).filter(is_other);
        self.winner(rows)
    }

    /// The visible owner whose claim ends all other sessions of the key. Pushes may follow another one.
    #[must_use]
    pub fn rival(&self, key: Key) -> Option<Owned> {
        let rows = self.table.user(key.user).filter(|row| row.key == key);
        self.order().rival(rows).map(Seen::owned)
    }

    /// The greatest stamp of a key, hidden owners and unfinished snapshots included: what a new
    /// claim has to exceed. Where [`Exceeds::User`] holds it is the user's.
    #[must_use]
    pub fn stamp(&self, key: Key) -> Option<Stamp> {
        let of_user = policy::exceeds(self.takeover) == Exceeds::User;
        let rows = self.table.user(key.user).filter(|row| of_user || row.key == key);
        rows.filter(|row| !self.slots.is_retired(row.slot)).map(|row| row.claim().stamp).max()
    }

    /// The visible sessions of a user, ordered by device.
    #[must_use]
    pub fn user(&self, user: UserHash) -> Vec<(Key, Owned)> {
        self.order().winners(self.table.user(user)).map(|seen| (seen.key(), seen.owned())).collect()
    }

    /// Up to `sessions_max` visible sessions after `after`, in the order of keys.
    #[must_use]
    pub fn page(&self, after: Option<Key>, sessions_max: usize) -> Vec<(Key, Owned)> {
        let winners = self.order().winners(self.table.after(after));
        winners.map(|seen| (seen.key(), seen.owned())).take(sessions_max).collect()
    }

    /// Adds what is visible here to `counts`. Walks all rows.
    pub fn count(&self, counts: &mut Counts) {
        let mut last = None;
        // By slot first: there are few of them, and names are long.
        let mut by_slot = BTreeMap::<SlotId, u64>::new();
        for Seen { row, .. } in self.order().winners(self.table.after(None)) {
            counts.sessions += 1;
            counts.parked += u64::from(row.claim().state == ClaimState::Parked);
            counts.users += u64::from(last != Some(row.key.user));
            last = Some(row.key.user);
            *by_slot.entry(row.slot).or_default() += 1;
        }
        for (slot, sessions) in by_slot {
            let holder = self.slots.get(slot).expect("a row that wins has a holder");
            *counts.by_node.entry(holder.owner.clone()).or_default() += sessions;
        }
    }

    /// Every row of a user that is not over, visible or not.
    #[must_use]
    pub fn known(&self, user: UserHash) -> Vec<Known> {
        let winners: Vec<_> = self.order().winners(self.table.user(user)).map(|seen| seen.row).collect();
        let rows = self.table.user(user).filter(|row| !self.slots.is_retired(row.slot));
        rows.filter_map(|row| {
            let holder = self.slots.get(row.slot)?.clone();
            Some(Known { key: row.key, claim: row.claim(), holder, wins: winners.contains(&row) })
        })
        .collect()
    }

    /// The sessions of this node that another claim excludes by the policy: one of the same key that it beats, or one beside
    /// which there is no room. Only a claim that is proven excludes, because what is over excludes nobody.
    #[must_use]
    pub fn lost(&self, user: UserHash) -> Vec<Lost> {
        let own = |row: &&Row| row.slot == SlotId::OWN;
        if !self.table.user(user).any(|row| own(&row)) {
            return Vec::new();
        }
        let order = self.order();
        let proven = || self.table.user(user).filter(|row| self.slots.is_proven(row.slot));
        let beaten = order.seen(self.table.user(user).filter(own)).filter_map(|mine| {
            let winner = order.rival(proven().filter(|row| row.key == mine.key()))?;
            order.beats(winner, mine).then(|| lost_to(mine, winner, Rival::SameDevice))
        });
        let mut lost: Vec<_> = beaten.collect();
        let excluded = policy::excluded(self.takeover, order.rivals(proven()), Seen::contender);
        let excluded = excluded.into_iter().filter(|(mine, _)| own(&mine.row));
        lost.extend(excluded.map(|(mine, newest)| lost_to(mine, newest, Rival::OtherDevice)));
        lost
    }

    /// As [`View::lost`], over all users of this node's own claims.
    #[must_use]
    pub fn audit(&self) -> Vec<Lost> {
        let mut users: Vec<_> = self.own(None).map(|row| row.key.user).collect();
        users.dedup();
        users.into_iter().flat_map(|user| self.lost(user)).collect()
    }

    /// The sessions that a claim of `key`, made now, [displaces](policy::displaced).
    #[must_use]
    pub fn displaced(&self, key: Key) -> Vec<(DeviceHash, Owned)> {
        let winners = self.order().winners(self.table.user(key.user)).collect();
        let displaced = policy::displaced(self.takeover, key, winners, Seen::contender);
        displaced.into_iter().map(|seen| (seen.key().device, seen.owned())).collect()
    }

    /// Of rows of one key, the claim that pushes follow.
    fn winner<'a>(&'a self, rows: impl Iterator<Item = &'a Row>) -> Option<Owned> {
        self.order().winner(rows).map(Seen::owned)
    }
}

fn lost_to(mine: Seen<'_>, winner: Seen<'_>, rival: Rival) -> Lost {
    let Owned { owner, stamp: winner_stamp, .. } = winner.owned();
    Lost { key: mine.key(), stamp: mine.row.claim().stamp, winner: owner, winner_stamp, rival }
}
