//! The parts below the API, for the benches and the simulations of this repository.
//!
//! Nothing here is part of the crate's contract: it changes with every version, without notice.

pub use crate::directory::{
    Claim, ClaimState, Counts, Delta, Digest, Digests, Directory, Entry, Finding, Head, Holder, Known, Lost,
    MergeError, Owned, Packed, Position, Record, Row, Shards, SlotId, Slots, Snapshot, SnapshotFrame,
    Standing, Table, View, news,
};
pub use crate::gateway::schema;
pub use crate::key::{DeviceHash, Key, KeyHasher, UserHash};
pub use crate::membership::effect::Effect;
pub use crate::membership::incarnation::decide as decide_incarnation;
pub use crate::membership::member::{Advert, AdvertState, GossipView, MemberState};
pub use crate::membership::overlay::{Change, Member, Observation, Overlay, OverlayTimers};
pub use crate::membership::roster::{Roster, RosterEntry};
pub use crate::node::{Inside, Observer, Returned};
pub use crate::replica::{Arriving, Claimed, Held, Replica};

/// A function that takes any bytes and panics where a decoder does what it must not, by the name of its fuzz target.
pub type FuzzTarget = (&'static str, fn(&[u8]));

/// All of them.
pub const FUZZ_TARGETS: [FuzzTarget; 10] = [
    ("certificate", crate::mesh::fuzz::certificate),
    ("codec", crate::mesh::fuzz::codec),
    ("envelope", crate::gateway::fuzz::envelope),
    ("gossip", crate::mesh::fuzz::gossip),
    ("hello", crate::mesh::fuzz::hello),
    ("ndjson", crate::gateway::fuzz::ndjson),
    ("resume", crate::token::fuzz::resume),
    ("section", crate::mesh::fuzz::section),
    ("token", crate::token::fuzz::token),
    ("url", crate::gateway::fuzz::url),
];

/// Feeds `data` to the target of that name.
///
/// # Panics
/// When the decoder does what it must not, and when there is no such target.
pub fn fuzz(target: &str, data: &[u8]) {
    let target = FUZZ_TARGETS.iter().find(|(name, _)| *name == target).expect("a target has this name");
    target.1(data);
}
