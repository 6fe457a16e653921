//! What the frames of a client mean, how messages look to it, and what its session's end is called: one file for each
//! subprotocol. How any of that is framed is the transport's business. Which dialect a client gets is chosen in
//! `choice.rs`.
//!
//! | subprotocol | dialect |
//! |---|---|
//! | none | `plain.rs`: bare payloads |
//! | `pushmesh.v1` | `v1.rs`: JSON envelopes |

use crate::handler::SessionInfo;
use crate::metrics::label::ClientError;
use crate::position::Segment;
use crate::push::{Message, Payload};
use crate::session::{CloseReason, Notice, Place, Session};
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
    fn welcome(&self, session: &Session, info: &SessionInfo, resume: &ResumeKey) -> Option<Payload>;

    /// Whether sessions can be kept for its clients.
    fn keeps(&self) -> bool {
        false
    }

    /// The frame of a message, which has a place where its session is kept.
    fn message(&self, pushed: &Message, place: Option<&Place>) -> Payload;

    /// The frame of what a client is told between its messages; only where sessions [are kept](Self::keeps).
    fn notice(&self, notice: &Notice) -> Option<Payload> {
        let _ = notice;
        None
    }

    /// What the client is told whose token expires in so many milliseconds.
    fn expiring(&self, in_ms: u64) -> Option<Payload> {
        let _ = in_ms;
        None
    }

    /// What the client is told that has renewed its token, which expires in so many milliseconds.
    fn renewed(&self, in_ms: u64) -> Option<Payload> {
        let _ = in_ms;
        None
    }

    /// What the client is told whose new token is of no use, for this reason.
    fn bad_token(&self, why: &str) -> Option<Payload> {
        let _ = why;
        None
    }

    /// What the client is told that acknowledges what it was not sent.
    fn ack_ahead(&self) -> Option<Payload> {
        None
    }

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

/// Up to where a client has everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) struct Acked {
    /// In which segment; `None`: in the current one.
    pub(in crate::gateway) segment: Option<Segment>,
    /// Up to which number.
    pub(in crate::gateway) number: u64,
}

/// What a client says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Something for the application.
    Message(Payload),
    /// It has a message; with a number, all up to that one.
    Ack(Option<Acked>),
    /// It renews its token with this one.
    Token(String),
    /// It goes for good.
    Bye,
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
