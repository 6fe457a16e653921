//! A WebSocket as a transport: what the library reads and closes, and the frames that are written past it.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message as Frame};
use tracing::debug;

use crate::gateway::clients::dialect::Close;
use crate::gateway::clients::transport::ws::closing::{close_frame, drain, linger};
use crate::gateway::clients::transport::ws::frames::{FrameKind, Frames};
use crate::gateway::clients::transport::ws::shared_stream::DirectStream;
use crate::gateway::clients::transport::{AtOnce, End, Incoming, Transport};
use crate::metrics::label::ClientError;
use crate::push::{Payload, PayloadKind};
use crate::session::Taken;

/// A WebSocket over the stream `S`, whose handshake is done.
pub(super) struct WebSocket<S> {
    socket: WebSocketStream<S>,
    /// What is being written. Boxed: while there is nothing it takes no room.
    frames: Option<Box<Frames>>,
    /// The end of the stream that is written directly, if it may be.
    direct: Option<Arc<dyn DirectStream>>,
}

impl<S> WebSocket<S> {
    /// What is written to `direct` comes out of `socket`.
    pub(super) fn new(socket: WebSocketStream<S>, direct: Option<Arc<dyn DirectStream>>) -> Self {
        Self { socket, frames: None, direct }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Transport for WebSocket<S> {
    type Direct = Arc<dyn DirectStream>;

    const ANSWERS_PROBES: bool = true;

    fn queue(&mut self, Payload { kind, bytes }: Payload) {
        self.frames.get_or_insert_default().push(kind.into(), bytes);
    }

    fn queue_probe(&mut self) {
        self.frames.get_or_insert_default().push(FrameKind::Ping, Bytes::new());
    }

    fn is_written(&self) -> bool {
        self.frames.is_none()
    }

    fn bytes_left(&self) -> usize {
        self.frames.as_ref().map_or(0, |frames| frames.bytes())
    }

    async fn write(&mut self) -> io::Result<()> {
        let Some(frames) = &mut self.frames else { return Ok(()) };
        frames.write_to(&mut self.socket).await.map_err(|error| match error {
            Error::Io(error) => error,
            error => io::Error::other(error),
        })?;
        self.frames = None;
        Ok(())
    }

    async fn incoming(&mut self) -> Incoming {
        match self.socket.next().await {
            Some(Ok(frame)) => read(frame),
            Some(Err(error)) => {
                debug!(%error, "the socket cannot be read any more");
                Incoming::End(end(&error))
            }
            None => Incoming::End(End::Gone),
        }
    }

    fn direct(&self) -> Option<Arc<dyn DirectStream>> {
        self.direct.clone()
    }

    fn take_over(&mut self) {
        if let Some(mut rest) = self.direct.as_ref().and_then(|direct| direct.take_rest()) {
            if let Some(frames) = self.frames.take() {
                rest.append(*frames);
            }
            self.frames = Some(Box::new(rest));
        }
    }

    async fn close(&mut self, close: &Close) {
        let _ = self.socket.close(Some(close_frame(close))).await;
    }

    async fn answer_close(&mut self) {
        // The library has queued the answer, and writes it while it is asked for more.
        while let Some(Ok(_)) = self.socket.next().await {}
    }

    async fn linger(&mut self, broken: bool) -> Option<u16> {
        if broken {
            drain(self.socket.get_mut()).await;
            return None;
        }
        linger(&mut self.socket).await
    }
}

impl AtOnce for Arc<dyn DirectStream> {
    fn write(&self, Payload { kind, bytes }: Payload) -> Taken {
        DirectStream::write(&**self, kind.into(), bytes)
    }
}

/// What a frame is for the connection.
fn read(frame: Frame) -> Incoming {
    match frame {
        Frame::Text(text) => Incoming::Message(Payload { kind: PayloadKind::Text, bytes: text.into() }),
        Frame::Binary(bytes) => Incoming::Message(Payload { kind: PayloadKind::Binary, bytes }),
        Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_) => Incoming::Alive,
        Frame::Close(Some(close)) if is_refused(&close) => {
            Incoming::End(End::ClosedBadly(1002, ClientError::ProtocolError))
        }
        Frame::Close(frame) => {
            let bye = frame.is_some_and(|frame| frame.code == CloseCode::Normal);
            Incoming::End(End::Closed { bye })
        }
    }
}

/// What an error of reading means.
fn end(error: &Error) -> End {
    match error {
        Error::Capacity(_) => End::TooBig,
        Error::Utf8(_) => End::Unreadable(1007, ClientError::InvalidUtf8),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => End::Gone,
        Error::Protocol(_) => End::Unreadable(1002, ClientError::ProtocolError),
        _ => End::Gone,
    }
}

/// Whether a client has closed with a code that it must not send. The library tells so by what it answers, which it
/// gives us instead of the client's own code.
///
/// Source: RFC 6455 section 7.4; `do_close` in tungstenite's src/protocol/mod.rs.
fn is_refused(close: &CloseFrame) -> bool {
    close.code == CloseCode::Protocol && close.reason == "Protocol violation"
}
