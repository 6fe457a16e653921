//! Who owns what, over all sections: the index that every push reads.
//!
//! `View(key) = max by (stamp, node name, incarnation)` over the rows whose slot is seen. Under
//! `reject-newer` it is the minimum: there the older claim stays, unless it has yielded or its client has resumed
//! elsewhere ([`View::leads`]). Which sessions a node has to let go of
//! is judged by the rows of proven slots alone ([`View::lost`]). A view is one shard of the whole:
//! [`replica`](crate::replica) spreads the users over several.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::Takeover;
use crate::directory::{Claim, ClaimState, Holder, Row, SlotId, Slots, Table};
use crate::id::{Incarnation, NodeName, Stamp};
use crate::key::{DeviceHash, Key, UserHash};

/// The winning claim of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owned {
    /// The node that holds the connection.
    pub owner: NodeName,
    /// Its boot.
    pub incarnation: Incarnation,
    /// Orders the claims of one key.
    pub stamp: Stamp,
    /// What the owner says of the connection.
    pub state: ClaimState,
}

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
}

impl View {
    /// A view of users that agree in the upper `skipped_bits` of their hash.
    #[must_use]
    pub fn new(skipped_bits: u32, takeover: Takeover, slots: Arc<Slots>) -> Self {
        Self { table: Table::new(skipped_bits), slots, takeover }
    }

    /// Writes the row of a slot, and returns the claim that it replaces.
    pub fn put(&mut self, row: Row) -> Option<Claim> {
        self.table.put(row)
    }

    /// Makes room for rows that arrive in the order of keys: see [`Table::expect`].
    pub fn expect(&mut self, user: UserHash, per_hash: f64) {
        self.table.expect(user, per_hash);
    }

    /// Removes the row of a slot, and returns its claim.
    pub fn take(&mut self, key: Key, slot: SlotId) -> Option<Claim> {
        self.table.take(key, slot)
    }

    /// From now on the slots stand for these.
    pub fn set_slots(&mut self, slots: Arc<Slots>) {
        self.slots = slots;
    }

    /// Removes what is retired, and returns how many rows that were.
    pub fn sweep(&mut self) -> usize {
        let slots = Arc::clone(&self.slots);
        self.table.sweep(|slot| slots.is_retired(slot))
    }

    /// Whether this node claims a session of the user.
    #[must_use]
    pub fn has_own(&self, user: UserHash) -> bool {
        self.table.user(user).any(|row| row.slot == SlotId::OWN)
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

    /// The visible owner of a session.
    #[must_use]
    pub fn lookup(&self, key: Key) -> Option<Owned> {
        self.winner(self.table.user(key.user).filter(|row| row.key == key)).map(|(_, owned)| owned)
    }

    /// The same without the claim `(owner, stamp)`, which is known not to stand.
    #[must_use]
    pub fn lookup_other(&self, key: Key, owner: &NodeName, stamp: Stamp) -> Option<Owned> {
        let is_other = |row: &&Row| {
            row.claim().stamp != stamp || self.slots.get(row.slot).is_none_or(|holder| holder.owner != *owner)
        };
        let rows = self.table.user(key.user).filter(|row| row.key == key).filter(is_other);
        self.winner(rows).map(|(_, owned)| owned)
    }

    /// The visible owner whose claim ends all other sessions of the key. Pushes may follow another one.
    #[must_use]
    pub fn rival(&self, key: Key) -> Option<Owned> {
        let rows = self.table.user(key.user).filter(|row| row.key == key);
        self.best_rows(rows, Self::beats).next().map(|row| self.owned(row))
    }

    /// The greatest stamp of a key, hidden owners and unfinished snapshots included: what a new
    /// claim has to exceed. Where the sessions of a user exclude each other it is the user's.
    #[must_use]
    pub fn stamp(&self, key: Key) -> Option<Stamp> {
        let of_user = self.takeover.sessions_max().is_some();
        let rows = self.table.user(key.user).filter(|row| of_user || row.key == key);
        rows.filter(|row| !self.slots.is_retired(row.slot)).map(|row| row.claim().stamp).max()
    }

    /// The visible sessions of a user, ordered by device.
    #[must_use]
    pub fn user(&self, user: UserHash) -> Vec<(Key, Owned)> {
        let winners = self.winners(self.table.user(user));
        winners.map(|(row, owned)| (row.key, owned)).collect()
    }

    /// Up to `sessions_max` visible sessions after `after`, in the order of keys.
    #[must_use]
    pub fn page(&self, after: Option<Key>, sessions_max: usize) -> Vec<(Key, Owned)> {
        let winners = self.winners(self.table.after(after));
        winners.map(|(row, owned)| (row.key, owned)).take(sessions_max).collect()
    }

    /// Adds what is visible here to `counts`. Walks all rows.
    pub fn count(&self, counts: &mut Counts) {
        let mut last = None;
        // By slot first: there are few of them, and names are long.
        let mut by_slot = BTreeMap::<SlotId, u64>::new();
        for row in self.winning_rows(self.table.after(None)) {
            counts.sessions += 1;
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
        let winners: Vec<_> = self.winning_rows(self.table.user(user)).copied().collect();
        let rows = self.table.user(user).filter(|row| !self.slots.is_retired(row.slot));
        rows.filter_map(|row| {
            let holder = self.slots.get(row.slot)?.clone();
            Some(Known { key: row.key, claim: row.claim(), holder, wins: winners.contains(row) })
        })
        .collect()
    }

    /// The sessions of this node that exclude no other one, because another claim excludes them. Only
    /// a strictly greater claim (under `reject-newer` a strictly smaller one) excludes, so that of two
    /// claimants at most one lets go; and only one that is proven, because what is over excludes nobody.
    #[must_use]
    pub fn lost(&self, user: UserHash) -> Vec<Lost> {
        if !self.has_own(user) {
            return Vec::new();
        }
        let own = |row: &&Row| row.slot == SlotId::OWN;
        let proven = self.table.user(user).filter(|row| self.slots.is_proven(row.slot));
        let mut winners: Vec<_> = self.best_rows(proven, Self::beats).collect();
        let mut lost: Vec<_> = self
            .table
            .user(user)
            .filter(own)
            .filter_map(|mine| {
                let winner = winners.iter().find(|row| row.key == mine.key)?;
                self.beats(winner, mine).then(|| self.lost_to(mine, winner, Rival::SameDevice))
            })
            .collect();
        if let Some(sessions_max) = self.takeover.sessions_max() {
            winners.sort_unstable_by(|a, b| self.rank(b).cmp(&self.rank(a)).then(a.key.cmp(&b.key)));
            let newest = winners.first().copied();
            let excluded = winners.iter().skip(sessions_max).filter(|row| own(row));
            lost.extend(
                excluded
                    .zip(newest.into_iter().cycle())
                    .map(|(mine, by)| self.lost_to(mine, by, Rival::OtherDevice)),
            );
        }
        lost
    }

    /// As [`View::lost`], over all users.
    #[must_use]
    pub fn audit(&self) -> Vec<Lost> {
        let mut users: Vec<_> = self.of_slot(SlotId::OWN, None).map(|row| row.key.user).collect();
        users.dedup();
        users.into_iter().flat_map(|user| self.lost(user)).collect()
    }

    /// The sessions that a claim of `key`, made now, excludes: its own previous owner's, and those
    /// that the policy does not leave beside it. The session itself is not among them.
    #[must_use]
    pub fn displaced(&self, key: Key) -> Vec<(DeviceHash, Owned)> {
        let mut winners: Vec<_> = self.winners(self.table.user(key.user)).collect();
        winners.sort_by(|a, b| self.rank(b.0).cmp(&self.rank(a.0)).then(a.0.key.cmp(&b.0.key)));
        let others_max = self.takeover.sessions_max().map_or(usize::MAX, |max| max - 1);
        let mut others = 0;
        winners.retain(|(row, _)| {
            let same = row.key == key;
            others += usize::from(!same);
            same || others > others_max
        });
        winners.into_iter().map(|(row, owned)| (row.key.device, owned)).collect()
    }

    fn lost_to(&self, mine: &Row, winner: &Row, rival: Rival) -> Lost {
        let holder = self.slots.get(winner.slot).expect("a row that wins has a holder");
        Lost {
            key: mine.key,
            stamp: mine.claim().stamp,
            winner: holder.owner.clone(),
            winner_stamp: winner.claim().stamp,
            rival,
        }
    }

    /// What decides between visible claims; greater wins.
    fn rank(&self, row: &Row) -> Option<(Stamp, &NodeName, Incarnation)> {
        let holder = self.slots.seen(row.slot)?;
        Some((row.claim().stamp, &holder.owner, holder.incarnation))
    }

    /// Whether of two visible rows of one key the session of `b` ends for that of `a`: strictly, so that none beats
    /// itself.
    fn beats(&self, a: &Row, b: &Row) -> bool {
        if self.takeover != Takeover::RejectNewer {
            return self.rank(a) > self.rank(b);
        }
        match [a, b].map(|row| row.claim().state == ClaimState::Yielded) {
            [false, false] => self.rank(a) < self.rank(b),
            // Of those that have yielded the last one knows best where the session went.
            [true, true] => self.rank(a) > self.rank(b),
            [a_has, _] => !a_has,
        }
    }

    /// Whether of two visible rows of one key pushes follow `a`. Under `reject-newer` a client that has proven an earlier
    /// session is where it has resumed, whatever the owner of the earlier one says: it may be dead.
    fn leads(&self, a: &Row, b: &Row) -> bool {
        if self.takeover != Takeover::RejectNewer {
            return self.beats(a, b);
        }
        match [a, b].map(|row| row.claim().state == ClaimState::Resumed) {
            [false, false] => self.beats(a, b),
            [true, true] => self.rank(a) > self.rank(b),
            [a_has, _] => a_has,
        }
    }

    fn winner<'a>(&self, rows: impl Iterator<Item = &'a Row>) -> Option<(&'a Row, Owned)> {
        let row = rows
            .filter(|row| self.slots.seen(row.slot).is_some())
            .reduce(|best, row| if self.leads(row, best) { row } else { best })?;
        Some((row, self.owned(row)))
    }

    fn owned(&self, row: &Row) -> Owned {
        let Holder { owner, incarnation, .. } =
            self.slots.get(row.slot).expect("a row that wins has a holder");
        let Claim { stamp, state } = row.claim();
        Owned { owner: owner.clone(), incarnation: *incarnation, stamp, state }
    }

    fn winners<'a>(&self, rows: impl Iterator<Item = &'a Row>) -> impl Iterator<Item = (&'a Row, Owned)> {
        self.winning_rows(rows).map(|row| (row, self.owned(row)))
    }

    /// The row of each key that pushes follow, for rows in the order of keys.
    fn winning_rows<'a>(&self, rows: impl Iterator<Item = &'a Row>) -> impl Iterator<Item = &'a Row> {
        self.best_rows(rows, Self::leads)
    }

    fn best_rows<'a>(
        &self,
        rows: impl Iterator<Item = &'a Row>,
        better: fn(&Self, &Row, &Row) -> bool,
    ) -> impl Iterator<Item = &'a Row> {
        let mut seen = rows.filter(|row| self.slots.seen(row.slot).is_some()).peekable();
        std::iter::from_fn(move || {
            let mut best = seen.next()?;
            while let Some(row) = seen.next_if(|row| row.key == best.key) {
                if better(self, row, best) {
                    best = row;
                }
            }
            Some(best)
        })
    }
}
