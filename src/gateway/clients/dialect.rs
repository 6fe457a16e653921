//! What the frames of a client mean, how messages look to it, and what its session's end is called: one file for each
//! subprotocol. How any of that is framed is the transport's business. Which dialect a client gets is chosen in
//! `choice.rs`.
//!
//! | subprotocol | dialect |
//! |---|---|
//! | none | `plain.rs`: bare payloads |
//! | `pushmesh.v1` | `v1.rs`: JSON envelopes |

use crate::handler::SessionInfo;
use crate::id::Stamp;
use crate::metrics::label::ClientError;
use crate::push::{Message, Payload};
use crate::session::CloseReason;
use crate::token::ResumeKey;

mod choice;
mod plain;
pub(in crate::gateway) mod v1;

#[cfg(test)]
pub(super) use choice::named;
pub(super) use choice::offered;

/// What one client speaks.
pub(super) trait Dialect: Send + Sync {
    /// Its name in `Sec-WebSocket-Protocol`.
    fn subprotocol(&self) -> Option<&'static str>;

    /// The first frame of a session, if there is one. `resume` signs what the client comes back with.
    fn welcome(&self, info: &SessionInfo, stamp: Stamp, resume: &ResumeKey) -> Option<Payload>;

    /// The frame of a message.
    fn message(&self, pushed: &Message) -> Payload;

    /// What a frame of the client means.
    fn heard(&self, payload: Payload) -> Heard;

    /// What the client is told when its session ends for this reason. Unless a dialect says otherwise, the
    /// code and the text of docs/PROTOCOL.md.
    fn close(&self, reason: &CloseReason) -> Close {
        Close { code: reason.code(), text: reason.text() }
    }
}

/// What a client is told when its session ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Close {
    /// For programs.
    pub(super) code: u16,
    /// For people, or whatever the code needs. What does not fit the transport is cut off.
    pub(super) text: String,
}

/// What a client says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Something for the application.
    Message(Payload),
    /// It has a message.
    Ack,
    /// Something that is answered here.
    Question {
        /// With this.
        answer: Payload,
    },
    /// It is not understood. Some of that is forgiven.
    Nonsense {
        /// What is wrong.
        code: ClientError,
        /// What the client is told.
        answer: Payload,
    },
    /// It must not be said, and ends the session.
    Refused {
        /// What is wrong.
        code: ClientError,
        /// What the client is told.
        reason: &'static str,
    },
}
