//! One client's connection, from its first frame to its last: the task behind a session.
//!
//! ```text
//!                        ┌───────────── written ─────────────┐
//!                        ▼                                   │
//!   on_connect ──► IDLE: work? frame? timer? ── batch ──► WRITING: socket? closing? timer?
//!                        │                                   │
//!                        └────────── Ending ◄────────────────┘
//!                                      │
//!         close frame ─► (key released) ─► read until the client closes ─► on_disconnect
//! ```
//!
//! While frames wait for the socket nothing is read from it. When the socket takes nothing for
//! [`BUFFERED_AFTER`](limits::BUFFERED_AFTER) whoever waits for a push learns that it is buffered,
//! and the write goes on; a session that is closed meanwhile has [`CLOSE_TIMEOUT`](limits::CLOSE_TIMEOUT)
//! to get its frames and its close out. A handler that is running is never cancelled.
//!
//! What is decided elsewhere: which messages there are and when there are too many
//! ([`session`](crate::session)), when to ping ([`Heartbeat`]), how frames look
//! ([`dialect`](crate::gateway::clients::dialect)).

use std::ops::ControlFlow;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::future::{BoxFuture, join};
use futures_util::{FutureExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message as Frame};
use tracing::debug;

use crate::gateway::clients::dialect::Dialect;
use crate::gateway::clients::transport::ws::closing::{drain, linger};
use crate::gateway::clients::transport::ws::frames::Frames;
use crate::gateway::clients::transport::ws::line::DirectLine;
use crate::handle::NodeHandle;
use crate::handler::{Handler, SessionInfo};
use crate::limits;
use crate::metrics::Metrics;
use crate::metrics::label::{Task, Writer};
use crate::push::Payload;
use crate::session::{CloseReason, Heartbeat, HeartbeatTimers, Outgoing, Session, Work};
use crate::token::ResumeKey;
use crate::vital::{self, Vitals};
use crate::wire::Clock;

mod direct;
mod ending;
mod incoming;
#[cfg(test)]
mod tests;
mod timers;

use direct::Direct;
use ending::Ending;
use timers::{Due, arm};

/// What a connection has to know.
pub(super) struct Setup {
    pub(super) info: SessionInfo,
    /// What the client speaks.
    pub(super) dialect: &'static dyn Dialect,
    /// Signs what the client comes back with, if its dialect has that.
    pub(super) resume: Arc<ResumeKey>,
    /// When the client's token expires.
    pub(super) expires_unix_ms: Option<u64>,
    pub(super) timers: HeartbeatTimers,
    pub(super) handler: Arc<dyn Handler>,
    /// For the handler.
    pub(super) node: NodeHandle,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) vitals: Vitals,
    /// The socket's line, if messages may be written to it directly.
    pub(super) line: Option<Arc<dyn DirectLine>>,
}

/// A connection over the stream `S`.
pub(super) struct Connection<S> {
    socket: WebSocketStream<S>,
    session: Arc<Session>,
    setup: Setup,
    frames: Frames,
    /// The messages whose frames are being written.
    batch: Vec<Outgoing>,
    /// By whom: as the metric of written messages calls it.
    writer: Writer,
    /// Whether others may be writing to the socket.
    lent: bool,
    /// The handler's call that is running.
    handling: Option<Call>,
    /// Whether the handler let the client in.
    admitted: bool,
    heartbeat: Heartbeat,
    /// A ping was due while there was something else to write: it follows that.
    ping_owed: bool,
    opened: Instant,
    due: Due,
    timer: Pin<Box<Sleep>>,
    /// Bytes that were left to write when the socket was last looked at.
    stalled_bytes: usize,
    /// Frames in a row that were not understood.
    bad_frames: usize,
    /// The documented close code, whatever the dialect makes of it. Known once the connection has ended.
    code: u16,
    /// Whether the socket stopped in the middle of a frame, or failed.
    broken: bool,
}

/// A call of the handler.
type Call = BoxFuture<'static, Result<(), Unhandled>>;

/// How a call of the handler failed.
#[derive(Debug)]
enum Unhandled {
    /// `on_connect` refuses the client, for this reason.
    Refused(&'static str),
    /// It panicked, and said this.
    Panicked(String),
}

/// What happened.
enum Event {
    /// The frames are in the socket, or it is broken.
    Wrote(Result<(), Error>),
    Work(Work),
    Frame(Option<Result<Frame, Error>>),
    /// The handler returned.
    Handled(Result<(), Unhandled>),
    /// The session is closing while frames are being written, or before the client is let in.
    Closing,
    Timer,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// The connection of `session` over a socket whose handshake is done.
    pub(super) fn new(socket: WebSocketStream<S>, session: Arc<Session>, setup: Setup) -> Self {
        let opened = Instant::now();
        let Setup { handler, node, info, .. } = &setup;
        let (handler, node, info) = (Arc::clone(handler), node.clone(), info.clone());
        if let Some(line) = &setup.line {
            let metrics = Arc::clone(&setup.metrics);
            session.lend(Box::new(Direct::new(Arc::clone(line), setup.dialect, metrics)));
        }
        Self {
            socket,
            session,
            frames: Frames::default(),
            batch: Vec::new(),
            writer: Writer::Task,
            lent: false,
            handling: Some(call(async move { handler.on_connect(&node, &info).await })),
            admitted: false,
            heartbeat: Heartbeat::new(setup.timers),
            ping_owed: false,
            opened,
            due: Due::new(opened, setup.expires_unix_ms.is_some()),
            timer: Box::pin(sleep_until(opened)),
            stalled_bytes: 0,
            bad_frames: 0,
            code: CloseReason::ClientGone.code(),
            broken: false,
            setup,
        }
    }

    /// Runs until the session is over and the client is told, as far as it listens.
    pub(super) async fn run(&mut self) {
        let ending = loop {
            let event = if !self.frames.is_empty() {
                self.writing().await
            } else if self.admitted {
                self.idle().await
            } else {
                self.entering().await
            };
            if let ControlFlow::Break(ending) = self.on(event) {
                break ending;
            }
        };
        self.batch.clear(); // What was not written answers that it was interrupted.
        self.finish(ending).await;
        self.session.abandon();
    }

    /// Lets the client close its side and tells the handler. The session must be over by now.
    pub(super) async fn end(mut self) {
        let handling = self.handling.take();
        let Setup { info, handler, node, vitals, .. } = self.setup;
        let mut admitted = self.admitted;
        let code = self.code;
        let goodbye = async {
            if let Some(call) = handling {
                match call.await {
                    // Before the client was let in this is `on_connect`, whose answer counts.
                    Ok(()) => admitted = true,
                    Err(Unhandled::Refused(_)) => admitted = false,
                    Err(Unhandled::Panicked(problem)) => vitals.count(Task::Handler, &problem),
                }
            }
            if admitted {
                let _ = vitals.contained(Task::Handler, handler.on_disconnect(&node, &info, code)).await;
            }
        };
        let silence = async {
            if self.broken {
                drain(self.socket.get_mut()).await;
            } else {
                linger(&mut self.socket).await;
            }
        };
        join(silence, goodbye).await;
    }

    /// Waits until the handler lets the client in. Nothing is read or written before.
    async fn entering(&mut self) -> Event {
        arm(&mut self.timer, self.due.next());
        tokio::select! {
            biased; // A handler that has decided comes before a close: it may have let the client in.
            result = finished(&mut self.handling) => Event::Handled(result),
            () = self.session.closed() => Event::Closing,
            () = &mut self.timer => Event::Timer,
        }
    }

    /// Waits while there is nothing to write.
    async fn idle(&mut self) -> Event {
        arm(&mut self.timer, self.due.next());
        let reads = self.handling.is_none();
        self.lent = true;
        // Not biased: neither a stream of pushes nor a stream of client messages starves the other.
        tokio::select! {
            work = self.session.work(limits::OUTBOX_BATCH_MAX) => Event::Work(work),
            frame = self.socket.next(), if reads => Event::Frame(frame),
            result = finished(&mut self.handling) => Event::Handled(result),
            () = &mut self.timer => Event::Timer,
        }
    }

    /// Waits while the socket takes what is to be written.
    async fn writing(&mut self) -> Event {
        if self.lent {
            self.lent = false;
            if let Some(begun) = self.session.reclaim() {
                self.take_over(begun);
            }
        }
        // Mostly the socket takes all at once, and no timer has to be touched.
        if let Some(result) = self.frames.write_to(&mut self.socket).now_or_never() {
            return Event::Wrote(result);
        }
        if self.due.stall.is_none() {
            self.due.stall = Some(Instant::now() + limits::BUFFERED_AFTER);
            self.stalled_bytes = self.frames.bytes();
        }
        arm(&mut self.timer, self.due.next());
        let closing = self.due.abort.is_some();
        tokio::select! {
            result = self.frames.write_to(&mut self.socket) => Event::Wrote(result),
            () = self.session.closed(), if !closing => Event::Closing,
            result = finished(&mut self.handling) => Event::Handled(result),
            () = &mut self.timer => Event::Timer,
        }
    }

    fn on(&mut self, event: Event) -> ControlFlow<Ending> {
        match event {
            Event::Wrote(Ok(())) => self.wrote(),
            Event::Wrote(Err(error)) => {
                debug!(%error, "the socket broke while it was written");
                return ControlFlow::Break(Ending::Broken);
            }
            Event::Work(Work::Write(batch)) => self.write(batch),
            Event::Work(Work::Finish(begun)) => self.take_over(begun),
            Event::Work(Work::Close(reason)) => return ControlFlow::Break(Ending::Close(reason)),
            Event::Frame(frame) => return self.frame(frame),
            Event::Handled(result) => self.handled(result),
            Event::Closing => return self.closing(),
            Event::Timer => return self.tick(),
        }
        ControlFlow::Continue(())
    }

    fn write(&mut self, batch: Vec<Outgoing>) {
        debug_assert!(self.batch.is_empty(), "one batch is written at a time");
        for outgoing in &batch {
            let Payload { kind, bytes } = self.setup.dialect.message(&outgoing.message);
            self.frames.push(kind.into(), bytes);
        }
        self.batch = batch;
        self.writer = Writer::Task;
        self.lent = false;
    }

    /// Goes on with a message of which another has written a part.
    fn take_over(&mut self, begun: Outgoing) {
        debug_assert!(self.batch.is_empty(), "nobody writes directly while the task does");
        if let Some(mut rest) = self.setup.line.as_ref().and_then(|line| line.take_rest()) {
            rest.append(std::mem::take(&mut self.frames));
            self.frames = rest;
        }
        self.batch = vec![begun];
        self.writer = Writer::Begun;
        self.lent = false;
    }

    fn wrote(&mut self) {
        self.due.stall = None;
        if !self.batch.is_empty() {
            self.heartbeat.message(self.opened.elapsed());
            self.setup.metrics.messages_written.with(self.writer).increment(self.batch.len() as u64);
            self.session.written(std::mem::take(&mut self.batch));
        }
        self.pay_ping();
    }

    /// The handler returned: from `on_connect` the first time, from `on_message` later.
    fn handled(&mut self, result: Result<(), Unhandled>) {
        self.handling = None;
        match result {
            Ok(()) if self.admitted => {}
            Ok(()) => {
                self.admitted = true;
                self.due.stall = None;
                self.setup.metrics.connections_opened.increment(1);
                let Setup { dialect, info, resume, .. } = &self.setup;
                if let Some(Payload { kind, bytes }) = dialect.welcome(info, self.session.stamp(), resume) {
                    self.frames.push(kind.into(), bytes);
                }
                self.pay_ping();
            }
            Err(Unhandled::Refused(reason)) => _ = self.session.close(CloseReason::Policy(reason)),
            Err(Unhandled::Panicked(problem)) => {
                self.setup.vitals.count(Task::Handler, &problem);
                self.session.close(CloseReason::Failed);
            }
        }
    }

    /// The session is closing while there is something to write.
    fn closing(&mut self) -> ControlFlow<Ending> {
        let reason = self.session.closing().unwrap_or(CloseReason::ClientGone);
        if !self.admitted && self.frames.is_empty() {
            return ControlFlow::Break(Ending::Close(reason));
        }
        self.due.abort = Some(Instant::now() + limits::CLOSE_TIMEOUT);
        if !reason.flushes() {
            // Nobody waits any longer. The frames still go out, if the client takes them: the
            // close can not overtake the one that is half written.
            self.batch.clear();
        }
        ControlFlow::Continue(())
    }
}

/// A call whose panic is its result: it must end no more than the session.
fn call(work: impl Future<Output = Result<(), &'static str>> + Send + 'static) -> Call {
    let work = AssertUnwindSafe(work).catch_unwind().map(|result| match result {
        Ok(result) => result.map_err(Unhandled::Refused),
        Err(payload) => Err(Unhandled::Panicked(vital::said(&*payload).to_owned())),
    });
    Box::pin(work)
}

/// Waits for the handler's call, for ever if there is none. Cancel-safe: the call stays.
async fn finished(handling: &mut Option<Call>) -> Result<(), Unhandled> {
    match handling {
        Some(call) => call.await,
        None => std::future::pending().await,
    }
}
