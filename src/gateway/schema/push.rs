//! What became of a push, of a broadcast, and of a line of a stream of them.

use std::num::NonZeroU8;

use serde::{Deserialize, Serialize};

use super::{ErrorBody, Word};
use crate::id::{DeviceId, MessageId, NodeName};
use crate::push::{BroadcastReport, Outcome, PushReport, SessionReport, Tally};

/// A push whose outcome nobody waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Accepted {
    /// The id that the push travels with.
    pub id: MessageId,
}

/// What became of a push.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct PushAnswer {
    /// The id that the push travels with.
    pub id: MessageId,
    /// Sessions that were written to, those included whose client has acknowledged it.
    pub delivered: u64,
    /// What became of it at each session that was known when it arrived.
    pub sessions: Vec<PushSession>,
}

/// What became of a push at one session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct PushSession {
    /// Null when the owner, which alone knows the name, did not answer or has no such session.
    #[cfg_attr(test, schema(required))]
    pub device: Option<DeviceId>,
    /// The node that answered, or should have; null with `no_session`.
    #[cfg_attr(test, schema(required))]
    pub node: Option<NodeName>,
    /// What became of it there.
    #[cfg_attr(test, schema(value_type = PushOutcome))]
    pub outcome: Word<PushOutcome>,
    /// How many nodes beside the owner hold the message in memory, of a push that waits for `stored`. Left out where none is
    /// known to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schema(value_type = Option<u8>, nullable = false, minimum = 1))]
    pub copies: Option<NonZeroU8>,
}

/// What can become of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PushOutcome {
    /// The client has it: it has acknowledged it.
    Acked,
    /// Written to the owner's socket.
    Delivered,
    /// The client is away: the message is held until it is back, the message's time is over or the session's is.
    Queued,
    /// In the session's outbox: the socket did not take it within a second.
    Buffered,
    /// The session has, or had, another message with the same id: this one was not written.
    IdReused,
    /// There is no such session.
    NoSession,
    /// A queue is full: nothing was written.
    Overloaded,
    /// The connection broke during the write: the client may or may not have it.
    Interrupted,
    /// The owner did not answer in time: the client may or may not have it.
    Unreachable,
    /// Of a line: the node reaches no other one, and knows of no session.
    Unknown,
    /// Of a line: the node has not joined its cluster yet, and knows of no session.
    NotReady,
    /// Of a line that waits for `stored`: a session has taken it, but no client has acknowledged it and no other node is
    /// known to hold it.
    NotStored,
}

impl PushOutcome {
    /// What is told of a push as a whole.
    pub(in crate::gateway) fn of(report: &PushReport) -> Self {
        if report.is_not_stored() { PushOutcome::NotStored } else { PushOutcome::from(&report.best()) }
    }
}

impl From<&Outcome> for PushOutcome {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Acked => PushOutcome::Acked,
            Outcome::Delivered => PushOutcome::Delivered,
            Outcome::Queued => PushOutcome::Queued,
            Outcome::Buffered => PushOutcome::Buffered,
            Outcome::IdReused => PushOutcome::IdReused,
            // The router follows those that moved; one that it could not follow is gone.
            Outcome::NoSession | Outcome::Moved { .. } => PushOutcome::NoSession,
            Outcome::Overloaded => PushOutcome::Overloaded,
            Outcome::Interrupted => PushOutcome::Interrupted,
            Outcome::Unreachable => PushOutcome::Unreachable,
            Outcome::Unknown => PushOutcome::Unknown,
            Outcome::NotReady => PushOutcome::NotReady,
            Outcome::Copied { reached, .. } => reached.outcome().into(),
        }
    }
}

impl From<PushReport> for PushAnswer {
    fn from(report: PushReport) -> Self {
        let delivered = report.delivered() as u64;
        let session = |SessionReport { device, node, outcome }: SessionReport| {
            let copies = NonZeroU8::new(outcome.copies());
            let outcome = PushOutcome::from(&outcome).into();
            PushSession { device, node, outcome, copies }
        };
        Self { id: report.id, delivered, sessions: report.sessions.into_iter().map(session).collect() }
    }
}

/// What became of a broadcast.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct BroadcastAnswer {
    /// The id that the push travels with.
    pub id: MessageId,
    /// At the sessions of all nodes that answered.
    #[serde(flatten)]
    pub total: Tally,
    /// At each node.
    pub nodes: Vec<BroadcastNode>,
}

/// What became of a broadcast at one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct BroadcastNode {
    /// Which.
    pub node: NodeName,
    /// Whether it answered in time.
    #[cfg_attr(test, schema(value_type = NodeOutcome))]
    pub outcome: Word<NodeOutcome>,
    /// At its sessions; none of one that did not answer.
    #[serde(flatten)]
    pub tally: Tally,
}

/// Whether a node took part in a broadcast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum NodeOutcome {
    /// It did.
    Answered,
    /// It did not answer in time: its clients may or may not have it.
    Unreachable,
}

impl From<BroadcastReport> for BroadcastAnswer {
    fn from(report: BroadcastReport) -> Self {
        let total = report.total();
        let node = |(node, tally): (NodeName, Option<Tally>)| {
            let outcome = if tally.is_some() { NodeOutcome::Answered } else { NodeOutcome::Unreachable };
            BroadcastNode { node, outcome: outcome.into(), tally: tally.unwrap_or_default() }
        };
        Self { id: report.id, total, nodes: report.nodes.into_iter().map(node).collect() }
    }
}

/// The answer of a line that was sent off: to a user or a device with its outcome, to all without.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct LineAnswer<T> {
    /// The number of the line in the request, from 1.
    pub line: u64,
    /// The most favourable outcome; none for a broadcast, whose answer has counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schema(value_type = Option<PushOutcome>))]
    pub outcome: Option<Word<PushOutcome>>,
    /// What became of it.
    #[serde(flatten)]
    pub answer: T,
}

/// The answer of a line that was not sent off, and the last line of a stream that the node ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct LineRefused {
    /// The number of the line in the request, from 1.
    pub line: u64,
    /// Why.
    pub error: ErrorBody,
}

/// Any answer of a stream, for its readers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AnyLine {
    /// It was not sent off, or the node ends the stream.
    Refused(LineRefused),
    /// It was to all.
    Broadcast(LineAnswer<BroadcastAnswer>),
    /// It was to a user or a device.
    Pushed(LineAnswer<PushAnswer>),
}

#[cfg(test)]
mod tests {
    use serde_json::{json, to_value};

    use super::*;
    use crate::push::{Knowledge, Reached, Wait};

    fn node(name: &str) -> NodeName {
        NodeName::new(name).unwrap()
    }

    #[test]
    fn the_answers_have_the_documented_fields() {
        let id = MessageId::new("m1").unwrap();
        let device = Some(DeviceId::new("phone").unwrap());
        let session = SessionReport { device, node: Some(node("n1")), outcome: Outcome::Delivered };
        let report = PushReport {
            id: id.clone(),
            sessions: vec![session],
            knowledge: Knowledge::Whole,
            wait: Wait::Receipt,
        };
        let expected = json!({
            "id": "m1", "delivered": 1,
            "sessions": [{ "device": "phone", "node": "n1", "outcome": "delivered" }],
        });
        assert_eq!(to_value(PushAnswer::from(report)).unwrap(), expected);

        let tally = Tally { delivered: 2, buffered: 1, ..Tally::default() };
        let report = BroadcastReport { id, nodes: vec![(node("n1"), Some(tally)), (node("n2"), None)] };
        let expected = json!({
            "id": "m1", "delivered": 2, "buffered": 1, "overloaded": 0, "interrupted": 0, "id_reused": 0, "acked": 0, "queued": 0,
            "nodes": [
                { "node": "n1", "outcome": "answered", "delivered": 2, "buffered": 1, "overloaded": 0, "interrupted": 0, "id_reused": 0, "acked": 0, "queued": 0 },
                { "node": "n2", "outcome": "unreachable", "delivered": 0, "buffered": 0, "overloaded": 0, "interrupted": 0, "id_reused": 0, "acked": 0, "queued": 0 },
            ],
        });
        assert_eq!(to_value(BroadcastAnswer::from(report)).unwrap(), expected);
    }

    #[test]
    fn copies_are_told_where_there_are_some_and_a_push_without_is_not_called_stored() {
        let answered = |outcomes: &[Outcome], wait| {
            let session =
                |outcome: &Outcome| SessionReport { device: None, node: None, outcome: outcome.clone() };
            let sessions = outcomes.iter().map(session).collect();
            let id = MessageId::new("m1").unwrap();
            let report = PushReport { id, sessions, knowledge: Knowledge::Whole, wait };
            (PushOutcome::of(&report), to_value(PushAnswer::from(report)).unwrap()["sessions"].clone())
        };
        let copied = Outcome::Copied { reached: Reached::Queued, copies: 2 };
        let (best, sessions) = answered(&[Outcome::Delivered, copied], Wait::Stored);
        let expected = json!([
            { "device": null, "node": null, "outcome": "delivered" },
            { "device": null, "node": null, "outcome": "queued", "copies": 2 },
        ]);
        assert_eq!((best, &sessions), (PushOutcome::Queued, &expected));
        let read: Vec<PushSession> = serde_json::from_value(sessions).unwrap();
        assert_eq!([read[0].copies, read[1].copies].map(|copies| copies.map_or(0, NonZeroU8::get)), [0, 2]);
        assert_eq!(answered(&[Outcome::Delivered], Wait::Stored).0, PushOutcome::NotStored);
        assert_eq!(answered(&[Outcome::Delivered], Wait::Acked).0, PushOutcome::Delivered);
    }

    #[test]
    fn an_outcome_has_one_word_here_and_in_metrics() {
        for outcome in [
            Outcome::Acked,
            Outcome::Queued,
            Outcome::Delivered,
            Outcome::Buffered,
            Outcome::IdReused,
            Outcome::NoSession,
            Outcome::Overloaded,
            Outcome::Interrupted,
            Outcome::Unreachable,
            Outcome::Unknown,
            Outcome::NotReady,
            Outcome::Copied { reached: Reached::Queued, copies: 1 },
        ] {
            let word = Word::from(PushOutcome::from(&outcome));
            assert_eq!(word.to_string(), outcome.as_str());
            assert_eq!(to_value(&word).unwrap(), outcome.as_str());
        }
    }

    #[test]
    fn a_word_of_a_later_version_is_kept_as_it_is() {
        let line =
            json!({ "line": 1, "outcome": "stored", "id": "m1", "delivered": 0, "sessions": [], "later": 1 });
        let read: LineAnswer<PushAnswer> = serde_json::from_value(line).unwrap();
        let outcome = read.outcome.unwrap();
        assert_eq!((outcome.known(), outcome.to_string().as_str()), (None, "stored"));
    }
}
