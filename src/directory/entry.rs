//! Claims as the records of a section.
//!
//! ```text
//!   Entry = user (16 bytes)  device (8)  stamp (8)  state (1)        big endian
//!   Key   = user (16 bytes)  device (8)
//! ```
//!
//! Reading them checks nothing but the states.

use crate::directory::{Claim, ClaimState};
use crate::id::Stamp;
use crate::key::Key;
use crate::section::{self, Pack, Record};

/// One key and its claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// Its claim.
    pub claim: Claim,
}

/// The net effect of some claims and releases of one owner.
pub type Delta = section::Delta<Entry>;

/// A frame of a snapshot of claims.
pub type SnapshotFrame = section::SnapshotFrame<Entry>;

impl Entry {
    /// Size on the wire.
    pub const BYTES: usize = Key::BYTES + 8 + 1;
}

impl Record for Entry {
    type Key = Key;

    fn key(&self) -> &Key {
        &self.key
    }

    fn hash(&self) -> u64 {
        self.claim.hash(&self.key)
    }
}

impl Pack for Key {
    const BYTES_MIN: usize = Key::BYTES;

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.to_bytes());
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let key;
        (key, *bytes) = bytes.split_first_chunk()?;
        Some(Key::from_bytes(key))
    }
}

impl Pack for Entry {
    const BYTES_MIN: usize = Self::BYTES;

    fn write(&self, bytes: &mut Vec<u8>) {
        self.key.write(bytes);
        bytes.extend(self.claim.stamp.raw().to_be_bytes());
        bytes.push(self.claim.state as u8);
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let key = Key::read(bytes)?;
        let (stamp, [state, rest @ ..]) = bytes.split_first_chunk()? else { return None };
        *bytes = rest;
        let stamp = Stamp::from_raw(u64::from_be_bytes(*stamp));
        Some(Self { key, claim: Claim { stamp, state: ClaimState::from_byte(*state)? } })
    }
}
