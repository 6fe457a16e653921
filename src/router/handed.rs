//! What is handed over, as it travels: headers of messages, whose payloads follow one after the other.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::id::MessageId;
use crate::position::{Position, Segment};
use crate::push::MessageHeader;
use crate::session::{Hole, Known, TailEntry, TailPart, TailRun};

/// A part of what an owner hands over to the next one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HandedPart {
    of: Segment,
    index: u32,
    inherited: Vec<Segment>,
    runs: Vec<HandedRun>,
    recent: Vec<(MessageId, u64)>,
    done: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct HandedRun {
    segment: Segment,
    acked: u64,
    entries: Vec<HandedEntry>,
}

/// A message, or why there is none at its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum HandedEntry {
    Message(MessageHeader),
    Expired,
    Acknowledged,
}

impl HandedPart {
    /// The header of a part, and the payloads of its messages.
    pub(crate) fn of(part: &TailPart) -> (Self, Bytes) {
        let mut payload = Vec::new();
        let mut entry = |TailEntry { message, left }: &TailEntry| match message {
            Ok(message) => {
                payload.extend_from_slice(&message.payload.bytes);
                HandedEntry::Message(MessageHeader::of(message, *left))
            }
            Err(Hole::Expired) => HandedEntry::Expired,
            Err(Hole::Acknowledged) => HandedEntry::Acknowledged,
        };
        let mut run = |TailRun { segment, acked, entries }: &TailRun| HandedRun {
            segment: *segment,
            acked: *acked,
            entries: entries.iter().map(&mut entry).collect(),
        };
        let runs = part.runs.iter().map(&mut run);
        // A run without entries says where a segment ends that others held.
        let end = |at: &Position| HandedRun { segment: at.segment, acked: at.number, entries: Vec::new() };
        let runs = runs.chain(part.sealed.iter().map(end)).collect();
        let recent = part.recent.iter().map(|known| (known.id.clone(), known.fingerprint)).collect();
        let inherited = part.inherited.clone();
        (Self { of: part.of, index: part.index, inherited, runs, recent, done: part.done }, payload.into())
    }

    /// The part, whose payloads are these.
    pub(crate) fn read(self, payload: &Bytes) -> TailPart {
        let mut at = 0;
        let mut entry = |entry: HandedEntry| match entry {
            HandedEntry::Message(header) => {
                let (message, left) = header.read(payload, &mut at);
                TailEntry { message: Ok(Arc::new(message)), left }
            }
            HandedEntry::Expired => TailEntry { message: Err(Hole::Expired), left: None },
            HandedEntry::Acknowledged => TailEntry { message: Err(Hole::Acknowledged), left: None },
        };
        let mut run = |HandedRun { segment, acked, entries }: HandedRun| TailRun {
            segment,
            acked,
            entries: entries.into_iter().map(&mut entry).collect(),
        };
        let runs: Vec<_> = self.runs.into_iter().map(&mut run).collect();
        let (runs, ends): (Vec<_>, Vec<_>) = runs.into_iter().partition(|run| !run.entries.is_empty());
        let sealed =
            ends.into_iter().map(|run| Position { segment: run.segment, number: run.acked }).collect();
        let known = |(id, fingerprint)| Known { id, fingerprint };
        TailPart {
            of: self.of,
            index: self.index,
            inherited: self.inherited,
            sealed,
            runs,
            recent: self.recent.into_iter().map(known).collect(),
            attributes: None,
            done: self.done,
        }
    }

    /// Segments of which there are messages.
    pub(super) fn segments(&self) -> usize {
        self.runs.len()
    }

    /// Segments of which nothing is missing.
    pub(super) fn inherited(&self) -> usize {
        self.inherited.len()
    }

    /// Ids that are remembered.
    pub(super) fn ids(&self) -> usize {
        self.recent.len()
    }

    /// The greatest number that any of them has, or the client has acknowledged.
    pub(super) fn last(&self) -> u64 {
        let last = |run: &HandedRun| run.acked.saturating_add(run.entries.len() as u64);
        self.runs.iter().map(last).max().unwrap_or_default()
    }

    /// Messages, and places without one.
    pub(super) fn len(&self) -> usize {
        self.runs.iter().map(|run| run.entries.len()).sum()
    }

    /// Bytes of the payloads that follow.
    pub(super) fn payload_bytes(&self) -> usize {
        let bytes = |entry: &HandedEntry| match entry {
            HandedEntry::Message(header) => header.payload_bytes(),
            HandedEntry::Expired | HandedEntry::Acknowledged => 0,
        };
        self.runs.iter().flat_map(|run| &run.entries).map(bytes).fold(0, usize::saturating_add)
    }
}
