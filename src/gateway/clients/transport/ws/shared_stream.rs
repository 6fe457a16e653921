//! The byte stream of one connection, written by its task and, while that rests, by whoever brings a message.
//!
//! ```text
//!   the connection's task ── read, write ──► SharedStream ─┐
//!                                                          ├─ one lock ─► TCP or TLS
//!   whoever brings a message ── write ──► DirectStream ────┘
//! ```
//!
//! A message that finds the socket ready is written where it is, without waking the task. Frames stay
//! whole: nobody else writes while what the task began is not taken, and the task waits while what
//! another began is not, until it [takes it over](DirectStream::take_rest). Whoever writes directly
//! never waits.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::gateway::clients::transport::ws::frames::{FrameKind, Frames, write_now};
use crate::session::Taken;

/// A byte stream that may be written directly.
pub(in crate::gateway) struct SharedStream<I>(Arc<Mutex<Shared<I>>>);

struct Shared<I> {
    io: I,
    /// The task's last write was not taken whole: it may have ended within a frame.
    torn: bool,
    /// What is left of the frames of a direct write. Boxed: there seldom is any.
    rest: Option<Box<Frames>>,
    /// Read to see whether the other end is still there, and not given to the task yet.
    ahead: Option<u8>,
}

/// The end of a [`SharedStream`] that is written directly.
pub(in crate::gateway) trait DirectStream: Send + Sync {
    /// Writes a frame if the stream takes it at once.
    fn write(&self, kind: FrameKind, payload: Bytes) -> Taken;
    /// What is left of a write that was taken in part. From now on the task may write again.
    fn take_rest(&self) -> Option<Frames>;
    /// Whether the other end has closed its side, or is gone. Only the task may ask, because it is woken.
    fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()>;
}

impl<I> SharedStream<I> {
    /// A shared stream over `io`.
    pub(in crate::gateway) fn new(io: I) -> Self {
        Self(Arc::new(Mutex::new(Shared { io, torn: false, rest: None, ahead: None })))
    }

    fn lock(&self) -> MutexGuard<'_, Shared<I>> {
        lock(&self.0)
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin + Send + 'static> SharedStream<I> {
    /// The end of whoever brings a message.
    pub(in crate::gateway) fn direct(&self) -> Arc<dyn DirectStream> {
        Arc::clone(&self.0) as Arc<dyn DirectStream>
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin + Send> DirectStream for Mutex<Shared<I>> {
    fn write(&self, kind: FrameKind, payload: Bytes) -> Taken {
        let mut shared = lock(self);
        if shared.torn || shared.rest.is_some() {
            return Taken::Nothing;
        }
        // Whoever is refused wakes the task, which waits by its own waker. It meets the same errors.
        let mut cx = Context::from_waker(Waker::noop());
        match write_now(&mut shared.io, &mut cx, kind, payload) {
            Ok(()) => Taken::All,
            Err(None) => Taken::Nothing,
            Err(rest) => {
                shared.rest = rest.map(Box::new);
                Taken::Part
            }
        }
    }

    fn take_rest(&self) -> Option<Frames> {
        lock(self).rest.take().map(|rest| *rest)
    }

    fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut shared = lock(self);
        if shared.ahead.is_some() {
            return Poll::Pending; // It sends: that it closes behind that is found when that is read.
        }
        let mut byte = [0];
        let mut buf = ReadBuf::new(&mut byte);
        let read = ready!(Pin::new(&mut shared.io).poll_read(cx, &mut buf));
        shared.ahead = buf.filled().first().copied();
        if read.is_ok() && shared.ahead.is_some() { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for SharedStream<I> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut shared = self.lock();
        match shared.ahead.take() {
            Some(byte) => {
                buf.put_slice(&[byte]);
                Poll::Ready(Ok(()))
            }
            None => Pin::new(&mut shared.io).poll_read(cx, buf),
        }
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for SharedStream<I> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.lock().write(buf.len(), |io| io.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // One slice is cheaper without the list.
        if let [slice] = slices {
            return self.poll_write(cx, slice);
        }
        let len = slices.iter().map(|slice| slice.len()).sum();
        self.lock().write(len, |io| io.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.lock().io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lock().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lock().io).poll_shutdown(cx)
    }
}

impl<I: Unpin> Shared<I> {
    /// Writes for the task, which hands over all that it has.
    fn write(
        &mut self,
        len: usize,
        write: impl FnOnce(Pin<&mut I>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if self.rest.is_some() {
            return Poll::Pending; // The task is woken by its session, to take over the rest.
        }
        let written = write(Pin::new(&mut self.io));
        self.torn = !matches!(&written, Poll::Ready(Ok(written)) if *written == len);
        written
    }
}

fn lock<I>(shared: &Mutex<Shared<I>>) -> MutexGuard<'_, Shared<I>> {
    shared.lock().expect("no panic happens under this lock")
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    fn pipe(bytes: usize) -> (SharedStream<DuplexStream>, Arc<dyn DirectStream>, DuplexStream) {
        let (near, far) = duplex(bytes);
        let stream = SharedStream::new(near);
        let direct = stream.direct();
        (stream, direct, far)
    }

    fn text(payload: &'static str) -> (FrameKind, Bytes) {
        (FrameKind::Text, Bytes::from_static(payload.as_bytes()))
    }

    fn write(direct: &Arc<dyn DirectStream>, (kind, payload): (FrameKind, Bytes)) -> Taken {
        direct.write(kind, payload)
    }

    async fn receive(far: &mut DuplexStream, bytes: usize) -> Vec<u8> {
        let mut received = vec![0; bytes];
        far.read_exact(&mut received).await.unwrap();
        received
    }

    #[tokio::test]
    async fn a_frame_that_fits_is_written_whole_and_one_that_does_not_fit_not_at_all() {
        let (_line, direct, mut far) = pipe(4);
        assert_eq!(write(&direct, text("hi")), Taken::All);
        assert_eq!(write(&direct, text("hi")), Taken::Nothing);
        assert_eq!(receive(&mut far, 4).await, b"\x81\x02hi");
        assert_eq!(write(&direct, text("ho")), Taken::All);
    }

    #[tokio::test]
    async fn nobody_writes_into_what_the_task_has_begun() {
        let (mut stream, direct, mut far) = pipe(4);
        assert_eq!(stream.write(b"123456").await.unwrap(), 4);
        assert_eq!(receive(&mut far, 4).await, b"1234");
        assert_eq!(write(&direct, text("")), Taken::Nothing);
        assert_eq!(stream.write(b"56").await.unwrap(), 2);
        assert_eq!(write(&direct, text("")), Taken::All);
        assert_eq!(receive(&mut far, 4).await, b"56\x81\x00");
    }

    #[tokio::test]
    async fn the_task_waits_until_it_has_taken_over_what_another_has_begun() {
        let (mut stream, direct, mut far) = pipe(4);
        assert_eq!(write(&direct, text("hello")), Taken::Part);
        assert_eq!(receive(&mut far, 4).await, b"\x81\x05he");
        assert_eq!(write(&direct, text("")), Taken::Nothing);
        assert!(futures_util::FutureExt::now_or_never(stream.write(b"56")).is_none());
        let mut rest = direct.take_rest().expect("a part is left");
        assert_eq!(rest.bytes(), 3);
        stream.write_all_buf(&mut rest).await.unwrap();
        assert_eq!(receive(&mut far, 3).await, b"llo");
        assert_eq!(write(&direct, text("")), Taken::All);
    }

    #[tokio::test]
    async fn a_header_of_which_a_part_is_taken_goes_on_with_the_rest_of_it() {
        let (mut stream, direct, mut far) = pipe(1);
        assert_eq!(write(&direct, text("hi")), Taken::Part);
        let mut rest = direct.take_rest().expect("a part is left");
        let (written, received) = tokio::join!(stream.write_all_buf(&mut rest), receive(&mut far, 4));
        assert!(written.is_ok());
        assert_eq!(received, b"\x81\x02hi");
    }

    #[tokio::test]
    async fn an_end_is_seen_without_losing_what_came_before_it() {
        let (mut stream, direct, mut far) = pipe(8);
        let closed = || std::future::poll_fn(|cx| direct.poll_closed(cx));
        assert!(futures_util::FutureExt::now_or_never(closed()).is_none());
        far.write_all(b"abc").await.unwrap();
        far.shutdown().await.unwrap();
        assert!(futures_util::FutureExt::now_or_never(closed()).is_none(), "it has sent something");
        let mut received = [0; 3];
        stream.read_exact(&mut received).await.unwrap();
        assert_eq!(&received, b"abc");
        closed().await;
    }

    #[tokio::test]
    async fn a_stream_that_is_gone_takes_nothing_and_the_task_meets_the_error() {
        let (mut stream, direct, far) = pipe(4);
        drop(far);
        assert_eq!(write(&direct, text("hi")), Taken::Nothing);
        assert!(stream.write(b"x").await.is_err());
    }
}
