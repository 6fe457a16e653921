//! Why a user is where a node says it is.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Word;
use crate::id::{DeviceId, NodeName, UserId};

/// Every row that a node holds of a user, and the way that a push would take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Explanation {
    /// Which user.
    pub user: UserId,
    /// The user as the directory keeps it: 32 hexadecimal digits.
    pub hash: String,
    /// The takeover policy.
    pub takeover: String,
    /// The node that answers.
    #[serde(rename = "self")]
    pub own: NodeName,
    /// Milliseconds since the Unix epoch: when the member that was heard least recently was heard, of those that are not
    /// dead.
    pub as_of_ms: u64,
    /// Whether this node reaches no other one.
    pub isolated: bool,
    /// Whether this node has not joined its cluster yet.
    pub joining: bool,
    /// Every row, also those that count for nothing.
    pub rows: Vec<Row>,
    /// What a push to the user would do now, for each device.
    pub route: Vec<Route>,
    /// Which nodes hold copies of what the sessions of the user owe their clients, for each owner whose row is here or of whose
    /// sessions this node holds something.
    #[serde(default)]
    #[cfg_attr(test, schema(required))]
    pub copies: Vec<Copies>,
    /// The nodes that did not answer: members that are suspect or dead, owners that did not answer in time, and while this
    /// node joins, those whose sessions it has yet to copy.
    pub silent: BTreeSet<String>,
}

/// One row of the directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Row {
    /// Null when the owner, which alone knows the name, did not answer or has no such session.
    #[cfg_attr(test, schema(required))]
    pub device: Option<DeviceId>,
    /// The device as the directory keeps it: 16 hexadecimal digits.
    pub device_hash: String,
    /// The owner.
    pub node: NodeName,
    /// The boot of the owner.
    pub incarnation: u64,
    /// What decides between claims of one device. Text, because it has 64 bits.
    pub stamp: String,
    /// Milliseconds since the Unix epoch: when the session was claimed.
    pub since_ms: u64,
    /// The state of the claim.
    pub state: String,
    /// Whether look-ups see the row.
    pub visible: bool,
    /// Whether pushes follow it.
    pub wins: bool,
    /// Why it wins, or why not.
    pub why: String,
    /// The section that the row is a part of, as it stands here.
    pub section: Copy,
    /// Null when this node knows no such member.
    #[cfg_attr(test, schema(required))]
    pub member: Option<Owner>,
}

/// The group that the sessions of a user are in at one owner, and what this node holds of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Copies {
    /// The owner.
    pub node: NodeName,
    /// Its boot.
    pub incarnation: u64,
    /// Which of its 16 groups.
    pub group: u8,
    /// Grows with each change of the members.
    pub epoch: u32,
    /// The nodes that hold copies.
    pub members: Vec<NodeName>,
    /// What this node holds or knows, as the owner or as a member.
    pub sessions: Vec<CopiedSession>,
}

/// What is held of one session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct CopiedSession {
    /// The device as the directory keeps it: 16 hexadecimal digits.
    pub device_hash: String,
    /// How many messages, and attributes.
    pub messages: u64,
    /// The position of the last one. Null when there is none.
    #[cfg_attr(test, schema(required))]
    pub last: Option<String>,
    /// The claim below which nothing is taken for the session. Null when there is none.
    #[cfg_attr(test, schema(required))]
    pub fence: Option<Fence>,
}

/// A claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Fence {
    /// Its stamp. Text, because it has 64 bits.
    pub stamp: String,
    /// The node that made it.
    pub node: NodeName,
}

/// Where the copy of a section stands here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Copy {
    /// The last change that it has. Null when there is no copy.
    #[cfg_attr(test, schema(required))]
    pub version: Option<u64>,
    /// Its digest: 16 hexadecimal digits. Null when there is no copy.
    #[cfg_attr(test, schema(required))]
    pub hash: Option<String>,
    /// How many sessions it has.
    pub sessions: u64,
}

/// How this node sees the owner of a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Owner {
    /// Its state as a member.
    pub state: String,
    /// Milliseconds since the Unix epoch: since when.
    pub since_ms: u64,
    /// Milliseconds since the Unix epoch: when it was heard last.
    pub heard_ms: u64,
}

/// What a push would do for one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Route {
    /// Null when the owner, which alone knows the name, did not answer or has no such session.
    #[cfg_attr(test, schema(required))]
    pub device: Option<DeviceId>,
    /// The device as the directory keeps it: 16 hexadecimal digits.
    pub device_hash: String,
    /// The owner.
    pub node: NodeName,
    /// The way to it.
    #[cfg_attr(test, schema(value_type = Way))]
    pub way: Word<Way>,
    /// The nodes that would be asked to pass it on, in their order.
    pub relays: Vec<NodeName>,
    /// Why it would go that way.
    pub why: String,
}

/// The way to an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// This node holds the connection.
    Here,
    /// Over the link to it.
    Direct,
    /// Over another node.
    Relay,
    /// There is none.
    Nowhere,
}
