//! Who is connected, where, and what became of those who were to be disconnected.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Word;
use crate::attributes::Attributes;
use crate::id::{DeviceId, NodeName, UserId};
use crate::push::{Outcome, PushReport};

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct User<T = UserSession> {
    /// Which.
    pub user: UserId,
    /// Whether there is any session with a connection, a suspect one included; a parked one has none.
    pub online: bool,
    /// The best of the sessions' states.
    #[cfg_attr(test, schema(value_type = Presence))]
    pub state: Word<Presence>,
    /// Milliseconds since the Unix epoch: when the member that was heard least recently was heard, of those that are not
    /// dead.
    pub as_of_ms: u64,
    /// Its sessions.
    pub sessions: Vec<T>,
    /// The nodes that did not answer: members that are suspect or dead, owners that did not answer in time, and while this
    /// node joins, those whose sessions it has yet to copy.
    pub silent: BTreeSet<String>,
}

/// What is known of a user, or of one of its sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// A node that is there holds a connection.
    Online,
    /// The node that held a connection was not heard lately.
    Suspect,
    /// No node holds a connection, and one keeps the session for its client.
    Parked,
    /// No node holds a connection.
    Offline,
}

/// A session of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct UserSession {
    /// Null when the owner did not answer.
    #[cfg_attr(test, schema(required))]
    pub device: Option<DeviceId>,
    /// The node that holds the connection.
    pub node: NodeName,
    /// The boot of that node.
    pub incarnation: u64,
    /// Milliseconds since the Unix epoch: when the session was claimed.
    pub since_ms: u64,
    /// Whether the node is there, and the client.
    #[cfg_attr(test, schema(value_type = Presence))]
    pub state: Word<Presence>,
    /// Milliseconds since the Unix epoch: when the node was heard last.
    pub as_of_ms: u64,
    /// With `?attributes=true`: what the application keeps with the session, and its login as `sid`. Absent when the owner
    /// did not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schema(value_type = Option<Object>))]
    pub attributes: Option<Attributes>,
}

/// A page of all sessions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct SessionPage<T = Session> {
    /// In the order of their hashes: arbitrary, and the same on every node.
    pub sessions: Vec<T>,
    /// Continues the list; null on the last page.
    #[cfg_attr(test, schema(required))]
    pub cursor: Option<String>,
    /// The nodes that could not be asked: members that are suspect or dead, and owners that did not answer.
    pub silent: BTreeSet<String>,
}

/// A session of anybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Session {
    /// Null, as is the device, when the owner did not answer.
    #[cfg_attr(test, schema(required))]
    pub user: Option<UserId>,
    /// Null, as is the user, when the owner did not answer.
    #[cfg_attr(test, schema(required))]
    pub device: Option<DeviceId>,
    /// The node that holds the connection.
    pub node: NodeName,
    /// Milliseconds since the Unix epoch: when the session was claimed.
    pub since_ms: u64,
    /// Whether its client is away, and the session kept for it.
    #[serde(default)]
    pub parked: bool,
}

/// Counts over the whole cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Stats {
    /// All sessions.
    pub sessions: u64,
    /// Those of them whose client is away, and that are kept for it.
    #[serde(default)]
    pub parked: u64,
    /// All users with a session.
    pub users: u64,
    /// The members that are not dead, also those without sessions.
    pub nodes: Vec<NodeSessions>,
    /// Milliseconds since the Unix epoch: when the member that was heard least recently was heard, of those that are not
    /// dead.
    pub as_of_ms: u64,
    /// The nodes that could not be asked: members that are suspect or dead.
    pub silent: BTreeSet<String>,
    /// The node that answers.
    #[serde(rename = "self")]
    pub own: NodeName,
}

/// How many sessions a node holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct NodeSessions {
    /// Which node.
    pub node: NodeName,
    /// How many sessions.
    pub sessions: u64,
}

/// What became of the sessions that were to be disconnected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct DisconnectAnswer {
    /// Sessions that were closed.
    pub disconnected: u64,
    /// What became of each.
    pub sessions: Vec<DisconnectedSession>,
}

/// What became of one session that was to be disconnected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct DisconnectedSession {
    /// Null when the owner, which alone knows the name, did not answer or has no such session.
    #[cfg_attr(test, schema(required))]
    pub device: Option<DeviceId>,
    /// The node that answered, or should have; null with `no_session`.
    #[cfg_attr(test, schema(required))]
    pub node: Option<NodeName>,
    /// What became of it.
    #[cfg_attr(test, schema(value_type = Disconnected))]
    pub outcome: Word<Disconnected>,
}

/// What can become of a session that is to be disconnected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Disconnected {
    /// It was closed with 4002.
    Disconnected,
    /// There is none.
    NoSession,
    /// A queue is full: nothing was done.
    Overloaded,
    /// The link broke: it may or may not be closed.
    Interrupted,
    /// The owner did not answer in time: it may or may not be closed.
    Unreachable,
}

impl From<&Outcome> for Disconnected {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Delivered | Outcome::Acked => Disconnected::Disconnected,
            Outcome::Overloaded => Disconnected::Overloaded,
            Outcome::Interrupted => Disconnected::Interrupted,
            Outcome::Unreachable => Disconnected::Unreachable,
            // Nothing is written, so that nothing waits and no id is looked at.
            Outcome::NoSession
            | Outcome::Moved { .. }
            | Outcome::Buffered
            | Outcome::IdReused
            | Outcome::Queued
            | Outcome::Copied { .. }
            | Outcome::Unknown
            | Outcome::NotReady => Disconnected::NoSession,
        }
    }
}

impl From<&PushReport> for DisconnectAnswer {
    fn from(report: &PushReport) -> Self {
        let sessions = report.sessions.iter().map(|session| DisconnectedSession {
            device: session.device.clone(),
            node: session.node.clone(),
            outcome: Disconnected::from(&session.outcome).into(),
        });
        Self { disconnected: report.delivered() as u64, sessions: sessions.collect() }
    }
}
