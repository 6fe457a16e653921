//! An error, and what stands beside it.

use std::borrow::Cow;

use axum::http::StatusCode;
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
    ($($(#[$doc:meta])* $code:ident = $status:ident $word:literal,)*) => {
        /// Why. The list with the status of each stands in docs/PROTOCOL.md, section 2.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum ErrorCode {
            $($(#[$doc])* #[serde(rename = $word)] $code,)*
        }

        impl ErrorCode {
            /// All of them.
            #[cfg(test)]
            pub(in crate::gateway) const ALL: &[ErrorCode] = &[$(ErrorCode::$code,)*];

            /// The word, as callers and metrics see it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(ErrorCode::$code => $word,)*
                }
            }

            /// The status of the answers that have the code.
            pub(in crate::gateway) fn status(self) -> StatusCode {
                match self {
                    $(ErrorCode::$code => StatusCode::$status,)*
                }
            }
        }
    };
}

codes! {
    /// The request cannot be understood.
    BadRequest = BAD_REQUEST "bad_request",
    /// The resume token is not one of this user and this cluster.
    BadResume = BAD_REQUEST "bad_resume",
    /// The attributes are no JSON object, or no good one.
    BadAttributes = BAD_REQUEST "bad_attributes",
    /// No or wrong credentials.
    Unauthorized = UNAUTHORIZED "unauthorized",
    /// The credentials are good, but not for this.
    Forbidden = FORBIDDEN "forbidden",
    /// No such route.
    NotFound = NOT_FOUND "not_found",
    /// Nobody to deliver to.
    NoSession = NOT_FOUND "no_session",
    /// No such member.
    NoNode = NOT_FOUND "no_node",
    /// The route has other methods.
    MethodNotAllowed = METHOD_NOT_ALLOWED "method_not_allowed",
    /// The device is connected, and the takeover policy lets it stay.
    SessionExists = CONFLICT "session_exists",
    /// Only a dead member is forgotten.
    NotDead = CONFLICT "not_dead",
    /// The id belongs to another message.
    IdReused = CONFLICT "id_reused",
    /// The login of a session is not changed.
    ReservedAttribute = CONFLICT "reserved_attribute",
    /// More than a payload, or a line, may have.
    PayloadTooLarge = PAYLOAD_TOO_LARGE "payload_too_large",
    /// More than the attributes of a session may have.
    AttributesTooLarge = PAYLOAD_TOO_LARGE "attributes_too_large",
    /// The URL is too long.
    UriTooLong = URI_TOO_LONG "uri_too_long",
    /// The body is packed.
    UnsupportedEncoding = UNSUPPORTED_MEDIA_TYPE "unsupported_encoding",
    /// The body is of another type than the call takes.
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE "unsupported_media_type",
    /// No WebSocket handshake where one is needed.
    UpgradeRequired = UPGRADE_REQUIRED "upgrade_required",
    /// The user has all the sessions that it may have.
    TooManySessions = TOO_MANY_REQUESTS "too_many_sessions",
    /// Clients connect more often than they may.
    TooManyRequests = TOO_MANY_REQUESTS "too_many_requests",
    /// The headers are too long.
    HeadersTooLarge = REQUEST_HEADER_FIELDS_TOO_LARGE "headers_too_large",
    /// The body comes in a way that is not understood.
    UnsupportedTransferEncoding = NOT_IMPLEMENTED "unsupported_transfer_encoding",
    /// The connection broke during the write.
    Interrupted = BAD_GATEWAY "interrupted",
    /// A queue or a bound is full.
    Overloaded = SERVICE_UNAVAILABLE "overloaded",
    /// The node has failed, or hangs.
    NotAlive = SERVICE_UNAVAILABLE "not_alive",
    /// The node does not take clients now, or cannot know yet.
    NotReady = SERVICE_UNAVAILABLE "not_ready",
    /// The node that holds the session is of an earlier version.
    NotSupported = SERVICE_UNAVAILABLE "not_supported",
    /// The node reaches nobody, and cannot know.
    Isolated = SERVICE_UNAVAILABLE "isolated",
    /// The owner did not answer in time.
    Unreachable = GATEWAY_TIMEOUT "unreachable",
    /// It was taken, and is not known to be anywhere but at its owner.
    NotStored = GATEWAY_TIMEOUT "not_stored",
}
