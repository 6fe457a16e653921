//! Why a connection ends, and what follows from that.

use crate::gateway::clients::transport::End;
use crate::metrics::label::{ClientError, Label as _};
use crate::session::CloseReason;

/// Why and how a connection ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// We close.
    Close(CloseReason),
    /// The client sent what its transport cannot read: close with this code and word.
    Fail(u16, ClientError),
    /// The client closed: it is answered.
    Answer {
        /// Whether it goes for good.
        bye: bool,
    },
    /// The client closed as it must not: it is answered, with this code. The word is for metrics.
    Refuse(u16, ClientError),
    /// The line is gone, or takes nothing any more.
    Broken,
}

impl From<End> for Ending {
    fn from(end: End) -> Self {
        match end {
            End::Closed { bye } => Ending::Answer { bye },
            End::ClosedBadly(code, what) => Ending::Refuse(code, what),
            End::Unreadable(code, what) => Ending::Fail(code, what),
            End::TooBig => Ending::Close(CloseReason::TooBig),
            End::Gone => Ending::Broken,
        }
    }
}

impl Ending {
    /// What the session's end is called.
    pub(super) fn reason(&self) -> CloseReason {
        match self {
            Ending::Close(reason) => reason.clone(),
            Ending::Fail(_, what) | Ending::Refuse(_, what) => CloseReason::Policy(what.as_str()),
            Ending::Answer { bye: true } => CloseReason::Bye,
            Ending::Answer { bye: false } | Ending::Broken => CloseReason::ClientGone,
        }
    }

    /// The word for metrics, if the client did what the protocol does not allow.
    pub(super) fn error_code(&self) -> Option<ClientError> {
        match self {
            Ending::Close(CloseReason::TooBig) => Some(ClientError::TooBig),
            Ending::Fail(_, what) | Ending::Refuse(_, what) => Some(*what),
            _ => None,
        }
    }
}
