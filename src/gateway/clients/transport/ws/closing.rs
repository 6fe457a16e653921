//! How a WebSocket is closed so that the client gets to know.
//!
//! A socket that is dropped while the client's bytes are unread is reset, and a reset destroys
//! what the client has not read yet. So after the close frame the client's bytes are read and
//! thrown away until it closes its side, for as long as whoever closes likes to wait.

use futures_util::StreamExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message as Frame};

use crate::gateway::clients::dialect::Close;

/// A close frame. The text is cut to what fits.
pub(super) fn close_frame(close: &Close) -> CloseFrame {
    let text = &close.text;
    let mut cut = text.len().min(CLOSE_TEXT_BYTES_MAX);
    while !text.is_char_boundary(cut) {
        cut -= 1;
    }
    CloseFrame { code: close.code.into(), reason: text[..cut].into() }
}

/// Reads and throws away until the client closes its side, and gives the code of its close frame.
pub(super) async fn linger<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut WebSocketStream<S>,
) -> Option<u16> {
    let mut answered = None;
    while let Some(frame) = socket.next().await {
        if let Ok(Frame::Close(Some(close))) = &frame {
            answered = Some(close.code.into());
        }
        if matches!(frame, Err(Error::Io(_))) {
            return answered;
        }
    }
    // Either the closing handshake is complete, or the library gave up over what it cannot
    // read and the client does not know yet that nobody listens.
    drain(socket.get_mut()).await;
    answered
}

/// The same below the level of frames.
pub(super) async fn drain<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    if stream.shutdown().await.is_ok() {
        let mut waste = [0; 1_024];
        while stream.read(&mut waste).await.is_ok_and(|read| read > 0) {}
    }
}

/// Source: RFC 6455 section 5.5, a control frame has 125 bytes, two of them the code.
const CLOSE_TEXT_BYTES_MAX: usize = 123;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_text_is_cut_between_characters() {
        let close = Close { code: 1008, text: "ü".repeat(100) };
        assert_eq!(close_frame(&close).reason.len(), 122);
    }
}
