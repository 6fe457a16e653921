//! The headers of requests: what one node asks another to do at its sessions.
//!
//! The order of variants and fields is the wire format (docs/PROTOCOL.md): new ones go to the end, and a change that an
//! older node would misread needs a new protocol version. Golden frames guard it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::attributes::{Attributes, Change};
use crate::directory::Rival;
use crate::hash;
use crate::id::{Incarnation, LoginId, MessageId, NodeName, SessionKey, Stamp, UserId};
use crate::key::{DeviceHash, Key};
use crate::limits;
use crate::mesh::codec::{CodecError, bounded_list, encode};
use crate::mesh::{AnswerKind, Expected, Features, Link, Refused};
use crate::push::{PayloadKind, Terms, TraceContext, Wait};
use crate::receipt::Answer;
use crate::router::handed::HandedPart;
use crate::section::Packed;

/// Sends a request to the peer at the other end of `link`, or to `relay_to` by way of it. What it asks for happens in the
/// order of these calls for each user. The receiver fails when the link breaks before the answer.
///
/// # Errors
/// [`Refused`]: nothing was sent.
pub(crate) fn request(
    link: &Link,
    relay_to: Option<NodeName>,
    recipients: Recipients,
    action: Action,
    payload: Bytes,
) -> Result<oneshot::Receiver<Answer>, Refused> {
    let (lane, expected) = (recipients.lane(), recipients.expected(&action, relay_to.is_some()));
    let len = payload.len();
    let header = |seq| encode(&Request { seq, relay_to, recipients, action }, len);
    link.request(lane, expected, header, payload)
}

/// Something to do at sessions of the receiving node. The payload of a push follows the header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Request {
    /// Number of the request on its link and in its direction; the receipt repeats it.
    pub(crate) seq: u64,
    /// The node that is meant, when it is not the receiving one: pass it on, if there is a link. Only
    /// the first receiver does.
    pub(crate) relay_to: Option<NodeName>,
    /// At which sessions.
    pub(crate) recipients: Recipients,
    /// What.
    pub(crate) action: Action,
}

/// The sessions that a request is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Recipients {
    /// One session by its names; the receipt has its outcome.
    Session(SessionKey),
    /// These devices of one user; the receipt has the name and the outcome of each, in this order.
    Devices {
        /// The user.
        user: UserId,
        /// The devices.
        devices: Vec<DeviceHash>,
    },
    /// All sessions of the receiving node; the receipt has counts.
    All,
    /// These sessions; only for [`Action::Describe`].
    Keys(Packed<Key>),
}

impl Recipients {
    /// Checks that the receipt will fit a frame.
    ///
    /// # Errors
    /// [`CodecError::Oversize`].
    pub(crate) fn check(&self) -> Result<(), CodecError> {
        let (part, len, max) = match self {
            Recipients::Session(_) | Recipients::All => return Ok(()),
            Recipients::Devices { devices, .. } => {
                ("devices", devices.len(), limits::SESSIONS_PER_USER_CEILING)
            }
            Recipients::Keys(keys) => ("keys", keys.0.len(), limits::SESSIONS_PAGE_MAX + 1),
        };
        bounded_list(part, len, max)
    }

    /// What fits a request for them as its answer, by what it asks for.
    pub(crate) fn expected(&self, action: &Action, relayed: bool) -> Expected {
        let kind = match self {
            Recipients::Session(_) if matches!(action, Action::Attributes(_)) => AnswerKind::Attributes,
            Recipients::Session(_) => AnswerKind::Outcome,
            Recipients::Devices { devices, .. } => AnswerKind::Named(devices.len()),
            Recipients::All => AnswerKind::Tally,
            Recipients::Keys(keys) => AnswerKind::Sessions(keys.0.len()),
        };
        Expected { kind, relayed }
    }

    /// The lane of a request for them: all requests for one user share a lane, so that they arrive in order.
    fn lane(&self) -> usize {
        match self {
            Recipients::Session(SessionKey { user, .. }) | Recipients::Devices { user, .. } => {
                hash::bucket(user.as_str(), limits::LANES)
            }
            Recipients::All | Recipients::Keys(_) => 0,
        }
    }
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Action {
    /// Write the payload to the sockets.
    Push {
        /// Identity of the push.
        id: MessageId,
        /// Whether the caller chose the id, so that a repetition must not be delivered twice.
        idempotent: bool,
        /// How to frame the payload.
        kind: PayloadKind,
    },
    /// Close the connections, with 4002.
    Disconnect,
    /// Let go of the sessions, with 4001: they were claimed elsewhere.
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
    /// Say whether the session is there that was claimed with this very stamp, and is not closing.
    Confirm {
        /// Its stamp.
        stamp: Stamp,
    },
    /// Write the payload to the sockets, on these terms. Only to nodes that keep messages, as are the next two.
    PushOn {
        /// Identity of the push.
        id: MessageId,
        /// Whether the caller chose the id, so that a repetition must not be delivered twice.
        idempotent: bool,
        /// How to frame the payload.
        kind: PayloadKind,
        /// How long it may wait for a client that is away, in seconds.
        ttl: Option<u32>,
        /// Whether the publisher waits until the client has acknowledged it.
        acked: bool,
    },
    /// Take what an earlier owner owes the client. The payloads of the messages follow the header, one after the other.
    HandOver(HandedPart),
    /// Keep the session for its client, which is away: the owner stops.
    Adopt {
        /// Who owns it.
        owner: NodeName,
        /// The boot of that node.
        incarnation: Incarnation,
        /// With which stamp.
        stamp: Stamp,
        /// How long the client may be away from now on, in seconds.
        seconds: u32,
    },
    /// Read or change the attributes of the session. Only to nodes that know attributes, as are the next three.
    Attributes(Change),
    /// Close the connections of this login, with 4002.
    DisconnectLogin(LoginId),
    /// As `HandOver`, with the attributes that the application keeps with the session.
    HandOverWith {
        /// What the client is owed.
        part: HandedPart,
        /// The stamp of the session in which the attributes were changed last.
        changed: Stamp,
        /// The attributes, without a login.
        attributes: Attributes,
    },
    /// As `Adopt`, of a session of this login.
    AdoptLogin {
        /// Who owns it.
        owner: NodeName,
        /// The boot of that node.
        incarnation: Incarnation,
        /// With which stamp.
        stamp: Stamp,
        /// How long the client may be away from now on, in seconds.
        seconds: u32,
        /// The login.
        login: LoginId,
    },
    /// As `PushOn`, for a publisher that waits until other nodes hold the message. Only to nodes that know copies, also over
    /// a relay. [`Outcome::Copied`](crate::push::Outcome::Copied) answers nothing else, so that no other node is told it.
    PushStored {
        /// Identity of the push.
        id: MessageId,
        /// Whether the caller chose the id, so that a repetition must not be delivered twice.
        idempotent: bool,
        /// How to frame the payload.
        kind: PayloadKind,
        /// How long it may wait for a client that is away, in seconds.
        ttl: Option<u32>,
    },
    /// As `Push`, `PushOn` or `PushStored`, of a trace. Only to nodes that know traces, keep messages and know copies.
    PushTraced {
        /// Identity of the push.
        id: MessageId,
        /// Whether the caller chose the id, so that a repetition must not be delivered twice.
        idempotent: bool,
        /// How to frame the payload.
        kind: PayloadKind,
        /// How long it may wait for a client that is away, in seconds.
        ttl: Option<u32>,
        /// What the publisher waits for.
        wait: Wait,
        /// The span of the hop.
        trace: TraceContext,
    },
}

impl Action {
    /// Pushes a message on these terms to a node with these features.
    pub(crate) fn push(
        (id, idempotent, kind): (MessageId, bool, PayloadKind),
        terms: Terms,
        features: Features,
    ) -> Self {
        let Terms { ttl, wait } = terms;
        if terms == Terms::default() || !features.has(Features::KEEP) {
            return Action::Push { id, idempotent, kind };
        }
        match wait {
            Wait::Receipt => Action::PushOn { id, idempotent, kind, ttl, acked: false },
            Wait::Acked => Action::PushOn { id, idempotent, kind, ttl, acked: true },
            Wait::Stored => Action::PushStored { id, idempotent, kind, ttl },
        }
    }

    /// The same for a node that has these features, if there is that: without what the node does not know, where that is the
    /// lesser part.
    pub(crate) fn known_with(self, features: Features) -> Option<Self> {
        let needs = self.needs();
        let action = match self {
            Action::PushTraced { id, idempotent, kind, ttl, wait, .. } if !features.has(needs) => {
                return Action::push((id, idempotent, kind), Terms { ttl, wait }, features)
                    .known_with(features);
            }
            Action::HandOverWith { part, .. } if !features.has(Features::ATTRIBUTES) => {
                Action::HandOver(part)
            }
            Action::AdoptLogin { owner, incarnation, stamp, seconds, .. }
                if !features.has(Features::ATTRIBUTES) =>
            {
                Action::Adopt { owner, incarnation, stamp, seconds }
            }
            Action::PushStored { id, idempotent, kind, ttl } if !features.has(Features::COPIES) => {
                Action::PushOn { id, idempotent, kind, ttl, acked: false }
            }
            action => action,
        };
        features.has(action.needs()).then_some(action)
    }

    /// The features of the nodes that understand it.
    fn needs(&self) -> Features {
        match self {
            Action::Push { .. }
            | Action::Disconnect
            | Action::Yield { .. }
            | Action::Describe
            | Action::Confirm { .. } => Features::NONE,
            Action::PushOn { .. } | Action::HandOver(_) | Action::Adopt { .. } => Features::KEEP,
            Action::Attributes(_) | Action::DisconnectLogin(_) => Features::ATTRIBUTES,
            Action::HandOverWith { .. } | Action::AdoptLogin { .. } => {
                Features::KEEP.and(Features::ATTRIBUTES)
            }
            Action::PushStored { .. } => Features::KEEP.and(Features::COPIES),
            Action::PushTraced { .. } => Features::KEEP.and(Features::COPIES).and(Features::TRACES),
        }
    }

    /// What is handed over, if anything is.
    fn part(&self) -> Option<&HandedPart> {
        match self {
            Action::HandOver(part) | Action::HandOverWith { part, .. } => Some(part),
            _ => None,
        }
    }

    /// Checks that as many bytes follow the header as it says, and that it says no more than any node does, and nothing that none does.
    ///
    /// # Errors
    /// [`CodecError::Oversize`] and [`CodecError::Header`].
    pub(crate) fn check(&self, payload_bytes: usize) -> Result<(), CodecError> {
        if let Action::PushTraced { trace, .. } = self
            && !trace.is_valid()
        {
            return Err(CodecError::Header("a trace has an id of zero".to_owned()));
        }
        let Some(part) = self.part() else { return Ok(()) };
        bounded_list("segments", part.segments(), limits::HAND_OVER_MESSAGES_MAX)?;
        bounded_list("inherited segments", part.inherited(), limits::SEGMENTS_INHERITED_MAX)?;
        bounded_list("messages", part.len(), limits::HAND_OVER_MESSAGES_MAX)?;
        bounded_list("ids", part.ids(), limits::IDEMPOTENCY_WINDOW)?;
        if part.last() > limits::NUMBER_MAX {
            return Err(CodecError::Header(format!("a message has the number {}", part.last())));
        }
        bounded_list("payloads", part.payload_bytes(), payload_bytes)?;
        bounded_list("bytes of payloads", payload_bytes, part.payload_bytes())
    }
}

#[cfg(test)]
mod tests;
