//! Clients of pushmesh that speak `pushmesh.v1`, and acknowledge as the client library does if their sessions are kept.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

/// What a client of pushmesh asks for, and whoever pushes to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Payloads as they are.
    Plain,
    /// Envelopes.
    Envelopes,
    /// Envelopes, and that its session is kept.
    Kept,
    /// The same, and whoever pushes waits until another node has the message.
    Stored,
}

/// An envelope, as far as the bench reads it.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum Envelope {
    /// The client is connected.
    Welcome {
        /// With what it comes back.
        resume: String,
        /// The segment that begins, if the session is kept.
        segment: Option<String>,
        /// The number before its first message.
        n: Option<u64>,
        /// What is known of what was missed.
        resumed: Option<String>,
    },
    /// More is known of that.
    Resumed {
        /// What.
        resumed: String,
    },
    /// A message.
    Message {
        /// Its id.
        id: String,
        /// Its number, if the session is kept.
        n: Option<u64>,
        /// Its segment, if that is not the welcome's.
        segment: Option<String>,
        /// The payload.
        data: String,
    },
    /// Numbers that will never come.
    Gap {
        /// Of which segment.
        segment: String,
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// All of an earlier segment is here.
    Closed {
        /// Which one.
        segment: String,
    },
    /// Anything else.
    #[serde(other)]
    Other,
}

/// What a client has to acknowledge.
#[derive(Debug, Default)]
pub(crate) struct Acks {
    up_to: u64,
    waiting: u32,
    /// When it does at the latest.
    pub(crate) due: Option<Instant>,
}

impl Dialect {
    /// What is added to the address.
    pub(crate) fn query(self) -> &'static str {
        match self {
            Self::Plain | Self::Envelopes => "",
            Self::Kept | Self::Stored => "&keep=60",
        }
    }

    /// What is added to the address of a push.
    pub(crate) fn push_query(self) -> &'static str {
        if self == Self::Stored { "?wait=stored" } else { "" }
    }

    /// The subprotocol.
    pub(crate) fn subprotocol(self) -> Option<&'static str> {
        (self != Self::Plain).then_some("pushmesh.v1")
    }
}

impl Acks {
    /// A message with that number is there.
    pub(crate) fn came(&mut self, n: u64) {
        self.up_to = n;
        self.waiting += 1;
        let after = if self.waiting < TOGETHER_MAX { AFTER } else { Duration::ZERO };
        let due = Instant::now() + after;
        self.due = Some(self.due.map_or(due, |before| before.min(due)));
    }

    /// The acknowledgement of all of them.
    pub(crate) fn take(&mut self) -> Message {
        (self.waiting, self.due) = (0, None);
        Message::text(format!("{{\"type\":\"ack\",\"n\":{}}}", self.up_to))
    }
}

/// Messages that are acknowledged together at most, and how long one waits. Source: docs/PROTOCOL.md, section 3.6.
const TOGETHER_MAX: u32 = 16;
const AFTER: Duration = Duration::from_millis(10);
