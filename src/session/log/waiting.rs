//! Those who wait for what becomes of a message, and what they are told of it.
//!
//! What waits for a client that is away is queued once others hold it, where there are such: until then it is buffered, and whoever
//! waits for an answer waits for that too, though not for longer than for any other.

use tokio::time::Instant;

use crate::key::Key;
use crate::limits;
use crate::position::Position;
use crate::push::{Message, Outcome};
use crate::receipt::Reply;
use crate::session::log::run::{Entry, Run, Waits};
use crate::session::log::{Answers, Log};

/// Where the client is that messages wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::session) enum Standing {
    /// It is connected.
    There,
    /// It is away, or about to be, or goes on elsewhere.
    Away,
    /// The same, and there are other nodes that are to hold what waits.
    AwayAndCopied,
}

impl Standing {
    /// Whether a message that is not written is queued. `is_stored`: others hold it.
    fn queues(self, is_stored: bool) -> bool {
        match self {
            Standing::There => false,
            Standing::Away => true,
            Standing::AwayAndCopied => is_stored,
        }
    }

    /// How it is called then.
    pub(in crate::session) fn unwritten(self, is_stored: bool) -> Outcome {
        if self.queues(is_stored) { Outcome::Queued } else { Outcome::Buffered }
    }
}

impl Log {
    /// Where the client is of that session.
    pub(in crate::session) fn standing(&self, key: Key, is_away: bool) -> Standing {
        match is_away {
            false => Standing::There,
            true if self.store.is_copied(key) => Standing::AwayAndCopied,
            true => Standing::Away,
        }
    }

    /// What to say of a message whose id is here already.
    pub(in crate::session) fn seen(&self, message: &Message, standing: Standing) -> Option<Outcome> {
        let (entry, is_stored) = self.unacked.as_ref()?.find(&message.id)?;
        let is_queued = standing.queues(is_stored);
        Some(match entry.is(message) {
            false => Outcome::IdReused,
            true if is_stored && message.terms().waits_for_copies() => entry.stored(is_queued),
            true => entry.outcome(is_queued),
        })
    }

    /// Whether the client is owed under its id what was pushed again, for at least as long as that.
    pub(super) fn owes_again(&self, message: &Message, expires: Option<Instant>) -> bool {
        let unacked = self.unacked.as_ref().filter(|_| message.idempotent);
        let waits_as_long =
            |entry: &Entry| entry.expires.is_none_or(|at| expires.is_some_and(|expires| expires <= at));
        let owed = unacked.and_then(|unacked| unacked.find(&message.id));
        owed.is_some_and(|(entry, _)| entry.is(message) && waits_as_long(entry))
    }

    /// Whoever brings a message again that others do not hold yet waits for that, unless somebody does already: then returns the reply.
    pub(in crate::session) fn wait_again(
        &mut self,
        message: &Message,
        reply: Reply,
        now: Instant,
    ) -> Option<Reply> {
        let Some(unacked) = &mut self.unacked else { return Some(reply) };
        let mut entries = unacked.runs_mut().flat_map(|run| &mut run.entries);
        let meant = entries.find(|entry| entry.is(message));
        match meant.filter(|entry| entry.waits.is_none()) {
            Some(entry) => {
                entry.waits = Some(Box::new(Waits { reply, until: now + limits::BUFFERED_AFTER }));
                None
            }
            None => Some(reply),
        }
    }

    /// Whoever waits for a message that waits itself, with what it is called. `unwritten` is told whether others hold it.
    pub(in crate::session) fn detach_waiting(&mut self, unwritten: impl Fn(bool) -> Outcome) -> Answers {
        let Some(unacked) = &mut self.unacked else { return Vec::new() };
        let waiting = unacked.runs_mut().flat_map(|run| {
            let taken = run.taken;
            run.entries_mut().skip(taken)
        });
        answer(waiting, unwritten, |_| true)
    }

    /// The connection is over: whoever waits learns how far their messages have come. `waits_on`: others are about to hold what is not
    /// written, and who waits for copies waits for that.
    pub(in crate::session) fn detach_all(
        &mut self,
        waits_on: bool,
        unwritten: impl Fn(bool) -> Outcome,
    ) -> Answers {
        let Some(unacked) = &mut self.unacked else { return Vec::new() };
        let is_over = |entry: &Entry| !(waits_on && entry.waits_for_copies());
        answer(unacked.runs_mut().flat_map(Run::entries_mut), unwritten, is_over)
    }

    /// Whether somebody may wait who is not looked after yet. From now on that is the caller's.
    pub(in crate::session) fn begin_timing(&mut self) -> bool {
        self.unacked.as_mut().is_some_and(|unacked| !std::mem::replace(&mut unacked.timed, true))
    }

    /// Those who have waited for long enough, for the client's word, for the window or for other nodes, with how far their messages
    /// have come, and when to look again, if that is to be.
    pub(in crate::session) fn overdue(
        &mut self,
        now: Instant,
        standing: Standing,
    ) -> (Answers, Option<Instant>) {
        let Some(unacked) = &mut self.unacked else { return (Vec::new(), None) };
        let is_due = |entry: &Entry| entry.waits.as_ref().is_some_and(|waits| waits.until <= now);
        let unwritten = |is_stored| standing.unwritten(is_stored);
        let answers = answer(unacked.runs_mut().flat_map(Run::entries_mut), unwritten, is_due);
        let next = unacked.entries().filter_map(|entry| Some(entry.waits.as_ref()?.until)).min();
        unacked.timed = next.is_some();
        (answers, next)
    }

    /// Others hold a message. Returns what to answer.
    pub(in crate::session) fn stored(&mut self, at: Position, is_away: bool) -> Answers {
        let own = self.segment();
        let run = self.unacked.as_mut().and_then(|unacked| unacked.run_mut(own, at.segment));
        let Some(run) = run else { return Vec::new() };
        run.stored = run.stored.max(at.number);
        let Some(entry) = run.get_mut(at.number) else { return Vec::new() };
        // Whoever has not asked for copies is not told of them.
        let asks = entry.message.as_ref().is_ok_and(|message| message.terms().waits_for_copies());
        let waits = if asks || is_away { entry.waits.take() } else { None };
        let outcome = if asks { entry.stored(is_away) } else { entry.outcome(is_away) };
        waits.map(|waits| (waits.reply, outcome)).into_iter().collect()
    }
}

/// Takes the replies of those entries for which that holds, each with what to answer.
fn answer<'a>(
    entries: impl Iterator<Item = (bool, &'a mut Entry)>,
    unwritten: impl Fn(bool) -> Outcome,
    is_answered: impl Fn(&Entry) -> bool,
) -> Answers {
    let waiting = entries.filter(|(_, entry)| is_answered(entry));
    let answers = waiting.filter_map(|(is_stored, entry)| {
        let reply = entry.waits.take()?.reply;
        Some((reply, if entry.written { Outcome::Delivered } else { unwritten(is_stored) }))
    });
    answers.collect()
}
