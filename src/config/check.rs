//! The rules of a configuration's values: ranges, and relations between values.
//!
//! They stand here and nowhere else. [`RawConfig::validate`](crate::config::RawConfig::validate) applies them to what
//! an operator says, [`Node::start`](crate::node::Node::start) to what a program that embeds a node has filled in. What
//! a type rules out by itself, such as an invalid name, has no rule here; neither has the content of files and keys,
//! which the parts that use them check.

use std::net::SocketAddr;
use std::time::Duration;

use super::dialable::{NOT_DIALABLE, is_dialable, is_of_one};
use super::duration::show;
use super::{AuthConfig, Config, LimitsConfig, Takeover, TimersConfig, Tuning};
use crate::limits;

/// A value of a [`Config`] that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}{}", .problem)]
pub struct InvalidConfig {
    /// The field, by its path in [`Config`]: `limits.outbox_messages`.
    pub field: &'static str,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The value breaks a rule.
    #[error(": {value} {rule}")]
    Value {
        /// The value.
        value: String,
        /// The rule that it breaks, and what to do.
        rule: String,
    },
    /// There is no value, and others need one.
    #[error(" is missing: {advice}")]
    Missing {
        /// Why it is needed, and what to do.
        advice: &'static str,
    },
}

impl InvalidConfig {
    fn new(field: &'static str, value: impl ToString, rule: impl Into<String>) -> Self {
        Self { field, problem: Problem::Value { value: value.to_string(), rule: rule.into() } }
    }
}

type Checked = Result<(), InvalidConfig>;

impl Config {
    /// Checks every value and every relation between values. [`Node::start`](crate::node::Node::start) does it too.
    ///
    /// # Errors
    /// The first rule that is broken, with the field and its value.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        number("threads", self.threads, limits::THREADS_MAX)?;
        check_limits(&self.limits)?;
        check_timers(&self.timers)?;
        check_takeover(self.takeover, &self.limits)?;
        self.check_join()?;
        self.check_peers()?;
        check_zone(self.zone.as_deref())?;
        if self.proxy_protocol && self.trusted_proxies.is_empty() {
            let rule =
                "has nobody to believe: say with --trusted-proxy from which addresses such connections come";
            return Err(InvalidConfig::new("proxy_protocol", true, rule));
        }
        if let Some(otlp) = self.otlp.as_ref().filter(|_| !cfg!(feature = "otlp")) {
            let rule = "needs a build that exports traces: cargo build --release --features otlp";
            return Err(InvalidConfig::new("otlp_endpoint", &otlp.endpoint, rule));
        }
        check_auth(&self.auth)?;
        check_tuning(&self.tuning)?;
        let mesh_advertise = self.mesh_advertise.as_ref().and_then(|advertised| advertised.address());
        check_advertised("mesh_advertise", mesh_advertise)?;
        check_advertised("http_advertise", self.http_advertise)?;
        self.check_dev()
    }

    /// A node that accepts everyone stays where only this machine reaches it.
    fn check_dev(&self) -> Checked {
        let addresses = [
            ("listen", Some(self.listen)),
            ("api_listen", self.api_listen),
            ("admin_listen", self.admin_listen),
            ("mesh_listen", Some(self.mesh_listen)),
            ("mesh_advertise", self.mesh_advertise.as_ref().and_then(|advertised| advertised.address())),
        ];
        for (field, addr) in addresses.into_iter().filter(|_| self.auth.dev) {
            if let Some(addr) = addr.filter(|addr| !addr.ip().to_canonical().is_loopback()) {
                let rule = "is not a loopback address, and with --dev anyone who reaches this node can push and \
                            listen: use 127.0.0.1, or keys instead of --dev";
                return Err(InvalidConfig::new(field, addr, rule));
            }
        }
        Ok(())
    }

    /// How many members there have to be, which may not be contradicted.
    fn check_join(&self) -> Checked {
        number("expect", self.expect, limits::PEERS_MAX + 1)?;
        if self.allow_alone && self.expect > 1 {
            let rule = format!(
                "contradicts --expect {}: a node that waits for others may not be alone; leave out one",
                self.expect
            );
            return Err(InvalidConfig::new("allow_alone", true, rule));
        }
        Ok(())
    }

    /// Peers are dialled by their addresses.
    fn check_peers(&self) -> Checked {
        match self.peers.iter().find(|peer| !is_dialable(peer)) {
            Some(peer) => Err(InvalidConfig::new("peers", format!("{peer:?}"), NOT_DIALABLE)),
            None => Ok(()),
        }
    }

    /// Checks that peers are told an address that they can dial, when the mesh listens at `listening`.
    ///
    /// # Errors
    /// It listens on every address of the machine, and none is named.
    pub(crate) fn check_mesh_address(&self, listening: SocketAddr) -> Result<(), InvalidConfig> {
        if self.mesh_advertise.is_some() || !listening.ip().is_unspecified() {
            return Ok(());
        }
        let advice = "the mesh listens on every address of this machine, and peers need one that they can dial: \
                      give it, such as --mesh-advertise 10.0.0.1:7400";
        Err(InvalidConfig { field: "mesh_advertise", problem: Problem::Missing { advice } })
    }
}

fn check_limits(limits: &LimitsConfig) -> Checked {
    let payload_max = limits::PAYLOAD_BYTES_CEILING;
    let sessions_max = limits::SESSIONS_PER_USER_CEILING;
    number("limits.max_connections", limits.max_connections, usize::MAX)?;
    number("limits.max_sessions_per_user", limits.max_sessions_per_user, sessions_max)?;
    number("limits.max_payload_bytes", limits.max_payload_bytes, payload_max)?;
    number("limits.max_client_message_bytes", limits.max_client_message_bytes, payload_max)?;
    number("limits.outbox_messages", limits.outbox_messages, usize::MAX)?;
    number("limits.outbox_bytes", limits.outbox_bytes, usize::MAX)?;
    number("limits.kept_messages", limits.kept_messages, usize::MAX)?;
    number("limits.kept_bytes", limits.kept_bytes, usize::MAX)?;
    number("limits.kept_bytes_total", limits.kept_bytes_total, usize::MAX)?;
    if limits.copies > limits::COPIES_MAX {
        let rule =
            format!("is more than {}: fewer nodes than that lose a message together", limits::COPIES_MAX);
        return Err(InvalidConfig::new("limits.copies", limits.copies, rule));
    }
    if limits.kept_bytes_total < limits.max_payload_bytes.saturating_add(limits::KEPT_MESSAGE_OVERHEAD) {
        let rule = format!(
            "is less than --max-payload-bytes {} and {} bytes, so that the largest payload could never be kept: raise it \
             to at least that",
            limits.max_payload_bytes,
            limits::KEPT_MESSAGE_OVERHEAD
        );
        return Err(InvalidConfig::new("limits.kept_bytes_total", limits.kept_bytes_total, rule));
    }
    if limits.outbox_bytes < limits.max_payload_bytes {
        let rule = format!(
            "is less than --max-payload-bytes {}, so that the largest payload could never be sent: raise it to at \
             least that",
            limits.max_payload_bytes
        );
        return Err(InvalidConfig::new("limits.outbox_bytes", limits.outbox_bytes, rule));
    }
    Ok(())
}

fn check_timers(timers: &TimersConfig) -> Checked {
    time("timers.heartbeat_interval", timers.heartbeat_interval, MILLISECOND, limits::TIMER_MAX)?;
    time("timers.heartbeat_timeout", timers.heartbeat_timeout, MILLISECOND, limits::TIMER_MAX)?;
    time("timers.push_timeout", timers.push_timeout, MILLISECOND, limits::TIMER_MAX)?;
    time("timers.drain_delay", timers.drain_delay, Duration::ZERO, limits::DRAIN_DELAY_MAX)?;
    time("timers.drain_timeout", timers.drain_timeout, limits::DRAIN_TIMEOUT_MIN, limits::TIMER_MAX)?;
    time("timers.keep_max", timers.keep_max, Duration::ZERO, limits::KEEP_CEILING)?;
    time("timers.resume_timeout", timers.resume_timeout, MILLISECOND, limits::TIMER_MAX)?;
    time("timers.keep_alive", timers.keep_alive, limits::KEEP_ALIVE_MIN, limits::TIMER_MAX)?;
    time("timers.join_timeout", timers.join_timeout, limits::JOIN_TIMEOUT_MIN, limits::TIMER_MAX)?;
    if let Some(idle) = timers.idle_timeout {
        time("timers.idle_timeout", idle, MILLISECOND, limits::TIMER_MAX)?;
    }
    if timers.heartbeat_timeout <= timers.heartbeat_interval * 2 {
        let rule = format!(
            "must exceed twice --heartbeat-interval ({}), so that one lost ping ends no session",
            show(timers.heartbeat_interval)
        );
        return Err(InvalidConfig::new("timers.heartbeat_timeout", show(timers.heartbeat_timeout), rule));
    }
    if timers.push_timeout <= limits::BUFFERED_AFTER {
        let rule = format!(
            "must exceed {}, after which an owner answers that a message is buffered",
            show(limits::BUFFERED_AFTER)
        );
        return Err(InvalidConfig::new("timers.push_timeout", show(timers.push_timeout), rule));
    }
    Ok(())
}

/// A zone is a word that every member keeps and that people read.
fn check_zone(zone: Option<&str>) -> Checked {
    let is_word = |zone: &&str| {
        (1..=limits::ZONE_BYTES_MAX).contains(&zone.len()) && !zone.chars().any(char::is_control)
    };
    match zone.filter(|zone| !is_word(zone)) {
        Some(zone) => {
            let shown: String = zone.chars().take(limits::ZONE_BYTES_MAX).collect();
            let rule = format!(
                "is no zone: give 1 to {} bytes without control characters, or leave it out",
                limits::ZONE_BYTES_MAX
            );
            Err(InvalidConfig::new("zone", format!("{shown:?}"), rule))
        }
        None => Ok(()),
    }
}

fn check_takeover(takeover: Takeover, limits: &LimitsConfig) -> Checked {
    let rule = match takeover {
        Takeover::MaxPerUser(0) => "would allow nothing: give at least 1".to_owned(),
        Takeover::MaxPerUser(sessions) if sessions > limits.max_sessions_per_user => format!(
            "is more than --max-sessions-per-user {}, which no user may have: raise that to at least {sessions}, or \
             lower this",
            limits.max_sessions_per_user
        ),
        _ => return Ok(()),
    };
    Err(InvalidConfig::new("takeover", takeover, rule))
}

fn check_auth(auth: &AuthConfig) -> Checked {
    for (field, texts) in
        [("auth.jwt_issuer", auth.jwt_issuer.as_slice()), ("auth.jwt_audiences", &auth.jwt_audiences)]
    {
        if texts.iter().any(String::is_empty) {
            return Err(InvalidConfig::new(
                field,
                "\"\"",
                "is a text that no token has: give another, or leave it out",
            ));
        }
    }
    time(
        "auth.max_token_lifetime",
        auth.max_token_lifetime,
        Duration::from_secs(1),
        limits::TOKEN_LIFETIME_CEILING,
    )
}

fn check_tuning(tuning: &Tuning) -> Checked {
    number("tuning.change_ring", tuning.change_ring, usize::MAX)?;
    number("tuning.relay_changes", tuning.relay_changes, usize::MAX)?;
    number("tuning.delta_changes", tuning.delta_changes, tuning.change_ring.min(FRAME_ENTRIES_MAX))?;
    number("tuning.snapshot_chunk_entries", tuning.snapshot_chunk_entries, FRAME_ENTRIES_MAX)?;
    number("tuning.diffs", tuning.diffs, limits::DIFFS_MAX)?;
    time("tuning.purge_after", tuning.purge_after, MILLISECOND, limits::FENCE_KEPT)?;
    time("tuning.copied_after", tuning.copied_after, Duration::ZERO, limits::BUFFERED_AFTER)
}

/// An address that others are told has to be one that they can use.
fn check_advertised(field: &'static str, addr: Option<SocketAddr>) -> Checked {
    match addr.filter(|addr| !is_of_one(*addr)) {
        Some(addr) => {
            Err(InvalidConfig::new(field, addr, "cannot be dialled: give this node's own address and port"))
        }
        None => Ok(()),
    }
}

fn number(field: &'static str, value: usize, max: usize) -> Checked {
    match value {
        0 => Err(InvalidConfig::new(field, value, "would allow nothing: give at least 1")),
        value if value > max => {
            Err(InvalidConfig::new(field, value, format!("is above the largest value, {max}")))
        }
        _ => Ok(()),
    }
}

fn time(field: &'static str, value: Duration, min: Duration, max: Duration) -> Checked {
    if value < min {
        let rule = format!("is too short: give at least {}", show(min));
        return Err(InvalidConfig::new(field, show(value), rule));
    }
    if value > max {
        return Err(InvalidConfig::new(field, show(value), format!("is above the longest, {}", show(max))));
    }
    Ok(())
}

/// The unit of timers: nothing shorter is a pause.
const MILLISECOND: Duration = Duration::from_millis(1);

/// Entries of a section in one frame. Arithmetic: an upsert and a removal of each fit its header.
const FRAME_ENTRIES_MAX: usize = limits::FRAME_HEADER_BYTES_MAX / 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::NodeName;

    fn refusal(change: impl FnOnce(&mut Config)) -> InvalidConfig {
        let mut config = Config::dev(NodeName::new("n1").unwrap());
        change(&mut config);
        config.check().unwrap_err()
    }

    #[test]
    fn the_configurations_that_are_offered_keep_the_rules() {
        let name = || NodeName::new("n1").unwrap();
        assert_eq!(Config::dev(name()).check(), Ok(()));
        assert_eq!(Config::minimal(name()).check(), Ok(()));
    }

    #[test]
    fn a_node_that_accepts_everyone_listens_on_loopback_whoever_configures_it() {
        type Change = fn(&mut Config);
        let cases: [(Change, &str); 3] = [
            (|c| c.listen.set_ip([0, 0, 0, 0].into()), "listen: 0.0.0.0:0 is not a loopback address"),
            (|c| c.mesh_listen.set_ip([192, 0, 2, 1].into()), "mesh_listen: 192.0.2.1:0 is not a loopback"),
            (
                |c| c.mesh_advertise = Some("192.0.2.1:7400".parse().unwrap()),
                "mesh_advertise: 192.0.2.1:7400 is not",
            ),
        ];
        for (change, start) in cases {
            let message = refusal(change).to_string();
            assert!(message.starts_with(start), "{message:?} does not start with {start:?}");
            let mut config = Config::dev(NodeName::new("n1").unwrap());
            config.auth.dev = false;
            change(&mut config);
            assert_eq!(config.check(), Ok(()), "with keys");
        }
    }

    #[test]
    fn each_number_that_a_part_could_not_work_with_is_refused_with_field_value_and_rule() {
        type Change = fn(&mut Config);
        let year = Duration::from_secs(365 * 24 * 60 * 60);
        assert_eq!(limits::TIMER_MAX, year);
        let cases: [(Change, &str); 40] = [
            (|c| c.peers = vec!["10.0.0.2".into()], "peers: \"10.0.0.2\" is not the mesh address of a node"),
            (|c| c.zone = Some(String::new()), "zone: \"\" is no zone: give 1 to 128 bytes"),
            (|c| c.zone = Some("a\nb".into()), "zone: \"a\\nb\" is no zone"),
            (|c| c.limits.max_connections = 0, "limits.max_connections: 0 would allow nothing"),
            (|c| c.limits.max_sessions_per_user = 0, "limits.max_sessions_per_user: 0 would"),
            (|c| c.limits.max_sessions_per_user = 1_001, "limits.max_sessions_per_user: 1001 is above"),
            (|c| c.limits.max_payload_bytes = 0, "limits.max_payload_bytes: 0 would"),
            (|c| c.limits.max_payload_bytes = (16 << 20) + 1, "limits.max_payload_bytes: 16777217 is above"),
            (|c| c.limits.max_client_message_bytes = 0, "limits.max_client_message_bytes: 0 would"),
            (|c| c.limits.outbox_messages = 0, "limits.outbox_messages: 0 would allow nothing"),
            (|c| c.limits.outbox_bytes = 5, "limits.outbox_bytes: 5 is less than --max-payload-bytes"),
            (|c| c.timers.heartbeat_interval = Duration::ZERO, "timers.heartbeat_interval: 0ms is too short"),
            (
                |c| c.timers.heartbeat_timeout = Duration::from_secs(25),
                "timers.heartbeat_timeout: 25s must exceed",
            ),
            (
                |c| c.timers.heartbeat_timeout = Duration::from_secs(50),
                "timers.heartbeat_timeout: 50s must exceed",
            ),
            (|c| c.timers.heartbeat_interval = Duration::MAX, "timers.heartbeat_interval: "),
            (|c| c.timers.heartbeat_timeout = Duration::MAX, "timers.heartbeat_timeout: "),
            (|c| c.timers.idle_timeout = Some(Duration::ZERO), "timers.idle_timeout: 0ms is too short"),
            (|c| c.timers.idle_timeout = Some(Duration::MAX), "timers.idle_timeout: "),
            (|c| c.timers.push_timeout = Duration::from_secs(1), "timers.push_timeout: 1s must exceed 1s"),
            (|c| c.timers.push_timeout = Duration::MAX, "timers.push_timeout: "),
            (|c| c.timers.drain_timeout = Duration::from_millis(999), "timers.drain_timeout: 999ms is too"),
            (|c| c.timers.drain_delay = Duration::MAX, "timers.drain_delay: "),
            (|c| c.timers.drain_timeout = Duration::MAX, "timers.drain_timeout: "),
            (|c| c.timers.keep_alive = Duration::from_millis(999), "timers.keep_alive: 999ms is too short"),
            (|c| c.timers.keep_alive = Duration::MAX, "timers.keep_alive: "),
            (|c| c.timers.join_timeout = Duration::from_millis(999), "timers.join_timeout: 999ms is too"),
            (|c| c.timers.join_timeout = Duration::MAX, "timers.join_timeout: "),
            (|c| c.expect = 0, "expect: 0 would allow nothing"),
            (|c| c.expect = 1_026, "expect: 1026 is above the largest value, 1025"),
            (|c| (c.allow_alone, c.expect) = (true, 2), "allow_alone: true contradicts --expect 2"),
            (|c| c.takeover = Takeover::MaxPerUser(0), "takeover: max-per-user=0 would allow nothing"),
            (|c| c.takeover = Takeover::MaxPerUser(101), "takeover: max-per-user=101 is more than"),
            (|c| c.auth.max_token_lifetime = Duration::ZERO, "auth.max_token_lifetime: 0ms is too short"),
            (|c| c.auth.jwt_issuer = Some(String::new()), "auth.jwt_issuer: \"\" is a text that no token"),
            (|c| c.auth.jwt_audiences = vec![String::new()], "auth.jwt_audiences: \"\" is a text that no"),
            (|c| c.tuning.change_ring = 0, "tuning.change_ring: 0 would"),
            (|c| c.tuning.delta_changes = 65_537, "tuning.delta_changes: 65537 is above"),
            (|c| c.tuning.copied_after = Duration::from_secs(2), "tuning.copied_after: 2s is above"),
            (
                |c| c.tuning.snapshot_chunk_entries = 1 << 20,
                "tuning.snapshot_chunk_entries: 1048576 is above",
            ),
            (
                |c| c.mesh_advertise = Some("0.0.0.0:7400".parse().unwrap()),
                "mesh_advertise: 0.0.0.0:7400 cannot",
            ),
        ];
        for (change, start) in cases {
            let message = refusal(change).to_string();
            assert!(message.starts_with(start), "{message:?} does not start with {start:?}");
        }
    }
}
