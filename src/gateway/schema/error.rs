//! An error, and what stands beside it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::Word;

/// Why a call, or a line of a stream, did not do what it should.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct ErrorBody {
    /// A word for programs, which never changes.
    #[cfg_attr(test, schema(value_type = ErrorCode))]
    pub code: Word<ErrorCode>,
    /// What is wrong and what to do, for people.
    #[cfg_attr(test, schema(value_type = String))]
    pub message: Cow<'static, str>,
}

/// The answer of a call that did not do what it should, with what is known all the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused<T> {
    /// Why.
    pub error: ErrorBody,
    /// What the answer would have been. Absent when nothing was tried.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub details: Option<T>,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident = $word:literal,)*) => {
        /// Why. The list with the status of each stands in docs/PROTOCOL.md, section 2.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[cfg_attr(test, derive(utoipa::ToSchema))]
        pub enum ErrorCode {
            $($(#[$doc])* #[serde(rename = $word)] $code,)*
        }

        impl ErrorCode {
            /// The word, as callers and metrics see it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(ErrorCode::$code => $word,)*
                }
            }
        }
    };
}

codes! {
    /// The request cannot be understood.
    BadRequest = "bad_request",
    /// The resume token is not one of this user and this cluster.
    BadResume = "bad_resume",
    /// No or wrong credentials.
    Unauthorized = "unauthorized",
    /// The credentials are good, but not for this.
    Forbidden = "forbidden",
    /// No such route.
    NotFound = "not_found",
    /// Nobody to deliver to.
    NoSession = "no_session",
    /// No such member.
    NoNode = "no_node",
    /// The route has other methods.
    MethodNotAllowed = "method_not_allowed",
    /// The device is connected, and the takeover policy lets it stay.
    SessionExists = "session_exists",
    /// Only a dead member is forgotten.
    NotDead = "not_dead",
    /// The id belongs to another message.
    IdReused = "id_reused",
    /// More than a payload, or a line, may have.
    PayloadTooLarge = "payload_too_large",
    /// The URL is too long.
    UriTooLong = "uri_too_long",
    /// The body is packed.
    UnsupportedEncoding = "unsupported_encoding",
    /// No WebSocket handshake where one is needed.
    UpgradeRequired = "upgrade_required",
    /// The user has all the sessions that it may have.
    TooManySessions = "too_many_sessions",
    /// The headers are too long.
    HeadersTooLarge = "headers_too_large",
    /// The body comes in a way that is not understood.
    UnsupportedTransferEncoding = "unsupported_transfer_encoding",
    /// The connection broke during the write.
    Interrupted = "interrupted",
    /// A queue or a bound is full.
    Overloaded = "overloaded",
    /// The node has failed, or hangs.
    NotAlive = "not_alive",
    /// The node does not take clients now, or cannot know yet.
    NotReady = "not_ready",
    /// The node reaches nobody, and cannot know.
    Isolated = "isolated",
    /// The owner did not answer in time.
    Unreachable = "unreachable",
}
