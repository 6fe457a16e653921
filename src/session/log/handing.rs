//! What a session hands over to the next one of its client, and takes from those before it.

use std::sync::Arc;

use tokio::time::Instant;

use crate::limits;
use crate::metrics::label::Origin;
use crate::position::{Position, Segment};
use crate::push::{Message, Outcome};
use crate::session::log::Log;
use crate::session::log::run::{Entry, Run};
use crate::session::log::unacked::{Older, Unacked};
use crate::session::notice::Notice;
use crate::session::room::cost;
use crate::session::tail::{Hole, Tail, TailEntry, TailPart, TailRun};

impl Log {
    /// All that the client has not acknowledged, for the next owner.
    pub(in crate::session) fn tail(&mut self, now: Instant) -> Tail {
        self.expire(now);
        let own = self.segment();
        let entry = |entry: &Entry| TailEntry {
            message: entry.message.clone(),
            left: entry.expires.map(|at| at.saturating_duration_since(now)),
        };
        let run = |(segment, run): (_, &Run)| TailRun {
            segment,
            acked: run.acked,
            entries: run.entries.iter().map(entry).collect(),
        };
        let runs = self.unacked.iter().flat_map(|unacked| {
            let older = unacked.older.iter().map(|older| (older.segment, &older.run));
            older.chain([(own, &unacked.own)]).filter(|(_, run)| !run.entries.is_empty())
        });
        let (mut runs, inherited) = (runs.map(run).collect::<Vec<_>>(), self.inherited.segments().to_vec());
        runs.sort_by_key(|run| run.segment); // What was taken over may be of a later claim than this one.
        let sealed = self.sealed_at();
        Tail { of: own, inherited, sealed, runs, recent: Vec::new(), attributes: None }
    }

    /// A part of what an earlier owner hands over; a repetition changes nothing. Returns what to answer. `has_it`: whether the client has
    /// acknowledged a message under its id here. `settled`: up to where others need not hold any more what the client has.
    pub(in crate::session) fn adopt(
        &mut self,
        part: &TailPart,
        now: Instant,
        has_it: &dyn Fn(&Message) -> bool,
        settled: &mut Vec<Position>,
    ) -> Outcome {
        let own = self.segment();
        let Some(mut begun) = Unacked::of(&mut self.unacked, self.last).before(part) else {
            return Outcome::Interrupted; // The parts before it went to the session before this one.
        };
        for run in part.runs.iter().filter(|run| run.segment != own) {
            if !begun.segments.contains(&run.segment) {
                begun.segments.push(run.segment);
                settled.extend(self.settle_elsewhere(run.segment, run.acked));
            }
            if !self.adopt_run(run, now, has_it) {
                return Outcome::Overloaded;
            }
        }
        if part.done {
            let whole: Vec<_> =
                part.inherited.iter().copied().chain([part.of]).filter(|of| *of != own).collect();
            for segment in whole.iter().filter(|segment| !begun.segments.contains(segment)) {
                let sealed = part.sealed.iter().find(|at| at.segment == *segment);
                settled.extend(self.settle_elsewhere(*segment, sealed.map_or(u64::MAX, |at| at.number)));
            }
            self.inherit(whole);
            self.inherit_sealed(&part.sealed);
        } else {
            Unacked::of(&mut self.unacked, self.last).go_on(begun);
        }
        self.tidy();
        Outcome::Delivered
    }

    /// The client has acknowledged that segment up to that number, at another owner. It may have forgotten that.
    fn settle_elsewhere(&mut self, segment: Segment, number: u64) -> Option<Position> {
        let unacked = self.unacked.as_mut();
        if let Some(older) = unacked.and_then(|unacked| unacked.older_mut(segment)) {
            older.leave_out(number);
        }
        self.settle(segment, number).copied
    }

    /// Of these segments nothing is missing any more.
    fn inherit(&mut self, segments: Vec<Segment>) {
        let new = self.inherited.add(segments);
        let unacked = Unacked::of(&mut self.unacked, self.last);
        unacked.inherit(&new);
        let resumption = unacked.resumption.as_mut();
        if let Some(told) = resumption.and_then(|resumption| resumption.more(&self.inherited)) {
            unacked.notices.push(Notice::Resumed(told));
        }
    }

    /// Where what others held of earlier segments ends, of those of which nothing is missing.
    fn sealed_at(&self) -> Vec<Position> {
        let sealed = self.taken_over.iter().flat_map(|taken_over| &taken_over.sealed);
        let sealed = sealed.filter(|(segment, _)| self.inherited.has(**segment));
        let older = |segment| self.unacked.as_ref().and_then(|unacked| unacked.older(segment));
        let last = |segment: Segment| older(segment).map(|older| older.run.last()).unwrap_or_default();
        sealed
            .map(|(segment, upto)| Position { segment: *segment, number: last(*segment).max(*upto) })
            .collect()
    }

    /// The same as the session before this one knows it.
    fn inherit_sealed(&mut self, sealed: &[Position]) {
        for Position { segment, number } in sealed.iter().filter(|at| self.inherited.has(at.segment)) {
            let upto = self.taken_over.get_or_insert_default().sealed.entry(*segment).or_default();
            *upto = *number.max(upto);
        }
        if let Some(taken_over) = &mut self.taken_over {
            taken_over.sealed.retain(|segment, _| self.inherited.has(*segment));
        }
    }

    /// What an owner has accepted beside what others were to hold comes late, and is as good as new: what was pushed again meanwhile, and is
    /// here already, is not written twice. `None`: the segment was not sealed. Else returns whether there was room for all of it.
    fn adopt_late(&mut self, run: &TailRun, now: Instant, has_it: &dyn Fn(&Message) -> bool) -> Option<bool> {
        let upto = *self.taken_over.as_ref()?.sealed.get(&run.segment)?;
        for (number, TailEntry { message, left }) in (run.acked + 1..).zip(&run.entries) {
            let Some(message) = message.as_ref().ok().filter(|_| number > upto) else { continue };
            let expires = left.map(|left| now + left);
            if !has_it(message) && !self.owes_again(message, expires) {
                if !self.store.reserve(Origin::Here, cost(message.payload.bytes.len())) {
                    return Some(false);
                }
                self.append_until(Arc::clone(message), expires);
            }
            self.taken_over.get_or_insert_default().sealed.insert(run.segment, number);
        }
        Some(true)
    }

    /// Numbers are at most [`limits::NUMBER_MAX`]. Returns whether there was room for all of it.
    pub(super) fn adopt_run(
        &mut self,
        run: &TailRun,
        now: Instant,
        has_it: &dyn Fn(&Message) -> bool,
    ) -> bool {
        if let Some(fits) = self.adopt_late(run, now, has_it) {
            return fits;
        }
        let mut places = self.places() as u64;
        let unacked = Unacked::of(&mut self.unacked, self.last);
        let is_new = unacked.older(run.segment).is_none();
        if self.inherited.has(run.segment) && is_new {
            return true; // It was here, and the client has it.
        }
        if is_new && unacked.older.len() >= limits::SEGMENTS_OWED_MAX {
            return false;
        }
        let resumption = unacked.resumption.as_ref();
        let has = resumption.and_then(|resumption| resumption.returning.has(run.segment));
        let named = self
            .taken_over
            .iter()
            .flat_map(|taken_over| &taken_over.named)
            .filter(|named| named.segment == run.segment);
        let has = has.max(named.map(|named| named.number).max());
        let Unacked { older, held, .. } = unacked;
        let older = Older::of(older, run, has);
        older.go_on_after(run.acked, has);
        for (number, entry) in (run.acked + 1..).zip(&run.entries) {
            if number <= older.run.last() || has.is_some_and(|has| number <= has) {
                older.skip(number);
                continue;
            }
            // What others have held has holes where a message was not copied, or is not needed any more: the client has acknowledged it.
            // Of what is above its own position that cannot be: then the time of the message was over.
            let hole = if has.is_some() { Hole::Expired } else { Hole::Acknowledged };
            let holes = number - 1 - older.run.last();
            places += holes;
            if holes > 0 && places > limits::PLACES_OWED_MAX as u64 {
                return false;
            }
            while older.run.last() + 1 < number {
                let message = Err(hole);
                older.run.push(Entry { message, expires: None, written: false, waits: None });
            }
            let TailEntry { message, left } = entry;
            let bytes = message.as_ref().map_or(0, |held| held.payload.bytes.len());
            if message.is_ok() {
                if !self.store.reserve(Origin::Elsewhere, cost(bytes)) {
                    return false;
                }
                held.add(bytes);
            }
            let (message, expires) = (message.clone(), left.map(|left| now + left));
            older.run.push(Entry { message, expires, written: false, waits: None });
        }
        true
    }
}
