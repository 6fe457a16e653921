//! What is written next, as far as the window goes.

use std::sync::Arc;

use tokio::time::Instant;

use crate::limits;
use crate::metrics::label::{Dropped, Origin};
use crate::position::{Position, Segment};
use crate::push::Outcome;
use crate::receipt::Reply;
use crate::session::log::run::Run;
use crate::session::log::unacked::{Load, Older, Unacked};
use crate::session::log::{Answers, Log};
use crate::session::notice::Notice;
use crate::session::outbox::{Outgoing, Place, What};
use crate::session::room::cost;
use crate::session::store::Store;
use crate::session::tail::Hole;

/// What is taken at once.
struct Batch<'a> {
    outgoing: Vec<Outgoing>,
    messages_max: usize,
    bytes: usize,
    on_way: &'a mut Load,
    held: &'a mut Load,
    answers: Answers,
    now: Instant,
    store: &'a Store,
}

impl Log {
    /// Takes what is to be written next: up to `messages_max` messages, and what the client is told between them. They count
    /// as on their way until the client acknowledges them. Returns also what to answer to those whose message is not
    /// written any more.
    pub(in crate::session) fn take(&mut self, messages_max: usize, now: Instant) -> (Vec<Outgoing>, Answers) {
        let own_segment = self.segment();
        let Some(unacked) = &mut self.unacked else { return Default::default() };
        let Unacked { own, older, on_way, held, notices, .. } = &mut **unacked;
        let outgoing = notices.drain(..).map(Outgoing::notice).collect();
        let (bytes, answers, store) = (0, Vec::new(), &*self.store);
        let mut batch = Batch { outgoing, messages_max, bytes, on_way, held, answers, now, store };
        if older.iter_mut().all(|older| batch.fill_older(older)) {
            batch.fill(own, own_segment, false);
        }
        let Batch { outgoing, answers, .. } = batch;
        self.tidy();
        (outgoing, answers)
    }
}

impl Batch<'_> {
    fn has_room(&self) -> bool {
        self.outgoing.len() < self.messages_max
            && self.bytes < limits::OUTBOX_BATCH_BYTES_MAX
            && self.on_way.has_window()
    }

    /// Returns whether all of it is on its way.
    fn fill_older(&mut self, older: &mut Older) -> bool {
        let segment = older.segment;
        if let Some(from) = older.gone_from.take() {
            let (to, why) = (older.run.acked, Hole::Acknowledged);
            self.outgoing.push(Outgoing::notice(Notice::Gap { segment, from, to, why }));
        }
        self.fill(&mut older.run, segment, true);
        if older.is_to_be_closed() {
            older.closed = true;
            let end = Position { segment, number: older.run.last() };
            self.outgoing.push(Outgoing::notice(Notice::Closed(end)));
        }
        older.run.is_taken()
    }

    fn fill(&mut self, run: &mut Run, segment: Segment, is_older: bool) {
        while !run.is_taken() && self.has_room() {
            let number = run.last_taken() + 1;
            let entry = &mut run.entries[run.taken];
            run.taken += 1;
            // What may not wait at all is written where it need not.
            let may_wait = entry.message.as_ref().is_ok_and(|held| held.terms().ttl != Some(0)) || is_older;
            if may_wait && entry.is_over(self.now) {
                let bytes = entry.len();
                entry.message = Err(Hole::Expired);
                self.held.remove(bytes);
                self.store.release(if is_older { Origin::Elsewhere } else { Origin::Here }, cost(bytes));
                self.store.dropped(Dropped::Expired, 1);
                self.answers.extend(entry.waits.take().map(|waits| (waits.reply, Outcome::NoSession)));
            }
            match &entry.message {
                Ok(message) => {
                    let waits_for_more = message.terms().waits();
                    let waits = if waits_for_more { None } else { entry.waits.take() };
                    let reply = waits.map_or_else(Reply::answered, |waits| waits.reply);
                    let place = Place { segment, number, is_older };
                    self.bytes += entry.len();
                    self.on_way.add(entry.len());
                    let what = What::Message(Arc::clone(message), Some(place));
                    self.outgoing.push(Outgoing { what, reply });
                }
                Err(why) => self.gap(segment, number, *why),
            }
        }
    }

    /// One more number that never comes.
    fn gap(&mut self, segment: Segment, number: u64, why: Hole) {
        if let Some(Outgoing { what: What::Notice(last), .. }) = self.outgoing.last_mut()
            && let Notice::Gap { segment: of, to, why: before, .. } = &mut **last
            && (*of, *to + 1, *before) == (segment, number, why)
        {
            *to = number;
            return;
        }
        self.outgoing.push(Outgoing::notice(Notice::Gap { segment, from: number, to: number, why }));
    }
}
