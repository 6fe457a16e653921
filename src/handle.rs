//! A running node, for whoever pushes from within the same program.

use std::sync::{Arc, Weak};

use crate::attributes::{Attributes, AttributesError, Change, MergePatch};
use crate::id::{DeviceId, LoginId, MessageId, NodeName, SessionKey, UserId};
use crate::push::{BroadcastReport, Knowledge, Payload, PushReport, Target, Terms};
use crate::router::Router;

/// A running node: pushes, disconnects, and says who is connected. [`Node::handle`](crate::Node::handle) gives it, and
/// every method of a [`Handler`](crate::Handler) gets it.
///
/// A clone is cheap and is of the same node. A handle keeps no node alive: once the node has stopped, every call fails
/// with its error for that.
#[derive(Clone)]
pub struct NodeHandle(Arc<Inner>);

struct Inner {
    name: NodeName,
    payload_bytes_max: usize,
    router: Weak<Router>,
}

/// A payload exceeds the node's limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a payload has at most {max} bytes (--max-payload-bytes), this one has {len}")]
pub struct PayloadTooLarge {
    /// Bytes of the payload.
    pub len: usize,
    /// The limit.
    pub max: usize,
}

/// The node has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this node has stopped: use another one")]
pub struct Stopped;

/// Why nothing was pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// The payload exceeds the node's limit.
    #[error(transparent)]
    TooLarge(#[from] PayloadTooLarge),
    /// The node has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Why a broadcast was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BroadcastError {
    /// The payload exceeds the node's limit.
    #[error(transparent)]
    TooLarge(#[from] PayloadTooLarge),
    /// The node has not joined its cluster yet, and would miss the sessions at nodes that it has not met.
    #[error(
        "this node is joining its cluster and may not know all nodes: wait until it is ready, or use another one"
    )]
    NotReady,
    /// The node has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// A node cannot tell what there is in its cluster, because it does not know its [`Knowledge::Whole`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotKnown {
    /// It has not joined yet.
    #[error(
        "this node is joining its cluster and does not know yet: wait until it is ready, or ask another one"
    )]
    NotReady,
    /// It reaches no other node.
    #[error("this node reaches no other node of the cluster, so it cannot know: ask another one")]
    Isolated,
    /// It has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl NodeHandle {
    /// The node that pushes by way of `router`.
    pub(crate) fn new(name: NodeName, payload_bytes_max: usize, router: Weak<Router>) -> Self {
        Self(Arc::new(Inner { name, payload_bytes_max, router }))
    }

    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &NodeName {
        &self.0.name
    }

    /// Pushes to one session or to all sessions of a user, wherever they are connected. With an
    /// `id` of the caller's, repeating the call does not deliver twice.
    ///
    /// A [`Handler`](crate::Handler) may push to the very session that it is called for, and wait for the report. In
    /// `on_connect` nothing is written before the method returns, so that the report says
    /// [`Buffered`](crate::Outcome::Buffered) after a second.
    ///
    /// # Errors
    /// See [`PushError`]; nothing was sent.
    pub async fn push(
        &self,
        target: Target,
        payload: Payload,
        id: Option<MessageId>,
    ) -> Result<PushReport, PushError> {
        self.push_on(target, payload, id, Terms::default()).await
    }

    /// Pushes as [`push`](Self::push) does, on [`Terms`]: how long the message may wait for a client that is away, and whether
    /// the report waits for copies at other nodes or for the client's acknowledgement, for up to
    /// [`BUFFERED_AFTER`](crate::limits::BUFFERED_AFTER). Both concern sessions that are kept for their clients; at others
    /// nothing waits, nothing is copied, and nobody acknowledges. Whether the message is held elsewhere, the report says with
    /// [`is_stored`](crate::Outcome::is_stored) of each outcome, and of all with
    /// [`is_not_stored`](crate::PushReport::is_not_stored).
    ///
    /// ```
    /// use pushmesh::{NodeHandle, Outcome, Payload, Target, Terms, UserId, Wait};
    ///
    /// async fn remind(node: &NodeHandle, user: UserId) -> Result<(), Box<dyn std::error::Error>> {
    ///     let terms = Terms { ttl: Some(60), wait: Wait::Acked };
    ///     let report = node.push_on(Target::User(user), Payload::text("the train leaves"), None, terms).await?;
    ///     match report.best() {
    ///         Outcome::Acked => println!("a device has it"),
    ///         Outcome::Queued => println!("a device gets it if it is back within a minute"),
    ///         Outcome::NoSession => println!("there is no device"),
    ///         other => println!("nobody has said that it has it: {}", other.as_str()),
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// See [`PushError`]; nothing was sent.
    pub async fn push_on(
        &self,
        target: Target,
        payload: Payload,
        id: Option<MessageId>,
        terms: Terms,
    ) -> Result<PushReport, PushError> {
        let (router, payload) = (self.router()?, self.bounded(payload)?);
        Ok(router.push(target, router.message(id, payload).on(terms)).await)
    }

    /// Pushes to every session of the cluster.
    ///
    /// # Errors
    /// See [`BroadcastError`]; nothing was sent.
    pub async fn broadcast(
        &self,
        payload: Payload,
        id: Option<MessageId>,
    ) -> Result<BroadcastReport, BroadcastError> {
        self.broadcast_on(payload, id, Terms::default()).await
    }

    /// Pushes to every session of the cluster on [`Terms`], as [`push_on`](Self::push_on) does.
    ///
    /// # Errors
    /// See [`BroadcastError`]; nothing was sent.
    pub async fn broadcast_on(
        &self,
        payload: Payload,
        id: Option<MessageId>,
        terms: Terms,
    ) -> Result<BroadcastReport, BroadcastError> {
        let (router, payload) = (self.router()?, self.bounded(payload)?);
        if router.knowledge() == Knowledge::Joining {
            return Err(BroadcastError::NotReady);
        }
        Ok(router.broadcast(router.message(id, payload).on(terms)).await)
    }

    /// Disconnects one session or all sessions of a user, with close code 4002.
    /// [`Delivered`](crate::Outcome::Delivered) means closed.
    ///
    /// # Errors
    /// [`Stopped`]; nobody was disconnected.
    pub async fn disconnect(&self, target: Target) -> Result<PushReport, Stopped> {
        Ok(self.router()?.disconnect(target, None).await)
    }

    /// Disconnects the sessions of one login of a user, the `sid` of their tokens, as [`disconnect`](Self::disconnect) does. The
    /// report has these sessions only, and those whose node did not answer.
    ///
    /// # Errors
    /// [`Stopped`]; nobody was disconnected.
    pub async fn disconnect_login(&self, user: &UserId, login: &LoginId) -> Result<PushReport, Stopped> {
        Ok(self.router()?.disconnect(Target::User(user.clone()), Some(login.clone())).await)
    }

    /// The devices that a user is connected with, and the node that holds each. The name of a device
    /// is `None` when its node, which alone knows it, did not answer within the push timeout. A node that
    /// does not know its whole cluster gives those that it knows, and may miss others.
    ///
    /// # Errors
    /// [`NotKnown`] where it knows of none, and that says nothing.
    pub async fn sessions_of(&self, user: &UserId) -> Result<Vec<(Option<DeviceId>, NodeName)>, NotKnown> {
        let router = self.router()?;
        // Before the look-up: what is known only after it was not looked at.
        let knowledge = router.knowledge();
        let found = router.devices(user).await;
        match knowledge {
            Knowledge::Joining if found.is_empty() => Err(NotKnown::NotReady),
            Knowledge::Isolated if found.is_empty() => Err(NotKnown::Isolated),
            _ => Ok(found),
        }
    }

    /// What is kept with a session, wherever that is connected or parked, and its login as `sid`. Of its own session a
    /// [`Handler`](crate::Handler) asks with the key of that, also in `on_connect`.
    ///
    /// # Errors
    /// [`AttributesError`].
    pub async fn attributes(&self, session: &SessionKey) -> Result<Attributes, AttributesError> {
        self.changed(session, Change::Read).await
    }

    /// Replaces the attributes of a session whole. Returns them as they are from then on. What `on_connect` sets is in the
    /// welcome of a `pushmesh.v1` client.
    ///
    /// # Errors
    /// [`AttributesError`].
    pub async fn replace_attributes(
        &self,
        session: &SessionKey,
        attributes: Attributes,
    ) -> Result<Attributes, AttributesError> {
        self.changed(session, Change::Replace(attributes)).await
    }

    /// Merges a patch into the attributes of a session. Returns them as they are from then on.
    ///
    /// # Errors
    /// [`AttributesError`].
    pub async fn merge_attributes(
        &self,
        session: &SessionKey,
        patch: MergePatch,
    ) -> Result<Attributes, AttributesError> {
        self.changed(session, Change::Merge(patch)).await
    }

    async fn changed(&self, session: &SessionKey, change: Change) -> Result<Attributes, AttributesError> {
        let router = self.router().map_err(|Stopped| AttributesError::Stopped)?;
        router.attributes(session, change).await
    }

    fn router(&self) -> Result<Arc<Router>, Stopped> {
        self.0.router.upgrade().ok_or(Stopped)
    }

    fn bounded(&self, payload: Payload) -> Result<Payload, PayloadTooLarge> {
        let (len, max) = (payload.bytes.len(), self.0.payload_bytes_max);
        if len > max { Err(PayloadTooLarge { len, max }) } else { Ok(payload) }
    }
}
