//! What is sent between an owner and the members of its groups, and by whoever takes a session over.
//!
//! The order of variants and fields is the wire format (docs/PROTOCOL.md). The payloads of the messages of a frame follow its
//! header, one after the other.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::id::Stamp;
use crate::key::Key;
use crate::limits;
use crate::mesh::codec::{CodecError, bounded_list, encode};
use crate::mesh::stream::{Priority, StreamKind};
use crate::push::MessageHeader;
use crate::quorum::{
    Accepted, Acked, Boot, Config, Entry, Held, Op, Opened, Refusal, Release, Seal, SealAnswer, ToMember,
};
use crate::session::{Copied, Store};

mod check;

/// Bidirectional: the logs of the accepting side's groups for the one that has opened it, and its acknowledgements.
pub(super) const LOG: StreamKind = StreamKind {
    byte: 8,
    name: "log",
    both_ways: true,
    payload_bytes_max: limits::FRAME_PAYLOAD_BYTES_MAX,
    priority: Priority::Interactive,
};

/// What a node tells another one, as an owner, or as one that takes sessions over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum LogFrame<M> {
    /// A part of what the next opening of that group brings.
    Part {
        /// Which of the groups.
        group: u8,
        /// Some of what is held.
        held: Held<M>,
    },
    /// To a member of a group of the sender, or to one that is about to be.
    ToMember {
        /// Which of the groups.
        group: u8,
        /// What it is told.
        frame: ToMember<M>,
    },
    /// These are the members of a group of the sender.
    Announced {
        /// Which of the groups.
        group: u8,
        /// The configuration that is in effect.
        config: Config,
    },
    /// What the sender has taken over need not be held any more for that owner, which may be the receiver.
    Release {
        /// Whose group.
        owner: Boot,
        /// What need not be held.
        release: Release,
    },
    /// The sender takes a session over from the group of that owner: what does the receiver hold of it?
    Seal {
        /// Whose group.
        owner: Boot,
        /// Which session, and for which claim.
        seal: Seal,
    },
}

/// What the other side answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum LogAnswer<M> {
    /// All that was sent was read.
    Read,
    /// There is no room for what was sent. The stream ends.
    Full,
    /// It has all that a group holds.
    Opened(u8, Opened),
    /// It has the log of a group up to a place.
    Acked(u8, Acked),
    /// It has accepted a change of the members of a group.
    Accepted(u8, Accepted),
    /// Some of the messages that it holds of a session; more follow.
    Part {
        /// For whom.
        owner: Boot,
        /// Of which session.
        key: Key,
        /// Some messages.
        entries: Vec<Entry<M>>,
    },
    /// The rest of what it holds of the session, with what it knows.
    Sealed {
        /// For whom.
        owner: Boot,
        /// Of which session.
        key: Key,
        /// The claim that has asked.
        claim: Stamp,
        /// The answer.
        answer: SealAnswer<M>,
    },
    /// Before all others: the members of a group of a boot that is gone, of which the other side may not have heard.
    Known {
        /// Whose group.
        owner: Boot,
        /// Which of them.
        group: u8,
        /// The configuration that was in effect last.
        config: Config,
    },
}

/// A message as it travels, without its payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    message: MessageHeader,
    /// For how long its session is kept, in seconds.
    keep: u32,
}

/// There is no room for a message here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

/// Takes the payloads out of messages, for the frame that they follow.
pub(super) struct Sent {
    now: Instant,
    payloads: Vec<Bytes>,
}

impl Sent {
    /// Of a frame that is sent now.
    pub(super) fn now() -> Self {
        Self { now: Instant::now(), payloads: Vec::new() }
    }

    /// The header of a message, whose payload follows those before it.
    pub(super) fn header(&mut self, copied: &Copied) -> Header {
        self.payloads.push(copied.message.payload.bytes.clone());
        let left = copied.expires.map(|at| at.saturating_duration_since(self.now));
        Header { message: MessageHeader::of(&copied.message, left), keep: copied.keep }
    }

    /// The frame of that header, and its payloads behind it.
    pub(super) fn follow<H: Serialize>(self, header: &H, chunks: &mut Vec<Bytes>) {
        chunks.push(encode(header, self.payloads.iter().map(Bytes::len).sum()));
        chunks.extend(self.payloads.into_iter().filter(|payload| !payload.is_empty()));
    }
}

/// Puts messages together from headers and what follows them.
pub(super) struct Received<'a> {
    payload: &'a Bytes,
    at: usize,
    now: Instant,
    store: &'a Store,
    /// Bytes of payloads, as the headers say.
    announced: usize,
    /// Whether there was no room for a message.
    full: bool,
}

impl<'a> Received<'a> {
    /// From a frame with this payload. What the messages take up is taken from there.
    pub(super) fn new(payload: &'a Bytes, store: &'a Store) -> Self {
        Self { payload, at: 0, now: Instant::now(), store, announced: 0, full: false }
    }

    /// The message of that header.
    pub(super) fn message(&mut self, header: Header) -> Copied {
        let Header { message, keep } = header;
        self.announced = self.announced.saturating_add(message.payload_bytes());
        let (message, left) = message.read(self.payload, &mut self.at);
        let room = self.store.room(message.payload.bytes.len());
        self.full |= room.is_none();
        let expires = left.and_then(|left| self.now.checked_add(left));
        Copied { message: Arc::new(message), expires, keep, room }
    }

    /// Checks, once all messages are read, that as many bytes follow their headers as these say.
    ///
    /// # Errors
    /// [`CodecError::Oversize`].
    pub(super) fn check(&self) -> Result<(), CodecError> {
        bounded_list("payloads", self.announced, self.payload.len())?;
        bounded_list("bytes of payloads", self.payload.len(), self.announced)
    }

    /// Whether there was no room for all of them.
    pub(super) fn is_full(&self) -> bool {
        self.full
    }
}

/// Leaves as many as a frame lists, those of the greatest places, and returns the others.
fn all_but_last(refused: &mut Vec<Refusal>) -> Vec<Refusal> {
    if refused.len() <= LISTED_MAX {
        return Vec::new();
    }
    refused.sort_by_key(|refusal| refusal.place);
    let last = refused.split_off(refused.len() - LISTED_MAX);
    std::mem::replace(refused, last)
}

/// Splits messages into what fits a frame each; the last part stays.
fn parts(mut entries: Vec<Entry<Copied>>) -> (Vec<Vec<Entry<Copied>>>, Vec<Entry<Copied>>) {
    let mut parts = Vec::new();
    loop {
        let mut bytes = 0;
        let fits = entries.iter().take(limits::HAND_OVER_MESSAGES_MAX).take_while(|entry| {
            bytes += entry.message.message.payload.bytes.len();
            bytes <= limits::HAND_OVER_BYTES_MAX
        });
        let count = fits.count().max(1);
        if count >= entries.len() {
            return (parts, entries);
        }
        let rest = entries.split_off(count);
        parts.push(std::mem::replace(&mut entries, rest));
    }
}

impl LogFrame<Copied> {
    /// The frames that it travels in.
    pub(super) fn split(self) -> Vec<Self> {
        match self {
            LogFrame::ToMember { group, frame: ToMember::Open { config, place, held } } => {
                let Held { entries, follows, fences } = held;
                let part = |held| LogFrame::Part { group, held };
                let (before, last) = parts(entries);
                let entries = before.into_iter().chain([last]);
                let entries = entries.map(|entries| Held { entries, ..Held::nothing() });
                let follows = follows
                    .chunks(FOLLOWS_MAX)
                    .map(|some| Held { follows: some.to_vec(), ..Held::nothing() });
                let fences =
                    fences.chunks(LISTED_MAX).map(|some| Held { fences: some.to_vec(), ..Held::nothing() });
                let held = Held::nothing();
                let last = LogFrame::ToMember { group, frame: ToMember::Open { config, place, held } };
                entries.chain(follows).chain(fences).map(part).chain([last]).collect()
            }
            other => vec![other],
        }
    }
}

impl<M> LogFrame<M> {
    /// Whether nobody waits for it: what a client has acknowledged is held for a while longer.
    pub(super) fn may_wait(&self) -> bool {
        matches!(self, LogFrame::ToMember { frame: ToMember::Logged { op: Op::Trim { .. }, .. }, .. })
    }

    /// The same with its messages in another form.
    pub(super) fn map<N>(self, form: impl FnMut(M) -> N) -> LogFrame<N> {
        match self {
            LogFrame::Part { group, held } => LogFrame::Part { group, held: held.map(form) },
            LogFrame::ToMember { group, frame } => LogFrame::ToMember { group, frame: frame.map(form) },
            LogFrame::Announced { group, config } => LogFrame::Announced { group, config },
            LogFrame::Release { owner, release } => LogFrame::Release { owner, release },
            LogFrame::Seal { owner, seal } => LogFrame::Seal { owner, seal },
        }
    }
}

impl LogAnswer<Copied> {
    /// What whoever takes a session over is answered, in the frames that it travels in.
    pub(super) fn sealed(owner: &Boot, key: Key, claim: Stamp, answer: SealAnswer<Copied>) -> Vec<Self> {
        let of = |answer| LogAnswer::Sealed { owner: owner.clone(), key, claim, answer };
        match answer {
            SealAnswer::Tail { epoch, configs, entries, beyond } => {
                let (before, entries) = parts(entries);
                let part = |entries| LogAnswer::Part { owner: owner.clone(), key, entries };
                let last = of(SealAnswer::Tail { epoch, configs, entries, beyond });
                before.into_iter().map(part).chain([last]).collect()
            }
            answer => vec![of(answer)],
        }
    }
}

impl<M> LogAnswer<M> {
    /// The frames that it travels in. What a member has refused last comes last: with the place up to which it has the rest.
    pub(super) fn split(self) -> Vec<Self> {
        let before = |group, refused: Vec<Refusal>| {
            let acked =
                |some: &[Refusal]| LogAnswer::Acked(group, Acked { place: 0, refused: some.to_vec() });
            refused.chunks(LISTED_MAX).map(acked).collect::<Vec<_>>()
        };
        let (mut frames, last) = match self {
            LogAnswer::Opened(group, mut opened) => {
                (before(group, all_but_last(&mut opened.acked.refused)), LogAnswer::Opened(group, opened))
            }
            LogAnswer::Acked(group, mut acked) => {
                (before(group, all_but_last(&mut acked.refused)), LogAnswer::Acked(group, acked))
            }
            LogAnswer::Accepted(group, Accepted { epoch, mut fences }) => {
                let rest = fences.split_off(fences.len().min(LISTED_MAX));
                let refusal = |(key, fence)| Refusal { key, fence, place: 0 };
                let rest = rest.into_iter().map(refusal).collect();
                (before(group, rest), LogAnswer::Accepted(group, Accepted { epoch, fences }))
            }
            other => (Vec::new(), other),
        };
        frames.push(last);
        frames
    }

    /// The same with its messages in another form.
    pub(super) fn map<N>(self, mut form: impl FnMut(M) -> N) -> LogAnswer<N> {
        match self {
            LogAnswer::Read => LogAnswer::Read,
            LogAnswer::Full => LogAnswer::Full,
            LogAnswer::Opened(group, opened) => LogAnswer::Opened(group, opened),
            LogAnswer::Acked(group, acked) => LogAnswer::Acked(group, acked),
            LogAnswer::Accepted(group, accepted) => LogAnswer::Accepted(group, accepted),
            LogAnswer::Part { owner, key, entries } => {
                let entries = entries.into_iter().map(|entry| entry.map(&mut form)).collect();
                LogAnswer::Part { owner, key, entries }
            }
            LogAnswer::Sealed { owner, key, claim, answer } => {
                LogAnswer::Sealed { owner, key, claim, answer: answer.map(form) }
            }
            LogAnswer::Known { owner, group, config } => LogAnswer::Known { owner, group, config },
        }
    }
}

/// Sessions that one frame says something of beside messages. Arithmetic: a session with a fence takes at most 120 bytes, all of them an
/// eighth of a header.
const LISTED_MAX: usize = 1_024;
/// Sessions of which one frame says whom they follow. Arithmetic: with as many owners each as may be they list as many as [`LISTED_MAX`].
const FOLLOWS_MAX: usize = LISTED_MAX / limits::OWNERS_FOLLOWED_MAX;

#[cfg(test)]
mod tests;
