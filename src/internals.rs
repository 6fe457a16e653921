//! The parts below the API, for the benches and the simulations of this repository.
//!
//! Nothing here is part of the crate's contract: it changes with every version, without notice.

pub use crate::directory::{
    Claim, ClaimState, Counts, Delta, Digest, Directory, Entry, Head, Holder, Known, Lost, MergeError, Owned,
    Packed, Position, Record, Row, Shards, SlotId, Slots, Snapshot, SnapshotFrame, Standing, Table, View,
};
pub use crate::key::{DeviceHash, Key, KeyHasher, UserHash};
pub use crate::node::{Inside, Observer};
pub use crate::replica::{Arriving, Claimed, Held, Replica};
