//! One WebSocket connection of a client.
//!
//! The handshake goes through the HTTP client of the other commands and not through tungstenite's
//! own, so that https, errors and above all the body of a refusal are handled in one place.
//!
//! Source: RFC 6455 section 4.1.

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Empty};
use hyper::header::{
    AUTHORIZATION, CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::upgrade::Upgraded;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

use super::args::ListenArgs;
use super::before::Before;
use crate::cli::client::{Answer, ApiError};
use crate::cli::server::{Server, encode};
use crate::gateway::schema::ErrorCode;

/// An open connection.
pub(super) struct Socket {
    stream: WebSocketStream<TokioIo<Upgraded>>,
}

/// What happens on a connection.
#[derive(Debug)]
pub(super) enum Event {
    /// A text or binary frame.
    Message(Message),
    /// The server closed it.
    Closed {
        /// Close code; 1005 where the server sent none.
        code: u16,
        /// Its reason.
        reason: String,
    },
    /// It broke.
    Lost {
        /// How.
        problem: String,
    },
}

/// The server does not want this client, or not now.
#[derive(Debug, thiserror::Error)]
#[error("refused by {url}: {error}")]
pub(super) struct Refused {
    url: String,
    error: ApiError,
}

impl Refused {
    /// Whether the same request may be accepted later.
    pub(super) fn may_pass(&self) -> bool {
        let status = self.error.status;
        // A conflict ends with the session that is in the way, perhaps this client's own former one.
        let crowded = [StatusCode::TOO_MANY_REQUESTS, StatusCode::CONFLICT].contains(&status);
        status.is_server_error() || crowded
    }

    /// Whether it is the resume token that is not wanted.
    pub(super) fn of_resume(&self) -> bool {
        self.error.error.code == ErrorCode::BadResume
    }
}

impl Socket {
    /// Shakes hands, with what the session before has left.
    pub(super) async fn connect(server: &Server, args: &ListenArgs, before: &Before) -> anyhow::Result<Self> {
        timeout(HANDSHAKE_TIMEOUT, Self::handshake(server, args, before))
            .await
            .with_context(|| format!("no answer from {} within {HANDSHAKE_TIMEOUT:?}", server.url()))?
    }

    async fn handshake(server: &Server, args: &ListenArgs, before: &Before) -> anyhow::Result<Self> {
        let key = generate_key();
        let mut request = Request::get(server.url().join(&path(args, before))?)
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, &key);
        if args.envelopes() {
            request = request.header(SEC_WEBSOCKET_PROTOCOL, PROTOCOL);
        }
        if let Some(token) = &args.token {
            // In a header and not in the URL, which proxies log.
            request = request.header(AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        let body = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
        let request =
            request.body(body).map_err(|_| anyhow::anyhow!("the token is not one that a header can hold"))?;
        let response = server.request(request).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let error = Answer::read(response).await?.error();
            return Err(Refused { url: server.url().to_string(), error }.into());
        }
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let accepted = header(SEC_WEBSOCKET_ACCEPT) == Some(derive_accept_key(key.as_bytes()).as_str());
        anyhow::ensure!(accepted, "{} does not answer as a WebSocket server", server.url());
        let agreed = !args.envelopes() || header(SEC_WEBSOCKET_PROTOCOL) == Some(PROTOCOL);
        anyhow::ensure!(agreed, "{} does not speak {PROTOCOL}; try without --json and --keep", server.url());
        let upgraded = hyper::upgrade::on(response).await.context("the connection broke in the handshake")?;
        let stream = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, None).await;
        Ok(Self { stream })
    }

    /// Waits for the next event. Pings are answered on the way; a server that stays silent is
    /// pinged, and given up when that does not help. Cancel-safe.
    pub(super) async fn next(&mut self) -> Event {
        let mut asked = false;
        loop {
            match timeout(SILENCE, self.stream.next()).await {
                Err(_) if asked => {
                    return Event::Lost { problem: format!("silent for {:?}", SILENCE * 2) };
                }
                Err(_) => {
                    asked = true;
                    let ping = self.stream.send(Message::Ping(Bytes::new()));
                    // An error shows when reading; a full socket must not hold us either.
                    let _ = timeout(CLOSE_TIMEOUT, ping).await;
                }
                Ok(Some(Ok(message @ (Message::Text(_) | Message::Binary(_))))) => {
                    return Event::Message(message);
                }
                Ok(Some(Ok(Message::Close(frame)))) => {
                    self.drain().await;
                    let (code, reason) = frame.map_or((NO_CODE, String::new()), |frame| {
                        (u16::from(frame.code), frame.reason.as_str().to_owned())
                    });
                    return Event::Closed { code, reason };
                }
                Ok(Some(Ok(_))) => asked = false,
                Ok(Some(Err(error))) => return Event::Lost { problem: error.to_string() },
                Ok(None) => return Event::Lost { problem: "the stream ended".to_owned() },
            }
        }
    }

    /// Sends a text. A connection that is broken shows when it is read.
    pub(super) async fn say(&mut self, text: String) {
        let _ = timeout(CLOSE_TIMEOUT, self.stream.send(Message::text(text))).await;
    }

    /// Says goodbye for good, and waits a little for the answer.
    pub(super) async fn close(&mut self) {
        let bye = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        let _ = timeout(CLOSE_TIMEOUT, self.stream.close(Some(bye))).await;
        self.drain().await;
    }

    /// Lets the closing handshake finish; what arrives meanwhile is not wanted any more.
    async fn drain(&mut self) {
        let _ = timeout(CLOSE_TIMEOUT, async { while let Some(Ok(_)) = self.stream.next().await {} }).await;
    }
}

/// With a token the user is the token's; without, the one that was asked for.
fn path(args: &ListenArgs, before: &Before) -> String {
    let mut query = Vec::new();
    if let (Some(user), None) = (&args.user, &args.token) {
        query.push(format!("user={}", encode(user.as_str())));
    }
    if let Some(device) = &args.device {
        query.push(format!("device={}", encode(device.as_str())));
    }
    if let Some(keep) = args.keep {
        query.push(format!("keep={keep}"));
    }
    if let Some(resume) = &before.resume {
        query.push(format!("resume={}", encode(resume)));
        let after = before.positions.to_string();
        if !after.is_empty() {
            query.push(format!("after={}", encode(&after)));
        }
    }
    if args.envelopes() {
        query.push("errors=status".to_owned()); // With its message whole.
    }
    match query.is_empty() {
        true => "/v1/ws".to_owned(),
        false => format!("/v1/ws?{}", query.join("&")),
    }
}

/// The subprotocol with envelopes, which carry the ids.
const PROTOCOL: &str = "pushmesh.v1";

/// What RFC 6455 section 7.1.5 calls a close without code.
const NO_CODE: u16 = 1_005;

/// How long connect, TLS and handshake may take together. Guess.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the server may be silent before it is pinged, and again before it is given up. Guess:
/// a little above the default of `--heartbeat-interval`, so that usually the server asks first.
const SILENCE: Duration = Duration::from_secs(30);

/// How long a closing handshake may take. Guess.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
