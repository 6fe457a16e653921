//! A client that does not behave: it reads frames, or does not, and answers nothing or nonsense.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::client::Io;
use super::wait::within;

/// A WebSocket after its handshake, byte by byte.
pub(crate) struct RawClient {
    stream: Box<dyn Io>,
}

/// What the server sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    /// Text or binary, with its length.
    Data(usize),
    /// A ping.
    Ping,
    /// A close with code and reason.
    Close(u16, String),
    /// The connection is over: ended or reset.
    End,
}

impl RawClient {
    pub(super) fn new(stream: Box<dyn Io>) -> Self {
        Self { stream }
    }

    /// The next frame.
    pub(crate) async fn frame(&mut self) -> Frame {
        let read = within("a raw frame", self.read()).await;
        read.unwrap_or(Frame::End)
    }

    /// Sends bytes as they are.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        within("a raw send", self.stream.write_all(bytes)).await.expect("the connection is open");
    }

    /// Says that nothing more comes, below the level of frames, and goes on reading.
    pub(crate) async fn shut(&mut self) {
        within("a half close", self.stream.shutdown()).await.expect("the connection is open");
    }

    /// Waits until something has arrived, and takes one byte of it.
    pub(crate) async fn first_byte(&mut self) -> u8 {
        within("a first byte", self.stream.read_u8()).await.expect("the connection is open")
    }

    /// RFC 6455 section 5.2, for the unmasked and unfragmented frames of a server.
    async fn read(&mut self) -> std::io::Result<Frame> {
        let first = self.stream.read_u8().await?;
        let length = match self.stream.read_u8().await? {
            126 => u64::from(self.stream.read_u16().await?),
            127 => self.stream.read_u64().await?,
            short => u64::from(short),
        };
        let mut payload = vec![0; usize::try_from(length).expect("frames fit into memory")];
        self.stream.read_exact(&mut payload).await?;
        Ok(match first {
            0x81 | 0x82 => Frame::Data(payload.len()),
            0x89 => Frame::Ping,
            0x88 => {
                let (code, reason) = payload.split_at(2);
                Frame::Close(
                    u16::from_be_bytes([code[0], code[1]]),
                    String::from_utf8_lossy(reason).into_owned(),
                )
            }
            other => panic!("unexpected first byte of a frame: {other:#x}"),
        })
    }
}
