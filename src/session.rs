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
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::id::{SessionKey, Stamp};
use crate::key::Key;
use crate::push::{Message, Outcome};
use crate::receipt::Reply;

mod absence;
mod attached;
mod attributes;
mod close;
mod copied;
mod direct;
mod heartbeat;
mod inherited;
mod keeping;
mod log;
mod notice;
mod outbox;
mod registry;
mod resumption;
mod room;
mod state;
mod store;
mod tail;

pub(crate) use absence::Absence;
pub(crate) use attached::HandedAttributes;
pub(crate) use close::CloseReason;
pub(crate) use copied::{Copied, Copying};
pub(crate) use direct::{DirectWriter, Taken};
pub(crate) use heartbeat::{Heartbeat, HeartbeatTimers, Pulse};
pub(crate) use keeping::Welcome;
pub(crate) use log::{AckAhead, Log};
pub(crate) use notice::{Notice, Resumed};
pub(crate) use outbox::{OutboxLimits, Outgoing, Place, What};
pub(crate) use registry::{Permit, Registry};
pub(crate) use resumption::{Earlier, Returning};
pub(crate) use room::{Room, cost};
pub(crate) use state::Work;
pub(crate) use store::{Store, StoreBounds};
pub(crate) use tail::{Hole, Known, Tail, TailEntry, TailPart, TailRun};

use log::Answers;
use state::{Offered, State};

/// One session of this node, while its connection lives.
pub(crate) struct Session {
    names: SessionKey,
    key: Key,
    stamp: Stamp,
    succeeds: Option<Stamp>,
    state: Mutex<State>,
    wake: Notify,
    /// Tells those who wait for the end of the session, or for another change of where it stands.
    ending: Notify,
    /// Whether what earlier owners have handed over is there.
    opened: AtomicBool,
    disputed: AtomicBool,
    handing: AtomicU8,
}

impl Session {
    /// A session whose connection is about to open. `key` is the hash of `names`; `succeeds` the stamp
    /// of the session whose client this is, as it has proven. `kept` has what is kept for the client, if it asked for that.
    pub(crate) fn new(
        names: SessionKey,
        key: Key,
        stamp: Stamp,
        succeeds: Option<Stamp>,
        limits: OutboxLimits,
        kept: Option<Log>,
    ) -> Self {
        Self {
            names,
            key,
            stamp,
            succeeds,
            state: Mutex::new(State::new(limits, kept)),
            wake: Notify::new(),
            ending: Notify::new(),
            opened: AtomicBool::new(false),
            disputed: AtomicBool::new(false),
            handing: AtomicU8::new(0),
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
    /// message at once, when there is no room or when the session is closing, later by the connection task. Of a session whose
    /// client is away the message is held, and the reply says so.
    ///
    /// Returns whether [`time_acks`](Self::time_acks) has to look after the reply.
    pub(crate) fn offer(&self, message: &Arc<Message>, reply: Reply) -> bool {
        let (offered, kept, copies) = {
            let mut state = self.lock();
            let offered = state.offer(self.key, message, reply, Instant::now());
            (
                offered,
                state.kept().is_some(),
                state.begin_copying(self.key, message.terms().waits_for_copies()),
            )
        };
        if copies {
            self.copy_later();
        }
        let waits = kept && matches!(offered, Offered::Left | Offered::Woken);
        match offered {
            Offered::Answered(reply, outcome) => reply.answer(outcome),
            Offered::Left => {}
            Offered::Woken => self.wake.notify_one(),
            Offered::Full(reply) => {
                // The client does not keep up. Keeping what it has not taken would only move the
                // loss into memory, so the connection ends and the client starts afresh.
                reply.answer(Outcome::Overloaded);
                self.close(CloseReason::SlowConsumer);
            }
        }
        waits
    }

    /// Where others are told what they hold of it, if it is kept.
    fn copying(&self) -> Option<Arc<dyn Copying>> {
        self.lock().kept().and_then(|log| log.store().copying())
    }

    /// What the client has not acknowledged is copied once it had time to.
    fn copy_later(&self) {
        if let Some(copying) = self.copying() {
            copying.look_later(self.key, self.stamp);
        }
    }

    /// Lets others write to the socket by `writer` while the task waits for [`work`](Self::work).
    pub(crate) fn lend(&self, writer: Box<dyn DirectWriter>) {
        self.lock().lend(writer);
    }

    /// From now on the task writes. Returns the message that another has begun.
    pub(crate) fn reclaim(&self) -> Option<Outgoing> {
        self.lock().reclaim()
    }

    /// Whether another than the task has begun a message.
    #[cfg(test)]
    pub(crate) fn has_begun(&self) -> bool {
        self.lock().has_begun()
    }

    /// When a message was written directly last.
    pub(crate) fn written_directly(&self) -> Option<Instant> {
        self.lock().written_directly()
    }

    /// Ends the session, or, where it is kept, the connection of it; the first reason stands, unless it did not end the
    /// session and this one does. Returns whether the reason is this one from now on.
    pub(crate) fn close(&self, reason: CloseReason) -> bool {
        let (first, answers) = {
            let mut state = self.lock();
            let closed = state.close(self.key, reason);
            state.copy_if_away(self.key);
            closed
        };
        answer_all(answers);
        if first {
            self.ending.notify_waiters();
            self.wake.notify_one();
        }
        first
    }

    /// Messages that wait to be written, or are being written.
    pub(crate) fn waiting(&self) -> usize {
        self.lock().waiting()
    }

    /// Why the connection of the session is ending, if it is.
    pub(crate) fn closing(&self) -> Option<CloseReason> {
        self.lock().closing().cloned()
    }

    /// Why the session is ending, if it is: one that is kept for its client is not.
    pub(crate) fn over(&self) -> Option<CloseReason> {
        let state = self.lock();
        state.closing().filter(|_| !state.is_away()).cloned()
    }

    /// Waits until the connection is ending. Cancel-safe.
    pub(crate) async fn closed(&self) {
        self.until(|| self.closing().is_some()).await;
    }

    /// Waits until that is so, of which those are told who wait for the end of the session. Cancel-safe.
    async fn until(&self, is_so: impl Fn() -> bool) {
        loop {
            let mut ending = pin!(self.ending.notified());
            ending.as_mut().enable(); // Before the look: whatever happens after that is heard.
            if is_so() {
                return;
            }
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
        let (work, answers) = self.lock().take(batch_max, Instant::now());
        answer_all(answers);
        work
    }

    /// The socket has not taken anything for a while: whoever waits for what is still queued
    /// learns that it is buffered.
    pub(crate) fn answer_buffered(&self) {
        let answers = self.lock().detach_replies();
        answer_all(answers);
    }

    /// The connection is over. Answers for what it does not write any more.
    pub(crate) fn abandon(&self) {
        let (begun, answers) = self.lock().abandon(self.key, Instant::now());
        self.interrupted(begun.into_iter().collect());
        answer_all(answers);
    }

    /// The connection does not bring these to their end. What is held for the client is written later; of everything else
    /// whoever waits learns that it was interrupted.
    pub(crate) fn interrupted(&self, batch: Vec<Outgoing>) {
        if batch.is_empty() {
            return;
        }
        let held = self.lock().held_as(self.key);
        for outgoing in batch {
            if let Some(held) = held.clone().filter(|_| outgoing.is_numbered()) {
                outgoing.reply.answer(held);
            }
        }
    }

    /// Remembers that this batch was written, so that a retry of one of its messages is recognised.
    pub(crate) fn written(&self, batch: Vec<Outgoing>) {
        let answers = self.lock().written(batch);
        answer_all(answers);
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
        let answers = state.fail();
        drop(state);
        answer_all(answers);
        self.ending.notify_waiters();
        self.wake.notify_one();
        self.lock()
    }
}

fn answer_all(answers: Answers) {
    for (reply, outcome) in answers {
        reply.answer(outcome);
    }
}

#[cfg(test)]
mod tests;
