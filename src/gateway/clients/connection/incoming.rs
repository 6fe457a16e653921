//! What a client sends, and what that means.

use std::ops::ControlFlow;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message as Frame};
use tracing::debug;

use super::ending::Ending;
use super::{Connection, call};
use crate::gateway::clients::dialect::Heard;
use crate::metrics::label::ClientError;
use crate::push::{Payload, PayloadKind};
use crate::session::CloseReason;

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// A frame arrived, or none will any more.
    pub(super) fn frame(&mut self, frame: Option<Result<Frame, Error>>) -> ControlFlow<Ending> {
        let now = self.opened.elapsed();
        self.heartbeat.heard(now);
        match frame {
            Some(Ok(Frame::Text(text))) => {
                self.message(Payload { kind: PayloadKind::Text, bytes: text.into() })
            }
            Some(Ok(Frame::Binary(bytes))) => self.message(Payload { kind: PayloadKind::Binary, bytes }),
            Some(Ok(Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_))) => {}
            Some(Ok(Frame::Close(Some(close)))) if is_refused(&close) => {
                let ending = Ending::Refuse(1002, ClientError::ProtocolError);
                self.failed(&ending);
                return ControlFlow::Break(ending);
            }
            Some(Ok(Frame::Close(_))) => {
                self.session.close(CloseReason::ClientGone);
                return ControlFlow::Break(Ending::Answer);
            }
            Some(Err(error)) => {
                debug!(%error, "the socket can not be read any more");
                let ending = Ending::of(&error);
                self.failed(&ending);
                return ControlFlow::Break(ending);
            }
            None => return ControlFlow::Break(Ending::Broken),
        }
        ControlFlow::Continue(())
    }

    fn failed(&mut self, ending: &Ending) {
        if let Some(code) = ending.error_code() {
            self.setup.metrics.client_errors.with(code).increment(1);
        }
        self.session.close(ending.reason());
    }

    fn message(&mut self, payload: Payload) {
        self.heartbeat.message(self.opened.elapsed());
        self.setup.metrics.client_messages.increment(1);
        match self.setup.dialect.heard(payload) {
            Heard::Message(payload) => self.handle(payload),
            Heard::Ack => self.setup.metrics.client_acks.increment(1),
            Heard::Question { answer } => self.frames.push(answer.kind.into(), answer.bytes),
            Heard::Nonsense { code, answer } => {
                self.setup.metrics.client_errors.with(code).increment(1);
                self.bad_frames += 1;
                if self.bad_frames > BAD_FRAMES_MAX {
                    self.session.close(CloseReason::Policy("too many frames that are not understood"));
                } else {
                    self.frames.push(answer.kind.into(), answer.bytes);
                }
                return;
            }
            Heard::Refused { code, reason } => {
                self.setup.metrics.client_errors.with(code).increment(1);
                self.session.close(CloseReason::Policy(reason));
                return;
            }
        }
        self.bad_frames = 0;
    }

    fn handle(&mut self, payload: Payload) {
        debug_assert!(self.handling.is_none(), "nothing is read while a handler runs");
        let handler = Arc::clone(&self.setup.handler);
        let (node, info) = (self.setup.node.clone(), self.setup.info.clone());
        self.handling = Some(call(async move {
            handler.on_message(&node, &info, payload).await;
            Ok(())
        }));
    }
}

/// Whether a client has closed with a code that it must not send. The library tells so by what it answers, which it
/// gives us instead of the client's own code.
///
/// Source: RFC 6455 section 7.4; `do_close` in tungstenite's src/protocol/mod.rs.
fn is_refused(close: &CloseFrame) -> bool {
    close.code == CloseCode::Protocol && close.reason == "Protocol violation"
}

/// Frames in a row that a client may get wrong. Guess: a bug shows at once, a flood
/// ends.
const BAD_FRAMES_MAX: usize = 8;
