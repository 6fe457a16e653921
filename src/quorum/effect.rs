//! What an owner has to do, and what it learns.

use crate::id::Stamp;
use crate::key::Key;
use crate::position::Position;
use crate::quorum::frame::ToMember;
use crate::quorum::group::{Boot, Config, Fence};

/// A session was taken over for that claim: its claim is to be let go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deposed(pub Fence);

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnerEffect<M> {
    /// Send this.
    Send {
        /// To this boot.
        to: Boot,
        /// The frame.
        frame: ToMember<M>,
    },
    /// Tell a session this.
    Tell(News),
    /// These are the members from now on. `orphaned`: all members before are gone, and with them whatever they would have said of
    /// sessions that were taken over.
    Announce {
        /// The members.
        config: Config,
        /// Nobody was left to ask.
        orphaned: bool,
    },
}

/// What a session is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// Enough members have this message.
    Stored {
        /// Whose it is.
        key: Key,
        /// The claim that it is held by.
        claim: Stamp,
        /// Where it stands.
        at: Position,
        /// Its place in the log.
        place: u64,
    },
    /// Enough members know what the session follows.
    Followed {
        /// The session.
        key: Key,
        /// The claim.
        claim: Stamp,
    },
    /// A session was taken over.
    Deposed {
        /// The session.
        key: Key,
        /// The claim.
        fence: Fence,
    },
}
