//! What waits to be written to one socket, and what is being written: bounded together in messages and in
//! bytes, and pure.
//!
//! Slow-consumer policy: when a message does not fit, it is refused and the connection ends with
//! 4004. Nothing is dropped silently, and no client can make a node hold more than the two bounds,
//! in memory of their own: what waits is no slice of a larger buffer. Beside them there are the frames
//! of what is being written. The queue allocates as it fills, so that an idle session costs nothing.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::limits;
use crate::position::Segment;
use crate::push::{Message, Outcome};
use crate::receipt::Reply;
use crate::session::CloseReason;
use crate::session::notice::Notice;
use crate::session::tail::Known;

/// Bounds of one outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutboxLimits {
    /// Messages that may wait or be written.
    pub(crate) messages_max: usize,
    /// Bytes of payload that may wait or be written.
    pub(crate) bytes_max: usize,
}

/// Something on its way to the socket, with the duty to answer for it.
pub(crate) struct Outgoing {
    /// What to write.
    pub(crate) what: What,
    /// Whom to tell.
    pub(crate) reply: Reply,
}

/// What is written to a client.
pub(crate) enum What {
    /// A message; of a session that is kept with its place.
    Message(Arc<Message>, Option<Place>),
    /// What a client is told between its messages. Boxed: it seldom is.
    Notice(Box<Notice>),
}

/// The place of a message among those of its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// In which segment.
    pub(crate) segment: Segment,
    /// With which number.
    pub(crate) number: u64,
    /// Whether it is of an earlier segment than the session's own.
    pub(crate) is_older: bool,
}

impl Outgoing {
    /// Puts the two together.
    pub(crate) fn new(message: Arc<Message>, reply: Reply) -> Self {
        Self { what: What::Message(message, None), reply }
    }

    /// A notice, for which nobody waits.
    pub(super) fn notice(notice: Notice) -> Self {
        Self { what: What::Notice(Box::new(notice)), reply: Reply::answered() }
    }

    /// The message, if it is one.
    pub(super) fn message(&self) -> Option<&Arc<Message>> {
        match &self.what {
            What::Message(message, _) => Some(message),
            What::Notice(_) => None,
        }
    }

    /// Whether it has a number: then it is held until the client acknowledges it.
    pub(super) fn is_numbered(&self) -> bool {
        matches!(self.what, What::Message(_, Some(_)))
    }

    fn len(&self) -> usize {
        self.message().map_or(0, |message| message.payload.bytes.len())
    }
}

/// What became of an offered message.
pub(crate) enum Offered {
    /// It waits. `was_empty` says that the writer may be asleep.
    Queued {
        /// Whether nothing waited before.
        was_empty: bool,
    },
    /// It was not taken, for this reason.
    Refused(Reply, Outcome),
    /// There is no room.
    Full(Reply),
}

/// The queue of one session.
pub(crate) struct Outbox {
    queue: VecDeque<Waiting>,
    /// Bytes of what waits.
    bytes: usize,
    /// What is being written.
    writing: Load,
    limits: OutboxLimits,
    closing: Option<CloseReason>,
    /// Ids of the last written messages whose id the caller chose.
    recent: VecDeque<Known>,
    /// The same of the batch that is being written.
    in_flight: Vec<Known>,
}

/// An amount of messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Load {
    messages: usize,
    bytes: usize,
}

struct Waiting {
    message: Arc<Message>,
    /// `None` once its caller was told that it is buffered.
    reply: Option<Reply>,
}

impl Outbox {
    /// An empty queue.
    pub(crate) fn new(limits: OutboxLimits) -> Self {
        assert!(limits.messages_max > 0, "an outbox without room could deliver nothing");
        Self {
            queue: VecDeque::new(),
            bytes: 0,
            writing: Load::default(),
            limits,
            closing: None,
            recent: VecDeque::new(),
            in_flight: Vec::new(),
        }
    }

    /// Messages that wait or are being written.
    pub(crate) fn len(&self) -> usize {
        self.queue.len() + self.writing.messages
    }

    /// Why the session ends, if it does.
    pub(crate) fn closing(&self) -> Option<&CloseReason> {
        self.closing.as_ref()
    }

    /// Queues a message if there is room and if it is not a retry of one that is here already.
    pub(crate) fn offer(&mut self, message: &Arc<Message>, reply: Reply) -> Offered {
        if let Some(reason) = &self.closing {
            return Offered::Refused(reply, reason.outcome());
        }
        if let Some(outcome) = self.seen(message) {
            return Offered::Refused(reply, outcome);
        }
        let bytes = message.payload.bytes.len();
        // A single message always fits an empty outbox: its size was bounded where it entered.
        let full = self.len() > 0
            && (self.len() >= self.limits.messages_max
                || self.bytes + self.writing.bytes + bytes > self.limits.bytes_max);
        if full {
            return Offered::Full(reply);
        }
        let was_empty = self.queue.is_empty();
        self.bytes += bytes;
        self.queue.push_back(Waiting { message: message.kept(), reply: Some(reply) });
        self.check();
        Offered::Queued { was_empty }
    }

    /// Whether the message may be written now: nothing waits before it, and it would not be refused.
    pub(crate) fn is_clear_for(&self, message: &Message) -> bool {
        self.closing.is_none() && self.queue.is_empty() && self.seen(message).is_none()
    }

    /// Notes that a message is being written that did not wait.
    pub(crate) fn begin(&mut self, message: &Message) {
        self.writing = Load { messages: 1, bytes: message.payload.bytes.len() };
        self.in_flight.extend(Known::of(message));
    }

    /// What to say of a message whose id is here already: it was written or waits, or it is another message.
    pub(super) fn seen(&self, message: &Message) -> Option<Outcome> {
        if !message.idempotent {
            return None;
        }
        let is_same = |known: &Known| known.fingerprint == message.fingerprint();
        let (same, outcome) = if let Some(known) = self.recent.iter().find(|known| known.id == message.id) {
            (is_same(known), Outcome::Delivered)
        } else if let Some(known) = self.in_flight.iter().find(|known| known.id == message.id) {
            (is_same(known), Outcome::Buffered)
        } else {
            let waiting = self.queue.iter().find(|waiting| waiting.message.id == message.id)?;
            (waiting.message.payload == message.payload, Outcome::Buffered)
        };
        Some(if same { outcome } else { Outcome::IdReused })
    }

    /// Whether the message was written under its id; where the session is kept: whether its client has acknowledged it.
    pub(super) fn has_delivered(&self, message: &Message) -> bool {
        self.seen(message) == Some(Outcome::Delivered)
    }

    /// Takes up to `batch_max` messages to write, and no more than one beyond
    /// [`OUTBOX_BATCH_BYTES_MAX`](limits::OUTBOX_BATCH_BYTES_MAX). They count until they are written.
    pub(crate) fn take(&mut self, batch_max: usize) -> Vec<Outgoing> {
        let (mut count, mut bytes) = (0, 0);
        while count < self.queue.len().min(batch_max) && bytes < limits::OUTBOX_BATCH_BYTES_MAX {
            bytes += self.queue[count].message.payload.bytes.len();
            count += 1;
        }
        let batch = self.remove(count);
        self.writing.messages += batch.len();
        self.writing.bytes += bytes;
        self.in_flight.extend(known(&batch));
        self.check();
        batch
    }

    /// Takes all that waits: it will not be written.
    pub(crate) fn clear(&mut self) -> Vec<Outgoing> {
        self.remove(self.queue.len())
    }

    fn remove(&mut self, count: usize) -> Vec<Outgoing> {
        let removed: Vec<_> = self
            .queue
            .drain(..count)
            .map(|waiting| {
                let reply = waiting.reply.unwrap_or_else(Reply::answered);
                Outgoing::new(waiting.message, reply)
            })
            .collect();
        self.bytes -= removed.iter().map(Outgoing::len).sum::<usize>();
        self.check();
        removed
    }

    /// Takes the replies of all waiting messages; the messages stay.
    pub(crate) fn detach_replies(&mut self) -> Vec<Reply> {
        self.queue.iter_mut().filter_map(|waiting| waiting.reply.take()).collect()
    }

    /// Notes that all that was being written is: it counts no more, and a retry of it is recognised.
    pub(crate) fn written(&mut self, batch: &[Outgoing]) {
        self.writing = Load::default();
        self.in_flight.clear();
        known(batch).for_each(|known| self.know(known));
    }

    /// One message was written that did not wait.
    pub(super) fn written_one(&mut self, message: &Message) {
        self.writing = Load::default();
        self.in_flight.clear();
        Known::of(message).into_iter().for_each(|known| self.know(known));
    }

    /// A retry of this message is recognised from now on.
    pub(super) fn know(&mut self, known: Known) {
        if self.recent.len() == limits::IDEMPOTENCY_WINDOW {
            self.recent.pop_front();
        }
        self.recent.push_back(known);
    }

    /// The messages whose retry is recognised although nothing of them is held, the oldest first.
    pub(super) fn recent(&self) -> impl Iterator<Item = &Known> {
        self.recent.iter()
    }

    /// The bounds.
    pub(super) fn limits(&self) -> OutboxLimits {
        self.limits
    }

    /// The session ends for this reason, or for this one and no longer for the one before.
    pub(super) fn set_closing(&mut self, reason: CloseReason) {
        self.closing = Some(reason);
    }

    /// Refuses everything from now on. Says whether it was the first time, and gives back what will
    /// not be written any more, with what to answer.
    pub(crate) fn close(&mut self, reason: CloseReason) -> (bool, Vec<(Outgoing, Outcome)>) {
        if self.closing.is_some() {
            return (false, Vec::new());
        }
        let dropped = if reason.flushes() {
            Vec::new()
        } else {
            let outcome = reason.outcome();
            self.clear().into_iter().map(|outgoing| (outgoing, outcome.clone())).collect()
        };
        self.closing = Some(reason);
        (true, dropped)
    }

    fn check(&self) {
        debug_assert!(self.len() <= self.limits.messages_max.max(1));
        debug_assert_eq!(self.bytes, self.queue.iter().map(|w| w.message.payload.bytes.len()).sum::<usize>());
    }
}

/// What is to be remembered of these.
fn known(batch: &[Outgoing]) -> impl Iterator<Item = Known> {
    batch.iter().filter_map(|outgoing| Known::of(outgoing.message()?))
}

#[cfg(test)]
mod tests;
