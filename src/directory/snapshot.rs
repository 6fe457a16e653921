//! A whole section on its way to a peer, while its owner goes on writing.
//!
//! ```text
//!   Begin{position b} ─► Chunk* ─► Delta* ─► End{digest e, count}
//! ```
//!
//! The chunks are read one by one, each at whatever version the section has reached by then, so that
//! nobody has to copy or lock a large map. The deltas `(b, e]` follow and mend the difference: a
//! key written since `b` gets its value at `e`, and a key not written since `b` was the same in
//! every chunk. So the result is exactly the owner's map at `e`, which its hash confirms.
//!
//! The receiver writes the rows under a slot that nobody sees (see [`Slots`](crate::directory::Slots)).
//! At `End` that slot takes the place of the one before, in one step: what the old copy had and the
//! snapshot has not is swept with the old slot.

use serde::{Deserialize, Serialize};

use crate::directory::{Delta, Entry, Head, Row, Shards, SlotId};
use crate::id::NodeName;
use crate::key::Key;
use crate::section::{Digest, MergeError, Packed, Position};

/// One frame of a snapshot; the deltas between travel as themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SnapshotFrame {
    /// A snapshot begins; deltas from here on belong to it until its end.
    Begin(Position),
    /// Some entries, in the order of keys.
    Chunk(Packed<Entry>),
    /// All entries and deltas were sent; this is what they have to add up to.
    End {
        /// Position and hash.
        digest: Digest,
        /// Number of entries.
        count: u64,
    },
}

/// A snapshot that is arriving: [`Directory::begin`](crate::directory::Directory::begin) makes one,
/// and one that is not ended has to be given up.
#[derive(Debug)]
pub struct Snapshot {
    pub(super) owner: NodeName,
    pub(super) slot: SlotId,
    pub(super) head: Head,
}

impl Snapshot {
    pub(super) fn new(owner: NodeName, slot: SlotId, position: Position) -> Self {
        Self { owner, slot, head: Head::at(position) }
    }

    /// Whose section it is.
    #[must_use]
    pub fn owner(&self) -> &NodeName {
        &self.owner
    }

    /// Writes the entries of a chunk.
    pub(super) fn fill(&mut self, entries: &[Entry], shards: &mut impl Shards) {
        let per_hash = density(entries);
        for Entry { key, claim } in entries {
            let row = Row::new(*key, *claim, self.slot);
            let before = shards.with(key.user, |view| {
                view.expect(key.user, per_hash);
                view.put(row)
            });
            self.head.replace(key, before, Some(*claim));
        }
    }

    /// Applies a delta that arrived between Begin and End. Its hash says nothing yet, because
    /// chunks may already hold what later deltas bring.
    ///
    /// # Errors
    /// [`MergeError::Gap`] or [`MergeError::Incarnation`] when it does not continue the snapshot.
    pub(super) fn mend(&mut self, delta: &Delta, shards: &mut impl Shards) -> Result<(), MergeError> {
        if self.head.takes(delta)? {
            self.fill(&delta.upserts.0, shards);
            for key in &delta.removes.0 {
                self.remove(*key, shards);
            }
            self.head.digest.position = delta.end();
        }
        Ok(())
    }

    fn remove(&mut self, key: Key, shards: &mut impl Shards) {
        let before = shards.with(key.user, |view| view.take(key, self.slot));
        self.head.replace(&key, before, None);
    }

    /// Whether it stands where End says.
    ///
    /// # Errors
    /// [`MergeError::Order`] when it stands elsewhere, [`MergeError::Diverged`] when the content is
    /// not what the owner has there.
    pub(super) fn check(&self, digest: Digest, count: u64) -> Result<(), MergeError> {
        if self.head.digest.position != digest.position {
            return Err(MergeError::Order);
        }
        if self.head.digest != digest || self.head.len != count {
            return Err(MergeError::Diverged { owner: self.owner.clone(), version: digest.position.version });
        }
        Ok(())
    }
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
