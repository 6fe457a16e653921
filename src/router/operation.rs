//! An operation: what is done at a session, wherever it lives.

use std::sync::Arc;

use bytes::Bytes;

use crate::attributes::Change;
use crate::directory::Rival;
use crate::id::{Incarnation, LoginId, NodeName, Stamp};
use crate::key::DeviceHash;
use crate::mesh::Features;
use crate::ownership::Question;
use crate::push::{Message, Payload, Terms, TraceContext, Wait};
use crate::router::frame::Action;
use crate::router::handed::HandedPart;
use crate::session::{HandedAttributes, TailPart};

/// What is done at one or more sessions.
#[derive(Debug, Clone)]
pub(crate) enum Operation {
    /// Write a message to the sockets.
    Push(Arc<Message>),
    /// Close the connections, or those of one login.
    Disconnect(Option<LoginId>),
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
    /// Read or change the attributes of the session.
    Attributes(Arc<Change>),
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
    /// The login of its client.
    pub(crate) login: Option<LoginId>,
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
            | Operation::Disconnect(_)
            | Operation::Describe
            | Operation::Attributes(_)
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
            Action::Disconnect => Operation::Disconnect(None),
            Action::DisconnectLogin(login) => Operation::Disconnect(Some(login)),
            Action::Yield { owner, stamp, rival } => Operation::Yield { owner, stamp, rival },
            Action::Describe => Operation::Describe,
            Action::Confirm { stamp } => Operation::Confirm { stamp },
            Action::PushOn { id, idempotent, kind, ttl, acked } => {
                let message = Message::slice(id, idempotent, Payload { kind, bytes: payload });
                let wait = if acked { Wait::Acked } else { Wait::Receipt };
                Operation::Push(Arc::new(message.on(Terms { ttl, wait })))
            }
            Action::PushStored { id, idempotent, kind, ttl } => {
                let message = Message::slice(id, idempotent, Payload { kind, bytes: payload });
                Operation::Push(Arc::new(message.on(Terms { ttl, wait: Wait::Stored })))
            }
            Action::PushTraced { id, idempotent, kind, ttl, wait, trace } => {
                let message = Message::slice(id, idempotent, Payload { kind, bytes: payload });
                Operation::Push(Arc::new(message.on(Terms { ttl, wait }).traced(Some(trace))))
            }
            Action::HandOver(part) => Operation::HandOver(Arc::new(part.read(&payload))),
            Action::HandOverWith { part, changed, attributes } => {
                let mut part = part.read(&payload);
                part.attributes = Some(HandedAttributes { changed, attributes });
                Operation::HandOver(Arc::new(part))
            }
            Action::Adopt { owner, incarnation, stamp, seconds } => {
                Operation::Adopt(Adoption { owner, incarnation, stamp, seconds, login: None })
            }
            Action::AdoptLogin { owner, incarnation, stamp, seconds, login } => {
                Operation::Adopt(Adoption { owner, incarnation, stamp, seconds, login: Some(login) })
            }
            Action::Attributes(change) => Operation::Attributes(Arc::new(change)),
        }
    }

    /// The header that asks a peer with these features for it, and the payload that travels beside it. `None`: the peer does
    /// not know what that is. `trace`: the span to which what is done there belongs.
    pub(crate) fn sent(&self, features: Features, trace: Option<TraceContext>) -> Option<(Action, Bytes)> {
        let (action, payload) = match self {
            Operation::Push(message) => (pushing(message, features, trace), message.payload.bytes.clone()),
            Operation::HandOver(handed) => {
                let (part, payload) = HandedPart::of(handed);
                (handing(part, handed), payload)
            }
            _ => (self.action(), Bytes::new()),
        };
        Some((action.known_with(features)?, payload))
    }

    fn action(&self) -> Action {
        match self {
            Operation::Push(message) => pushing(message, Features::NONE, None),
            Operation::Disconnect(None) => Action::Disconnect,
            Operation::Disconnect(Some(login)) => Action::DisconnectLogin(login.clone()),
            Operation::Yield { owner, stamp, rival } => {
                Action::Yield { owner: owner.clone(), stamp: *stamp, rival: *rival }
            }
            Operation::Describe => Action::Describe,
            Operation::Confirm { stamp } => Action::Confirm { stamp: *stamp },
            Operation::HandOver(part) => handing(HandedPart::of(part).0, part),
            Operation::Adopt(adoption) => {
                let Adoption { owner, incarnation, stamp, seconds, login } = adoption.clone();
                match login {
                    None => Action::Adopt { owner, incarnation, stamp, seconds },
                    Some(login) => Action::AdoptLogin { owner, incarnation, stamp, seconds, login },
                }
            }
            Operation::Attributes(change) => Action::Attributes(Change::clone(change)),
        }
    }
}

/// The action that pushes a message on its terms.
fn pushing(message: &Message, features: Features, trace: Option<TraceContext>) -> Action {
    let (id, idempotent, kind) = (message.id.clone(), message.idempotent, message.payload.kind);
    match trace {
        Some(trace) => {
            let Terms { ttl, wait } = message.terms();
            Action::PushTraced { id, idempotent, kind, ttl, wait, trace }
        }
        None => Action::push((id, idempotent, kind), message.terms(), features),
    }
}

/// The action that hands over `part`, as the session has `handed` it.
fn handing(part: HandedPart, handed: &TailPart) -> Action {
    match handed.attributes.clone() {
        None => Action::HandOver(part),
        Some(HandedAttributes { changed, attributes }) => Action::HandOverWith { part, changed, attributes },
    }
}
