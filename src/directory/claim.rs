//! One claim of ownership, and the hash that makes two maps of claims comparable.
//!
//! The hash of a section is the XOR of the hashes of its entries, so that it follows every write in
//! constant time and does not depend on order. The entry hash is FNV-1a over the key and the claim,
//! finished with the mixer of SplitMix64 (Steele, Lea, Flood 2014), because XOR needs well-spread
//! bits.

use serde::{Deserialize, Serialize};

use crate::hash;
use crate::id::{SessionKey, Stamp};

/// A node's claim to own a session key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claim {
    /// Orders the claims of one key.
    pub(crate) stamp: Stamp,
    /// What the owner says of the connection.
    pub(crate) state: ClaimState,
}

/// What the owner of a claim says of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ClaimState {
    /// A socket is open.
    Connected,
    /// No socket, but the session is kept for a resume.
    Parked,
    /// The owner is stopping and will close the socket.
    Draining,
}

impl Claim {
    /// The hash of the entry `key -> self`.
    pub(crate) fn hash(&self, key: &SessionKey) -> u64 {
        // No id contains a control character, so that a zero separates.
        let mut hash = hash::fnv1a(key.user.as_str().as_bytes());
        hash = hash::extend(hash, &[0]);
        hash = hash::extend(hash, key.device.as_str().as_bytes());
        hash = hash::extend(hash, &[0, self.state as u8]);
        hash = hash::extend(hash, &self.stamp.raw().to_be_bytes());
        hash::mix(hash)
    }
}
