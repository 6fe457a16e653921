//! What a session holds under its lock: what waits, what is kept, by whom it is written, and whether it ends.
//!
//! | session | a message waits in | until |
//! |---|---|---|
//! | plain | the [`Outbox`] | it is written |
//! | kept | the [`Log`] | the client acknowledges it, on this connection or on a later one |

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;

use crate::key::Key;
use crate::metrics::label::Dropped;
use crate::position::{Position, Segment};
use crate::push::{Message, Outcome};
use crate::receipt::Reply;
use crate::session::attached::{Attached, HandedAttributes};
use crate::session::close::CloseReason;
use crate::session::copied::Copied;
use crate::session::direct::{Direct, DirectWriter, Taken};
use crate::session::log::{Answers, Log, NoRoom, Stage, Standing};
use crate::session::outbox::{self, Outbox, OutboxLimits, Outgoing, What};
use crate::session::tail::TailPart;

/// What a session holds under its lock.
pub(super) struct State {
    outbox: Outbox,
    direct: Direct,
    /// What is kept for the client, if it asked for that. Boxed: most sessions have none.
    kept: Option<Box<Log>>,
    /// The connection ends, or has ended, and the session does not.
    away: bool,
    /// Of a session that is not kept: how far it has taken what earlier owners have handed over.
    #[expect(clippy::box_collection, reason = "a session that adopts nothing pays one word for it")]
    adopted: Option<Box<BTreeMap<Segment, u64>>>,
    /// Boxed: most sessions have nothing attached.
    attached: Option<Box<Attached>>,
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

/// What became of an offered message.
pub(super) enum Offered {
    /// That is known already.
    Answered(Reply, Outcome),
    /// It is the task's to write.
    Left,
    /// The same, and the task may be asleep.
    Woken,
    /// There is no room, and the client is connected.
    Full(Reply),
}

impl State {
    pub(super) fn new(limits: OutboxLimits, kept: Option<Log>) -> Self {
        let (outbox, direct) = (Outbox::new(limits), Direct::default());
        Self { outbox, direct, kept: kept.map(Box::new), away: false, adopted: None, attached: None }
    }

    /// Writes a message, or lets it wait.
    pub(super) fn offer(&mut self, key: Key, message: &Arc<Message>, reply: Reply, now: Instant) -> Offered {
        if self.kept.is_some() {
            return self.offer_kept(key, message, reply, now);
        }
        if self.outbox.is_clear_for(message) {
            match self.direct.write(message, None) {
                Taken::All => {
                    self.outbox.written_one(message);
                    return Offered::Answered(reply, Outcome::Delivered);
                }
                Taken::Part => {
                    self.outbox.begin(message);
                    // The rest is in the socket's line; the message has to wait for it.
                    self.direct.begin(Outgoing::new(message.kept(), reply));
                    return Offered::Woken;
                }
                Taken::Nothing => {}
            }
        }
        match self.outbox.offer(message, reply) {
            outbox::Offered::Queued { was_empty: true } => Offered::Woken,
            outbox::Offered::Queued { was_empty: false } => Offered::Left,
            outbox::Offered::Refused(reply, outcome) => Offered::Answered(reply, outcome),
            outbox::Offered::Full(reply) => Offered::Full(reply),
        }
    }

    /// What is owed to a client that is away is copied now.
    pub(super) fn copy_if_away(&mut self, key: Key) {
        if let Some(log) = self.kept.as_mut().filter(|_| self.away) {
            log.copy_all(key);
        }
    }

    /// What is owed to a client that is away is copied at once, and so is what somebody waits for. Returns whether the caller has to
    /// see to it that the rest is copied in a while.
    pub(super) fn begin_copying(&mut self, key: Key, at_once: bool) -> bool {
        let at_once = at_once || self.away;
        let Some(log) = &mut self.kept else { return false };
        if at_once {
            log.copy_all(key);
        }
        !at_once && log.begin_copying(key)
    }

    fn offer_kept(&mut self, key: Key, message: &Arc<Message>, reply: Reply, now: Instant) -> Offered {
        let limits = self.outbox.limits();
        let Some(log) = &mut self.kept else { unreachable!("only what is kept comes here") };
        if let Some(reason) = self.outbox.closing().filter(|_| !self.away) {
            return Offered::Answered(reply, reason.outcome());
        }
        if message.idempotent {
            let settled = self.outbox.seen(message).map(|outcome| match outcome {
                Outcome::Delivered if message.terms().waits() => Outcome::Acked,
                outcome => outcome,
            });
            if let Some(outcome) = settled.or_else(|| log.seen(message, log.standing(key, self.away))) {
                let waits = message.terms().waits_for_copies() && !outcome.is_stored();
                return match if waits { log.wait_again(message, reply, now) } else { Some(reply) } {
                    Some(reply) => Offered::Answered(reply, outcome),
                    None => Offered::Left,
                };
            }
        }
        if self.away && message.terms().ttl == Some(0) {
            return Offered::Answered(reply, Outcome::NoSession);
        }
        match log.reserve(message, limits, now) {
            Ok(()) => {}
            Err(NoRoom::Session) if !self.away => return Offered::Full(reply),
            Err(NoRoom::Session | NoRoom::Node) => return Offered::Answered(reply, Outcome::Overloaded),
        }
        if self.away {
            // It is queued once others hold it, where there are such.
            if log.store().is_copied(key) {
                log.append(message.kept(), now, Stage::Waits, Some(reply));
                return Offered::Left;
            }
            log.append(message.kept(), now, Stage::Waits, None);
            return Offered::Answered(reply, Outcome::Queued);
        }
        let was_clear = log.is_clear();
        let place = log.next();
        match if was_clear { self.direct.write(message, Some(&place)) } else { Taken::Nothing } {
            Taken::All => {
                if message.terms().waits() {
                    log.append(message.kept(), now, Stage::Written, Some(reply));
                    return Offered::Left;
                }
                log.append(message.kept(), now, Stage::Written, None);
                Offered::Answered(reply, Outcome::Delivered)
            }
            Taken::Part => {
                let message = message.kept();
                let (kept, begun) =
                    if message.terms().waits() { (Some(reply), Reply::answered()) } else { (None, reply) };
                log.append(Arc::clone(&message), now, Stage::Taken, kept);
                self.direct.begin(Outgoing { what: What::Message(message, Some(place)), reply: begun });
                Offered::Woken
            }
            Taken::Nothing => {
                log.append(message.kept(), now, Stage::Waits, Some(reply));
                if was_clear { Offered::Woken } else { Offered::Left }
            }
        }
    }

    /// A part of what an earlier owner hands over. Returns what to answer. `settled`: up to where others need not hold any more what the
    /// client has.
    pub(super) fn adopt(&mut self, part: &TailPart, now: Instant, settled: &mut Vec<Position>) -> Outcome {
        let Self { outbox, kept, .. } = self;
        match kept {
            Some(log) => log.adopt(part, now, &|message| outbox.has_delivered(message), settled),
            None => self.adopt_plain(part),
        }
    }

    /// A session that is kept takes what others have held for its earlier owners, and has it copied. Returns that for which there is no
    /// room.
    pub(super) fn adopt_copied(
        &mut self,
        key: Key,
        messages: Vec<(Position, Copied)>,
    ) -> Vec<(Position, Copied)> {
        let Self { outbox, kept, .. } = self;
        let Some(log) = kept else { return Vec::new() };
        let full = log.adopt_copied(messages, &|message| outbox.has_delivered(message));
        log.copy_all(key);
        full
    }

    /// A part of what an earlier owner hands over to a session that is not kept: its messages are written as any other. A
    /// repetition changes nothing. Returns what to answer.
    fn adopt_plain(&mut self, part: &TailPart) -> Outcome {
        let adopted = self.adopted.get_or_insert_default();
        for run in &part.runs {
            let last = adopted.entry(run.segment).or_insert(run.acked);
            let has = *last;
            for (number, entry) in (run.acked + 1..).zip(&run.entries).filter(|(number, _)| *number > has) {
                if let Ok(message) = &entry.message
                    && matches!(self.outbox.offer(message, Reply::answered()), outbox::Offered::Full(_))
                {
                    return Outcome::Overloaded;
                }
                *last = number;
            }
        }
        Outcome::Buffered
    }

    /// What is to be done next, and what to answer.
    pub(super) fn take(&mut self, batch_max: usize, now: Instant) -> (Option<Work>, Answers) {
        if let Some(begun) = self.direct.reclaim() {
            return (Some(Work::Finish(begun)), Vec::new());
        }
        let closing = self.outbox.closing();
        let writes = closing.is_none_or(CloseReason::flushes);
        let (batch, answers) = match &mut self.kept {
            Some(log) if writes => log.take(batch_max, now),
            Some(_) => Default::default(),
            None => (self.outbox.take(batch_max), Vec::new()),
        };
        if !batch.is_empty() {
            return (Some(Work::Write(batch)), answers);
        }
        self.direct.rest();
        (self.outbox.closing().cloned().map(Work::Close), answers)
    }

    /// All of it was written. Returns what to answer.
    pub(super) fn written(&mut self, batch: Vec<Outgoing>) -> Answers {
        if let Some(log) = &mut self.kept {
            return log.written(batch);
        }
        self.outbox.written(&batch);
        batch.into_iter().map(|outgoing| (outgoing.reply, Outcome::Delivered)).collect()
    }

    /// Whoever waits for a message that waits itself.
    pub(super) fn detach_replies(&mut self) -> Answers {
        match &mut self.kept {
            Some(log) => log.detach_waiting(|_| Outcome::Buffered),
            None => {
                let buffered = |reply| (reply, Outcome::Buffered);
                self.outbox.detach_replies().into_iter().map(buffered).collect()
            }
        }
    }

    /// Ends the connection, and the session unless it is kept for that. Returns whether the reason is this one from now on,
    /// and what to answer.
    pub(super) fn close(&mut self, key: Key, reason: CloseReason) -> (bool, Answers) {
        self.direct.close();
        let parks = reason.parks();
        let Some(log) = &mut self.kept else {
            let (first, dropped) = self.outbox.close(reason);
            return (
                first,
                dropped.into_iter().map(|(outgoing, outcome)| (outgoing.reply, outcome)).collect(),
            );
        };
        if self.outbox.closing().is_some() && (!self.away || parks) {
            return (false, Vec::new());
        }
        self.away = parks;
        let is_held = parks || reason.moves();
        let standing = log.standing(key, is_held);
        // Of a session that stays here whoever waits learns it when others hold the message.
        let waits_on = reason.flushes() || parks && standing == Standing::AwayAndCopied;
        let unwritten = |is_stored| if is_held { standing.unwritten(is_stored) } else { reason.outcome() };
        let answers = if waits_on { Vec::new() } else { log.detach_waiting(unwritten) };
        self.outbox.set_closing(reason);
        (true, answers)
    }

    /// The connection is over. Returns what another has begun, and what to answer.
    pub(super) fn abandon(&mut self, key: Key, now: Instant) -> (Option<Outgoing>, Answers) {
        let begun = self.direct.reclaim();
        let held = self.is_held();
        let Some(log) = &mut self.kept else {
            let abandoned = self.outbox.clear().into_iter();
            return (begun, abandoned.map(|outgoing| (outgoing.reply, Outcome::NoSession)).collect());
        };
        let standing = log.standing(key, held);
        let unwritten = |is_stored| if held { standing.unwritten(is_stored) } else { Outcome::NoSession };
        let answers = log.detach_all(self.away && standing == Standing::AwayAndCopied, unwritten);
        log.rewind(now);
        (begun, answers)
    }

    /// A panic has left it half changed: it ends, and what is kept is gone.
    pub(super) fn fail(&mut self) -> Answers {
        self.direct.close();
        self.away = false;
        if let Some(mut log) = self.kept.take() {
            log.drop_all(Dropped::Ended, false);
        }
        let (_, dropped) = self.outbox.close(CloseReason::Failed);
        self.outbox.set_closing(CloseReason::Failed);
        dropped.into_iter().map(|(outgoing, outcome)| (outgoing.reply, outcome)).collect()
    }

    /// Whether what the client has not acknowledged is held for it, here or for the next owner.
    pub(super) fn is_held(&self) -> bool {
        self.away || self.kept.is_some() && self.outbox.closing().is_none_or(CloseReason::moves)
    }

    /// The same, with how that is called of what others do not hold.
    pub(super) fn held_as(&mut self, key: Key) -> Option<Outcome> {
        let held = self.is_held();
        let log = self.kept.as_ref().filter(|_| held)?;
        Some(log.standing(key, true).unwritten(false))
    }

    /// Whether the connection ends, or has ended, and the session does not.
    pub(super) fn is_away(&self) -> bool {
        self.away
    }

    pub(super) fn closing(&self) -> Option<&CloseReason> {
        self.outbox.closing()
    }

    /// Messages that wait to be written, or are being written.
    pub(super) fn waiting(&self) -> usize {
        self.kept.as_ref().map_or_else(|| self.outbox.len(), |log| log.waiting())
    }

    pub(super) fn kept(&mut self) -> Option<&mut Log> {
        self.kept.as_deref_mut()
    }

    /// What is attached to the session, if anything is.
    pub(super) fn attached(&mut self) -> Option<&mut Attached> {
        self.attached.as_deref_mut()
    }

    /// Takes the attributes that an earlier owner hands over.
    pub(super) fn adopt_attributes(&mut self, handed: &HandedAttributes) {
        self.attached.get_or_insert_default().adopt(handed);
    }

    /// Other nodes are to hold the attributes of a session that is kept.
    pub(super) fn copy_attributes(&self, key: Key) {
        let handed = self.attached.as_ref().and_then(|attached| attached.handed());
        if let Some((log, handed)) = self.kept.as_ref().zip(handed) {
            log.copy_attributes(key, &handed);
        }
    }

    /// Attaches this to the session, in place of what was.
    pub(super) fn attach(&mut self, attached: Attached) {
        self.attached = Some(Box::new(attached));
    }

    pub(super) fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    pub(super) fn lend(&mut self, writer: Box<dyn DirectWriter>) {
        self.direct.lend(writer);
    }

    pub(super) fn reclaim(&mut self) -> Option<Outgoing> {
        self.direct.reclaim()
    }

    #[cfg(test)]
    pub(super) fn has_begun(&self) -> bool {
        self.direct.has_begun()
    }

    pub(super) fn written_directly(&self) -> Option<Instant> {
        self.direct.written()
    }
}
