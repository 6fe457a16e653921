//! Entries of a section in the form in which they travel: records of one size, one after another.
//!
//! ```text
//!   Entry = user (16 bytes)  device (8)  stamp (8)  state (1)        big endian
//!   Key   = user (16 bytes)  device (8)
//! ```
//!
//! A list is one run of bytes inside a frame's header: its length says how many, and reading it
//! checks nothing but the states.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::directory::{Claim, ClaimState};
use crate::id::Stamp;
use crate::key::Key;

/// One key and its claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// Its claim.
    pub claim: Claim,
}

/// Something that is written as a fixed number of bytes.
pub trait Record: Sized {
    /// How many.
    const BYTES: usize;

    /// Appends them.
    fn write(&self, bytes: &mut Vec<u8>);

    /// Reads them; `None` when they are none of ours. `bytes` has exactly [`Record::BYTES`].
    fn read(bytes: &[u8]) -> Option<Self>;
}

impl Record for Key {
    const BYTES: usize = Key::BYTES;

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.to_bytes());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        Some(Key::from_bytes(bytes.try_into().ok()?))
    }
}

impl Record for Entry {
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

/// A list of records, packed on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed<T>(pub Vec<T>);

impl<T> Default for Packed<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Record> Serialize for Packed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::with_capacity(self.0.len() * T::BYTES);
        self.0.iter().for_each(|record| record.write(&mut bytes));
        serializer.serialize_bytes(&bytes)
    }
}

impl<'de, T: Record> Deserialize<'de> for Packed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_byte_buf(Records(PhantomData))
    }
}

struct Records<T>(PhantomData<T>);

impl<T: Record> Visitor<'_> for Records<T> {
    type Value = Packed<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "whole records of {} bytes", T::BYTES)
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Packed<T>, E> {
        let records = bytes.chunks(T::BYTES).map(|record| {
            let whole = record.len() == T::BYTES;
            whole.then(|| T::read(record)).flatten().ok_or_else(|| E::invalid_length(bytes.len(), &self))
        });
        records.collect::<Result<_, _>>().map(Packed)
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Packed<T>, E> {
        self.visit_bytes(&bytes)
    }
}
