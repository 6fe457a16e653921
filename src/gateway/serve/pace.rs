//! How fast the other end of a connection has to be, while it speaks HTTP.
//!
//! [`Paced`] stands below TLS, so that it sees what the socket itself takes and brings. It ends a write that
//! makes no progress: a caller that never reads its answers would hold a place for ever. A WebSocket is paced by its
//! session, and [`Pace::release`] ends all of this.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::stage::{Now, Stage};
use crate::limits;

/// What the parts of one connection tell each other about it.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// A byte has arrived since the wait for a request began.
    begun: AtomicBool,
    /// The last request was answered before its body was read to the end.
    unread: AtomicBool,
    /// A write made no progress and was given up.
    stalled: AtomicBool,
    /// HTTP is over on this connection: it is a WebSocket.
    released: AtomicBool,
    stage: Now,
    /// Reads and writes so far that moved bytes. It wraps.
    moves: AtomicU32,
}

impl Pace {
    /// Nothing is left of the last request.
    pub(super) fn leave_nothing(&self) {
        self.unread.store(false, Ordering::Relaxed);
    }

    /// The body of the request was dropped before its end.
    pub(super) fn leave_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    /// Whether the caller may still be sending a body that nobody reads.
    pub(super) fn is_unread(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }

    /// Whether the caller was given up because it does not read.
    pub(super) fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }

    /// The wait for a request begins.
    pub(super) fn wait_for_request(&self) {
        self.set_stage(Stage::Head);
        self.begun.store(false, Ordering::Relaxed);
    }

    /// Something of it has arrived.
    pub(super) fn has_arrived(&self) {
        self.begun.store(true, Ordering::Relaxed);
    }

    /// Whether something of a request has arrived.
    pub(super) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// For whom the connection waits.
    pub(super) fn stage(&self) -> Stage {
        self.stage.get()
    }

    /// From now on it waits for this.
    pub(super) fn set_stage(&self, stage: Stage) {
        self.stage.set(stage);
    }

    /// Something was written to the caller.
    fn wrote(&self) {
        match self.stage() {
            Stage::Hello => self.set_stage(Stage::Shaking),
            Stage::Head => self.set_stage(Stage::Answered), // That it is none.
            Stage::Shaking | Stage::Working | Stage::Body | Stage::Answered => {}
        }
        self.moved();
    }

    /// Reads and writes so far that moved bytes. It wraps.
    pub(super) fn moves(&self) -> u32 {
        self.moves.load(Ordering::Relaxed)
    }

    /// Bytes have moved. Only the connection's task says so, one after the other.
    pub(super) fn moved(&self) {
        self.moves.store(self.moves.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// From now on the connection may be as slow as it likes.
    pub(super) fn release(&self) {
        self.released.store(true, Ordering::Relaxed);
    }
}

/// A socket whose writes have to make progress.
pub(super) struct Paced<I> {
    io: I,
    pace: Arc<Pace>,
    /// Runs while the socket takes nothing.
    stall: Option<Pin<Box<Sleep>>>,
}

impl<I> Paced<I> {
    /// Watches over `io`.
    pub(super) fn new(io: I, pace: Arc<Pace>) -> Self {
        Self { io, pace, stall: None }
    }

    /// What a write came to; one that waits for too long is an error.
    fn judge(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() || self.pace.released.load(Ordering::Relaxed) {
            self.pace.wrote();
            self.stall = None;
            return written;
        }
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(limits::HTTP_WRITE_TIMEOUT)));
        ready!(stall.as_mut().poll(cx));
        self.pace.stalled.store(true, Ordering::Relaxed);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the caller does not read its answers")))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Paced<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.pace.has_arrived();
            self.pace.moved();
        }
        read
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Paced<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.judge(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.judge(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::poll;
    use tokio::io::{AsyncWriteExt, duplex};
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_write_that_makes_progress_goes_on_and_one_that_makes_none_is_given_up() {
        let (near, mut far) = duplex(4);
        let pace = Arc::new(Pace::default());
        let mut paced = Paced::new(near, Arc::clone(&pace));
        let write = tokio::spawn(async move { paced.write_all(&[7; 64]).await });
        let almost = limits::HTTP_WRITE_TIMEOUT - Duration::from_millis(1);
        for _ in 0..5 {
            sleep(almost).await;
            tokio::io::AsyncReadExt::read_exact(&mut far, &mut [0; 4]).await.unwrap();
        }
        let began = Instant::now();
        let error = write.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(pace.is_stalled());
        assert_eq!(began.elapsed().as_secs(), limits::HTTP_WRITE_TIMEOUT.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_released_may_wait_for_ever() {
        let (near, _far) = duplex(4);
        let pace = Arc::new(Pace::default());
        let mut paced = Paced::new(near, Arc::clone(&pace));
        let mut write = Box::pin(paced.write_all(&[7; 64]));
        assert!(poll!(write.as_mut()).is_pending());
        pace.release();
        sleep(10 * limits::HTTP_WRITE_TIMEOUT).await;
        assert!(poll!(write.as_mut()).is_pending());
        assert!(!pace.is_stalled());
    }
}
