//! What owners are asked, and what they answer.

use crate::directory::Rival;
use crate::id::{NodeName, Stamp};
use crate::key::DeviceHash;
use crate::membership::member::MemberState;
use crate::push::Outcome;

/// What the owner of a session is asked. The user is that of the session for which it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// Let go of the session of this device.
    Yield {
        /// The device.
        device: DeviceHash,
        /// If the session is below this stamp.
        below: Stamp,
        /// For which session.
        rival: Rival,
    },
    /// Is the session there, and does it stay, that was claimed with this stamp?
    Confirm {
        /// Of which device.
        device: DeviceHash,
        /// With which stamp.
        stamp: Stamp,
    },
}

/// A question to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The number of the question among those of one machine; its answer repeats it.
    pub number: u64,
    /// Which node is asked.
    pub owner: NodeName,
    /// What.
    pub question: Question,
}

/// What a node answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The session has ended; or it is there, and stays.
    Yes,
    /// It stays; or it is not there.
    No,
    /// It is at another node, or at this one and does not end.
    Moved {
        /// Which one.
        owner: NodeName,
        /// With which stamp.
        stamp: Stamp,
    },
    /// None: the node cannot be reached, or did not answer in time.
    Silent,
}

impl Question {
    /// The word for it in logs.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Question::Yield { .. } => "yield",
            Question::Confirm { .. } => "confirm",
        }
    }

    /// The device whose session it is about.
    #[must_use]
    pub fn device(&self) -> DeviceHash {
        match self {
            Question::Yield { device, .. } | Question::Confirm { device, .. } => *device,
        }
    }
}

impl Answer {
    /// The word for it in logs.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Answer::Yes => "yes",
            Answer::No => "no",
            Answer::Moved { .. } => "moved",
            Answer::Silent => "silent",
        }
    }
}

/// Whether a node is asked at all, as it is listed. Nobody waits for a peer that may be gone: the stamp decides.
#[must_use]
pub fn is_asked(state: Option<MemberState>) -> bool {
    matches!(state, Some(MemberState::Alive | MemberState::Unreachable))
}

/// An answer travels as what became of the operation at the session.
impl From<Answer> for Outcome {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Yes => Outcome::Delivered,
            Answer::No => Outcome::NoSession,
            Answer::Moved { owner, stamp } => Outcome::Moved { owner, stamp },
            Answer::Silent => Outcome::Unreachable,
        }
    }
}

impl From<Outcome> for Answer {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Delivered => Answer::Yes,
            Outcome::NoSession => Answer::No,
            Outcome::Moved { owner, stamp } => Answer::Moved { owner, stamp },
            // It was not sent, or says nothing about the session.
            _ => Answer::Silent,
        }
    }
}
