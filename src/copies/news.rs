//! What a session is to be told of its copies.

use crate::id::Stamp;
use crate::key::Key;
use crate::position::Position;
use crate::quorum::Fence;

/// What a session is to be told.
#[derive(Debug)]
pub(super) enum News {
    /// Others hold a message.
    Stored {
        /// Of that session.
        key: Key,
        /// For the claim with that stamp.
        claim: Stamp,
        /// Where it stands.
        at: Position,
    },
    /// Others know what the session follows.
    Followed {
        /// The session.
        key: Key,
        /// The stamp of its claim.
        claim: Stamp,
    },
    /// The session was taken over for that claim.
    Deposed {
        /// The session.
        key: Key,
        /// The claim.
        fence: Fence,
    },
}
