//! The clients of the fast level: each has one session at most that it knows of.

use pushmesh::id::Stamp;
use pushmesh::internals::{DeviceHash, Key, UserHash};

use crate::model::id::BootId;
use crate::model::plan::{DEVICES, Token};

/// One device of one user.
#[derive(Default)]
pub(super) struct Client {
    /// Its last session: where, and with which stamp.
    pub(super) session: Option<(BootId, Stamp)>,
    /// The stamp of the one before.
    pub(super) former: Option<Stamp>,
}

impl Client {
    /// All clients, none of them connected.
    pub(super) fn all(users: u64) -> Vec<Self> {
        (0..users * DEVICES).map(|_| Self::default()).collect()
    }

    /// The stamp that a token of that kind proves.
    pub(super) fn token(&self, token: Token) -> Option<Stamp> {
        match token {
            Token::None => None,
            Token::Last => self.session.map(|(_, stamp)| stamp),
            Token::Former => self.former,
        }
    }
}

/// The hash of a user, spread as hashes are.
pub(super) fn user_hash(user: u64) -> UserHash {
    UserHash { high: (user + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15), low: user }
}

/// The session of a device.
pub(super) fn key_of(user: u64, device: u64) -> Key {
    Key { user: user_hash(user), device: DeviceHash(device) }
}
