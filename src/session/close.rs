//! Why a session ends: the close codes that clients see, and what becomes of what is still queued.

use crate::id::{NodeName, Stamp};
use crate::metrics::label::{Closed, Label as _};
use crate::push::Outcome;

/// Why a session ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CloseReason {
    /// The client closed, or its connection broke.
    ClientGone,
    /// The session passed no message for the idle timeout.
    Idle,
    /// The client sent what the protocol does not allow.
    Policy(&'static str),
    /// The client did not answer pings.
    HeartbeatTimeout,
    /// A message of the client exceeds the limit.
    TooBig,
    /// The node is stopping.
    Restarting {
        /// How long the client is to wait before it reconnects, in milliseconds.
        retry_ms: u64,
    },
    /// The node has as many connections as it may have.
    TryLater {
        /// How long the client is to wait before it reconnects, in milliseconds.
        retry_ms: u64,
    },
    /// The same user and device connected elsewhere.
    Superseded {
        /// The node that owns the session now.
        owner: NodeName,
        /// With which stamp.
        stamp: Stamp,
    },
    /// By the policy of takeover another session of the same user excludes it.
    Excluded,
    /// A backend disconnected the session.
    Kicked,
    /// The client's token is past its expiry.
    TokenExpired {
        /// How long the client is to wait before it reconnects, in milliseconds.
        retry_ms: u64,
    },
    /// The client does not read as fast as it is written to.
    SlowConsumer,
    /// What the application does with the session panicked.
    Failed,
    /// The application does not let the client in.
    Refused(&'static str),
    /// The client said that it goes for good.
    Bye,
    /// The client was away for longer than its session is kept.
    Expired,
}

impl CloseReason {
    /// The documented close code, which clients get unless their dialect has another; see docs/PROTOCOL.md.
    pub(crate) fn code(&self) -> u16 {
        match self {
            CloseReason::ClientGone | CloseReason::Idle | CloseReason::Bye | CloseReason::Expired => 1000,
            CloseReason::Policy(_) | CloseReason::Refused(_) | CloseReason::HeartbeatTimeout => 1008,
            CloseReason::TooBig => 1009,
            CloseReason::Failed => 1011,
            CloseReason::Restarting { .. } => 1012,
            CloseReason::TryLater { .. } => 1013,
            CloseReason::Superseded { .. } | CloseReason::Excluded => 4001,
            CloseReason::Kicked => 4002,
            CloseReason::TokenExpired { .. } => 4003,
            CloseReason::SlowConsumer => 4004,
        }
    }

    /// The text that goes with the code; at most 123 bytes, by RFC 6455.
    pub(crate) fn text(&self) -> String {
        match self {
            CloseReason::ClientGone | CloseReason::Bye | CloseReason::Expired => "bye".into(),
            CloseReason::Idle => "idle timeout".into(),
            CloseReason::Policy(what) | CloseReason::Refused(what) => (*what).into(),
            CloseReason::HeartbeatTimeout => "heartbeat timeout".into(),
            CloseReason::TooBig => "message too big".into(),
            CloseReason::Restarting { retry_ms }
            | CloseReason::TryLater { retry_ms }
            | CloseReason::TokenExpired { retry_ms } => format!("{{\"retry_ms\":{retry_ms}}}"),
            CloseReason::Superseded { .. } | CloseReason::Excluded => "superseded".into(),
            CloseReason::Kicked => "kicked".into(),
            CloseReason::SlowConsumer => "slow consumer".into(),
            CloseReason::Failed => "internal error".into(),
        }
    }

    /// A word for logs.
    pub(crate) fn as_str(&self) -> &'static str {
        self.label().as_str()
    }

    /// As logs and metrics call it.
    pub(crate) fn label(&self) -> Closed {
        match self {
            CloseReason::ClientGone | CloseReason::Bye => Closed::ClientGone,
            CloseReason::Idle => Closed::Idle,
            CloseReason::Policy(_) | CloseReason::Refused(_) => Closed::Policy,
            CloseReason::HeartbeatTimeout => Closed::HeartbeatTimeout,
            CloseReason::TooBig => Closed::TooBig,
            CloseReason::Restarting { .. } => Closed::Restarting,
            CloseReason::TryLater { .. } => Closed::TryLater,
            CloseReason::Superseded { .. } => Closed::Superseded,
            CloseReason::Excluded => Closed::Excluded,
            CloseReason::Kicked => Closed::Kicked,
            CloseReason::TokenExpired { .. } => Closed::TokenExpired,
            CloseReason::SlowConsumer => Closed::SlowConsumer,
            CloseReason::Failed => Closed::Failed,
            CloseReason::Expired => Closed::Expired,
        }
    }

    /// Whether what is queued is still written before the close.
    pub(crate) fn flushes(&self) -> bool {
        matches!(
            self,
            CloseReason::Idle
                | CloseReason::Restarting { .. }
                | CloseReason::Kicked
                | CloseReason::TokenExpired { .. }
        )
    }

    /// Whether a session that is kept goes on without this connection. The others end the session.
    pub(crate) fn parks(&self) -> bool {
        match self {
            CloseReason::ClientGone
            | CloseReason::HeartbeatTimeout
            | CloseReason::Policy(_)
            | CloseReason::TooBig
            | CloseReason::Restarting { .. }
            | CloseReason::TryLater { .. }
            | CloseReason::TokenExpired { .. }
            | CloseReason::SlowConsumer
            | CloseReason::Failed => true,
            CloseReason::Idle
            | CloseReason::Superseded { .. }
            | CloseReason::Excluded
            | CloseReason::Kicked
            | CloseReason::Refused(_)
            | CloseReason::Bye
            | CloseReason::Expired => false,
        }
    }

    /// Whether the session goes on elsewhere.
    pub(crate) fn moves(&self) -> bool {
        matches!(self, CloseReason::Superseded { .. })
    }

    /// What a push learns that meets the session after this.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            CloseReason::Superseded { owner, stamp } => {
                Outcome::Moved { owner: owner.clone(), stamp: *stamp }
            }
            CloseReason::SlowConsumer => Outcome::Overloaded,
            _ => Outcome::NoSession,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_fits_a_close_frame() {
        let owner = NodeName::new("n".repeat(crate::limits::NODE_NAME_BYTES_MAX)).unwrap();
        let reasons = [
            CloseReason::Restarting { retry_ms: u64::MAX },
            CloseReason::Superseded { owner, stamp: Stamp::default() },
            CloseReason::Policy("x"),
        ];
        assert!(reasons.iter().all(|reason| reason.text().len() <= 123));
    }
}
