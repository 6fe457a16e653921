//! What a session owes its client.

use crate::id::MessageId;
use crate::limits;
use crate::position::Segment;
use crate::session::log::run::{Entry, Run};
use crate::session::notice::Notice;
use crate::session::resumption::Resumption;
use crate::session::tail::{TailPart, TailRun};

/// What a session owes its client.
pub(super) struct Unacked {
    /// Of this session's own segment.
    pub(super) own: Run,
    /// Of earlier owners, in the order of their segments.
    pub(super) older: Vec<Older>,
    /// What earlier owners have begun to hand over.
    begun: Vec<Begun>,
    /// Messages on their way.
    pub(super) on_way: Load,
    /// All messages.
    pub(super) held: Load,
    /// The client's return, until it is known what became of it. Boxed: mostly it soon is.
    pub(super) resumption: Option<Box<Resumption>>,
    /// To be told before the next message.
    pub(super) notices: Vec<Notice>,
    /// Whether somebody looks after those who wait for the client's word.
    pub(super) timed: bool,
    /// What is owed up to that number of this session's own segment, and all that earlier owners have handed over, is copied soon.
    pub(super) copies_due: Option<u64>,
}

/// A run, with the amounts that its messages are a part of.
pub(super) struct Account<'a> {
    pub(super) run: &'a mut Run,
    pub(super) on_way: &'a mut Load,
    pub(super) held: &'a mut Load,
}

/// An amount of messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

/// What an earlier owner has handed over of a segment.
pub(super) struct Older {
    pub(super) segment: Segment,
    pub(super) run: Run,
    /// The numbers from here on to the first that is held are gone, and the client is to be told so.
    pub(super) gone_from: Option<u64>,
    /// All of it is here.
    pub(super) whole: bool,
    /// The client was told that this is the end of it.
    pub(super) closed: bool,
}

/// What an earlier owner has begun to hand over.
pub(super) struct Begun {
    /// The segment of the session that hands it over.
    of: Segment,
    /// How many parts have come.
    parts: u32,
    /// The segments of which there was something in them.
    pub(super) segments: Vec<Segment>,
}

impl Unacked {
    /// What is owed, with memory for it from now on. If nothing is: this session's own begins after that number.
    pub(super) fn of(owed: &mut Option<Box<Self>>, number: u64) -> &mut Self {
        owed.get_or_insert_with(|| Box::new(Self::after(number)))
    }

    /// Nothing, of which this session's own begins after that number.
    fn after(number: u64) -> Self {
        Self {
            own: Run::after(number),
            older: Vec::new(),
            begun: Vec::new(),
            on_way: Load::default(),
            held: Load::default(),
            resumption: None,
            notices: Vec::new(),
            timed: false,
            copies_due: None,
        }
    }

    pub(super) fn runs(&self) -> impl Iterator<Item = &Run> {
        self.older.iter().map(|older| &older.run).chain([&self.own])
    }

    /// The message with that id, and whether others hold it.
    pub(super) fn find(&self, id: &MessageId) -> Option<(&Entry, bool)> {
        let of = |run: &'_ Run| {
            let at = run
                .entries
                .iter()
                .position(|entry| entry.message.as_ref().is_ok_and(|held| held.id == *id))?;
            Some((at, run.acked + (at as u64) < run.stored))
        };
        self.runs().find_map(|run| of(run).map(|(at, is_stored)| (&run.entries[at], is_stored)))
    }

    /// All messages, in the order of writing.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.runs().flat_map(|run| &run.entries)
    }

    pub(super) fn runs_mut(&mut self) -> impl Iterator<Item = &mut Run> {
        self.older.iter_mut().map(|older| &mut older.run).chain([&mut self.own])
    }

    /// The run of a segment, where `own` is this session's.
    pub(super) fn run_mut(&mut self, own: Segment, segment: Segment) -> Option<&mut Run> {
        self.account(own, segment).map(|account| account.run)
    }

    /// The run of a segment, where `own` is this session's, with what it adds to.
    pub(super) fn account(&mut self, own: Segment, segment: Segment) -> Option<Account<'_>> {
        let Self { own: run, older, on_way, held, .. } = self;
        let run = if segment == own {
            run
        } else {
            &mut older.iter_mut().find(|older| older.segment == segment)?.run
        };
        Some(Account { run, on_way, held })
    }

    /// What has come before a part of what a session hands over; `None`: what has is not all.
    pub(super) fn before(&mut self, part: &TailPart) -> Option<Begun> {
        let at = self.begun.iter().position(|begun| begun.of == part.of);
        let begun = at.map(|at| self.begun.swap_remove(at));
        if part.index == 0 {
            return Some(Begun { of: part.of, parts: 0, segments: Vec::new() });
        }
        begun.filter(|begun| begun.parts == part.index)
    }

    /// One more part has come.
    pub(super) fn go_on(&mut self, begun: Begun) {
        self.begun.push(Begun { parts: begun.parts + 1, ..begun });
    }

    /// What is held of an earlier segment.
    pub(super) fn older(&self, segment: Segment) -> Option<&Older> {
        self.older.iter().find(|older| older.segment == segment)
    }

    /// The same, to be changed.
    pub(super) fn older_mut(&mut self, segment: Segment) -> Option<&mut Older> {
        self.older.iter_mut().find(|older| older.segment == segment)
    }

    /// All of these segments is here from now on. The client is told where each ends, also those of which nothing is owed and
    /// that it may remember.
    pub(super) fn inherit(&mut self, segments: &[Segment]) {
        let Self { older, resumption, notices, .. } = self;
        let returning = resumption.as_ref().map(|resumption| resumption.returning.after.as_slice());
        for position in returning.unwrap_or_default() {
            let is_owed = older.iter().any(|older| older.segment == position.segment);
            if segments.contains(&position.segment) && !is_owed {
                notices.push(Notice::Closed(*position));
            }
        }
        older.iter_mut().for_each(|older| older.whole |= segments.contains(&older.segment));
    }

    /// Whether nothing waits, and one more may be on its way.
    pub(super) fn is_clear(&self) -> bool {
        self.notices.is_empty()
            && self.own.is_taken()
            && self.older.iter().all(|older| older.run.is_taken() && older.is_told())
            && self.on_way.has_window()
    }

    /// Whether nothing of it is needed any more.
    pub(super) fn is_empty(&self) -> bool {
        self.own.entries.is_empty()
            && self.older.is_empty()
            && self.begun.is_empty()
            && self.notices.is_empty()
            && self.resumption.is_none()
    }
}

impl Load {
    pub(super) fn add(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes;
    }

    pub(super) fn remove(&mut self, bytes: usize) {
        self.messages -= 1;
        self.bytes -= bytes;
    }

    /// Whether one more message may be on its way beside these.
    pub(super) fn has_window(&self) -> bool {
        self.messages == 0 || self.messages < limits::WINDOW && self.bytes < limits::WINDOW_BYTES
    }
}

impl Older {
    /// What is held of the segment of a run that is handed over. The client `has` it up to that number, as it says.
    pub(super) fn of<'a>(older: &'a mut Vec<Self>, run: &TailRun, has: Option<u64>) -> &'a mut Self {
        let at = match older.binary_search_by_key(&run.segment, |older| older.segment) {
            Ok(at) => at,
            Err(at) => {
                // A client that says nothing of the segment has nothing of it, or has forgotten it.
                let has = has.unwrap_or(0);
                let gone_from = (has < run.acked).then(|| has + 1);
                let (segment, run) = (run.segment, Run::after(run.acked));
                older.insert(at, Self { segment, run, gone_from, whole: false, closed: false });
                at
            }
        };
        &mut older[at]
    }

    /// Another owner goes on after that number, up to which the client has acknowledged all, and nothing of that is held.
    pub(super) fn go_on_after(&mut self, acked: u64, has: Option<u64>) {
        if self.run.entries.is_empty() && acked > self.run.acked {
            let told = self.run.acked.max(has.unwrap_or(0));
            self.gone_from = self.gone_from.or((told < acked).then(|| told + 1));
            self.run.acked = acked;
        }
    }

    /// What is held up to that number is not written any more: the client is told of all that it was not sent on this
    /// connection.
    pub(super) fn leave_out(&mut self, number: u64) {
        let sent = self.run.last_taken();
        if sent < number.min(self.run.last()) {
            self.gone_from = self.gone_from.or(Some(sent + 1));
        }
    }

    /// The client has this number, as it says: it counts as acknowledged.
    pub(super) fn skip(&mut self, number: u64) {
        if self.run.entries.is_empty() && number == self.run.acked + 1 {
            self.run.acked = number;
        }
    }

    /// Whether the client is to be told that this is the end of it: it has acknowledged all, and may forget its position.
    pub(super) fn is_to_be_closed(&self) -> bool {
        self.whole && !self.closed && self.run.entries.is_empty()
    }

    /// Whether the client was told all that there is to be told beside the messages.
    pub(super) fn is_told(&self) -> bool {
        self.gone_from.is_none() && !self.is_to_be_closed()
    }

    /// Whether nothing of it is owed any more.
    pub(super) fn is_over(&self) -> bool {
        self.closed && self.run.entries.is_empty()
    }
}
