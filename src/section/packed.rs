//! Records in the form in which they travel: one after another, in one run of bytes inside a frame's header.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Something that is written as a fixed number of bytes.
pub trait Pack: Sized {
    /// How many.
    const BYTES: usize;

    /// Appends them.
    fn write(&self, bytes: &mut Vec<u8>);

    /// Reads them; `None` when they are none of ours. `bytes` has exactly [`Pack::BYTES`].
    fn read(bytes: &[u8]) -> Option<Self>;
}

/// A list of records, packed on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed<T>(pub Vec<T>);

impl<T> Default for Packed<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Pack> Serialize for Packed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::with_capacity(self.0.len() * T::BYTES);
        self.0.iter().for_each(|record| record.write(&mut bytes));
        serializer.serialize_bytes(&bytes)
    }
}

impl<'de, T: Pack> Deserialize<'de> for Packed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_byte_buf(Records(PhantomData))
    }
}

struct Records<T>(PhantomData<T>);

impl<T: Pack> Visitor<'_> for Records<T> {
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
