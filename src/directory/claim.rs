//! One claim of ownership, and the hash that makes two maps of claims comparable.
//!
//! The hash of a section is the XOR of the hashes of its entries, so that it follows every write in
//! constant time and does not depend on order. The entry hash is FNV-1a over the key and the claim,
//! finished with the mixer of SplitMix64 (Steele, Lea, Flood 2014), because XOR needs well-spread
//! bits. It guards against our own mistakes, not against an attacker: peers are authenticated.

use serde::{Deserialize, Serialize};

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
        let mut hash = FNV_OFFSET;
        let mut feed = |bytes: &[u8]| {
            for byte in bytes {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME);
            }
        };
        feed(key.user.as_str().as_bytes());
        feed(&[0]); // No id contains a control character, so that this separates.
        feed(key.device.as_str().as_bytes());
        feed(&[0, self.state as u8]);
        feed(&self.stamp.raw().to_be_bytes());
        mix(hash)
    }
}

fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Source: the FNV specification, 64-bit offset basis.
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
/// Source: the FNV specification, 64-bit prime.
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
