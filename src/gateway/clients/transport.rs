//! The ways on which clients are connected: one folder for each, behind one trait.
//!
//! ```text
//!   connection ── queue, write ──► Transport ──► the client
//!       ▲                              │
//!       └────────── Incoming ──────────┘
//!   whoever brings a message ── write ──► AtOnce ──► the client
//! ```
//!
//! A transport carries payloads and knows how they are framed, how a client is asked for a sign of life, and how
//! it is told that all is over. What payloads mean is the [dialect](crate::gateway::clients::dialect)'s
//! business. When to write, to ask and to end, and how long to wait for that, is the
//! [connection](crate::gateway::clients::connection)'s. A connection is compiled for each transport, so that the
//! seam costs nothing for a message.

use std::io;

use crate::gateway::clients::dialect::Close;
use crate::metrics::label::ClientError;
use crate::push::Payload;
use crate::session::Taken;

pub(in crate::gateway) mod ws;

/// The line to one client, with what is queued for it.
pub(super) trait Transport: Send {
    /// How others than the connection's task write to the client.
    type Direct: AtOnce;

    /// Whether a client answers a probe. Where it cannot, it counts as heard when its line has taken all that was
    /// queued, which includes the probe.
    const ANSWERS_PROBES: bool;

    /// Queues a payload.
    fn queue(&mut self, payload: Payload);

    /// Queues what asks the client for a sign of life, or at least shows whether its line takes anything.
    fn queue_probe(&mut self);

    /// Whether nothing is queued, and nothing is half written.
    fn is_written(&self) -> bool;

    /// Bytes that are left to write.
    fn bytes_left(&self) -> usize;

    /// Writes what is queued and flushes it. Cancel-safe: a later call goes on where this one was.
    ///
    /// # Errors
    /// The line is gone.
    fn write(&mut self) -> impl Future<Output = io::Result<()>> + Send;

    /// Waits for what comes of the client next. Cancel-safe. Only while [all is written](Self::is_written).
    fn incoming(&mut self) -> impl Future<Output = Incoming> + Send;

    /// Lets others write, if the line can be shared. They do not write while the task does, and the task does not
    /// before it has [taken over](Self::take_over) what they have begun.
    fn direct(&self) -> Option<Self::Direct>;

    /// Puts what another has begun before all that is queued.
    fn take_over(&mut self);

    /// Tells the client that its session is over. What does not fit the transport is cut off.
    fn close(&mut self, close: &Close) -> impl Future<Output = ()> + Send;

    /// The client has closed by itself: completes that.
    fn answer_close(&mut self) -> impl Future<Output = ()> + Send;

    /// Waits until the client has taken the end and closes its side, and gives the code that it closes with, if it says one. `broken`
    /// says that the line has stopped in the middle of a payload, or failed.
    fn linger(&mut self, broken: bool) -> impl Future<Output = Option<u16>> + Send;
}

/// Writes to a client, whoever brings the payload. It never waits.
pub(super) trait AtOnce: Send + Sync + 'static {
    /// Writes the payload if the line takes it at once.
    fn write(&self, payload: Payload) -> Taken;
}

/// What came of a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// Something for the dialect.
    Message(Payload),
    /// Nothing but a sign that it is there.
    Alive,
    /// Nothing comes any more.
    End(End),
}

/// How a client came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It has closed, and [is owed an answer](Transport::answer_close).
    Closed {
        /// Whether it said that it goes for good.
        bye: bool,
    },
    /// The same, in a way that it must not: with this code. The word is for metrics.
    ClosedBadly(u16, ClientError),
    /// It has sent what cannot be read: it is told this code and word.
    Unreadable(u16, ClientError),
    /// It has sent more than a message may have.
    TooBig,
    /// The line is gone.
    Gone,
}
