//! An operation: what is done at a session, wherever it lives.

use std::sync::Arc;

use bytes::Bytes;

use crate::directory::Rival;
use crate::id::{NodeName, Stamp};
use crate::key::DeviceHash;
use crate::ownership::Question;
use crate::push::{Message, Payload};
use crate::router::frame::Action;

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
            Operation::Push(_) | Operation::Disconnect | Operation::Describe => None,
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
        }
    }

    /// The header that asks a peer for it.
    pub(crate) fn action(&self) -> Action {
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
        }
    }

    /// The payload that travels beside the header.
    pub(crate) fn payload(&self) -> Bytes {
        match self {
            Operation::Push(message) => message.payload.bytes.clone(),
            Operation::Disconnect
            | Operation::Yield { .. }
            | Operation::Describe
            | Operation::Confirm { .. } => Bytes::new(),
        }
    }
}
