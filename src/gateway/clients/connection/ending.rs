//! How a connection ends, and what the client is told.

use futures_util::StreamExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tracing::debug;

use super::Connection;
use crate::gateway::clients::dialect::Close;
use crate::gateway::clients::transport::ws::closing::close_frame;
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
        let close = match ending {
            Ending::Close(reason) => self.setup.dialect.close(&reason),
            Ending::Fail(code, what) => Close { code, text: what.as_str().to_owned() },
            Ending::Answer | Ending::Refuse(..) => return self.answer().await,
            Ending::Broken => {
                self.broken = true;
                return;
            }
        };
        let close = self.socket.close(Some(close_frame(&close)));
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
