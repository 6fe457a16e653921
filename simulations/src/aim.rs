//! Whom a push is for.

use crate::id::{ClientIndex, user_of};

/// Whom a push is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aim {
    /// One client.
    Client(ClientIndex),
    /// All clients of a user.
    User(usize),
    /// Everybody.
    All,
}

impl Aim {
    /// Whether a client is among those that are meant.
    pub(crate) fn includes(self, client: ClientIndex) -> bool {
        match self {
            Aim::Client(wanted) => wanted == client,
            Aim::User(user) => user_of(client) == user,
            Aim::All => true,
        }
    }
}
