//! One claim of ownership, and the hash that makes two maps of claims comparable.
//!
//! The hash of a section is the XOR of the hashes of its entries, so that it follows every write in
//! constant time and does not depend on order. The entry hash chains the mixer of SplitMix64
//! (Steele, Lea, Flood 2014) over the words of key and claim, because XOR needs well-spread bits.

use serde::{Deserialize, Serialize};

use crate::hash::mix;
use crate::id::Stamp;
use crate::key::Key;

/// A node's claim to own a session key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Orders the claims of one key.
    pub stamp: Stamp,
    /// What the owner says of the connection.
    pub state: ClaimState,
}

/// What the owner of a claim says of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum ClaimState {
    /// A socket is open.
    Connected = 0,
    /// The same, and under `reject-newer` its client has proven an earlier session: it is the one that pushes follow,
    /// also while the owner of the earlier one does not answer.
    Resumed = 1,
    /// The owner has let go of it for another connection of its client, and releases it soon.
    Yielded = 2,
    /// No socket is open: the owner keeps the session for its client, which is away.
    Parked = 3,
}

impl ClaimState {
    /// Whether the claim keeps nobody else out: nobody is connected by it, or not for long.
    #[must_use]
    pub fn makes_way(self) -> bool {
        matches!(self, Self::Yielded | Self::Parked)
    }

    /// The state of this byte, if it is one.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        [Self::Connected, Self::Resumed, Self::Yielded, Self::Parked]
            .into_iter()
            .find(|state| *state as u8 == byte)
    }

    /// The word in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Resumed => "resumed",
            Self::Yielded => "yielded",
            Self::Parked => "parked",
        }
    }
}

impl Claim {
    /// The hash of the entry `key -> self`.
    #[must_use]
    pub fn hash(&self, key: &Key) -> u64 {
        let words = [key.user.high, key.user.low, key.device.0, self.stamp.raw(), self.state as u64];
        // The constant makes an entry of zeros count; it is the step of SplitMix64.
        words.into_iter().fold(0x9e37_79b9_7f4a_7c15, |hash, word| mix(hash ^ word))
    }
}
