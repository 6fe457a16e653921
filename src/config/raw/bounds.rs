//! Ranges of limits and timers, and the relations between them.
//!
//! The relations are those that `limits.rs` asserts of the defaults, said in words to an operator.

use std::time::Duration;

use super::{ConfigError, RawConfig, duration};
use crate::config::{LimitsConfig, Takeover, TimersConfig};
use crate::limits;

impl RawConfig {
    /// The bounds that the operator may choose.
    pub(super) fn limits(&self) -> Result<LimitsConfig, ConfigError> {
        let standard = LimitsConfig::default();
        let count = |flag, value: Option<usize>, standard| in_range(flag, value, standard, usize::MAX);
        let bytes = |flag, value: Option<usize>, standard| {
            in_range(flag, value, standard, limits::PAYLOAD_BYTES_CEILING)
        };
        let limits = LimitsConfig {
            max_connections: count("max-connections", self.max_connections, standard.max_connections)?,
            max_sessions_per_user: in_range(
                "max-sessions-per-user",
                self.max_sessions_per_user,
                standard.max_sessions_per_user,
                limits::SESSIONS_PER_USER_CEILING,
            )?,
            max_payload_bytes: bytes(
                "max-payload-bytes",
                self.max_payload_bytes,
                standard.max_payload_bytes,
            )?,
            max_client_message_bytes: bytes(
                "max-client-message-bytes",
                self.max_client_message_bytes,
                standard.max_client_message_bytes,
            )?,
            outbox_messages: count("outbox-messages", self.outbox_messages, standard.outbox_messages)?,
            outbox_bytes: count("outbox-bytes", self.outbox_bytes, standard.outbox_bytes)?,
        };
        if limits.outbox_bytes < limits.max_payload_bytes {
            let problem = format!(
                "{} is less than --max-payload-bytes {}, so that the largest payload could never be sent: \
                 raise it to at least that",
                limits.outbox_bytes, limits.max_payload_bytes
            );
            return Err(ConfigError::Value { flag: "outbox-bytes", problem });
        }
        Ok(limits)
    }

    /// Which sessions of a user exclude each other.
    pub(super) fn takeover_within(&self, limits: &LimitsConfig) -> Result<Takeover, ConfigError> {
        let takeover = self.takeover.unwrap_or_default();
        // Also what the parser has checked: who embeds a node fills the field in without it.
        let problem = match takeover {
            Takeover::MaxPerUser(0) => "max-per-user=0 would allow nothing: give at least 1".to_owned(),
            Takeover::MaxPerUser(sessions) if sessions > limits.max_sessions_per_user => format!(
                "max-per-user={sessions} is more than --max-sessions-per-user {}, which no user may have: \
                 raise that to at least {sessions}, or lower this",
                limits.max_sessions_per_user
            ),
            _ => return Ok(takeover),
        };
        Err(ConfigError::Value { flag: "takeover", problem })
    }

    /// The timers that the operator may choose.
    pub(super) fn timers(&self) -> Result<TimersConfig, ConfigError> {
        let standard = TimersConfig::default();
        let timers = TimersConfig {
            heartbeat_interval: self.heartbeat_interval.unwrap_or(standard.heartbeat_interval),
            heartbeat_timeout: self.heartbeat_timeout.unwrap_or(standard.heartbeat_timeout),
            idle_timeout: self.idle_timeout.filter(|timeout| !timeout.is_zero()),
            push_timeout: self.push_timeout.unwrap_or(standard.push_timeout),
            drain_timeout: self.drain_timeout.unwrap_or(standard.drain_timeout),
        };
        let wrong = |flag, problem: String| Err(ConfigError::Value { flag, problem });
        let show = duration::show;
        if timers.heartbeat_interval.is_zero() {
            return wrong("heartbeat-interval", "0 would ping without pause: give at least 1ms".to_owned());
        }
        let two_pings = timers.heartbeat_interval * 2;
        if timers.heartbeat_timeout <= two_pings {
            let problem = format!(
                "{} must exceed twice --heartbeat-interval ({}), so that one lost ping ends no session",
                show(timers.heartbeat_timeout),
                show(timers.heartbeat_interval)
            );
            return wrong("heartbeat-timeout", problem);
        }
        if timers.push_timeout <= limits::BUFFERED_AFTER {
            let problem = format!(
                "{} must exceed {}, after which an owner answers that a message is buffered",
                show(timers.push_timeout),
                show(limits::BUFFERED_AFTER)
            );
            return wrong("push-timeout", problem);
        }
        if timers.drain_timeout < DRAIN_TIMEOUT_MIN {
            let problem = format!(
                "{} leaves no time to spread the clients: give at least {}",
                show(timers.drain_timeout),
                show(DRAIN_TIMEOUT_MIN)
            );
            return wrong("drain-timeout", problem);
        }
        Ok(timers)
    }
}

fn in_range(
    flag: &'static str,
    value: Option<usize>,
    standard: usize,
    max: usize,
) -> Result<usize, ConfigError> {
    match value.unwrap_or(standard) {
        0 => Err(ConfigError::Value { flag, problem: "0 would allow nothing: give at least 1".to_owned() }),
        value if value > max => {
            Err(ConfigError::Value { flag, problem: format!("{value} is above the largest value, {max}") })
        }
        value => Ok(value),
    }
}

/// The shortest `--drain-timeout`. Guess: closing handshakes need some round trips.
const DRAIN_TIMEOUT_MIN: Duration = Duration::from_secs(1);
