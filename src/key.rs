//! Session keys in the form in which the directory keeps them: hashed, and of one size.
//!
//! A user becomes 128 bits and a device 64 bits by SipHash-2-4 (Aumasson, Bernstein 2012) under a key
//! that all nodes of a cluster share, so that a replica spends the same few bytes on every session
//! and nobody outside can choose users that collide. By chance two of ten million users meet once in
//! 10^24 clusters. Only the owner of a session keeps its names; it compares them before it delivers,
//! so that even a collision would end in `no_session` and not at a stranger.

use std::fmt;

use serde::{Deserialize, Serialize};
use siphasher::{sip, sip128};

use crate::id::{DeviceId, SessionKey, UserId};

/// A hashed user. Its order is that of its bits, the same on every node of a cluster.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UserHash {
    /// The upper half: decides the shard and the place in it.
    pub high: u64,
    /// The lower half.
    pub low: u64,
}

/// A hashed device, apart from its user.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeviceHash(pub u64);

/// A hashed [`SessionKey`]. Ordered by user, then by device.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Key {
    /// The user.
    pub user: UserHash,
    /// The device.
    pub device: DeviceHash,
}

/// Hashes the session keys of one cluster.
#[derive(Clone)]
pub struct KeyHasher {
    users: sip128::SipHasher24,
    devices: sip::SipHasher24,
}

impl KeyHasher {
    /// The hasher of the cluster whose nodes share `key`.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        let [users, devices] = [0, 16].map(|at| {
            let mut half = [0; 16];
            half.copy_from_slice(&key[at..at + 16]);
            half
        });
        Self {
            users: sip128::SipHasher24::new_with_key(&users),
            devices: sip::SipHasher24::new_with_key(&devices),
        }
    }

    /// Hashes a user.
    #[must_use]
    pub fn user(&self, user: &UserId) -> UserHash {
        let hash = self.users.hash(user.as_str().as_bytes());
        UserHash { high: hash.h1, low: hash.h2 }
    }

    /// Hashes a device.
    #[must_use]
    pub fn device(&self, device: &DeviceId) -> DeviceHash {
        DeviceHash(self.devices.hash(device.as_str().as_bytes()))
    }

    /// Hashes both parts.
    #[must_use]
    pub fn key(&self, key: &SessionKey) -> Key {
        Key { user: self.user(&key.user), device: self.device(&key.device) }
    }
}

/// The key of the cluster is part of it.
impl fmt::Debug for KeyHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHasher(..)")
    }
}

impl Key {
    /// Bytes of a key: 128 bits of user, 64 of device.
    pub const BYTES: usize = 24;

    /// The bytes, big endian, in the order of the fields: they compare like the keys.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        for (chunk, part) in bytes.chunks_exact_mut(8).zip([self.user.high, self.user.low, self.device.0]) {
            chunk.copy_from_slice(&part.to_be_bytes());
        }
        bytes
    }

    /// The key of these bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let part = |at: usize| {
            let mut part = [0; 8];
            part.copy_from_slice(&bytes[at..at + 8]);
            u64::from_be_bytes(part)
        };
        Self { user: UserHash { high: part(0), low: part(8) }, device: DeviceHash(part(16)) }
    }
}

impl fmt::Display for UserHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.high, self.low)
    }
}

impl fmt::Debug for UserHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for DeviceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for DeviceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(user: &str, device: &str) -> SessionKey {
        SessionKey::new(UserId::new(user).unwrap(), DeviceId::new(device).unwrap())
    }

    #[test]
    fn the_hash_is_that_of_the_paper_so_that_versions_agree() {
        // The first vectors of the reference implementation: key 00..0f, message 00.
        let bytes = std::array::from_fn(|at| (at % 16) as u8);
        let hasher = KeyHasher::new(&bytes);
        assert_eq!(hasher.devices.hash(&[0]), 0x74f8_39c5_93dc_67fd);
        assert_eq!(
            hasher.users.hash(&[0]).h1.to_le_bytes(),
            [0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44]
        );
    }

    #[test]
    fn clusters_hash_differently_and_both_parts_count() {
        let [ours, theirs] = [[1; 32], [2; 32]].map(|key| KeyHasher::new(&key));
        assert_ne!(ours.key(&key("u", "d")), theirs.key(&key("u", "d")));
        assert_eq!(ours.key(&key("u", "d")), ours.clone().key(&key("u", "d")));
        assert_ne!(ours.key(&key("u", "d")), ours.key(&key("u", "e")));
        assert_ne!(ours.key(&key("u", "d")), ours.key(&key("v", "d")));
    }

    #[test]
    fn the_bytes_of_a_key_give_it_back_and_compare_like_it() {
        let hasher = KeyHasher::new(&[7; 32]);
        let [a, b] = [key("a", "x"), key("b", "y")].map(|key| hasher.key(&key));
        assert_eq!(Key::from_bytes(&a.to_bytes()), a);
        assert_eq!(a.cmp(&b), a.to_bytes().cmp(&b.to_bytes()));
    }
}
