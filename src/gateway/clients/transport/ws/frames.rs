//! Frames on their way to one socket.
//!
//! A server's frame is a header of at most 10 bytes and the payload as it is. Long payloads are
//! written from where they are, short ones are put together with their headers, so that a batch is
//! one system call and nothing long is ever copied. When all is written nothing stays allocated.
//!
//! Source: RFC 6455 section 5.2.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::SinkExt;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use crate::push::PayloadKind;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum FrameKind {
    /// UTF-8.
    Text,
    /// Anything.
    Binary,
    /// Asks the client for a pong.
    Ping,
}

impl From<PayloadKind> for FrameKind {
    fn from(kind: PayloadKind) -> Self {
        match kind {
            PayloadKind::Text => FrameKind::Text,
            PayloadKind::Binary => FrameKind::Binary,
        }
    }
}

/// A queue of frames, as the bytes that are left to write.
#[derive(Default)]
pub(in crate::gateway) struct Frames {
    chunks: VecDeque<Bytes>,
    /// Headers and short payloads that are not a chunk yet.
    tail: BytesMut,
    bytes: usize,
    /// Whether the socket's own buffer is known to be empty. The socket must not be read until the
    /// queue is written, because an answer to a ping would end up in the middle of a frame.
    begun: bool,
}

impl Frames {
    /// Adds a frame.
    pub(in crate::gateway) fn push(&mut self, kind: FrameKind, payload: Bytes) {
        let header = Header::new(kind, payload.len());
        self.tail.extend_from_slice(header.as_slice());
        self.bytes += header.as_slice().len() + payload.len();
        if payload.len() <= COPY_BYTES_MAX {
            self.tail.extend_from_slice(&payload);
        } else {
            self.seal();
            self.chunks.push_back(payload);
        }
    }

    /// Adds frames that follow these.
    pub(in crate::gateway) fn append(&mut self, mut others: Frames) {
        self.seal();
        others.seal();
        self.bytes += others.bytes;
        self.chunks.append(&mut others.chunks);
    }

    /// Whether all is written.
    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.bytes == 0 && !self.begun
    }

    /// Bytes that are left to write.
    pub(in crate::gateway) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Writes what is queued and flushes it. Cancel-safe: a later call goes on where this one was.
    pub(in crate::gateway) async fn write_to<S>(
        &mut self,
        socket: &mut WebSocketStream<S>,
    ) -> Result<(), Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if !self.begun {
            socket.flush().await?; // Pongs that the library queued.
            self.begun = true;
        }
        self.seal();
        let stream = socket.get_mut();
        stream.write_all_buf(self).await?;
        stream.flush().await?;
        *self = Self::default();
        Ok(())
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.chunks.push_back(std::mem::take(&mut self.tail).freeze());
        }
    }
}

impl Buf for Frames {
    fn remaining(&self) -> usize {
        self.bytes - self.tail.len()
    }

    fn chunk(&self) -> &[u8] {
        self.chunks.front().map_or(&[], |chunk| chunk)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let filled = slices.iter_mut().zip(&self.chunks).map(|(slice, chunk)| *slice = IoSlice::new(chunk));
        filled.count()
    }

    fn advance(&mut self, mut written: usize) {
        assert!(written <= self.remaining(), "no more can be written than there is");
        self.bytes -= written;
        while written > 0 {
            let chunk = self.chunks.front_mut().expect("the chunks hold all that remains");
            let step = written.min(chunk.len());
            chunk.advance(step);
            written -= step;
            if chunk.is_empty() {
                self.chunks.pop_front();
            }
        }
    }
}

/// Writes one frame, if `stream` takes it now.
///
/// # Errors
/// What is left of the frame, or nothing if the stream took nothing.
pub(in crate::gateway) fn write_now<S: AsyncWrite + Unpin>(
    stream: &mut S,
    cx: &mut Context<'_>,
    kind: FrameKind,
    payload: Bytes,
) -> Result<(), Option<Frames>> {
    let header = Header::new(kind, payload.len());
    let header = header.as_slice();
    let len = header.len() + payload.len();
    if len > SHORT_BYTES_MAX {
        return put_now(stream, cx, header.chain(payload));
    }
    let mut short = [0; SHORT_BYTES_MAX];
    short[..header.len()].copy_from_slice(header);
    short[header.len()..len].copy_from_slice(&payload);
    put_now(stream, cx, &short[..len])
}

fn put_now<S: AsyncWrite + Unpin>(
    stream: &mut S,
    cx: &mut Context<'_>,
    mut frame: impl Buf,
) -> Result<(), Option<Frames>> {
    let all = frame.remaining();
    while frame.has_remaining() {
        let mut slices = [IoSlice::new(&[]); 2];
        let filled = frame.chunks_vectored(&mut slices);
        let written = match &slices[..filled] {
            [slice] => Pin::new(&mut *stream).poll_write(cx, slice),
            slices => Pin::new(&mut *stream).poll_write_vectored(cx, slices),
        };
        match written {
            Poll::Ready(Ok(written)) if written > 0 => frame.advance(written),
            _ if frame.remaining() == all => return Err(None),
            _ => break,
        }
    }
    let bytes = frame.remaining();
    if bytes == 0 && matches!(Pin::new(stream).poll_flush(cx), Poll::Ready(Ok(()))) {
        return Ok(());
    }
    // Copied, because it waits, and its payload may be a slice of a buffer that is much larger.
    let mut rest = |mut rest: Vec<u8>| {
        frame.copy_to_slice(&mut rest);
        Bytes::from(rest)
    };
    let chunks = VecDeque::from_iter((bytes > 0).then(|| rest(vec![0; bytes])));
    Err(Some(Frames { chunks, tail: BytesMut::new(), bytes, begun: true }))
}

/// The header of a frame.
struct Header {
    bytes: [u8; HEADER_BYTES_MAX],
    len: usize,
}

impl Header {
    fn new(kind: FrameKind, payload: usize) -> Self {
        let opcode = match kind {
            FrameKind::Text => OpCode::Data(Data::Text),
            FrameKind::Binary => OpCode::Data(Data::Binary),
            FrameKind::Ping => OpCode::Control(Control::Ping),
        };
        let header = FrameHeader { opcode, ..FrameHeader::default() };
        let mut bytes = [0; HEADER_BYTES_MAX];
        header.format(payload as u64, &mut &mut bytes[..]).expect("no header is longer");
        Self { bytes, len: header.len(payload as u64) }
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// A server masks nothing: two bytes and the longest length.
const HEADER_BYTES_MAX: usize = 10;
/// Frames up to this length are put together on the stack to be written at once. Guess: a copy that nobody sees.
const SHORT_BYTES_MAX: usize = 512;
/// Payloads up to this length are copied next to their header. Guess: where a copy costs less than
/// one more slice in a vectored write.
const COPY_BYTES_MAX: usize = 2 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt;
    use proptest::prelude::*;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::Role;

    /// Sends the frames through a pipe of `pipe_bytes` and reads them with the library.
    async fn through(sent: &[(FrameKind, Bytes)], pipe_bytes: usize) -> Vec<Message> {
        let (server, client) = tokio::io::duplex(pipe_bytes);
        let mut server = WebSocketStream::from_raw_socket(server, Role::Server, None).await;
        let mut client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
        let mut frames = Frames::default();
        for (kind, payload) in sent {
            frames.push(*kind, payload.clone());
        }
        let write = async {
            frames.write_to(&mut server).await.unwrap();
            assert!(frames.is_empty());
        };
        let read = async {
            let mut received = Vec::new();
            while received.len() < sent.len() {
                received.push(client.next().await.unwrap().unwrap());
            }
            received
        };
        tokio::join!(write, read).1
    }

    fn expected(kind: FrameKind, payload: &Bytes) -> Message {
        match kind {
            FrameKind::Text => Message::Text(payload.clone().try_into().unwrap()),
            FrameKind::Binary => Message::Binary(payload.clone()),
            FrameKind::Ping => Message::Ping(payload.clone()),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn any_frames_arrive_in_order_whatever_the_pipe_takes(
            lengths in proptest::collection::vec(
                prop_oneof![0..130_usize, 2_000..2_100_usize, 65_530..65_540_usize], 0..12),
            pipe_bytes in 1_000..100_000_usize,
        ) {
            let kinds = [FrameKind::Text, FrameKind::Binary];
            let sent: Vec<_> = lengths
                .iter()
                .enumerate()
                .map(|(index, len)| (kinds[index % 2], Bytes::from(vec![b'a' + (index % 26) as u8; *len])))
                .collect();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let received = runtime.block_on(through(&sent, pipe_bytes));
            let expected: Vec<_> = sent.iter().map(|(kind, payload)| expected(*kind, payload)).collect();
            prop_assert_eq!(received, expected);
        }
    }

    #[tokio::test]
    async fn a_write_that_is_given_up_goes_on_where_it_was() {
        let (server, client) = tokio::io::duplex(64);
        let mut server = WebSocketStream::from_raw_socket(server, Role::Server, None).await;
        let mut client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
        let mut frames = Frames::default();
        let payload = Bytes::from(vec![b'x'; 10_000]);
        frames.push(FrameKind::Text, payload.clone());
        let read = async { client.next().await.unwrap().unwrap() };
        tokio::pin!(read);
        let received = loop {
            // Polls the write once, then drops it.
            let _ = futures_util::FutureExt::now_or_never(frames.write_to(&mut server));
            if let Some(received) = futures_util::FutureExt::now_or_never(read.as_mut()) {
                break received;
            }
            tokio::task::yield_now().await; // A task that never yields is denied the pipe.
        };
        assert_eq!(received, expected(FrameKind::Text, &payload));
    }

    #[tokio::test]
    async fn what_is_written_but_not_flushed_is_not_done() {
        let (server, mut client) = tokio::io::duplex(64);
        let server = tokio::io::BufWriter::new(server);
        let mut server = WebSocketStream::from_raw_socket(server, Role::Server, None).await;
        let mut frames = Frames::default();
        frames.push(FrameKind::Binary, Bytes::from(vec![0; 100]));
        assert!(futures_util::FutureExt::now_or_never(frames.write_to(&mut server)).is_none());
        assert_eq!((frames.bytes(), frames.is_empty()), (0, false));
        let mut received = [0; 102];
        let read = tokio::io::AsyncReadExt::read_exact(&mut client, &mut received);
        let (written, read) = tokio::join!(frames.write_to(&mut server), read);
        assert!(written.is_ok() && read.is_ok() && frames.is_empty());
    }
}
