//! Records in the form in which they travel: one after another, in one run of bytes inside a frame's header.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Something that is written in a run of others, and that says itself where it ends.
pub trait Pack: Sized {
    /// How many bytes it takes at least; more than none.
    const BYTES_MIN: usize;

    /// Appends its bytes.
    fn write(&self, bytes: &mut Vec<u8>);

    /// Reads one from the front of `bytes`, and leaves there what follows. `None`: there is none of ours.
    fn read(bytes: &mut &[u8]) -> Option<Self>;
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
        let mut bytes = Vec::with_capacity(self.0.len() * T::BYTES_MIN);
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
        write!(f, "whole records of at least {} bytes", T::BYTES_MIN)
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Packed<T>, E> {
        let mut rest = bytes;
        let mut records = Vec::with_capacity(bytes.len() / T::BYTES_MIN);
        while !rest.is_empty() {
            let before = rest.len();
            let record = T::read(&mut rest).filter(|_| rest.len() < before);
            records.push(record.ok_or_else(|| E::invalid_length(bytes.len(), &self))?);
        }
        Ok(Packed(records))
    }

    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Packed<T>, E> {
        self.visit_bytes(&bytes)
    }
}
