//! What a section is made of.

use std::fmt::Debug;

use crate::section::Pack;

/// One record of a section. It stands for its key until another record takes its place, or until it is removed.
pub trait Record: Pack + Clone + Eq + Debug {
    /// A section has at most one record of each key.
    type Key: Pack + Clone + Ord + Debug;

    /// Its key.
    fn key(&self) -> &Self::Key;

    /// A hash of the whole record, the same on every node. The hash of a section is the XOR of those of its records, so
    /// that it follows every write in constant time and does not depend on order. So its bits have to be well spread.
    fn hash(&self) -> u64;
}
