//! Writing a message to the socket by whoever brings it, while the connection's task rests.
//!
//! To wake a task costs more than to write a short message. The task lends its socket whenever it waits
//! for work, and has it back as soon as a message waits in the outbox. A message of which the
//! socket takes a part is the task's to finish.

use std::time::Duration;

use tokio::time::Instant;

use crate::push::Message;
use crate::session::outbox::{Outgoing, Place};

/// Writes to the socket of a session. It never waits.
pub(crate) trait DirectWriter: Send + Sync {
    /// Writes the message, which may have a place, if the socket takes it at once.
    fn write(&self, message: &Message, place: Option<&Place>) -> Taken;
}

/// What the socket has taken of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// All of it.
    All,
    /// A part: nothing else may be written before the rest.
    Part,
    /// Nothing, now.
    Nothing,
}

/// The socket, while others than the task may write to it.
#[derive(Default)]
pub(super) struct Direct {
    writer: Option<Box<dyn DirectWriter>>,
    /// Whether the task has nothing to write.
    resting: bool,
    /// The message of which the socket has taken a part. Boxed: there seldom is one.
    begun: Option<Box<Outgoing>>,
    /// When a message was written last.
    written: Option<Instant>,
}

impl Direct {
    /// The socket may be written to by `writer` from the next [`rest`](Self::rest) on.
    pub(super) fn lend(&mut self, writer: Box<dyn DirectWriter>) {
        self.writer = Some(writer);
    }

    /// The task has nothing to write.
    pub(super) fn rest(&mut self) {
        self.resting = true;
    }

    /// The task writes. Returns the message that it has to finish first.
    pub(super) fn reclaim(&mut self) -> Option<Outgoing> {
        self.resting = false;
        self.begun.take().map(|begun| *begun)
    }

    /// The session closes: nobody else writes any more.
    pub(super) fn close(&mut self) {
        self.writer = None;
    }

    /// When a message was written last.
    pub(super) fn written(&self) -> Option<Instant> {
        self.written
    }

    /// Whether the socket has taken a part of a message, and the task does not have it yet.
    #[cfg(test)]
    pub(super) fn has_begun(&self) -> bool {
        self.begun.is_some()
    }

    /// Writes a message that nothing waits before.
    pub(super) fn write(&mut self, message: &Message, place: Option<&Place>) -> Taken {
        let Some(writer) = self.writer.as_ref().filter(|_| self.resting) else { return Taken::Nothing };
        let now = Instant::now();
        if self.written.is_some_and(|at| now.saturating_duration_since(at) < BURST) {
            return Taken::Nothing;
        }
        let taken = writer.write(message, place);
        if taken == Taken::All {
            self.written = Some(now);
        }
        taken
    }

    /// The socket has taken a part of this message. Nobody else writes until the task has it.
    pub(super) fn begin(&mut self, outgoing: Outgoing) {
        self.resting = false;
        self.begun = Some(Box::new(outgoing));
    }
}

/// Messages that follow each other faster are the task's, which writes all that wait at once. Guess: a few
/// system calls.
const BURST: Duration = Duration::from_micros(50);
