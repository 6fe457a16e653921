//! The one shape of every error that HTTP callers see.
//!
//! `{"error":{"code":"…","message":"…"}}`: the code is for programs and never changes, the message
//! is for people and says what to do. A push that failed at all of its sessions carries the details
//! beside `error`. The list of codes stands in docs/PROTOCOL.md.

use std::borrow::Cow;
use std::time::Duration;

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::attributes::{AttributesError, BadAttributes};
use crate::gateway::schema::{ErrorBody, ErrorCode, Refused};
use crate::id::IdError;

/// An error answer.
#[derive(Debug, Clone)]
pub(super) struct ApiError {
    code: ErrorCode,
    message: Cow<'static, str>,
    headers: Vec<(HeaderName, &'static str)>,
    retry_after_s: Option<u64>,
    details: Map<String, Value>,
}

impl ApiError {
    fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            headers: headers(code),
            retry_after_s: None,
            details: Map::new(),
        }
    }

    /// Adds the fields of an answer beside `error`.
    pub(super) fn with_details(mut self, details: &impl Serialize) -> Self {
        let Ok(Value::Object(details)) = serde_json::to_value(details) else {
            unreachable!("an answer of texts and numbers is an object");
        };
        debug_assert!(!details.contains_key("error"), "the error itself must stay readable");
        self.details = details;
        self
    }

    /// The code.
    pub(super) fn code(&self) -> &'static str {
        self.code.as_str()
    }

    /// The status of the answer.
    pub(super) fn status(&self) -> StatusCode {
        self.code.status()
    }

    /// Code and message, also for the lines of a stream.
    pub(super) fn body(&self) -> ErrorBody {
        ErrorBody { code: self.code.into(), message: self.message.clone() }
    }

    /// 400: the request cannot be understood.
    pub(super) fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::BadRequest, message)
    }

    /// 400: the resume token is not one of this user and this cluster.
    pub(super) fn bad_resume(message: String) -> Self {
        Self::new(ErrorCode::BadResume, message)
    }

    /// The body is neither the attributes of a session nor a patch for them: 400, or 413 where it is too long.
    pub(super) fn bad_attributes(error: &BadAttributes) -> Self {
        let code = match error {
            BadAttributes::TooLarge { .. } => ErrorCode::AttributesTooLarge,
            BadAttributes::NotUnderstood { .. } | BadAttributes::TooDeep => ErrorCode::BadAttributes,
        };
        Self::new(code, error.to_string())
    }

    /// Attributes were not read or changed.
    pub(super) fn attributes(error: AttributesError) -> Self {
        let code = match error {
            AttributesError::NoSession => ErrorCode::NoSession,
            AttributesError::TooLarge => ErrorCode::AttributesTooLarge,
            AttributesError::Reserved => ErrorCode::ReservedAttribute,
            AttributesError::NotSupported => ErrorCode::NotSupported,
            AttributesError::Overloaded => ErrorCode::Overloaded,
            AttributesError::Unreachable => ErrorCode::Unreachable,
            AttributesError::NotReady | AttributesError::Stopped => ErrorCode::NotReady,
            AttributesError::Isolated => ErrorCode::Isolated,
        };
        Self::new(code, error.to_string())
    }

    /// 401: no or wrong credentials.
    pub(super) fn unauthorized(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::Unauthorized, message)
    }

    /// 403: credentials are good, but not for this.
    pub(super) fn forbidden(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::Forbidden, message)
    }

    /// 404: no such route.
    pub(super) fn not_found() -> Self {
        Self::new(ErrorCode::NotFound, "no such route: GET /openapi.json lists them all")
    }

    /// 404: the route is on another port of this node.
    pub(super) fn elsewhere(flag: &str) -> Self {
        Self::new(ErrorCode::NotFound, format!("this port does not serve that route: use the one of {flag}"))
    }

    /// 404: nobody to deliver to.
    pub(super) fn no_session() -> Self {
        Self::new(
            ErrorCode::NoSession,
            "no session is connected for this target: keep the message and send it when the client is back",
        )
    }

    /// 404: no such member to forget.
    pub(super) fn no_node() -> Self {
        Self::new(
            ErrorCode::NoNode,
            "this node knows no such member, dead or alive, or has forgotten it already: GET /v1/nodes lists them",
        )
    }

    /// 405: the route exists, with other methods. The `Allow` header is the router's.
    pub(super) fn method_not_allowed() -> Self {
        Self::new(
            ErrorCode::MethodNotAllowed,
            "this route does not have that method: use one of the Allow header",
        )
    }

    /// The same for the route of WebSockets, which has one method.
    pub(super) fn only_get() -> Self {
        let mut error = Self::method_not_allowed();
        error.headers.push((header::ALLOW, "GET"));
        error
    }

    /// 409: the device is connected, and the takeover policy lets it stay.
    pub(super) fn session_exists() -> Self {
        Self::new(
            ErrorCode::SessionExists,
            "this device is connected already, and with --takeover reject-newer it stays: wait until it is gone, \
             or pass the resume token of its welcome as ?resume=",
        )
    }

    /// 409: the member is not dead, but as `is` says.
    pub(super) fn not_dead(is: &str) -> Self {
        Self::new(
            ErrorCode::NotDead,
            format!(
                "only a dead member is forgotten, and {is}: stop it, or wait until GET /v1/nodes calls it dead"
            ),
        )
    }

    /// 409: the id belongs to another message.
    pub(super) fn id_reused() -> Self {
        Self::new(
            ErrorCode::IdReused,
            "another message was pushed to this session with the same id, so this one was not written: give each message \
             an id of its own, and send it again only unchanged",
        )
    }

    /// 413: more than a payload may have.
    pub(super) fn payload_too_large(bytes_max: usize) -> Self {
        Self::new(
            ErrorCode::PayloadTooLarge,
            format!("a payload has at most {bytes_max} bytes: send less, or raise --max-payload-bytes"),
        )
    }

    /// The same for a line of a stream, whose bound is another.
    pub(super) fn line_too_large(bytes_max: usize) -> Self {
        Self::new(
            ErrorCode::PayloadTooLarge,
            format!("a line has at most {bytes_max} bytes: send less, or raise --max-payload-bytes"),
        )
    }

    /// 414: the URL is too long.
    pub(super) fn uri_too_long(bytes_max: usize) -> Self {
        Self::new(
            ErrorCode::UriTooLong,
            format!(
                "path and query have at most {bytes_max} bytes: shorten them, and pass a long token as Authorization header"
            ),
        )
    }

    /// 415: the body is packed.
    pub(super) fn unsupported_encoding() -> Self {
        Self::new(
            ErrorCode::UnsupportedEncoding,
            "bodies are taken as they are, because clients get them so: send it without Content-Encoding",
        )
    }

    /// 415: the body is of another type.
    pub(super) fn unsupported_media_type(media_type: &str) -> Self {
        Self::new(
            ErrorCode::UnsupportedMediaType,
            format!("the body of this call is `Content-Type: {media_type}`: send it as that"),
        )
    }

    /// 426: `/v1/ws` without a WebSocket handshake.
    pub(super) fn upgrade_required(message: &'static str) -> Self {
        Self::new(ErrorCode::UpgradeRequired, message)
    }

    /// 429: the user has all the sessions it may have.
    pub(super) fn too_many_sessions(sessions_max: usize) -> Self {
        Self::new(
            ErrorCode::TooManySessions,
            format!(
                "a user has at most {sessions_max} sessions: close one, or connect with the device of one to take it over"
            ),
        )
    }

    /// 429: clients connect more often than they may.
    pub(super) fn too_many_requests(wait: Duration) -> Self {
        Self::again_in(wait, "clients connect too often from this address, or for this user")
    }

    /// 429: two clients take one session from each other.
    pub(super) fn contended(wait: Duration) -> Self {
        Self::again_in(wait, "two clients take this session from each other: give each its own device")
    }

    fn again_in(wait: Duration, why: &str) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let message = format!("{why}: try again in {seconds} s");
        Self { retry_after_s: Some(seconds), ..Self::new(ErrorCode::TooManyRequests, message) }
    }

    /// 431: the headers are too long.
    pub(super) fn headers_too_large(bytes_max: usize) -> Self {
        Self::new(
            ErrorCode::HeadersTooLarge,
            format!("all headers together have at most {bytes_max} bytes: send fewer or shorter ones"),
        )
    }

    /// 501: the body comes in a way that nobody here understands.
    pub(super) fn unsupported_transfer_encoding() -> Self {
        Self::new(
            ErrorCode::UnsupportedTransferEncoding,
            "`chunked` is the only transfer coding that is understood: send the body with it alone, or with a \
             Content-Length",
        )
    }

    /// 502: the connection broke during the write.
    pub(super) fn interrupted() -> Self {
        Self::new(
            ErrorCode::Interrupted,
            "the client's connection broke during the write, so it may or may not have the message: \
             send it again with the same Idempotency-Key",
        )
    }

    /// 503: a queue or a bound is full.
    pub(super) fn overloaded(message: &'static str) -> Self {
        Self::new(ErrorCode::Overloaded, message)
    }

    /// 503: the node has failed, or hangs.
    pub(super) fn not_alive(message: String) -> Self {
        Self::new(ErrorCode::NotAlive, message)
    }

    /// 503: the node does not take clients now.
    pub(super) fn not_ready(phase: &str) -> Self {
        Self::new(
            ErrorCode::NotReady,
            format!("this node is {phase}: try again in a second, or use another node"),
        )
    }

    /// 503: the node has not joined its cluster yet, and does not know what the others know.
    pub(super) fn joining() -> Self {
        Self::not_ready("joining")
    }

    /// 503: the node reaches nobody, and does not know what the others know.
    pub(super) fn isolated() -> Self {
        Self::new(
            ErrorCode::Isolated,
            "this node reaches no other node of the cluster, so it cannot know: ask another node",
        )
    }

    /// 504: the owner did not answer in time.
    pub(super) fn unreachable() -> Self {
        Self::new(
            ErrorCode::Unreachable,
            "the node that holds the session did not answer in time, so the client may or may not have the \
             message: send it again with the same Idempotency-Key",
        )
    }

    /// 504: no other node is known to hold what was pushed.
    pub(super) fn not_stored() -> Self {
        Self::new(
            ErrorCode::NotStored,
            "no client has acknowledged the message, and no other node is known to hold it in memory; it may still arrive: \
             send it again with the same Idempotency-Key",
        )
    }
}

/// A request that cannot be understood: what is wrong with it and what to do, for people.
#[derive(Debug, Clone)]
pub(super) struct BadRequest(pub(super) Cow<'static, str>);

impl BadRequest {
    /// What is wrong.
    pub(super) fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self(message.into())
    }
}

impl From<IdError> for BadRequest {
    fn from(error: IdError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<BadRequest> for ApiError {
    fn from(BadRequest(message): BadRequest) -> Self {
        Self::bad_request(message)
    }
}

impl From<IdError> for ApiError {
    fn from(error: IdError) -> Self {
        BadRequest::from(error).into()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let details = (!self.details.is_empty()).then_some(self.details);
        let body = Refused { error: ErrorBody { code: self.code.into(), message: self.message }, details };
        let mut response = (self.code.status(), Json(body)).into_response();
        for (name, value) in self.headers {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response.extensions_mut().insert(self.code); // For metrics.
        response
    }
}

/// What an answer with that code has in its head, beside what all answers have. The `Allow` of
/// [`ErrorCode::MethodNotAllowed`] is the router's.
pub(super) fn headers(code: ErrorCode) -> Vec<(HeaderName, &'static str)> {
    match code {
        ErrorCode::Unauthorized => vec![(header::WWW_AUTHENTICATE, "Bearer")],
        ErrorCode::UnsupportedEncoding => vec![(header::ACCEPT_ENCODING, "identity")],
        ErrorCode::UnsupportedMediaType => vec![
            (header::ACCEPT, "application/json"), // Of a PUT, and the next one of a PATCH.
            (ACCEPT_PATCH, "application/merge-patch+json"),
        ],
        ErrorCode::UpgradeRequired => vec![
            (header::UPGRADE, "websocket"),
            (header::CONNECTION, "upgrade"),
            (header::SEC_WEBSOCKET_VERSION, "13"),
        ],
        ErrorCode::Overloaded | ErrorCode::NotReady | ErrorCode::NotSupported | ErrorCode::Isolated => {
            vec![(header::RETRY_AFTER, "1")]
        }
        _ => Vec::new(),
    }
}

/// Source: RFC 5789 section 3.1.
const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    async fn body(error: ApiError) -> (StatusCode, axum::http::HeaderMap, Value) {
        let response = error.into_response();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        (parts.status, parts.headers, serde_json::from_slice(&bytes).unwrap())
    }

    #[tokio::test]
    async fn every_error_has_the_same_body_with_its_own_code_and_status() {
        let errors = [
            (ApiError::bad_request("x"), 400, "bad_request"),
            (ApiError::bad_resume("x".to_owned()), 400, "bad_resume"),
            (ApiError::unauthorized("x"), 401, "unauthorized"),
            (ApiError::forbidden("x"), 403, "forbidden"),
            (ApiError::not_found(), 404, "not_found"),
            (ApiError::no_session(), 404, "no_session"),
            (ApiError::no_node(), 404, "no_node"),
            (ApiError::method_not_allowed(), 405, "method_not_allowed"),
            (ApiError::session_exists(), 409, "session_exists"),
            (ApiError::not_dead("it is alive"), 409, "not_dead"),
            (ApiError::id_reused(), 409, "id_reused"),
            (ApiError::payload_too_large(1), 413, "payload_too_large"),
            (ApiError::uri_too_long(1), 414, "uri_too_long"),
            (ApiError::bad_attributes(&BadAttributes::TooDeep), 400, "bad_attributes"),
            (ApiError::bad_attributes(&BadAttributes::TooLarge { len: 9 }), 413, "attributes_too_large"),
            (ApiError::attributes(AttributesError::NoSession), 404, "no_session"),
            (ApiError::attributes(AttributesError::TooLarge), 413, "attributes_too_large"),
            (ApiError::attributes(AttributesError::Reserved), 409, "reserved_attribute"),
            (ApiError::attributes(AttributesError::NotSupported), 503, "not_supported"),
            (ApiError::attributes(AttributesError::Overloaded), 503, "overloaded"),
            (ApiError::attributes(AttributesError::Unreachable), 504, "unreachable"),
            (ApiError::attributes(AttributesError::NotReady), 503, "not_ready"),
            (ApiError::attributes(AttributesError::Isolated), 503, "isolated"),
            (ApiError::unsupported_media_type("application/json"), 415, "unsupported_media_type"),
            (ApiError::unsupported_encoding(), 415, "unsupported_encoding"),
            (ApiError::upgrade_required("x"), 426, "upgrade_required"),
            (ApiError::too_many_sessions(1), 429, "too_many_sessions"),
            (ApiError::too_many_requests(Duration::from_millis(1_200)), 429, "too_many_requests"),
            (ApiError::headers_too_large(1), 431, "headers_too_large"),
            (ApiError::unsupported_transfer_encoding(), 501, "unsupported_transfer_encoding"),
            (ApiError::interrupted(), 502, "interrupted"),
            (ApiError::overloaded("x"), 503, "overloaded"),
            (ApiError::not_ready("draining"), 503, "not_ready"),
            (ApiError::isolated(), 503, "isolated"),
            (ApiError::unreachable(), 504, "unreachable"),
        ];
        for (error, status, code) in errors {
            let (found, headers, body) = body(error).await;
            assert_eq!(found.as_u16(), status, "{code}");
            assert_eq!(body["error"]["code"], code);
            assert!(!body["error"]["message"].as_str().unwrap().is_empty());
            let waits = status == 503 || code == "too_many_requests";
            assert_eq!(headers.contains_key(header::RETRY_AFTER), waits, "{code}");
            assert_eq!(headers.contains_key(header::WWW_AUTHENTICATE), status == 401, "{code}");
            assert_eq!(
                headers.contains_key(header::ACCEPT_ENCODING),
                code == "unsupported_encoding",
                "{code}"
            );
            assert_eq!(headers.contains_key(ACCEPT_PATCH), code == "unsupported_media_type", "{code}");
            assert_eq!(headers.contains_key(header::SEC_WEBSOCKET_VERSION), status == 426, "{code}");
        }
    }

    #[tokio::test]
    async fn details_stand_beside_the_error() {
        let details = json!({ "id": "m1", "sessions": [] });
        let (_, _, body) = body(ApiError::no_session().with_details(&details)).await;
        assert_eq!(body["error"]["code"], "no_session");
        assert_eq!(body["id"], "m1");
    }
}
