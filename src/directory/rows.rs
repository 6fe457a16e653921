//! The rows of one slot, as what a section puts its entries into.

use crate::directory::{Entry, Lost, Row, Shards, SlotId};
use crate::key::Key;
use crate::section::Store;

/// The rows of a slot to which deltas are merged.
pub(super) struct MergedRows<'a, S> {
    shards: &'a mut S,
    slot: SlotId,
    /// The sessions that this node loses by it.
    pub(super) lost: Vec<Lost>,
}

impl<'a, S: Shards> MergedRows<'a, S> {
    pub(super) fn new(shards: &'a mut S, slot: SlotId) -> Self {
        Self { shards, slot, lost: Vec::new() }
    }
}

impl<S: Shards> Store<Entry> for MergedRows<'_, S> {
    fn put(&mut self, Entry { key, claim }: Entry) -> Option<Entry> {
        let row = Row::new(key, claim, self.slot);
        let before = self.shards.with(key.user, |view| {
            let before = view.put(row);
            self.lost.extend(view.lost(key.user));
            before
        });
        before.map(|claim| Entry { key, claim })
    }

    fn take(&mut self, key: &Key) -> Option<Entry> {
        take(self.shards, *key, self.slot)
    }
}

/// The rows of a slot that a snapshot fills, in the order of keys.
pub(super) struct FilledRows<'a, S> {
    shards: &'a mut S,
    slot: SlotId,
    /// How many rows there are for each value of the upper half of a user's hash.
    per_hash: f64,
}

impl<'a, S: Shards> FilledRows<'a, S> {
    /// For these entries, in the order of keys.
    pub(super) fn new(shards: &'a mut S, slot: SlotId, entries: &[Entry]) -> Self {
        Self { shards, slot, per_hash: density(entries) }
    }
}

impl<S: Shards> Store<Entry> for FilledRows<'_, S> {
    fn put(&mut self, Entry { key, claim }: Entry) -> Option<Entry> {
        let row = Row::new(key, claim, self.slot);
        let before = self.shards.with(key.user, |view| {
            view.expect(key.user, self.per_hash);
            view.put(row)
        });
        before.map(|claim| Entry { key, claim })
    }

    fn take(&mut self, key: &Key) -> Option<Entry> {
        take(self.shards, *key, self.slot)
    }
}

fn take(shards: &mut impl Shards, key: Key, slot: SlotId) -> Option<Entry> {
    shards.with(key.user, |view| view.take(key, slot)).map(|claim| Entry { key, claim })
}

/// How many sessions there are for each value of the upper half of a user's hash, as these entries in
/// the order of keys say: hashes are spread evenly. 0 when they are too few to say.
fn density(entries: &[Entry]) -> f64 {
    let highs = || entries.iter().map(|entry| entry.key.user.high);
    let (Some(first), Some(last)) = (highs().next(), highs().next_back()) else { return 0.0 };
    // A user with very many devices says nothing of the others.
    let mut counted = 0;
    for sessions in entries.chunk_by(|a, b| a.key.user == b.key.user) {
        counted += sessions.len().min(DENSITY_USER_MAX);
    }
    if counted < DENSITY_ENTRIES_MIN || last <= first {
        return 0.0;
    }
    counted as f64 / (last - first) as f64
}

/// Entries that say how dense a section is: to within an eighth, two times out of three.
const DENSITY_ENTRIES_MIN: usize = 64;
/// Sessions of one user that count. Guess: most users have fewer.
const DENSITY_USER_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::{Claim, ClaimState};
    use crate::hash::mix;
    use crate::id::Stamp;
    use crate::key::{DeviceHash, UserHash};

    fn entry(high: u64, device: u64) -> Entry {
        let key = Key { user: UserHash { high, low: 0 }, device: DeviceHash(device) };
        Entry { key, claim: Claim { stamp: Stamp::from_raw(1), state: ClaimState::Connected } }
    }

    /// How many entries there are in all, as a part of them says.
    fn told(entries: &[Entry]) -> f64 {
        density(entries) * u64::MAX as f64
    }

    #[test]
    fn any_chunk_of_a_section_tells_how_large_it_is() {
        let mut entries: Vec<_> = (0..100_000).map(|number| entry(mix(number), 0)).collect();
        entries.sort_unstable_by_key(|entry| entry.key);
        for chunk in entries.chunks_exact(1_024) {
            let told = told(chunk);
            assert!((80_000.0..125_000.0).contains(&told), "{told}");
        }
    }

    #[test]
    fn few_entries_and_a_user_with_many_devices_tell_nothing() {
        assert_eq!(density(&[]), 0.0);
        assert_eq!(density(&[entry(1, 0), entry(2, 0)]), 0.0, "too few");
        let devices: Vec<_> = (0..1_024).map(|device| entry(1, device)).collect();
        assert_eq!(density(&devices), 0.0, "one user");
        let pairs: Vec<_> = (0..1_024).map(|number| entry(1 + number / 512, number)).collect();
        assert_eq!(density(&pairs), 0.0, "two users");
    }
}
