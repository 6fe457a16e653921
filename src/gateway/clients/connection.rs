//! One client's connection, from its first payload to its last: the task behind a session.
//!
//! ```text
//!                        ┌───────────── written ──────────────┐
//!                        ▼                                    │
//!   on_connect ──► IDLE: work? client? timer? ── batch ──► WRITING: line? closing? timer?
//!                        │                                    │
//!                        └────────── Ending ◄─────────────────┘
//!                                      │
//!            close ─► (key released) ─► wait until the client closes ─► on_disconnect
//! ```
//!
//! While something waits for the line nothing is read from it. When the line takes nothing for
//! [`BUFFERED_AFTER`](crate::limits::BUFFERED_AFTER) whoever waits for a push learns that it is buffered, and the
//! write goes on; a session that is closed meanwhile has [`CLOSE_TIMEOUT`](crate::limits::CLOSE_TIMEOUT) to get its
//! messages and its close out. A handler that is running is never cancelled.
//!
//! What is decided elsewhere: which messages there are and when there are too many
//! ([`session`](crate::session)), when to ask whether the client is there ([`Heartbeat`]), what a payload says
//! ([`dialect`](crate::gateway::clients::dialect)), how it is framed
//! ([`transport`](crate::gateway::clients::transport)).
//!
//! Here stands what the task knows, and what several of its steps do. The loop is in `run.rs`, and uses the other
//! steps: `incoming.rs`, `token.rs`, `timers.rs`, `finish.rs`.

use std::pin::Pin;
use std::sync::Arc;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::config::Bucket;
use crate::gateway::clients::dialect::Dialect;
use crate::gateway::clients::transport::Transport;
use crate::gateway::parts::ConnectionParts;
use crate::metrics::label::{ClientError, Writer};
use crate::push::Payload;
use crate::session::{CloseReason, Heartbeat, Outgoing, Session};

mod direct;
mod due;
mod ending;
mod finish;
mod handling;
mod incoming;
mod run;
#[cfg(test)]
pub(super) mod tests;
mod timers;
mod token;

use direct::Direct;
use due::Due;
use handling::{Call, Handled, call};

/// What a connection has to know. Each client costs its bytes: what all connections share stands once.
pub(super) struct Setup {
    /// What the client speaks.
    pub(super) dialect: &'static dyn Dialect,
    /// When the client's token expires.
    pub(super) expires_unix_ms: Option<u64>,
    pub(super) parts: Arc<ConnectionParts>,
}

/// A connection by the transport `T`.
pub(super) struct Connection<T> {
    transport: T,
    session: Arc<Session>,
    setup: Setup,
    /// The messages that are being written.
    batch: Vec<Outgoing>,
    /// By whom: as the metric of written messages calls it.
    writer: Writer,
    /// Whether others may be writing to the line.
    lent: bool,
    /// The handler's call that is running.
    handling: Option<Call>,
    /// Whether the handler let the client in.
    admitted: bool,
    heartbeat: Heartbeat,
    /// Whether the client knows that its token expires soon.
    told_of_expiry: bool,
    /// A probe was due while there was something else to write: it follows that.
    probe_owed: bool,
    opened: Instant,
    due: Due,
    timer: Pin<Box<Sleep>>,
    /// Bytes that were left to write when the line was last looked at.
    stalled_bytes: usize,
    /// Messages in a row that were not understood.
    bad_messages: usize,
    /// How many more the client may send.
    messages: Bucket,
    /// The documented close code, whatever the dialect makes of it. Known once the connection has ended.
    code: u16,
    /// Whether the line stopped in the middle of a message, or failed.
    broken: bool,
}

impl<T: Transport> Connection<T> {
    /// The connection of `session` by a line that is open.
    pub(super) fn new(transport: T, session: Arc<Session>, setup: Setup) -> Self {
        let opened = Instant::now();
        let (parts, info) = (Arc::clone(&setup.parts), setup.parts.info(&session));
        if let Some(line) = transport.direct() {
            session.lend(Box::new(Direct::new(line, setup.dialect, Arc::clone(&parts.metrics))));
        }
        Self {
            transport,
            session,
            batch: Vec::new(),
            writer: Writer::Task,
            lent: false,
            handling: Some(call(async move {
                parts.handler.on_connect(&parts.handle, &info).await.map(|()| Handled::Returned)
            })),
            admitted: false,
            heartbeat: Heartbeat::default(),
            told_of_expiry: false,
            probe_owed: false,
            opened,
            due: Due::new(opened, setup.expires_unix_ms.is_some()),
            timer: Box::pin(sleep_until(opened)),
            stalled_bytes: 0,
            bad_messages: 0,
            messages: Bucket::default(),
            code: CloseReason::ClientGone.code(),
            broken: false,
            setup,
        }
    }

    /// Goes on with a message of which another has written a part.
    fn take_over(&mut self, begun: Outgoing) {
        debug_assert!(self.batch.is_empty(), "nobody writes directly while the task does");
        self.transport.take_over();
        self.batch = vec![begun];
        self.writer = Writer::Begun;
        self.lent = false;
    }

    /// The line has taken all that was queued.
    fn wrote(&mut self) {
        self.due.stall = None;
        if !T::ANSWERS_PROBES {
            self.heartbeat.heard(self.opened.elapsed());
        }
        if !self.batch.is_empty() {
            self.heartbeat.message(self.opened.elapsed());
            self.setup.parts.metrics.messages_written.with(self.writer).increment(self.batch.len() as u64);
            self.session.written(std::mem::take(&mut self.batch));
        }
        self.pay_probe();
    }

    /// What is being written is not brought to its end: whoever waits for it is told so.
    fn interrupt(&mut self) {
        self.session.interrupted(std::mem::take(&mut self.batch));
    }

    /// The client has said what is understood.
    fn understood(&mut self) {
        self.bad_messages = 0;
    }

    /// The client has said what is not understood, or what is of no use.
    fn nonsense(&mut self, code: ClientError, answer: Option<Payload>) {
        self.setup.parts.metrics.client_errors.with(code).increment(1);
        self.bad_messages += 1;
        if self.bad_messages > BAD_MESSAGES_MAX {
            self.session.close(CloseReason::Policy("too many frames that are not understood"));
        } else {
            self.tell(answer);
        }
    }

    /// Queues what the client is told, if its dialect has words for that.
    fn tell(&mut self, said: Option<Payload>) {
        said.into_iter().for_each(|said| self.transport.queue(said));
    }

    /// Queues the probe that was due while there was something else to write.
    fn pay_probe(&mut self) {
        if std::mem::take(&mut self.probe_owed) {
            self.transport.queue_probe();
        }
    }
}

/// Messages in a row that a client may get wrong. Guess: a bug shows at once, a flood
/// ends.
const BAD_MESSAGES_MAX: usize = 8;
