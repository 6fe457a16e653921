//! The rows of the directory: a sorted array with gaps, searched by interpolation.
//!
//! ```text
//!   place of a user = its hash, scaled to the capacity      row = 40 bytes
//!   ┌────┬────┬────┬────┬────┬────┬────┬────┬────┐
//!   │ a1 │    │ b1 │ b2 │ c1 │    │    │ e1 │    │  …      never before its place, never a gap between
//!   └────┴────┴────┴────┴────┴────┴────┴────┴────┘
//! ```
//!
//! This is linear probing with the rows of a run kept in order (Amble, Knuth 1974: "Ordered hash
//! tables"). Because the place grows with the hash, the whole array is in the order of keys. So one
//! structure finds a key in about one cache miss, holds the devices of a user side by side, and lists
//! everything page by page, without a pointer a row. An insertion moves the rest of its run up by
//! one, a removal moves it down again; there are no tombstones.
//!
//! Several rows may have the same key, one for each slot that claims it. What a slot stands for and
//! who wins is not known here: see [`view`](crate::directory::View).
//!
//! The rows of this node's own slot are found without a look at the others: a count for each block of rows says how many of
//! them are there. A row that an insertion or a removal moves into the next block is counted there.

use crate::directory::{Claim, ClaimState, SlotId};
use crate::id::Stamp;
use crate::key::{Key, UserHash};

mod blocks;

use blocks::Blocks;

/// One claim of one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// What is claimed.
    pub key: Key,
    stamp: Stamp,
    /// By whom.
    pub slot: SlotId,
    state: ClaimState,
}

/// The rows, ordered by (key, slot).
pub struct Table {
    rows: Vec<Row>,
    len: usize,
    /// Upper bits of the hash that are the same for all users of this table.
    skipped_bits: u32,
    /// Places that users are spread over; the rows behind them take the overflow of the last run.
    places: usize,
    own: Blocks,
}

impl Row {
    /// The row of `slot`'s claim.
    #[must_use]
    pub fn new(key: Key, claim: Claim, slot: SlotId) -> Self {
        Self { key, stamp: claim.stamp, slot, state: claim.state }
    }

    /// The claim.
    #[must_use]
    pub fn claim(&self) -> Claim {
        Claim { stamp: self.stamp, state: self.state }
    }

    fn is_own(&self) -> bool {
        self.slot == SlotId::OWN
    }

    fn is_free(&self) -> bool {
        self.slot == SlotId::NONE
    }

    fn order(&self) -> (Key, SlotId) {
        (self.key, self.slot)
    }
}

impl Table {
    /// An empty table for users that agree in the upper `skipped_bits` of their hash.
    #[must_use]
    pub fn new(skipped_bits: u32) -> Self {
        assert!(skipped_bits < u64::BITS, "some bits are left to spread by");
        Self { rows: Vec::new(), len: 0, skipped_bits, places: 0, own: Blocks::default() }
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.len
    }

    /// The rows of a user, in the order of devices.
    pub fn user(&self, user: UserHash) -> impl Iterator<Item = &Row> {
        let run = self.rows.get(self.place(user)..).unwrap_or_default().iter();
        run.take_while(move |row| !row.is_free() && row.key.user <= user)
            .filter(move |row| row.key.user == user)
    }

    /// The rows of this node's own slot after `after`, as [`Table::after`].
    pub fn own(&self, after: Option<Key>) -> impl Iterator<Item = &Row> {
        let start = after.map_or(0, |key| self.place(key.user));
        let blocks = self.own.with_own(Blocks::of(start)).flat_map(|block| self.block(block));
        blocks.filter(move |row| row.is_own() && after.is_none_or(|after| row.key > after))
    }

    fn block(&self, block: usize) -> &[Row] {
        let rows = self.rows.get(block * Blocks::ROWS..).unwrap_or_default();
        &rows[..rows.len().min(Blocks::ROWS)]
    }

    /// The rows after `after`, which is of a user of this table, in order; all rows without it.
    pub fn after(&self, after: Option<Key>) -> impl Iterator<Item = &Row> {
        let start = after.map_or(0, |key| self.place(key.user));
        let rows = self.rows.get(start..).unwrap_or_default().iter();
        rows.filter(move |row| !row.is_free() && after.is_none_or(|after| row.key > after))
    }

    /// Writes a row, and returns the claim that the slot had on the key before.
    pub fn put(&mut self, row: Row) -> Option<Claim> {
        assert!(row.slot != SlotId::NONE, "a row belongs to a slot");
        let (at, found) = self.find(row.order());
        if found {
            let before = self.rows[at].claim();
            self.rows[at] = row;
            return Some(before);
        }
        let at = if self.reserve(1) { self.find(row.order()).0 } else { at };
        self.insert(at, row);
        None
    }

    /// Makes room for rows that arrive in the order of keys: `users` is where they stand now, and
    /// `per_hash` how many of them there are for each value of the upper half of the hash.
    ///
    /// Without it they would all crowd at the beginning of a table that grows after them, and each
    /// would be looked for among all that came before.
    pub fn expect(&mut self, user: UserHash, per_hash: f64) {
        let to_come = (u64::MAX >> self.skipped_bits) - (user.high << self.skipped_bits >> self.skipped_bits);
        let rows = (to_come as f64 * per_hash) as usize;
        self.reserve(rows.min(EXPECTED_ROWS_MAX));
    }

    /// Returns whether the rows have other places now.
    fn reserve(&mut self, more: usize) -> bool {
        let full = (self.len + more) * LOAD_MAX.1 > self.places * LOAD_MAX.0;
        if full {
            self.resize(self.len + more);
        }
        full
    }

    /// Removes the row of `slot` for `key`, and returns its claim.
    pub fn take(&mut self, key: Key, slot: SlotId) -> Option<Claim> {
        let (at, found) = self.find((key, slot));
        if !found {
            return None;
        }
        let claim = self.rows[at].claim();
        self.remove(at);
        Some(claim)
    }

    /// Removes the rows of the slots that are `over`, and gives memory back if much became free.
    /// Returns how many there were.
    pub fn sweep(&mut self, over: impl Fn(SlotId) -> bool) -> usize {
        let before = self.len;
        let mut at = 0;
        while at < self.rows.len() {
            // A removal moves the next row of the run here: look again.
            if !self.rows[at].is_free() && over(self.rows[at].slot) {
                self.remove(at);
            } else {
                at += 1;
            }
        }
        if self.len * SHRINK_BELOW.1 < self.places * SHRINK_BELOW.0 {
            self.resize(self.len);
        }
        before - self.len
    }

    /// Where a user's rows begin at the earliest.
    fn place(&self, user: UserHash) -> usize {
        let spread = user.high << self.skipped_bits;
        ((u128::from(spread) * self.places as u128) >> u64::BITS) as usize
    }

    /// Where a row is, or else where it belongs.
    fn find(&self, order: (Key, SlotId)) -> (usize, bool) {
        let mut at = self.place(order.0.user);
        while let Some(row) = self.rows.get(at) {
            if row.is_free() || row.order() > order {
                return (at, false);
            }
            if row.order() == order {
                return (at, true);
            }
            at += 1;
        }
        (at, false)
    }

    /// Puts a row in where [`Self::find`] says that it belongs.
    fn insert(&mut self, at: usize, row: Row) {
        let free = self.rows[at..].iter().position(Row::is_free).map_or(self.rows.len(), |gap| at + gap);
        if free == self.rows.len() {
            self.lengthen();
        }
        self.rows.copy_within(at..free, at + 1);
        self.rows[at] = row;
        self.len += 1;
        if row.is_own() {
            self.own.add(Blocks::of(at));
        }
        // Those that were the last of a block are the first of the next one.
        for first in first_of_blocks(at, free) {
            if self.rows[first].is_own() {
                self.own.add(Blocks::of(first));
                self.own.take(Blocks::of(first) - 1);
            }
        }
    }

    fn remove(&mut self, at: usize) {
        if self.rows[at].is_own() {
            self.own.take(Blocks::of(at));
        }
        let mut hole = at;
        while let Some(next) = self.rows.get(hole + 1)
            && !next.is_free()
            && self.place(next.key.user) <= hole
        {
            self.rows[hole] = *next;
            hole += 1;
        }
        self.rows[hole] = FREE;
        self.len -= 1;
        // Those that were the first of a block are the last of the one before.
        for first in first_of_blocks(at, hole) {
            if self.rows[first - 1].is_own() {
                self.own.add(Blocks::of(first) - 1);
                self.own.take(Blocks::of(first));
            }
        }
    }

    /// Gives every row its place among as many as `len` rows need.
    fn resize(&mut self, len: usize) {
        let places = if len == 0 { 0 } else { (len * GROWN_LOAD.1).div_ceil(GROWN_LOAD.0).max(PLACES_MIN) };
        let rows = vec![FREE; places];
        let old = std::mem::replace(&mut self.rows, rows);
        self.places = places;
        self.own.reset(places);
        let mut next = 0;
        for row in old.into_iter().filter(|row| !row.is_free()) {
            // They come in order, so that each belongs right behind the one before, or at its place.
            let at = next.max(self.place(row.key.user));
            if at == self.rows.len() {
                self.lengthen();
            }
            self.rows[at] = row;
            if row.is_own() {
                self.own.add(Blocks::of(at));
            }
            next = at + 1;
        }
    }

    /// One more row behind the places, for the last run.
    fn lengthen(&mut self) {
        // A vector that grows by itself doubles.
        if self.rows.len() == self.rows.capacity() {
            self.rows.reserve_exact(TAIL_ROWS);
        }
        self.rows.push(FREE);
    }

    /// Checks the whole structure.
    #[cfg(test)]
    fn check(&self) {
        let mut before: Option<(usize, (Key, SlotId))> = None;
        let mut count = 0;
        for (at, row) in self.rows.iter().enumerate().filter(|(_, row)| !row.is_free()) {
            assert!(before.is_none_or(|(_, order)| order < row.order()), "rows are in order");
            let place = self.place(row.key.user);
            assert!(place <= at, "no row is before its place");
            assert!(self.rows[place..at].iter().all(|row| !row.is_free()), "no gap before a row");
            before = Some((at, row.order()));
            count += 1;
        }
        assert_eq!(count, self.len);
        for block in 0..=Blocks::of(self.rows.len()) {
            let own = self.block(block).iter().filter(|row| row.is_own()).count();
            assert_eq!(self.own.count(block), own, "block {block}");
        }
    }
}

/// Where blocks begin in `(after, last]`.
fn first_of_blocks(after: usize, last: usize) -> impl Iterator<Item = usize> {
    ((Blocks::of(after) + 1) * Blocks::ROWS..=last).step_by(Blocks::ROWS)
}

/// A row that is none.
const FREE: Row = Row {
    key: Key { user: UserHash { high: 0, low: 0 }, device: crate::key::DeviceHash(0) },
    stamp: Stamp::ZERO,
    slot: SlotId::NONE,
    state: ClaimState::Connected,
};

/// The table grows beyond this load. Arithmetic: there an insertion looks at 32 rows on average
/// (Knuth 6.4, unsuccessful search), half a microsecond at most.
const LOAD_MAX: (usize, usize) = (7, 8);
/// The load after growing: 1.25 times the places, so that a row costs 46 to 57 bytes.
const GROWN_LOAD: (usize, usize) = (7, 10);
/// A sweep gives memory back below this load. Arithmetic: it leaves 67 bytes a row at most, also where a
/// snapshot has replaced a third of the rows and both copies were there for a while.
const SHRINK_BELOW: (usize, usize) = (3, 5);
/// Rows that one table makes room for at once: 3.6 MB, and 16 million sessions over 256 tables.
const EXPECTED_ROWS_MAX: usize = 65_536;
/// Places of the smallest table. Guess.
const PLACES_MIN: usize = 8;
/// Rows by which the tail grows. Guess.
const TAIL_ROWS: usize = 8;

const _: () = assert!(size_of::<Row>() == 40, "the budget is 64 bytes a session, at most 80");

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::key::DeviceHash;

    fn key(high: u64, device: u64) -> Key {
        Key { user: UserHash { high, low: 0 }, device: DeviceHash(device) }
    }

    fn claim(stamp: u64) -> Claim {
        Claim { stamp: Stamp::from_raw(stamp), state: ClaimState::Connected }
    }

    /// Users at both ends and close together, so that runs overflow and meet.
    fn any_key() -> impl Strategy<Value = Key> {
        let high = prop_oneof![0..4u64, (u64::MAX - 3)..=u64::MAX, any::<u64>()];
        (high, 0..4u64).prop_map(|(high, device)| key(high, device))
    }

    proptest! {
        #[test]
        fn a_table_behaves_like_a_sorted_map(
            steps in prop::collection::vec((any_key(), 0..4u16, 0..9u64, 0..4u8), 0..300),
        ) {
            let mut table = Table::new(0);
            let mut model = BTreeMap::new();
            for (key, slot, stamp, kind) in steps {
                let slot = SlotId(slot);
                match kind {
                    0 => prop_assert_eq!(table.take(key, slot), model.remove(&(key, slot))),
                    1 if stamp == 0 => {
                        let before = model.len();
                        model.retain(|(_, held), _| *held != slot);
                        prop_assert_eq!(table.sweep(|held| held == slot), before - model.len());
                    }
                    _ => prop_assert_eq!(
                        table.put(Row::new(key, claim(stamp), slot)),
                        model.insert((key, slot), claim(stamp))
                    ),
                }
                table.check();
                let of_user: Vec<_> = table.user(key.user).map(|row| (row.order(), row.claim())).collect();
                let expected: Vec<_> = model.iter().filter(|((held, _), _)| held.user == key.user)
                    .map(|(order, claim)| (*order, *claim)).collect();
                prop_assert_eq!(of_user, expected);
                let after: Vec<_> = table.after(Some(key)).map(Row::order).collect();
                let expected: Vec<_> = model.keys().filter(|(held, _)| *held > key).copied().collect();
                prop_assert_eq!(after, expected);
                let own: Vec<_> = table.own(Some(key)).map(Row::order).collect();
                let expected = model.keys().filter(|(held, slot)| *held > key && *slot == SlotId::OWN);
                prop_assert_eq!(own, expected.copied().collect::<Vec<_>>());
            }
            prop_assert_eq!(table.own(None).count(), model.keys().filter(|(_, slot)| *slot == SlotId::OWN).count());
            prop_assert_eq!(table.after(None).count(), model.len());
        }
    }

    #[test]
    fn a_thousand_devices_of_the_last_user_do_not_make_it_grow_without_end() {
        let mut table = Table::new(0);
        for device in 0..1_000 {
            table.put(Row::new(key(u64::MAX, device), claim(1), SlotId(0)));
        }
        table.check();
        assert!(table.rows.len() < 4_000, "{} rows", table.rows.len());
        assert_eq!(table.user(UserHash { high: u64::MAX, low: 0 }).count(), 1_000);
    }

    /// Spread like hashes.
    fn spread(number: u64) -> u64 {
        crate::hash::mix(number)
    }

    #[test]
    fn a_table_that_has_grown_owns_no_more_memory_than_its_load_says() {
        for seed in 0..20 {
            let mut table = Table::new(0);
            for number in 0..3_000 {
                table.put(Row::new(key(spread(seed << 32 | number), 0), claim(1), SlotId(0)));
                let allowed = table.places + 64;
                assert!(table.rows.capacity() <= allowed, "{} of {allowed}", table.rows.capacity());
            }
        }
    }

    #[test]
    fn rows_that_arrive_in_order_find_their_places_free() {
        let mut keys: Vec<_> = (0..20_000).map(|number| key(spread(number), 0)).collect();
        keys.sort_unstable();
        let mut table = Table::new(0);
        let per_hash = keys.len() as f64 / u64::MAX as f64;
        let mut resized = 0;
        for key in keys {
            let before = table.places;
            table.expect(key.user, per_hash);
            resized += usize::from(table.places != before);
            let (at, _) = table.find((key, SlotId(0)));
            assert!(at - table.place(key.user) < 200, "{at} is far from {}", table.place(key.user));
            table.put(Row::new(key, claim(1), SlotId(0)));
        }
        table.check();
        assert_eq!(resized, 1, "the first one makes room for all");
    }

    #[test]
    fn a_sweep_of_a_quarter_of_the_rows_leaves_no_more_than_the_budget() {
        let mut table = Table::new(0);
        for number in 0..12_000 {
            let slot = SlotId(if number % 4 == 0 { 3 } else { 1 });
            table.put(Row::new(key(spread(number), 0), claim(1), slot));
        }
        table.sweep(|slot| slot == SlotId(3));
        let bytes = table.rows.capacity() * size_of::<Row>();
        assert!(bytes < 70 * table.rows(), "{} bytes a row", bytes / table.rows());
        table.check();
    }

    #[test]
    fn an_emptied_table_gives_its_memory_back() {
        let mut table = Table::new(0);
        for high in 0..1_000 {
            table.put(Row::new(key(high << 50, 0), claim(1), SlotId(3)));
        }
        assert_eq!(table.sweep(|slot| slot == SlotId(3)), 1_000);
        assert_eq!((table.rows(), table.rows.capacity()), (0, 0));
    }
}
