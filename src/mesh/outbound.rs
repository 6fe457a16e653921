//! What a link sends: requests and receipts, written by one task, so that what waits together leaves
//! in few packets.
//!
//! ```text
//!   requests ─► Lane ×4 ──┐
//!                         ├─ a turn: all that waits ─► streams ─► few packets
//!   receipts ─► Answers ──┘
//! ```
//!
//! A packet costs far more than a request in it, and a task that wakes costs as much as it does. So
//! there is one task for all streams of a link, and a turn takes all that waits in any of them. A task
//! that is woken runs before others that were ready earlier: while more is under way on the link, the
//! turn therefore begins once they have run, because what they queue may leave with it.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt;
use quinn::{Connection, SendStream, WriteError};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::config::MeshVersion;
use crate::limits;
use crate::mesh::codec::encode;
use crate::mesh::conduct::Breach;
use crate::mesh::lane::Lane;
use crate::mesh::receipts::Answers;
use crate::mesh::stream::{LANE, RECEIPTS, StreamKind};
use crate::receipt::Answer;

/// What waits to be sent over one link.
pub(crate) struct Outbound {
    lanes: [Lane; limits::LANES],
    answers: Answers,
    /// Told when something is to be written.
    wake: Notify,
}

impl Outbound {
    /// Nothing waits yet.
    pub(crate) fn new() -> Self {
        Self { lanes: std::array::from_fn(|_| Lane::new()), answers: Answers::new(), wake: Notify::new() }
    }

    /// Queues an encoded request. `false`: there is no room, nothing was queued.
    #[must_use]
    pub(crate) fn request(&self, lane: usize, header: Bytes, payload: Bytes) -> bool {
        let queued = self.lanes[lane].push(header, payload);
        self.wake.notify_one();
        queued
    }

    /// Queues a receipt. `false`: the peer has asked more than it may at once.
    #[must_use]
    pub(crate) fn answer(&self, seq: u64, answer: Answer) -> bool {
        let queued = self.answers.push(seq, answer);
        self.wake.notify_one();
        queued
    }

    /// Ends when the receipts that wait are few enough to ask this node for more.
    pub(crate) async fn room(&self) {
        self.answers.room().await;
    }

    /// Writes until the link breaks; requests only once `before` has ended. `busy` says whether more than
    /// what was just queued is under way.
    ///
    /// # Errors
    /// [`Breach::Stalled`]: the peer takes nothing any more.
    pub(crate) async fn run(
        &self,
        connection: &Connection,
        version: MeshVersion,
        before: impl Future<Output = ()>,
        busy: impl Fn() -> bool,
    ) -> Result<(), Breach> {
        let Ok(mut streams) = Streams::open(connection, version).await else { return Ok(()) };
        let mut before = pin!(before);
        let mut may_send = false;
        let mut stall = Stall::default();
        loop {
            let Ok(blocked) = poll_fn(|cx| Poll::Ready(streams.write(self, may_send, cx))).await else {
                return Ok(());
            };
            let given_up = stall.seen(blocked, streams.written(), Instant::now())?;
            tokio::select! {
                biased;
                () = self.wake.notified() => {
                    if busy() {
                        others_first().await;
                        // Whoever queued something meanwhile is served by this turn.
                        let _ = self.wake.notified().now_or_never();
                    }
                }
                result = poll_fn(|cx| streams.unblock(cx)), if blocked => {
                    if result.is_err() {
                        return Ok(());
                    }
                }
                () = sleep_until(given_up), if blocked => {}
                () = &mut before, if !may_send => may_send = true,
            }
        }
    }
}

/// Since when the peer has taken nothing of what waits for it.
#[derive(Default)]
struct Stall {
    /// How many bytes were written by then, and when that was found.
    since: Option<(u64, Instant)>,
}

impl Stall {
    /// Notes whether something waits and how many bytes were written at all; returns when to look again.
    ///
    /// # Errors
    /// [`Breach::Stalled`].
    fn seen(&mut self, blocked: bool, written: u64, now: Instant) -> Result<Instant, Breach> {
        let since = match self.since {
            Some((before, since)) if blocked && before == written => since,
            _ => now,
        };
        self.since = blocked.then_some((written, since));
        if now.saturating_duration_since(since) >= limits::LINK_STALL_MAX {
            return Err(Breach::Stalled);
        }
        Ok(since + limits::LINK_STALL_MAX)
    }
}

/// The streams that are written, in the order of the lanes.
struct Streams {
    lanes: Vec<Stream>,
    answers: Stream,
}

impl Streams {
    async fn open(connection: &Connection, version: MeshVersion) -> Result<Self, WriteError> {
        let mut lanes = Vec::new();
        for _ in 0..limits::LANES {
            lanes.push(Stream::open(connection, version, LANE).await?);
        }
        Ok(Self { lanes, answers: Stream::open(connection, version, RECEIPTS).await? })
    }

    /// Writes what waits, as far as the streams take it. Returns whether one of them takes no more for
    /// now; the task is woken when it does.
    fn write(
        &mut self,
        outbound: &Outbound,
        requests: bool,
        cx: &mut Context<'_>,
    ) -> Result<bool, WriteError> {
        while self.answers.write(cx)? {
            let batch = outbound.answers.batch();
            if batch.0.is_empty() {
                break;
            }
            self.answers.chunks.push(encode(&batch, 0));
        }
        if requests {
            for (stream, lane) in self.lanes.iter_mut().zip(&outbound.lanes) {
                while stream.write(cx)? {
                    lane.release(stream.bytes);
                    stream.bytes = lane.take(&mut stream.chunks);
                    if stream.chunks.is_empty() {
                        break;
                    }
                }
            }
        }
        Ok(self.all().any(|stream| !stream.chunks.is_empty()))
    }

    /// Ends when a stream that was blocked has taken more.
    fn unblock(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WriteError>> {
        for stream in self.all() {
            let waiting = stream.chunks.len();
            stream.write(cx)?;
            if stream.chunks.len() < waiting {
                return Poll::Ready(Ok(()));
            }
        }
        Poll::Pending
    }

    /// Bytes that were written to any of them.
    fn written(&self) -> u64 {
        self.lanes.iter().chain([&self.answers]).map(|stream| stream.written).sum()
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.lanes.iter_mut().chain([&mut self.answers])
    }
}

/// A stream and what is being written to it.
struct Stream {
    send: SendStream,
    chunks: Vec<Bytes>,
    /// Bytes of the requests that the chunks are from.
    bytes: usize,
    /// Bytes that the stream took since its beginning.
    written: u64,
}

impl Stream {
    async fn open(
        connection: &Connection,
        version: MeshVersion,
        kind: StreamKind,
    ) -> Result<Self, WriteError> {
        let send = kind.open(connection, version).await?;
        Ok(Self { send, chunks: Vec::new(), bytes: 0, written: 0 })
    }

    /// Writes the chunks that it has. Returns whether all are written.
    fn write(&mut self, cx: &mut Context<'_>) -> Result<bool, WriteError> {
        let mut done = 0;
        while done < self.chunks.len() {
            match pin!(self.send.write_chunks(&mut self.chunks[done..])).poll(cx) {
                Poll::Ready(written) => {
                    let written = written?;
                    done += written.chunks;
                    self.written += written.bytes as u64;
                }
                Poll::Pending => break,
            }
        }
        self.chunks.drain(..done);
        Ok(self.chunks.is_empty())
    }
}

/// Lets the tasks run that are ready now. Unlike `yield_now` it does not look for new events before.
async fn others_first() {
    let mut woken = false;
    poll_fn(|cx| {
        if woken {
            return Poll::Ready(());
        }
        woken = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn a_peer_that_takes_something_is_not_given_up_however_slow_it_is() {
        let (mut stall, start) = (Stall::default(), Instant::now());
        let mut at = |blocked, written, seconds: f64| {
            stall.seen(blocked, written, start + limits::LINK_STALL_MAX.mul_f64(seconds))
        };
        assert!(at(true, 0, 0.0).is_ok() && at(true, 0, 0.9).is_ok() && at(true, 1, 0.95).is_ok());
        assert!(at(true, 1, 1.9).is_ok(), "it took a byte");
        assert!(at(false, 1, 2.0).is_ok() && at(true, 1, 3.0).is_ok(), "nothing waited meanwhile");
        assert!(at(true, 1, 3.9).is_ok() && matches!(at(true, 1, 4.0), Err(Breach::Stalled)));
    }

    #[tokio::test]
    async fn tasks_that_are_ready_go_first() {
        let order = Arc::new(Mutex::new(Vec::new()));
        let note = |who| {
            let order = Arc::clone(&order);
            move || order.lock().unwrap().push(who)
        };
        let (writer, request) = (note("writer"), note("request"));
        let writer = tokio::spawn(async move {
            others_first().await;
            writer();
        });
        let request = tokio::spawn(async move { request() });
        let _ = tokio::join!(writer, request);
        assert_eq!(*order.lock().unwrap(), ["request", "writer"]);
    }
}
