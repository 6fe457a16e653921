//! The live sessions of this node: what it owes to whom, and when it lets go.
//!
//! ```text
//!                                        ┌──── the task rests: written at once ────┐
//!             offer(message, reply)      │              work()                     ▼
//!   router ───────────────────────────► Session ───────────────────► connection task ──► socket
//!                                      (outbox)  ◄── close(reason) ── takeover, kick, drain, timers
//! ```
//!
//! A [`Session`] is the meeting point of the pushes that arrive for it and of the one task that
//! looks after its socket. A message that finds the task at rest and the socket ready is written by
//! whoever brings it; all others wait in the outbox for the task. The [`Registry`] finds it by key.
//! Which node owns a key is not decided here: that is the directory's.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::id::{SessionKey, Stamp};
use crate::key::Key;
use crate::push::{Message, Outcome};
use crate::receipt::Reply;

mod close;
mod direct;
mod heartbeat;
mod log;
mod outbox;
mod registry;

pub(crate) use close::CloseReason;
pub(crate) use direct::{DirectWriter, Taken};
pub(crate) use heartbeat::{Heartbeat, HeartbeatTimers, Pulse};
pub(crate) use outbox::{Outbox, OutboxLimits, Outgoing};
pub(crate) use registry::{Permit, Registry, Replaced};

use direct::Direct;

/// One session of this node, while its connection lives.
pub(crate) struct Session {
    names: SessionKey,
    key: Key,
    stamp: Stamp,
    succeeds: Option<Stamp>,
    state: Mutex<State>,
    wake: Notify,
    /// Tells those who wait for the end of the session.
    ending: Notify,
    disputed: AtomicBool,
}

/// What is written, and by whom.
struct State {
    outbox: Outbox,
    direct: Direct,
}

/// What became of an offered message.
enum Offered {
    /// It is in the socket.
    Written(Outgoing),
    /// It is the task's to write.
    Left,
    /// The same, and the task may be asleep.
    Woken,
    /// It was not taken, for this reason.
    Refused(Outgoing, Outcome),
    /// There is no room.
    Full(Outgoing),
}

/// What the connection task is to do next.
pub(crate) enum Work {
    /// Write these, flush, and answer each reply.
    Write(Vec<Outgoing>),
    /// Go on with this, of which the socket has taken a part.
    Finish(Outgoing),
    /// Nothing is left to write: close the connection for this reason.
    Close(CloseReason),
}

impl Session {
    /// A session whose connection is about to open. `key` is the hash of `names`; `succeeds` the stamp
    /// of the session whose client this is, as it has proven.
    pub(crate) fn new(
        names: SessionKey,
        key: Key,
        stamp: Stamp,
        succeeds: Option<Stamp>,
        limits: OutboxLimits,
    ) -> Self {
        Self {
            names,
            key,
            stamp,
            succeeds,
            state: Mutex::new(State { outbox: Outbox::new(limits), direct: Direct::default() }),
            wake: Notify::new(),
            ending: Notify::new(),
            disputed: AtomicBool::new(false),
        }
    }

    /// Whose session it is.
    pub(crate) fn names(&self) -> &SessionKey {
        &self.names
    }

    /// Whose session it is, as the directory keeps it.
    pub(crate) fn key(&self) -> Key {
        self.key
    }

    /// The stamp of the claim behind it.
    pub(crate) fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// The session of the same client before this one, as it has proven.
    pub(crate) fn succeeds(&self) -> Option<Stamp> {
        self.succeeds
    }

    /// Whether this call is the first to ask who stays of this session and another one, since the last
    /// time that was settled.
    pub(crate) fn begin_dispute(&self) -> bool {
        !self.disputed.swap(true, Ordering::SeqCst)
    }

    /// It is settled.
    pub(crate) fn end_dispute(&self) {
        self.disputed.store(false, Ordering::SeqCst);
    }

    /// Hands over a message to write. The reply is answered in any case: now when the socket takes the
    /// message at once, when there is no room or when the session is closing, later by the connection task.
    pub(crate) fn offer(&self, message: &Arc<Message>, reply: Reply) {
        let offered = self.lock().offer(Outgoing::new(Arc::clone(message), reply));
        match offered {
            Offered::Written(outgoing) => outgoing.reply.answer(Outcome::Delivered),
            Offered::Left => {}
            Offered::Woken => self.wake.notify_one(),
            Offered::Refused(outgoing, outcome) => outgoing.reply.answer(outcome),
            Offered::Full(outgoing) => {
                // The client does not keep up. Keeping what it has not taken would only move the
                // loss into memory, so the connection ends and the client starts afresh.
                outgoing.reply.answer(Outcome::Overloaded);
                self.close(CloseReason::SlowConsumer);
            }
        }
    }

    /// Lets others write to the socket by `writer` while the task waits for [`work`](Self::work).
    pub(crate) fn lend(&self, writer: Box<dyn DirectWriter>) {
        self.lock().direct.lend(writer);
    }

    /// From now on the task writes. Returns the message that another has begun.
    pub(crate) fn reclaim(&self) -> Option<Outgoing> {
        self.lock().direct.reclaim()
    }

    /// Whether another than the task has begun a message.
    #[cfg(test)]
    pub(crate) fn has_begun(&self) -> bool {
        self.lock().direct.has_begun()
    }

    /// When a message was written directly last.
    pub(crate) fn written_directly(&self) -> Option<Instant> {
        self.lock().direct.written()
    }

    /// Ends the session; the first reason stands. Returns whether this call was the first.
    pub(crate) fn close(&self, reason: CloseReason) -> bool {
        let (first, dropped) = {
            let mut state = self.lock();
            state.direct.close();
            state.outbox.close(reason)
        };
        for (outgoing, outcome) in dropped {
            outgoing.reply.answer(outcome);
        }
        if first {
            self.ending.notify_waiters();
            self.wake.notify_one();
        }
        first
    }

    /// Messages that wait to be written, or are being written.
    pub(crate) fn waiting(&self) -> usize {
        self.lock().outbox.len()
    }

    /// Why the session is ending, if it is.
    pub(crate) fn closing(&self) -> Option<CloseReason> {
        self.lock().outbox.closing().cloned()
    }

    /// Waits until the session is ending. Cancel-safe.
    pub(crate) async fn closed(&self) {
        let mut ending = pin!(self.ending.notified());
        ending.as_mut().enable(); // Before the look: whatever ends it after that is heard.
        if self.closing().is_none() {
            ending.await;
        }
    }

    /// Waits for something to do. Cancel-safe: nothing is taken before it is returned.
    pub(crate) async fn work(&self, batch_max: usize) -> Work {
        loop {
            if let Some(work) = self.take(batch_max) {
                return work;
            }
            self.wake.notified().await;
        }
    }

    fn take(&self, batch_max: usize) -> Option<Work> {
        let mut state = self.lock();
        if let Some(begun) = state.direct.reclaim() {
            return Some(Work::Finish(begun));
        }
        let batch = state.outbox.take(batch_max);
        if !batch.is_empty() {
            return Some(Work::Write(batch));
        }
        state.direct.rest();
        state.outbox.closing().cloned().map(Work::Close)
    }

    /// The socket has not taken anything for a while: whoever waits for what is still queued
    /// learns that it is buffered.
    pub(crate) fn answer_buffered(&self) {
        let replies = self.lock().outbox.detach_replies();
        for reply in replies {
            reply.answer(Outcome::Buffered);
        }
    }

    /// Answers for what will not be written any more: the connection is over.
    pub(crate) fn abandon(&self) {
        let (begun, abandoned) = {
            let mut state = self.lock();
            (state.direct.reclaim(), state.outbox.clear())
        };
        drop(begun); // Its caller learns that it was interrupted.
        for outgoing in abandoned {
            outgoing.reply.answer(Outcome::NoSession);
        }
    }

    /// Remembers that this batch was written, so that a retry of one of its messages is recognised.
    pub(crate) fn written(&self, batch: Vec<Outgoing>) {
        self.lock().outbox.remember(&batch);
        for outgoing in batch {
            outgoing.reply.answer(Outcome::Delivered);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        match self.state.lock() {
            Ok(state) => state,
            Err(poisoned) => self.fail(poisoned.into_inner()),
        }
    }

    /// A panic has left the session half changed. Whoever touches it next ends it, and no other one: what
    /// waits is not written any more.
    fn fail<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.state.clear_poison();
        state.direct.close();
        let (_, dropped) = state.outbox.close(CloseReason::Failed);
        drop(state);
        for (outgoing, outcome) in dropped {
            outgoing.reply.answer(outcome);
        }
        self.ending.notify_waiters();
        self.wake.notify_one();
        self.lock()
    }
}

impl State {
    /// Writes a message, or queues it for the task.
    fn offer(&mut self, outgoing: Outgoing) -> Offered {
        if self.outbox.is_clear_for(&outgoing) {
            match self.direct.write(&outgoing.message) {
                Taken::All => {
                    self.outbox.remember(std::slice::from_ref(&outgoing));
                    return Offered::Written(outgoing);
                }
                Taken::Part => {
                    self.outbox.begin(&outgoing);
                    // The rest is in the socket's line; the message has to wait for it.
                    self.direct.begin(Outgoing::new(outgoing.message.kept(), outgoing.reply));
                    return Offered::Woken;
                }
                Taken::Nothing => {}
            }
        }
        match self.outbox.offer(outgoing) {
            outbox::Offered::Queued { was_empty: true } => Offered::Woken,
            outbox::Offered::Queued { was_empty: false } => Offered::Left,
            outbox::Offered::Refused(outgoing, outcome) => Offered::Refused(outgoing, outcome),
            outbox::Offered::Full(outgoing) => Offered::Full(outgoing),
        }
    }
}

#[cfg(test)]
mod tests;
