//! What other nodes are to hold of what a session owes, and do.
//!
//! What the client acknowledges soon is not copied: most of it is. What it does not, and what somebody waits for, is, with all
//! that stands before it in its segment: so of a segment no hole is ever copied but what the client has.

use std::sync::Arc;

use tokio::time::Instant;

use crate::id::MessageId;
use crate::key::Key;
use crate::position::{Position, Segment};
use crate::push::{Message, Payload};
use crate::session::absence::Absence;
use crate::session::attached::HandedAttributes;
use crate::session::copied::{Copied, Copying};
use crate::session::log::Log;
use crate::session::log::run::{Entry, Run};
use crate::session::log::unacked::Unacked;
use crate::session::notice::Notice;
use crate::session::tail::{TailEntry, TailRun};

impl Log {
    /// Whatever is owed to the client of that session is copied now.
    pub(in crate::session) fn copy_all(&mut self, key: Key) {
        if let Some(copying) = self.copying(key) {
            self.copy_upto(key, u64::MAX, &*copying);
        }
    }

    /// Whether the caller has to see to it that what is owed now is [copied](Self::copy_due) in a while.
    pub(in crate::session) fn begin_copying(&mut self, key: Key) -> bool {
        let last = self.last;
        let Some(unacked) = self.unacked.as_mut().filter(|unacked| unacked.copies_due.is_none()) else {
            return false;
        };
        let begins = unacked.runs().any(Run::has_uncopied) && self.store.is_copied(key);
        if begins {
            unacked.copies_due = Some(last);
        }
        begins
    }

    /// What was owed when that began, and still is, is copied. Returns whether to do so again in a while.
    pub(in crate::session) fn copy_due(&mut self, key: Key) -> bool {
        let due = self.unacked.as_mut().and_then(|unacked| unacked.copies_due.take());
        if let (Some(due), Some(copying)) = (due, self.copying(key)) {
            self.copy_upto(key, due, &*copying);
        }
        self.begin_copying(key)
    }

    /// Others are to hold these attributes, in place of earlier ones.
    pub(in crate::session) fn copy_attributes(&self, key: Key, handed: &HandedAttributes) {
        let at = Position::of_attributes(handed.changed);
        self.copy_beside(key, at, "attributes", || handed.attributes.as_json().to_owned());
    }

    /// Others are to hold that the client is away.
    pub(in crate::session) fn copy_absence(&self, key: Key, absence: &Absence) {
        self.copy_beside(key, Position::of_absence(self.stamp), "absence", || absence.to_json());
    }

    /// Others are to hold a text beside the messages. Its id is for whoever reads logs: nobody pushes it.
    fn copy_beside(&self, key: Key, at: Position, id: &str, text: impl FnOnce() -> String) {
        let Some(copying) = self.store.copying().filter(|copying| copying.is_made()) else { return };
        let id = MessageId::new(id).expect("a short word is a valid id");
        let message = Arc::new(Message::new(id, false, Payload::text(text())));
        copying.append(key, self.stamp, at, Copied { message, expires: None, keep: self.keep, room: None });
    }

    /// Takes what others have held for earlier owners, each segment from where it begins there. Returns that for which there is no room.
    /// `has_it`: whether the client has acknowledged a message under its id here.
    pub(in crate::session) fn adopt_copied(
        &mut self,
        mut messages: Vec<(Position, Copied)>,
        has_it: &dyn Fn(&Message) -> bool,
    ) -> Vec<(Position, Copied)> {
        messages.sort_by_key(|(at, _)| *at);
        let (own, now) = (self.segment(), Instant::now());
        let mut runs = Vec::<TailRun>::new();
        for (Position { segment, number }, copied) in &mut messages {
            let (segment, number) = (*segment, *number);
            copied.room = None; // It takes up room of this session from now on.
            let left = copied.expires.map(|at| at.saturating_duration_since(now));
            let entry = TailEntry { message: Ok(Arc::clone(&copied.message)), left };
            let goes_on = |run: &&mut TailRun| {
                run.segment == segment && run.acked + run.entries.len() as u64 + 1 == number
            };
            match runs.last_mut().filter(goes_on) {
                Some(run) => run.entries.push(entry),
                None => runs.push(TailRun { segment, acked: number - 1, entries: vec![entry] }),
            }
        }
        let mut full = Vec::new();
        for run in runs.iter().filter(|run| run.segment != own) {
            if !self.adopt_run(run, now, has_it) {
                full.push((run.segment, run.acked + 1..=run.acked + run.entries.len() as u64));
            }
        }
        let is_full = |at: Position| {
            full.iter().any(|(segment, numbers)| at.segment == *segment && numbers.contains(&at.number))
        };
        messages.retain(|(at, _)| is_full(*at) && !self.holds(*at));
        self.tidy();
        messages
    }

    /// Nothing more is taken over from other nodes.
    pub(in crate::session) fn taken_over(&mut self) {
        if let Some(taken_over) = &mut self.taken_over {
            taken_over.named = Vec::new();
        }
        self.taken_over.take_if(|taken_over| taken_over.sealed.is_empty());
    }

    /// Whether the client is owed a message.
    pub(in crate::session) fn holds(&mut self, at: Position) -> bool {
        self.entry(at).is_some_and(|entry| entry.message.is_ok())
    }

    /// Whether the client is owed a message, or is to be told that its time is over: it has not acknowledged that.
    pub(in crate::session) fn owes(&mut self, at: Position) -> bool {
        self.entry(at).is_some()
    }

    /// What the client has not acknowledged at that position.
    fn entry(&mut self, at: Position) -> Option<&mut Entry> {
        let own = self.segment();
        self.unacked.as_mut()?.run_mut(own, at.segment)?.get_mut(at.number)
    }

    /// Nothing is missing of these segments that others were to hold. What their owners have accepted beside that is numbered anew when
    /// it comes. Returns whether the client is to be told something.
    pub(in crate::session) fn sealed(&mut self, segments: &[Segment]) -> bool {
        let own = self.segment();
        let unacked = Unacked::of(&mut self.unacked, self.last);
        let new = self.inherited.add(segments.iter().copied().filter(|segment| *segment != own));
        for segment in &new {
            let resumption = unacked.resumption.as_ref();
            let has = resumption.and_then(|resumption| resumption.returning.has(*segment));
            let held = unacked.older(*segment).map(|older| older.run.last());
            let sealed = &mut self.taken_over.get_or_insert_default().sealed;
            sealed.insert(*segment, has.max(held).unwrap_or_default());
        }
        unacked.inherit(&new);
        let resumption = unacked.resumption.as_mut();
        let told = resumption.and_then(|resumption| resumption.sealed(&self.inherited));
        unacked.notices.extend(told.map(Notice::Resumed));
        let is_news = !unacked.is_clear();
        self.tidy();
        is_news
    }

    /// Copies what is not yet: of this session's own segment up to that number.
    fn copy_upto(&mut self, key: Key, upto: u64, copying: &dyn Copying) {
        let (own, keep) = (self.segment(), self.keep);
        let Some(unacked) = &mut self.unacked else { return };
        let Unacked { own: run, older, .. } = &mut **unacked;
        let copy = |segment: Segment, run: &mut Run, upto: u64| {
            let (first, last) = (run.copied.max(run.acked) + 1, run.last().min(upto));
            for number in first..=last {
                let Some(entry) = run.get_mut(number) else { continue };
                // A message whose time is over leaves a hole that is told.
                let Ok(message) = &entry.message else { continue };
                let (message, expires) = (Arc::clone(message), entry.expires);
                let copied = Copied { message, expires, keep, room: None };
                copying.append(key, own.stamp, Position { segment, number }, copied);
            }
            run.copied = run.copied.max(last);
        };
        older.iter_mut().for_each(|older| copy(older.segment, &mut older.run, u64::MAX));
        copy(own, run, upto);
    }

    fn copying(&self, key: Key) -> Option<Arc<dyn Copying>> {
        self.store.copying().filter(|copying| copying.is_possible(key))
    }
}
