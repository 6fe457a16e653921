//! From an HTTP request to a WebSocket: the server's half of the opening handshake.
//!
//! axum has an extractor for this, but its socket hides the stream, and two things here need it:
//! reading on after a message that is too big, so that the client gets its close code and not a
//! reset, and writing payloads to the socket without copying them into a buffer first.
//!
//! Source: RFC 6455 section 4.2.

use axum::body::{Body, HttpBody};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, general_purpose::PAD};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::gateway::clients::admission::Refusal;
use crate::gateway::clients::dialect::Dialect;
use crate::gateway::error::BadRequest;
use crate::gateway::head::lists;

/// The socket of a client.
pub(super) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// A valid handshake that was not answered yet.
pub(super) struct Upgrade {
    accept: String,
    pending: OnUpgrade,
}

impl Upgrade {
    /// Takes the handshake out of a request that has `body`.
    pub(super) fn new(parts: &mut Parts, body: &Body) -> Result<Self, Refusal> {
        let headers = &parts.headers;
        let asks = lists(headers, header::CONNECTION, |token| token.eq_ignore_ascii_case("upgrade"))
            && lists(headers, header::UPGRADE, |token| token.eq_ignore_ascii_case("websocket"));
        if !asks {
            return Err(Refusal::UpgradeRequired(
                "this is a WebSocket endpoint: connect with ws:// or wss://",
            ));
        }
        if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != VERSION) {
            return Err(Refusal::UpgradeRequired("only version 13 of WebSocket is spoken here"));
        }
        if !body.is_end_stream() {
            return Err(bad_request("a WebSocket handshake has no body: connect without one"));
        }
        let Some(key) = headers.get(header::SEC_WEBSOCKET_KEY) else {
            return Err(bad_request("the Sec-WebSocket-Key header is missing: use a WebSocket client"));
        };
        if !is_nonce(key) {
            return Err(bad_request(
                "the Sec-WebSocket-Key header is not base64 of 16 bytes: use a WebSocket client",
            ));
        }
        let accept = derive_accept_key(key.as_bytes());
        let Some(pending) = parts.extensions.remove::<OnUpgrade>() else {
            return Err(Refusal::UpgradeRequired("a WebSocket needs a connection of HTTP/1.1"));
        };
        Ok(Self { accept, pending })
    }

    /// The answer that completes the handshake with a client that is going to be spoken to in `dialect`.
    pub(super) fn response(&self, dialect: &dyn Dialect) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        let accept = HeaderValue::from_str(&self.accept).expect("base64 is a valid header value");
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        if let Some(name) = dialect.subprotocol() {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(name));
        }
        response
    }

    /// Waits until the answer is sent. Messages of the client have at most `message_bytes_max` bytes.
    pub(super) async fn socket(self, message_bytes_max: usize) -> Result<Socket, hyper::Error> {
        let upgraded = TokioIo::new(self.pending.await?);
        let config = socket_config(message_bytes_max);
        Ok(WebSocketStream::from_raw_socket(upgraded, Role::Server, Some(config)).await)
    }
}

fn bad_request(message: &'static str) -> Refusal {
    BadRequest::new(message).into()
}

/// Whether a client with these headers offers the subprotocol of that name.
pub(super) fn offers(headers: &HeaderMap, subprotocol: &str) -> bool {
    lists(headers, header::SEC_WEBSOCKET_PROTOCOL, |token| token == subprotocol)
}

/// How sockets read and write.
pub(super) fn socket_config(message_bytes_max: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(CONTROL_BUFFER_BYTES)
        .max_message_size(Some(message_bytes_max))
        .max_frame_size(Some(message_bytes_max))
}

/// Whether a `Sec-WebSocket-Key` is what RFC 6455 section 4.2.1 asks for. Its value means nothing,
/// so the spare bits of its last character may be anything.
fn is_nonce(key: &HeaderValue) -> bool {
    let mut nonce = [0; NONCE_CHARS / 4 * 3];
    key.len() == NONCE_CHARS && NONCE.decode_slice(key, &mut nonce) == Ok(NONCE_BYTES)
}

const NONCE: GeneralPurpose = GeneralPurpose::new(&STANDARD, PAD.with_decode_allow_trailing_bits(true));

const VERSION: &str = "13";

/// Bytes of a `Sec-WebSocket-Key`. Source: RFC 6455 section 4.1.
const NONCE_BYTES: usize = 16;
/// Characters of it: base64 with padding.
const NONCE_CHARS: usize = NONCE_BYTES.div_ceil(3) * 4;

/// Allocated for every connection, and filled with zeros whenever its task looks for a message: small
/// ones fit, a long one takes a read for each of these.
const READ_BUFFER_BYTES: usize = 256;
/// Only control frames go through the library's buffer: pongs and the close, 127 bytes each. A
/// client that pings and never reads can make it hold no more than this.
const CONTROL_BUFFER_BYTES: usize = 1 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::error::ApiError;

    fn attempt(headers: &[(&str, &str)]) -> Result<Upgrade, &'static str> {
        attempt_with(headers, "")
    }

    fn attempt_with(headers: &[(&str, &str)], body: &'static str) -> Result<Upgrade, &'static str> {
        let mut request = axum::http::Request::builder().uri("/v1/ws");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        Upgrade::new(&mut parts, &Body::from(body)).map_err(|refusal| ApiError::from(refusal).code())
    }

    #[test]
    fn a_request_that_is_no_handshake_is_told_to_upgrade() {
        assert_eq!(attempt(&[]).err(), Some("upgrade_required"));
        let old = [("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "8")];
        assert_eq!(attempt(&old).err(), Some("upgrade_required"));
        let keyless = [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
        ];
        assert_eq!(attempt(&keyless).err(), Some("bad_request"));
    }

    #[test]
    fn a_subprotocol_is_offered_by_its_exact_name_in_any_of_the_headers() {
        let offers = |protocols: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for protocol in protocols {
                headers.append(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
            }
            offers(&headers, "pushmesh.v1")
        };
        assert!(offers(&["graphql-ws, pushmesh.v1"]));
        assert!(offers(&["other", "pushmesh.v1"]));
        for none in [&[][..], &["PUSHMESH.V1"], &["pushmesh.v2, mqtt"]] {
            assert!(!offers(none), "{none:?}");
        }
    }

    #[test]
    fn a_key_has_to_be_base64_of_16_bytes() {
        let key = |key: &str| is_nonce(&HeaderValue::from_str(key).unwrap());
        assert!(key("dGhlIHNhbXBsZSBub25jZQ=="), "the one of the RFC");
        assert!(key("AAAAAAAAAAAAAAAAAAAAAB=="), "spare bits mean nothing");
        for wrong in [
            "",
            "x",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZQ=",
            "dGhlIHNhbXBsZSBub25jZTE=",
            "AAAAAAAAAAAAAAAAAAAAAAAA",
            "dGhlIHNhbXBsZSBub25j!Q==",
            "dGhlIHNhbXBsZSBub25jZQ== ",
            "dGhlIHNhbXBsZSBub25jZQ==AAAA",
        ] {
            assert!(!key(wrong), "{wrong:?}");
        }
        let handshake = |key| {
            let rest = [
                ("connection", "Upgrade"),
                ("upgrade", "websocket"),
                ("sec-websocket-version", "13"),
                ("sec-websocket-key", key),
            ];
            attempt(&rest).err()
        };
        assert_eq!(handshake("x"), Some("bad_request"));
        let passed = handshake("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(passed, Some("upgrade_required"), "there is no connection behind this request");
    }

    #[test]
    fn a_handshake_has_no_body() {
        let rest = [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        assert_eq!(attempt_with(&rest, "x").err(), Some("bad_request"));
        assert_eq!(
            attempt_with(&rest, "").err(),
            Some("upgrade_required"),
            "there is no connection behind it"
        );
    }
}
