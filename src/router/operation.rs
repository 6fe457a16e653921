//! An operation: what is done at a session, wherever it lives.

use std::sync::Arc;

use bytes::Bytes;

use crate::directory::Rival;
use crate::id::{Incarnation, NodeName, Stamp};
use crate::key::DeviceHash;
use crate::ownership::Question;
use crate::push::{Message, Payload, Terms};
use crate::router::frame::Action;
use crate::router::handed::HandedPart;
use crate::session::TailPart;

/// What is done at one or more sessions.
#[derive(Debug, Clone)]
pub(crate) enum Operation {
    /// Write a message to the sockets.
    Push(Arc<Message>),
    /// Close the connections.
    Disconnect,
    /// Let go of the sessions: they were claimed elsewhere.
    Yield {
        /// Who has claimed them.
        owner: NodeName,
        /// With which stamp.
        stamp: Stamp,
        /// Which session was claimed.
        rival: Rival,
    },
    /// Tell the names of the sessions.
    Describe,
    /// Say whether the session is there that was claimed with this stamp, and stays.
    Confirm {
        /// Its stamp.
        stamp: Stamp,
    },
    /// Take what an earlier owner owes the client.
    HandOver(Arc<TailPart>),
    /// Keep the session for its client, which is away: the owner stops.
    Adopt(Adoption),
}

/// A session whose client is away, and whose owner stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Adoption {
    /// Who owns it.
    pub(crate) owner: NodeName,
    /// The boot of that node.
    pub(crate) incarnation: Incarnation,
    /// With which stamp.
    pub(crate) stamp: Stamp,
    /// How long the client may be away from now on, in seconds.
    pub(crate) seconds: u32,
}

impl Operation {
    /// Whether it only asks, and changes nothing where it arrives.
    pub(super) fn is_question(&self) -> bool {
        matches!(self, Operation::Describe | Operation::Confirm { .. })
    }

    /// What it asks about the session of a device, and who asks if it says that: only what is about ownership.
    pub(super) fn question(&self, device: DeviceHash) -> Option<(Option<&NodeName>, Question)> {
        match self {
            Operation::Yield { owner, stamp, rival } => {
                Some((Some(owner), Question::Yield { device, below: *stamp, rival: *rival }))
            }
            Operation::Confirm { stamp } => Some((None, Question::Confirm { device, stamp: *stamp })),
            Operation::Push(_)
            | Operation::Disconnect
            | Operation::Describe
            | Operation::HandOver(_)
            | Operation::Adopt(_) => None,
        }
    }

    /// The operation that a peer asks for.
    pub(crate) fn received(action: Action, payload: Bytes) -> Self {
        match action {
            Action::Push { id, idempotent, kind } => {
                Operation::Push(Arc::new(Message::slice(id, idempotent, Payload { kind, bytes: payload })))
            }
            Action::Disconnect => Operation::Disconnect,
            Action::Yield { owner, stamp, rival } => Operation::Yield { owner, stamp, rival },
            Action::Describe => Operation::Describe,
            Action::Confirm { stamp } => Operation::Confirm { stamp },
            Action::PushOn { id, idempotent, kind, ttl, acked } => {
                let message = Message::slice(id, idempotent, Payload { kind, bytes: payload });
                Operation::Push(Arc::new(message.on(Terms { ttl, acked })))
            }
            Action::HandOver(part) => Operation::HandOver(Arc::new(part.read(&payload))),
            Action::Adopt { owner, incarnation, stamp, seconds } => {
                Operation::Adopt(Adoption { owner, incarnation, stamp, seconds })
            }
        }
    }

    /// The header that asks a peer for it, and the payload that travels beside it. `keeps`: whether the peer keeps messages,
    /// and knows what that means.
    pub(crate) fn sent(&self, keeps: bool) -> (Action, Bytes) {
        match self {
            Operation::Push(message) if keeps && message.terms() != Terms::default() => {
                let Terms { ttl, acked } = message.terms();
                let (id, idempotent, kind) = (message.id.clone(), message.idempotent, message.payload.kind);
                (Action::PushOn { id, idempotent, kind, ttl, acked }, message.payload.bytes.clone())
            }
            Operation::Push(message) => (self.action(), message.payload.bytes.clone()),
            Operation::HandOver(part) => {
                let (part, payload) = HandedPart::of(part);
                (Action::HandOver(part), payload)
            }
            _ => (self.action(), Bytes::new()),
        }
    }

    /// Whether only nodes that keep messages understand it.
    pub(super) fn needs_keeping(&self) -> bool {
        matches!(self, Operation::HandOver(_) | Operation::Adopt(_))
    }

    fn action(&self) -> Action {
        match self {
            Operation::Push(message) => Action::Push {
                id: message.id.clone(),
                idempotent: message.idempotent,
                kind: message.payload.kind,
            },
            Operation::Disconnect => Action::Disconnect,
            Operation::Yield { owner, stamp, rival } => {
                Action::Yield { owner: owner.clone(), stamp: *stamp, rival: *rival }
            }
            Operation::Describe => Action::Describe,
            Operation::Confirm { stamp } => Action::Confirm { stamp: *stamp },
            Operation::HandOver(part) => Action::HandOver(HandedPart::of(part).0),
            Operation::Adopt(Adoption { owner, incarnation, stamp, seconds }) => {
                let owner = owner.clone();
                Action::Adopt { owner, incarnation: *incarnation, stamp: *stamp, seconds: *seconds }
            }
        }
    }
}
