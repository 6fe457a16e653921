//! The vocabulary of a push: what is sent, to whom, and what became of it.
//!
//! These are plain values, shared by the gateway, the router, the mesh and the sessions. The words
//! are those of docs/PROTOCOL.md; how an outcome travels back is in `receipt.rs`.

use std::hash::Hasher;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use crate::id::{DeviceId, MessageId, NodeName, SessionKey, UserId};

mod header;
mod outcome;
mod tally;
mod terms;
mod trace_context;

pub(crate) use header::MessageHeader;
pub use outcome::{Outcome, Reached};
pub use tally::Tally;
pub use terms::{Terms, Wait, WaitError};
pub(crate) use trace_context::TraceContext;

/// How a payload is framed for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PayloadKind {
    /// A WebSocket text frame; the bytes are valid UTF-8, checked where they enter the cluster.
    Text,
    /// A WebSocket binary frame.
    Binary,
}

/// The bytes that reach the client, never re-encoded, and copied only to wait in memory of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// How to frame them. [`PayloadKind::Text`] only with valid UTF-8.
    pub(crate) kind: PayloadKind,
    pub(crate) bytes: Bytes,
}

impl Payload {
    /// A text payload.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self { kind: PayloadKind::Text, bytes: Bytes::from(text.into()) }
    }

    /// How the client receives it.
    #[must_use]
    pub fn kind(&self) -> PayloadKind {
        self.kind
    }

    /// The bytes; of a text payload, valid UTF-8.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// A binary payload.
    #[must_use]
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Self { kind: PayloadKind::Binary, bytes: bytes.into() }
    }
}

/// How a message is encoded for clients that do not get the payload as it is: one for each dialect that does so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// The envelope of `pushmesh.v1`.
    EnvelopeV1,
}

impl Encoding {
    /// How many there are.
    const COUNT: usize = Self::EnvelopeV1 as usize + 1;
}

/// One push: a payload with its identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Identity, end to end.
    pub id: MessageId,
    /// Whether the caller chose the id, so that a repetition is a retry and must not be delivered twice.
    pub idempotent: bool,
    /// What the client receives.
    pub payload: Payload,
    fingerprint: OnceLock<u64>,
    encoded: [OnceLock<Bytes>; Encoding::COUNT],
    /// The same message in memory of its own, where the payload is a slice of a larger buffer: made when
    /// somebody has to keep it for longer.
    own: Option<OnceLock<Arc<Message>>>,
    terms: Terms,
    /// Boxed, because few have one.
    #[cfg(feature = "otlp")]
    trace: Option<Box<TraceContext>>,
}

impl Message {
    /// A message that nobody has looked at yet, whose payload pins no more memory than it has.
    pub(crate) fn new(id: MessageId, idempotent: bool, payload: Payload) -> Self {
        let (fingerprint, encoded) = Default::default();
        Self {
            id,
            idempotent,
            payload,
            fingerprint,
            encoded,
            own: None,
            terms: Terms::default(),
            #[cfg(feature = "otlp")]
            trace: None,
        }
    }

    /// The same, whose payload is a slice of the buffer that it was read into: a few bytes may pin all of it.
    pub(crate) fn slice(id: MessageId, idempotent: bool, payload: Payload) -> Self {
        Self { own: Some(OnceLock::new()), ..Self::new(id, idempotent, payload) }
    }

    /// The same, on these terms.
    pub(crate) fn on(self, terms: Terms) -> Self {
        Self { terms, ..self }
    }

    /// The same, of that trace. A build without traces forgets it.
    pub(crate) fn traced(self, trace: Option<TraceContext>) -> Self {
        #[cfg(feature = "otlp")]
        return Self { trace: trace.map(Box::new), ..self };
        #[cfg(not(feature = "otlp"))]
        return (self, trace).0;
    }

    /// The span to which what is done for it belongs.
    #[cfg(feature = "otlp")]
    pub(crate) fn trace(&self) -> Option<TraceContext> {
        self.trace.as_deref().copied()
    }

    /// What its publisher asks for beside its delivery.
    pub(crate) fn terms(&self) -> Terms {
        self.terms
    }

    /// The message as it is to be kept while it waits: in memory of its own. It is copied once at most,
    /// however many sessions keep it.
    pub(crate) fn kept(self: &Arc<Self>) -> Arc<Self> {
        let Some(own) = &self.own else { return Arc::clone(self) };
        let copy = || {
            let Payload { kind, bytes } = &self.payload;
            let payload = Payload { kind: *kind, bytes: Bytes::copy_from_slice(bytes) };
            let (fingerprint, encoded) = (self.fingerprint.clone(), self.encoded.clone());
            let message = Self::new(self.id.clone(), self.idempotent, payload).on(self.terms);
            Arc::new(Self { fingerprint, encoded, ..message })
        };
        Arc::clone(own.get_or_init(copy))
    }

    /// The message as clients get it that do not get the payload as it is. It is made once, however many sessions
    /// ask, and once more for those that [keep](Self::kept) a copy which was made before.
    pub(crate) fn encoded(&self, encoding: Encoding, encode: impl FnOnce(&Self) -> Bytes) -> Bytes {
        self.encoded[encoding as usize].get_or_init(|| encode(self)).clone()
    }

    /// What tells the payload from another one, without keeping it: a hash of its bytes and of how they are framed. It
    /// is made once, however many sessions ask.
    pub(crate) fn fingerprint(&self) -> u64 {
        *self.fingerprint.get_or_init(|| {
            let mut hasher = SipHasher13::new_with_keys(self.payload.kind as u64, 0);
            hasher.write(&self.payload.bytes);
            hasher.finish()
        })
    }
}

/// Whom a push or a disconnect is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// One session.
    Session(SessionKey),
    /// All sessions of a user.
    User(UserId),
}

/// What became of a push at one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionReport {
    /// The device of the addressed user; `None` when its owner, which alone knows the name, did not
    /// answer or has no such session.
    pub device: Option<DeviceId>,
    /// The node that answered, or that should have; `None` when no node owns the session.
    pub node: Option<NodeName>,
    /// What became of it; never [`Outcome::Moved`], which the router follows.
    pub outcome: Outcome,
}

/// How much of its cluster a node knows: whether a session that it does not find is nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Knowledge {
    /// What it does not find is nowhere.
    Whole,
    /// It has not joined yet: it may find some sessions and miss others.
    Joining,
    /// It reaches no other node, and may not know of sessions there.
    Isolated,
}

/// What became of a push to a session or to a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushReport {
    /// The id that the push travelled with.
    pub id: MessageId,
    /// One entry for each session that was known when the push arrived; empty when there was none.
    pub sessions: Vec<SessionReport>,
    /// How much of its cluster the node knew when the push arrived.
    pub knowledge: Knowledge,
    /// What the publisher waited for.
    pub wait: Wait,
}

impl PushReport {
    /// The most favourable outcome among the sessions, which decides the status of the answer. Where no
    /// session was found, that is [`Outcome::NoSession`] only if the node knew its whole cluster; otherwise
    /// [`Outcome::Unknown`] of an isolated node, and [`Outcome::NotReady`] of one that joins. For a publisher that waited for
    /// [`Wait::Stored`], what [is stored](Outcome::is_stored) comes before all that is not.
    #[must_use]
    pub fn best(&self) -> Outcome {
        let misses = |outcome: &Outcome| self.wait == Wait::Stored && !outcome.is_stored();
        let best = self
            .sessions
            .iter()
            .map(|s| &s.outcome)
            .min_by_key(|outcome| (misses(outcome), outcome.rank()))
            .cloned()
            .unwrap_or(Outcome::NoSession);
        match (best, self.knowledge) {
            (Outcome::NoSession, Knowledge::Joining) => Outcome::NotReady,
            (Outcome::NoSession, Knowledge::Isolated) => Outcome::Unknown,
            (best, _) => best,
        }
    }

    /// Whether the publisher waited for [`Wait::Stored`], and a session has taken the message, but none of them in a way that
    /// [is stored](Outcome::is_stored).
    #[must_use]
    pub fn is_not_stored(&self) -> bool {
        let best = self.best();
        self.wait == Wait::Stored && best.is_taken() && !best.is_stored()
    }

    /// How many sessions were written to.
    #[must_use]
    pub fn delivered(&self) -> usize {
        let written = |outcome: &Outcome| matches!(outcome, Outcome::Delivered | Outcome::Acked);
        self.sessions.iter().filter(|session| written(session.outcome.without_copies())).count()
    }
}

/// What became of a broadcast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BroadcastReport {
    /// The id that the broadcast travelled with.
    pub id: MessageId,
    /// One entry for each member that was to be asked: its counts, or `None` when it did not answer in time.
    pub nodes: Vec<(NodeName, Option<Tally>)>,
}

impl BroadcastReport {
    /// The counts of all nodes that answered.
    #[must_use]
    pub fn total(&self) -> Tally {
        let mut total = Tally::default();
        for tally in self.nodes.iter().filter_map(|(_, tally)| tally.as_ref()) {
            total.merge(tally);
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(knowledge: Knowledge, wait: Wait, outcomes: &[Outcome]) -> PushReport {
        let session =
            |outcome: &Outcome| SessionReport { device: None, node: None, outcome: outcome.clone() };
        let sessions = outcomes.iter().map(session).collect();
        PushReport { id: MessageId::new("m").unwrap(), sessions, knowledge, wait }
    }

    fn best(knowledge: Knowledge, outcomes: &[Outcome]) -> Outcome {
        report(knowledge, Wait::Receipt, outcomes).best()
    }

    fn copied(reached: Reached, copies: u8) -> Outcome {
        Outcome::Copied { reached, copies }
    }

    #[test]
    fn a_fingerprint_tells_payloads_apart_by_their_bytes_and_their_kind() {
        let of = |payload| Message::new(MessageId::new("m").unwrap(), true, payload).fingerprint();
        assert_eq!(of(Payload::text("a")), of(Payload::text("a")));
        assert_ne!(of(Payload::text("a")), of(Payload::text("b")));
        assert_ne!(of(Payload::text("a")), of(Payload::binary("a")));
        assert_ne!(of(Payload::text("")), of(Payload::binary("")));
    }

    #[test]
    fn a_reused_id_is_told_unless_another_session_has_the_message() {
        assert_eq!(best(Knowledge::Whole, &[Outcome::IdReused, Outcome::Delivered]), Outcome::Delivered);
        for worse in [Outcome::Overloaded, Outcome::Interrupted, Outcome::Unreachable, Outcome::NoSession] {
            assert_eq!(best(Knowledge::Whole, &[worse, Outcome::IdReused]), Outcome::IdReused);
        }
        assert_eq!(best(Knowledge::Isolated, &[Outcome::IdReused]), Outcome::IdReused);
    }

    #[test]
    fn only_a_node_that_knows_its_whole_cluster_says_that_there_is_no_session() {
        for found in [&[][..], &[Outcome::NoSession]] {
            assert_eq!(best(Knowledge::Whole, found), Outcome::NoSession);
            assert_eq!(best(Knowledge::Joining, found), Outcome::NotReady);
            assert_eq!(best(Knowledge::Isolated, found), Outcome::Unknown);
        }
    }

    #[test]
    fn a_session_with_copies_is_told_before_one_that_came_as_far_without() {
        let order = [
            Outcome::Acked,
            copied(Reached::Delivered, 2),
            Outcome::Delivered,
            copied(Reached::Queued, 1),
            Outcome::Queued,
            copied(Reached::Buffered, 1),
            Outcome::Buffered,
            Outcome::IdReused,
        ];
        for (index, first) in order.iter().enumerate() {
            let mut outcomes = order[index..].to_vec();
            outcomes.reverse();
            assert_eq!(best(Knowledge::Whole, &outcomes), *first);
        }
    }

    #[test]
    fn whoever_waits_for_copies_is_told_of_the_session_that_has_them() {
        let stored = |outcomes: &[Outcome]| {
            let report = report(Knowledge::Whole, Wait::Stored, outcomes);
            (report.best(), report.is_not_stored())
        };
        let queued = copied(Reached::Queued, 1);
        assert_eq!(stored(&[Outcome::Delivered, queued.clone()]), (queued.clone(), false));
        assert_eq!(stored(&[queued, Outcome::Acked]), (Outcome::Acked, false));
        let none = copied(Reached::Delivered, 0);
        assert_eq!(stored(&[none.clone(), Outcome::Queued]), (none, true));
        for taken in [Outcome::Delivered, Outcome::Queued, Outcome::Buffered] {
            assert_eq!(stored(&[Outcome::Unreachable, taken.clone()]), (taken, true));
        }
        for error in [Outcome::IdReused, Outcome::Overloaded, Outcome::Unreachable, Outcome::NoSession] {
            assert_eq!(stored(std::slice::from_ref(&error)), (error, false));
        }
        let waits = |wait| report(Knowledge::Whole, wait, &[Outcome::Delivered]).is_not_stored();
        assert!(!waits(Wait::Receipt) && !waits(Wait::Acked), "they wait for something else");
    }

    #[test]
    fn an_outcome_with_copies_counts_as_what_was_reached() {
        let outcomes =
            [Reached::Delivered, Reached::Buffered, Reached::Queued].map(|reached| copied(reached, 2));
        let mut tally = Tally::default();
        for outcome in &outcomes {
            tally.add(outcome);
            assert_eq!(outcome.as_str(), outcome.without_copies().as_str());
            assert_eq!((outcome.copies(), outcome.without_copies().copies()), (2, 0));
        }
        assert_eq!(tally, Tally { delivered: 1, buffered: 1, queued: 1, ..Tally::default() });
        assert_eq!(report(Knowledge::Whole, Wait::Stored, &outcomes).delivered(), 1);
    }

    #[test]
    fn what_became_of_a_session_that_was_found_is_said_however_little_the_node_knows() {
        for knowledge in [Knowledge::Whole, Knowledge::Joining, Knowledge::Isolated] {
            let found = [Outcome::NoSession, Outcome::Unreachable, Outcome::Buffered];
            assert_eq!(best(knowledge, &found), Outcome::Buffered);
            assert_eq!(best(knowledge, &found[..2]), Outcome::Unreachable);
        }
    }

    #[test]
    fn a_message_that_waits_pins_no_more_than_its_payload_and_is_copied_once() {
        let buffer = Bytes::from(vec![b'x'; 64 << 10]);
        let slice = Payload { kind: PayloadKind::Text, bytes: buffer.slice(..100) };
        let message = Arc::new(Message::slice(MessageId::new("m").unwrap(), true, slice.clone()));
        let kept = message.kept();
        assert!(Arc::ptr_eq(&kept, &message.kept()), "all who keep it share one copy");
        assert!(Arc::ptr_eq(&kept, &kept.kept()), "which is not copied again");
        assert_eq!((&kept.id, kept.idempotent, &kept.payload), (&message.id, true, &slice));
        drop((message, slice));
        assert!(buffer.is_unique(), "the buffer is free");
        let own = Arc::new(Message::new(MessageId::new("m").unwrap(), false, Payload::text("x")));
        assert!(Arc::ptr_eq(&own, &own.kept()), "nothing is copied that pins nothing");
    }
}
