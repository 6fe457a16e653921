//! Limits, timers and the takeover policy: what was said, over the defaults.
//!
//! Whether they are good is decided in [`check`](crate::config::Config::check), once all of them are known.

use super::RawConfig;
use crate::config::{LimitsConfig, TimersConfig};

impl RawConfig {
    /// The bounds that the operator may choose.
    pub(super) fn limits(&self) -> LimitsConfig {
        let standard = LimitsConfig::default();
        LimitsConfig {
            max_connections: self.max_connections.unwrap_or(standard.max_connections),
            max_sessions_per_user: self.max_sessions_per_user.unwrap_or(standard.max_sessions_per_user),
            max_payload_bytes: self.max_payload_bytes.unwrap_or(standard.max_payload_bytes),
            max_client_message_bytes: self
                .max_client_message_bytes
                .unwrap_or(standard.max_client_message_bytes),
            outbox_messages: self.outbox_messages.unwrap_or(standard.outbox_messages),
            outbox_bytes: self.outbox_bytes.unwrap_or(standard.outbox_bytes),
            kept_messages: self.kept_messages.unwrap_or(standard.kept_messages),
            kept_bytes: self.kept_bytes.unwrap_or(standard.kept_bytes),
            kept_bytes_total: self.kept_bytes_total.unwrap_or(standard.kept_bytes_total),
            copies: self.copies.unwrap_or(standard.copies),
            connects_per_address: self.connects_per_address,
            connects_per_user: self.connects_per_user,
            messages_per_connection: self.messages_per_connection,
            takeovers_per_session: self.takeovers_per_session.unwrap_or(standard.takeovers_per_session),
        }
    }

    /// The timers that the operator may choose.
    pub(super) fn timers(&self) -> TimersConfig {
        let standard = TimersConfig::default();
        TimersConfig {
            heartbeat_interval: self.heartbeat_interval.unwrap_or(standard.heartbeat_interval),
            heartbeat_timeout: self.heartbeat_timeout.unwrap_or(standard.heartbeat_timeout),
            idle_timeout: self.idle_timeout.filter(|timeout| !timeout.is_zero()),
            push_timeout: self.push_timeout.unwrap_or(standard.push_timeout),
            drain_delay: self.drain_delay.unwrap_or(standard.drain_delay),
            drain_timeout: self.drain_timeout.unwrap_or(standard.drain_timeout),
            keep_max: self.keep_max.unwrap_or(standard.keep_max),
            resume_timeout: self.resume_timeout.unwrap_or(standard.resume_timeout),
            keep_alive: self.keep_alive.unwrap_or(standard.keep_alive),
            join_timeout: self.join_timeout.unwrap_or(standard.join_timeout),
        }
    }
}
