//! Entries of a section in the form in which they travel: records of one size, one after another.
//!
//! ```text
//!   Entry = user (16 bytes)  device (8)  stamp (8)  state (1)        big endian
//!   Key   = user (16 bytes)  device (8)
//! ```
//!
//! A list is one run of bytes inside a frame's header: its length says how many, and reading it
//! checks nothing but the states.

use crate::directory::{Claim, ClaimState};
use crate::id::Stamp;
use crate::key::Key;
use crate::section::Pack;

/// One key and its claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// Its claim.
    pub claim: Claim,
}

impl Pack for Key {
    const BYTES: usize = Key::BYTES;

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.to_bytes());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        Some(Key::from_bytes(bytes.try_into().ok()?))
    }
}

impl Pack for Entry {
    const BYTES: usize = Key::BYTES + 8 + 1;

    fn write(&self, bytes: &mut Vec<u8>) {
        self.key.write(bytes);
        bytes.extend(self.claim.stamp.raw().to_be_bytes());
        bytes.push(self.claim.state as u8);
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (key, rest) = bytes.split_at(Key::BYTES);
        let (stamp, state) = rest.split_at(8);
        let stamp = Stamp::from_raw(u64::from_be_bytes(stamp.try_into().ok()?));
        Some(Self { key: Key::read(key)?, claim: Claim { stamp, state: ClaimState::from_byte(state[0])? } })
    }
}
