//! The order in which all nodes put the names of a cluster, without asking each other.
//!
//! A name's place follows from its hash alone, so that it can also be told of a name that is not in
//! the ring now. The hash spreads names evenly, and with them whatever is chosen by the order:
//! partners of anti-entropy, relays.

use crate::hash;
use crate::id::NodeName;

/// The place of a name. Names with the same hash are ordered too, by themselves.
pub(crate) fn place(name: &NodeName) -> (u64, &NodeName) {
    (ring_hash(name), name)
}

/// Puts names in the order of the ring.
pub(super) fn arrange(names: &mut [NodeName]) {
    names.sort_by_cached_key(|name| (ring_hash(name), name.clone()));
}

/// FNV-1a over the name, then the finaliser of MurmurHash3, because FNV alone hardly spreads names
/// that differ in their last character. Written out: it is the same on every node and in every
/// version, which a hasher of the standard library does not promise.
pub(super) fn ring_hash(name: &NodeName) -> u64 {
    let fnv = hash::fnv1a(name.as_str().as_bytes());
    let mixed = (fnv ^ (fnv >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ (mixed >> 33)
}
