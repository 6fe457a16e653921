//! What the frames of a client mean, how messages look to it, and what its session's end is called: one file for each
//! subprotocol. How any of that is framed is the transport's business.
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

mod plain;
pub(in crate::gateway) mod v1;

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

/// The dialect with that subprotocol, if there is one.
#[cfg(test)]
pub(super) fn named(subprotocol: Option<&str>) -> &'static dyn Dialect {
    DIALECTS.iter().find(|dialect| dialect.subprotocol() == subprotocol).copied().unwrap_or(&plain::Plain)
}

/// The dialect of a client that offers those whose names `offers` is true for: the first one here, or bare payloads.
pub(super) fn offered(offers: impl Fn(&str) -> bool) -> &'static dyn Dialect {
    let offered = |dialect: &&&dyn Dialect| dialect.subprotocol().is_some_and(&offers);
    DIALECTS.iter().find(offered).copied().unwrap_or(&plain::Plain)
}

/// Those that a client has to ask for.
static DIALECTS: [&dyn Dialect; 1] = [&v1::V1];

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::id::MessageId;

    #[test]
    fn a_dialect_is_spoken_where_it_is_offered_by_its_exact_name() {
        let asked = |offers: &[&str]| offered(|name| offers.contains(&name)).subprotocol();
        assert_eq!(asked(&["graphql-ws", "pushmesh.v1"]), Some("pushmesh.v1"));
        for none in [&[][..], &["PUSHMESH.V1"], &["pushmesh.v2", "mqtt"]] {
            assert_eq!(asked(none), None, "{none:?}");
        }
    }

    #[test]
    fn both_dialects_close_with_the_documented_codes() {
        let restarting = Close { code: 1012, text: "{\"retry_ms\":7}".to_owned() };
        let kicked = Close { code: 4002, text: "kicked".to_owned() };
        for dialect in [named(None), named(Some("pushmesh.v1"))] {
            assert_eq!(dialect.close(&CloseReason::Restarting { retry_ms: 7 }), restarting);
            assert_eq!(dialect.close(&CloseReason::Kicked), kicked);
        }
    }

    #[test]
    fn a_message_is_encoded_once_however_many_sessions_get_it() {
        let message = Arc::new(Message::new(MessageId::new("m").unwrap(), false, Payload::text("hello")));
        let dialect = DIALECTS[0];
        let first = dialect.message(&message);
        let second = dialect.message(&message.kept());
        assert_eq!(first.bytes.as_ptr(), second.bytes.as_ptr());
        let bare = plain::Plain.message(&message);
        assert_eq!(bare.bytes.as_ptr(), message.payload.bytes.as_ptr());
    }
}
