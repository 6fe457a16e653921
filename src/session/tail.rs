//! What a session hands over to the next one of its client: the messages that the client has not acknowledged, and the ids by
//! which a repetition is recognised.

use std::sync::Arc;
use std::time::Duration;

use crate::id::MessageId;
use crate::position::{Position, Segment};
use crate::push::Message;
use crate::session::attached::HandedAttributes;

/// The messages of a client that it has not acknowledged, of all segments that have such.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tail {
    /// The segment of the session that hands it over.
    pub(crate) of: Segment,
    /// The segments before it of which nothing is missing here.
    pub(crate) inherited: Vec<Segment>,
    /// Those of them that others held for an owner which has not said itself what it owes: where what they held ends. What that owner still
    /// hands over of them comes late.
    pub(crate) sealed: Vec<Position>,
    /// The segments that have such messages, in their order.
    pub(crate) runs: Vec<TailRun>,
    /// The messages with an id of their caller's that the client has, the oldest first.
    pub(crate) recent: Vec<Known>,
    /// What the application keeps with the session, if it ever did.
    pub(crate) attributes: Option<HandedAttributes>,
}

/// The messages of one segment, without a hole between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TailRun {
    /// Which segment.
    pub(crate) segment: Segment,
    /// The number before the first of them: the client has acknowledged it.
    pub(crate) acked: u64,
    /// The messages.
    pub(crate) entries: Vec<TailEntry>,
}

/// A message, or the place of one that will never come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TailEntry {
    /// The message, or why there is none.
    pub(crate) message: Result<Arc<Message>, Hole>,
    /// How long it may still wait; `None`: for as long as the session is kept.
    pub(crate) left: Option<Duration>,
}

/// Why a number has no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hole {
    /// Its time was over before the client was back.
    Expired,
    /// The client has acknowledged it, and does not know that any more.
    Acknowledged,
}

impl Hole {
    /// The word for it in a `gap`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Hole::Expired => "expired",
            Hole::Acknowledged => "acknowledged",
        }
    }
}

/// What is kept of a message whose id the caller chose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    /// The id.
    pub(crate) id: MessageId,
    /// What tells its payload from another one.
    pub(crate) fingerprint: u64,
}

impl Known {
    /// Of a message whose id the caller chose.
    pub(super) fn of(message: &Message) -> Option<Self> {
        message.idempotent.then(|| Self { id: message.id.clone(), fingerprint: message.fingerprint() })
    }
}

/// A part of a [`Tail`] on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TailPart {
    /// See [`Tail::of`].
    pub(crate) of: Segment,
    /// How many parts come before it.
    pub(crate) index: u32,
    /// See [`Tail::inherited`]; only in the last part.
    pub(crate) inherited: Vec<Segment>,
    /// See [`Tail::sealed`]; only in the last part.
    pub(crate) sealed: Vec<Position>,
    /// Some of the messages: what follows the part before.
    pub(crate) runs: Vec<TailRun>,
    /// See [`Tail::recent`]; only in the last part.
    pub(crate) recent: Vec<Known>,
    /// See [`Tail::attributes`]; only in the last part.
    pub(crate) attributes: Option<HandedAttributes>,
    /// Whether it is the last part.
    pub(crate) done: bool,
}

impl Tail {
    /// How many messages it has, places of such that will never come not counted.
    pub(crate) fn messages(&self) -> usize {
        self.runs.iter().flat_map(|run| &run.entries).filter(|entry| entry.message.is_ok()).count()
    }

    /// The same in parts that fit a frame each: of so many messages and bytes at most, or of one message.
    pub(crate) fn parts(self, messages_max: usize, bytes_max: usize) -> Vec<TailPart> {
        let Self { of, inherited, sealed, runs, recent, attributes } = self;
        let (mut parts, mut open, mut messages, mut bytes) = (Vec::new(), Vec::<TailRun>::new(), 0, 0);
        for TailRun { segment, acked, entries } in runs {
            for (before, entry) in (acked..).zip(entries) {
                let len = entry.message.as_ref().map_or(0, |message| message.payload.bytes.len());
                if messages == messages_max || messages > 0 && bytes + len > bytes_max {
                    parts.push(std::mem::take(&mut open));
                    (messages, bytes) = (0, 0);
                }
                messages += 1;
                bytes += len;
                match open.last_mut().filter(|run| run.segment == segment) {
                    Some(run) => run.entries.push(entry),
                    None => open.push(TailRun { segment, acked: before, entries: vec![entry] }),
                }
            }
        }
        let part = |runs| TailPart {
            of,
            index: 0,
            inherited: Vec::new(),
            sealed: Vec::new(),
            runs,
            recent: Vec::new(),
            attributes: None,
            done: false,
        };
        let end = TailPart { of, index: 0, inherited, sealed, runs: open, recent, attributes, done: true };
        let mut parts: Vec<_> = parts.into_iter().map(part).chain([end]).collect();
        for (index, part) in (0..).zip(&mut parts) {
            part.index = index;
        }
        parts
    }
}
