//! How a connection ends: what the client is told, and that it gets to know.
//!
//! A socket that is dropped while the client's bytes are unread is reset, and a reset destroys
//! what the client has not read yet. So after the close frame the client's bytes are read and
//! thrown away until it closes its side, or for [`CLOSE_TIMEOUT`](limits::CLOSE_TIMEOUT).

use futures_util::StreamExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tracing::debug;

use super::Connection;
use crate::limits;
use crate::metrics::label::{ClientError, Label as _};
use crate::session::CloseReason;

/// Why and how a connection ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// We close.
    Close(CloseReason),
    /// The client sent what is not a WebSocket frame, or not text: close with this code and word.
    Fail(u16, ClientError),
    /// The client closed; the library's answer is under way.
    Answer,
    /// The client closed as it must not; the library's answer, with this code, is under way. The word is for metrics.
    Refuse(u16, ClientError),
    /// The socket is gone, or takes nothing any more.
    Broken,
}

impl Ending {
    /// What an error of reading means.
    pub(super) fn of(error: &Error) -> Self {
        match error {
            Error::Capacity(_) => Ending::Close(CloseReason::TooBig),
            Error::Utf8(_) => Ending::Fail(1007, ClientError::InvalidUtf8),
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Ending::Broken,
            Error::Protocol(_) => Ending::Fail(1002, ClientError::ProtocolError),
            _ => Ending::Broken,
        }
    }

    /// What the session's end is called.
    pub(super) fn reason(&self) -> CloseReason {
        match self {
            Ending::Close(reason) => reason.clone(),
            Ending::Fail(_, what) | Ending::Refuse(_, what) => CloseReason::Policy(what.as_str()),
            Ending::Answer | Ending::Broken => CloseReason::ClientGone,
        }
    }

    /// The word for metrics, if the client did what the protocol does not allow.
    pub(super) fn error_code(&self) -> Option<ClientError> {
        match self {
            Ending::Close(CloseReason::TooBig) => Some(ClientError::TooBig),
            Ending::Fail(_, what) | Ending::Refuse(_, what) => Some(*what),
            _ => None,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Ends the session, whatever it was that ended the connection, and tells the client.
    pub(super) async fn finish(&mut self, ending: Ending) {
        self.session.close(ending.reason()); // The first reason stands.
        let reason = self.session.closing().unwrap_or_else(|| ending.reason());
        self.setup.metrics.connections_closed.with(reason.label()).increment(1);
        self.code = match &ending {
            Ending::Fail(code, _) | Ending::Refuse(code, _) => *code,
            Ending::Close(reason) => reason.code(),
            Ending::Answer | Ending::Broken => reason.code(),
        };
        debug!(reason = reason.as_str(), code = self.code, "the session ends");
        let whole = ending == Ending::Broken || self.finish_begun().await;
        let ending = if whole { ending } else { Ending::Broken };
        let text = match ending {
            Ending::Close(reason) => reason.text(),
            Ending::Fail(_, what) => what.as_str().to_owned(),
            Ending::Answer | Ending::Refuse(..) => return self.answer().await,
            Ending::Broken => {
                self.broken = true;
                return;
            }
        };
        let close = self.socket.close(Some(close_frame(self.code, &text)));
        // What does not get out in time does not get out: the socket is about to be dropped.
        let _ = timeout(limits::CLOSE_TIMEOUT, close).await;
    }

    /// Writes the rest of what another has begun, so that a close does not end up in the middle of it. Returns
    /// whether the socket took it, if there was any.
    async fn finish_begun(&mut self) -> bool {
        let Some(begun) = self.session.reclaim() else { return true };
        self.take_over(begun);
        let written = timeout(limits::CLOSE_TIMEOUT, self.frames.write_to(&mut self.socket)).await;
        let written = matches!(written, Ok(Ok(())));
        if written {
            self.wrote();
        }
        self.batch.clear();
        written
    }

    /// Drives the answer to the client's close out.
    async fn answer(&mut self) {
        let answer = async { while let Some(Ok(_)) = self.socket.next().await {} };
        let _ = timeout(limits::CLOSE_TIMEOUT, answer).await;
    }
}

/// A close frame. The text is cut to what fits.
pub(in crate::gateway) fn close_frame(code: u16, text: &str) -> CloseFrame {
    let mut cut = text.len().min(CLOSE_TEXT_BYTES_MAX);
    while !text.is_char_boundary(cut) {
        cut -= 1;
    }
    CloseFrame { code: code.into(), reason: text[..cut].into() }
}

/// Reads and throws away until the client closes its side, for a bounded time.
pub(in crate::gateway) async fn linger<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>) {
    let until_closed = async {
        while let Some(frame) = socket.next().await {
            if matches!(frame, Err(Error::Io(_))) {
                return;
            }
        }
        // Either the closing handshake is complete, or the library gave up over what it can not
        // read and the client does not know yet that nobody listens.
        drain(socket.get_mut()).await;
    };
    let _ = timeout(limits::CLOSE_TIMEOUT, until_closed).await;
}

/// The same below the level of frames.
pub(super) async fn drain<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    let until_closed = async {
        if stream.shutdown().await.is_ok() {
            let mut waste = [0; 1_024];
            while stream.read(&mut waste).await.is_ok_and(|read| read > 0) {}
        }
    };
    let _ = timeout(limits::CLOSE_TIMEOUT, until_closed).await;
}

/// Source: RFC 6455 section 5.5, a control frame has 125 bytes, two of them the code.
const CLOSE_TEXT_BYTES_MAX: usize = 123;
