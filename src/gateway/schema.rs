//! What the API answers: each answer is one type, which the gateway writes, the commands and the simulations read, and
//! `openapi.json` describes.
//!
//! A reader takes an answer that has more than it knows, in its fields ([`serde`] passes over them) and in its words
//! ([`Word::Other`]): nodes and their callers are not of one version while a cluster is upgraded. What the first version
//! has is always there; what a later one adds has a default.

use std::fmt;

use serde::{Deserialize, Serialize};

mod envelope;
mod error;
mod explanation;
mod members;
mod presence;
mod push;

pub use envelope::{ClientEnvelope, Envelope, Missing};
pub use error::{ErrorBody, ErrorCode, Refused};
pub use explanation::{CopiedSession, Copies, Copy, Explanation, Fence, Owner, Route, Row, Way};
pub use members::{Forgotten, NodeStatus, Nodes, Ready, ReadyPhase};
pub use presence::{
    DisconnectAnswer, Disconnected, DisconnectedSession, NodeSessions, Presence, Session, SessionPage, Stats,
    User, UserSession,
};
pub use push::{
    Accepted, AnyLine, BroadcastAnswer, BroadcastNode, LineAnswer, LineRefused, NodeOutcome, PushAnswer,
    PushOutcome, PushSession,
};

/// A word of a set that may grow.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Word<T> {
    /// One that this version knows.
    Known(T),
    /// One of a later version.
    Other(String),
}

impl<T> Word<T> {
    /// The word, if this version knows it.
    pub fn known(&self) -> Option<&T> {
        match self {
            Word::Known(word) => Some(word),
            Word::Other(_) => None,
        }
    }
}

impl<T> From<T> for Word<T> {
    fn from(word: T) -> Self {
        Word::Known(word)
    }
}

impl<T: PartialEq> PartialEq<T> for Word<T> {
    fn eq(&self, word: &T) -> bool {
        self.known() == Some(word)
    }
}

impl<T: Serialize> fmt::Display for Word<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Word::Known(word) => word.serialize(f), // Units are written as their names.
            Word::Other(word) => f.write_str(word),
        }
    }
}
