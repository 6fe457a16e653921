//! The messages of a session that is kept, from their acceptance until the client acknowledges them.
//!
//! ```text
//!   accepted ──► waits ──► taken (on its way) ──► written ──► acknowledged: forgotten
//!                 ▲           │                     │
//!                 └───────────┴─────────────────────┘   the connection is over: all of it waits for the next one
//! ```
//!
//! A message gets the next number of the session's segment when it is accepted, and is written in that order. Messages that
//! earlier owners of the session have handed over keep their segments and numbers, and are written before the others. At
//! most [`WINDOW`](limits::WINDOW) of all are on their way. A message whose time is over leaves its place to a gap, of which
//! the client is told. A session that owes its client nothing has no memory for it.
//!
//! Nothing here waits or looks at a clock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::id::Stamp;
use crate::limits;
use crate::metrics::label::{Dropped, Origin, ResumedAs};
use crate::position::{Position, Segment, Writer};
use crate::push::{Message, Outcome};
use crate::receipt::Reply;
use crate::session::copied::Copying;
use crate::session::inherited::Inherited;
use crate::session::notice::{Notice, Resumed};
use crate::session::outbox::{OutboxLimits, Outgoing, Place, What};
use crate::session::resumption::{Earlier, Resumption, Returning};
use crate::session::room::cost;
use crate::session::store::Store;
use crate::session::tail::{Hole, Known};

mod copying;
mod handing;
mod run;
mod taking;
#[cfg(test)]
mod tests;
mod unacked;
mod waiting;

use run::{Entry, Run, Waits};
use unacked::{Account, Unacked};
pub(super) use waiting::Standing;

/// What a session keeps for its client.
pub(crate) struct Log {
    stamp: Stamp,
    writer: Writer,
    /// How long the client may be away, in seconds.
    keep: u32,
    /// The earlier segments of which nothing is missing.
    inherited: Inherited,
    /// Boxed: most sessions take nothing over from other nodes.
    taken_over: Option<Box<TakenOver>>,
    /// The number that was given last.
    last: u64,
    unacked: Option<Box<Unacked>>,
    store: Arc<Store>,
}

/// What is known of what is taken over from other nodes.
#[derive(Default)]
struct TakenOver {
    /// What the client has named, for as long as more may be taken over.
    named: Vec<Position>,
    /// Earlier segments that were taken over, each with the last number that others were to hold.
    sealed: BTreeMap<Segment, u64>,
}

/// There is no room for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoRoom {
    /// At this session.
    Session,
    /// At this node.
    Node,
}

/// A client acknowledges what it was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AckAhead;

/// What an acknowledgement settles.
#[derive(Default)]
pub(super) struct Settled {
    /// Those who waited for the client's word.
    pub(super) replies: Vec<Reply>,
    /// What to remember of those whose id the caller chose.
    pub(super) known: Vec<Known>,
    /// Up to where others hold what the client has.
    pub(super) copied: Option<Position>,
}

/// Replies, each with what to answer.
pub(super) type Answers = Vec<(Reply, Outcome)>;

/// How far a message has come when it is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It waits.
    Waits,
    /// A part of it is written.
    Taken,
    /// The socket has all of it.
    Written,
}

impl Log {
    /// Of a session with this stamp, of a client that may be away for so many seconds, and that returns or is new.
    pub(crate) fn new(
        (stamp, writer): (Stamp, Writer),
        keep: u32,
        returns: Returning,
        store: Arc<Store>,
    ) -> Self {
        let inherited = Inherited::default();
        let may_take = store.is_copying() && !returns.after.is_empty();
        let taken_over =
            may_take.then(|| Box::new(TakenOver { named: returns.after.clone(), ..TakenOver::default() }));
        let (last, unacked) = (0, None);
        let mut log = Self { stamp, writer, keep, inherited, taken_over, last, unacked, store };
        Unacked::of(&mut log.unacked, 0).resumption = Some(Box::new(Resumption::new(returns)));
        log
    }

    /// The segment that this session numbers.
    pub(super) fn segment(&self) -> Segment {
        Segment { stamp: self.stamp, writer: self.writer }
    }

    /// What bounds it.
    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// How long the client may be away, in seconds.
    pub(super) fn keep(&self) -> u32 {
        self.keep
    }

    /// Messages that wait to be written, or are being written.
    pub(super) fn waiting(&self) -> usize {
        // A place without a message is told and never written.
        let waits = |entry: &&Entry| entry.message.is_ok() && !entry.written;
        self.unacked.as_ref().map_or(0, |unacked| unacked.entries().filter(waits).count())
    }

    /// Messages that the client has not acknowledged.
    pub(super) fn len(&self) -> usize {
        self.unacked.as_ref().map_or(0, |unacked| unacked.held.messages)
    }

    /// Messages that the client has not acknowledged, and places of such that will never come.
    fn places(&self) -> usize {
        self.unacked.as_ref().map_or(0, |unacked| unacked.runs().map(|run| run.entries.len()).sum())
    }

    /// Takes room for a message.
    ///
    /// # Errors
    /// [`NoRoom`].
    pub(super) fn reserve(
        &mut self,
        message: &Message,
        outbox: OutboxLimits,
        now: Instant,
    ) -> Result<(), NoRoom> {
        let bytes = message.payload.bytes.len();
        if !self.fits(bytes, outbox) {
            self.expire(now);
        }
        match self.fits(bytes, outbox) {
            false => Err(NoRoom::Session),
            true if self.store.reserve(Origin::Here, cost(bytes)) => Ok(()),
            true => Err(NoRoom::Node),
        }
    }

    /// A single message always fits: its size was bounded where it entered.
    fn fits(&self, bytes: usize, outbox: OutboxLimits) -> bool {
        let held = self.unacked.as_ref().map(|unacked| unacked.held).unwrap_or_default();
        let bounds = self.store.bounds;
        let messages_max = outbox.messages_max.saturating_add(bounds.messages_max);
        let bytes_max = outbox.bytes_max.saturating_add(bounds.bytes_max);
        let fits = held.messages < messages_max && held.bytes.saturating_add(bytes) <= bytes_max;
        (held.messages == 0 || fits) && self.places() < messages_max.saturating_mul(PLACES_PER_MESSAGE)
    }

    /// Whether a message that is accepted now is the next to be written, and may be.
    pub(super) fn is_clear(&self) -> bool {
        self.unacked.as_ref().is_none_or(|unacked| unacked.is_clear())
    }

    /// The place that the next message gets.
    pub(super) fn next(&self) -> Place {
        Place { segment: self.segment(), number: self.last + 1, is_older: false }
    }

    /// Accepts a message for which there is [room](Self::reserve).
    pub(super) fn append(&mut self, message: Arc<Message>, now: Instant, stage: Stage, reply: Option<Reply>) {
        let expires = message.terms().ttl.map(|seconds| now + Duration::from_secs(seconds.into()));
        let waits = reply.map(|reply| Box::new(Waits { reply, until: now + limits::BUFFERED_AFTER }));
        self.push(Entry { message: Ok(message), expires, written: stage == Stage::Written, waits }, stage);
    }

    /// Accepts a message for which there is room, and that waits until then.
    pub(super) fn append_until(&mut self, message: Arc<Message>, expires: Option<Instant>) {
        self.push(Entry { message: Ok(message), expires, written: false, waits: None }, Stage::Waits);
    }

    fn push(&mut self, entry: Entry, stage: Stage) {
        let bytes = entry.len();
        self.last += 1;
        let last = self.last;
        let unacked = Unacked::of(&mut self.unacked, last - 1);
        debug_assert!(stage == Stage::Waits || unacked.own.is_taken(), "nothing overtakes what waits");
        unacked.held.add(bytes);
        if stage != Stage::Waits {
            unacked.own.taken += 1;
            unacked.on_way.add(bytes);
        }
        unacked.own.push(entry);
        debug_assert_eq!(unacked.own.last(), last, "numbers have no hole");
    }

    /// The socket has taken these. Returns what to answer.
    pub(super) fn written(&mut self, batch: Vec<Outgoing>) -> Answers {
        let own = self.segment();
        let mut answers = Vec::new();
        for Outgoing { what, reply } in batch {
            let What::Message(_, Some(place)) = what else { continue };
            // The client may have acknowledged it already.
            let run = self.unacked.as_mut().and_then(|unacked| unacked.run_mut(own, place.segment));
            if let Some(entry) = run.and_then(|run| run.get_mut(place.number)) {
                entry.written = true;
            }
            answers.push((reply, Outcome::Delivered));
        }
        answers
    }

    /// The client has everything up to that number of a segment; `None`: of this session's own.
    ///
    /// # Errors
    /// [`AckAhead`].
    pub(super) fn acknowledge(&mut self, segment: Option<Segment>, number: u64) -> Result<Settled, AckAhead> {
        let own = self.segment();
        let segment = segment.unwrap_or(own);
        let Some(run) = self.unacked.as_mut().and_then(|unacked| unacked.run_mut(own, segment)) else {
            // Of any other segment nothing is owed, or not yet. Its stamp says nothing: a tail may be of a later claim.
            let ahead = segment == own && number > self.last;
            return if ahead { Err(AckAhead) } else { Ok(Settled::default()) };
        };
        // Of an older segment an earlier connection may have brought what this one has not yet, or what other nodes have not held.
        let is_partial = segment != own && self.store.is_copying();
        if !is_partial && number > if segment == own { run.last_taken() } else { run.last() } {
            return Err(AckAhead);
        }
        let settled = self.settle(segment, number);
        self.tidy();
        Ok(settled)
    }

    /// Nothing up to that number of a segment is owed any more.
    fn settle(&mut self, segment: Segment, number: u64) -> Settled {
        let own = self.segment();
        let mut settled = Settled::default();
        let account = self.unacked.as_mut().and_then(|unacked| unacked.account(own, segment));
        let Some(Account { run, on_way, held }) = account else { return settled };
        // What was taken over may be held for longer than it is known here.
        let copied = if segment == own { run.copied.min(number) } else { number.min(run.last()) };
        settled.copied = (copied > run.acked).then_some(Position { segment, number: copied });
        let origin = if segment == own { Origin::Here } else { Origin::Elsewhere };
        for (entry, was_on_way) in run.acknowledge(number) {
            let Ok(message) = entry.message else { continue };
            let bytes = message.payload.bytes.len();
            held.remove(bytes);
            if was_on_way {
                on_way.remove(bytes);
            }
            self.store.release(origin, cost(bytes));
            settled.known.extend(Known::of(&message));
            settled.replies.extend(entry.waits.map(|waits| waits.reply));
        }
        settled
    }

    /// No more is written on this connection: all that the client has not acknowledged waits for the next one.
    pub(super) fn rewind(&mut self, now: Instant) {
        if let Some(unacked) = &mut self.unacked {
            unacked.runs_mut().for_each(|run| run.taken = 0);
            unacked.on_way = Default::default();
            self.expire(now);
        }
    }

    /// Messages whose time is over leave their places to gaps. Those that are on their way stay.
    fn expire(&mut self, now: Instant) {
        let Some(unacked) = &mut self.unacked else { return };
        let Unacked { own, older, held, .. } = &mut **unacked;
        let older = older.iter_mut().map(|older| (Origin::Elsewhere, &mut older.run));
        for (origin, run) in older.chain([(Origin::Here, own)]) {
            for entry in run.entries.iter_mut().skip(run.taken).filter(|entry| entry.is_over(now)) {
                let bytes = entry.len();
                entry.message = Err(Hole::Expired);
                held.remove(bytes);
                self.store.release(origin, cost(bytes));
                self.store.dropped(Dropped::Expired, 1);
            }
        }
    }

    /// The client is about to be the session. Returns what it will be told of what it missed.
    pub(crate) fn open(&mut self, earlier: &Earlier) -> ResumedAs {
        let unacked = Unacked::of(&mut self.unacked, self.last);
        let resumption =
            unacked.resumption.get_or_insert_with(|| Box::new(Resumption::new(Returning::default())));
        let state = resumption.open(&self.inherited, earlier, self.keep).state;
        let over = resumption.over(&self.inherited);
        unacked.notices.extend(over.into_iter().map(Notice::Closed));
        // Whoever has no session any more forgets its positions by itself.
        unacked.notices.retain(|notice| state != ResumedAs::None || !matches!(notice, Notice::Closed(_)));
        state
    }

    /// What the client is told first. It is told no more before the next change.
    pub(super) fn welcome(&mut self) -> Resumed {
        let Some(unacked) = &mut self.unacked else {
            return Resumed { state: ResumedAs::None, missing: Vec::new() };
        };
        unacked.notices.retain(|notice| !matches!(notice, Notice::Resumed(_)));
        let told = unacked.resumption.as_ref().map(|resumption| resumption.told(&self.inherited));
        if unacked.resumption.as_ref().is_some_and(|resumption| resumption.is_over()) {
            unacked.resumption = None;
        }
        self.tidy();
        told.unwrap_or(Resumed { state: ResumedAs::None, missing: Vec::new() })
    }

    /// The client has waited long enough for what it missed. Returns whether it is to be told something.
    pub(super) fn give_up_resuming(&mut self) -> bool {
        let Some(unacked) = &mut self.unacked else { return false };
        let Some(resumption) = &mut unacked.resumption else { return false };
        let Some(told) = resumption.give_up(&self.inherited) else { return false };
        let over = resumption.over(&self.inherited);
        unacked.notices.push(Notice::Resumed(told));
        unacked.notices.extend(over.into_iter().map(Notice::Closed));
        true
    }

    /// Nothing of it is delivered any more, for that reason. `has_more`: others may hold more of the session than messages.
    /// Returns who is to be told that others need not hold it either.
    pub(super) fn drop_all(&mut self, why: Dropped, has_more: bool) -> Option<Arc<dyn Copying>> {
        let is_copied = self.unacked.as_ref().is_some_and(|unacked| unacked.runs().any(Run::is_copied));
        self.store.dropped(why, self.len());
        self.release();
        self.store.copying().filter(|_| is_copied || has_more)
    }

    /// Nothing of it is owed any more.
    pub(super) fn release(&mut self) {
        let Some(unacked) = self.unacked.take() else { return };
        let messages = |run: &run::Run| {
            run.entries.iter().filter(|entry| entry.message.is_ok()).map(|e| cost(e.len())).sum()
        };
        self.store.release(Origin::Here, messages(&unacked.own));
        let elsewhere = unacked.older.iter().map(|older| -> usize { messages(&older.run) }).sum();
        self.store.release(Origin::Elsewhere, elsewhere);
    }

    /// Gives the memory back that nothing needs any more.
    fn tidy(&mut self) {
        let Some(unacked) = &mut self.unacked else { return };
        unacked.older.retain(|older| !older.is_over());
        if unacked.is_empty() {
            self.unacked = None;
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.release();
    }
}

/// Places of messages whose time is over, for each that may be held: a client that is away is told of them when it is back.
/// Guess.
const PLACES_PER_MESSAGE: usize = 4;
