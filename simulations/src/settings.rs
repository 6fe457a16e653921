//! How all nodes of a run are configured, as far as the workload needs it: the policy of takeover, the
//! bound of an outbox, the heartbeat, and the window of a socket.

use std::time::Duration;

use pushmesh::Config;
use pushmesh::config::{MeshVersion, Takeover, Tuning};
use pushmesh::limits;
use rand::Rng;
use rand::rngs::StdRng;

use crate::entropy;

/// What is drawn about the nodes' configuration. It is the same at all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Which sessions of a user exclude each other.
    pub(crate) takeover: Takeover,
    /// Messages that wait in one session's outbox at most.
    pub(crate) outbox_messages: usize,
    /// How often a silent client is pinged.
    pub(crate) heartbeat_interval: Duration,
    /// How long a client may be silent.
    pub(crate) heartbeat_timeout: Duration,
    /// Bounds that the product does not let anybody set.
    pub(crate) tuning: Tuning,
    /// Nodes keep their incarnation across restarts.
    pub(crate) disks: bool,
    /// A node whose peers are silent is soon ready alone.
    pub(crate) allow_alone: bool,
    /// Every second boot speaks no newer version of the mesh protocol than the one before, as in a rolling upgrade.
    pub(crate) mixed_versions: bool,
    /// Segments that a TCP socket holds before its writer has to wait.
    pub(crate) tcp_segments: usize,
}

impl Settings {
    /// Draws them for a run with so many clients.
    pub(crate) fn draw(seed: u64, clients: usize) -> Self {
        let mut settings =
            Self { takeover: takeover(&mut entropy::stream(seed, "takeover")), ..Self::default() };
        let mut rng = entropy::stream(seed, "outbox");
        if rng.random_bool(0.5) {
            settings.outbox_messages = rng.random_range(1..=OUTBOX_SMALL_MAX);
        }
        let mut rng = entropy::stream(seed, "heartbeat");
        if rng.random_bool(0.7) {
            settings.heartbeat_interval = Duration::from_millis(rng.random_range(1_000..=3_000));
            settings.heartbeat_timeout = settings.heartbeat_interval * 2 + Duration::from_millis(500);
            // Turmoil does not wake a writer whose peer is gone: the heartbeat has to.
            if clients <= CLIENTS_OF_SMALL_WINDOWS_MAX {
                settings.tcp_segments = TCP_SEGMENTS_SMALL;
            }
        }
        let mut rng = entropy::stream(seed, "settings");
        settings.disks = rng.random_bool(0.5);
        settings.tuning = tuning(&mut rng);
        settings.allow_alone = entropy::stream(seed, "joining").random_bool(0.5);
        settings.mixed_versions = entropy::stream(seed, "versions").random_bool(0.5);
        settings
    }

    /// Whether half-open connections are found within a run.
    pub(crate) fn is_watchful(&self) -> bool {
        self.heartbeat_timeout < limits::HEARTBEAT_TIMEOUT
    }

    /// Whether the TCP windows are small, and with them the room for connections that wait.
    pub(crate) fn has_small_windows(&self) -> bool {
        self.tcp_segments == TCP_SEGMENTS_SMALL
    }

    /// Configures a node for this boot of all that a run has.
    pub(crate) fn apply(&self, config: &mut Config, boot: usize) {
        if self.mixed_versions && boot.is_multiple_of(2) {
            config.mesh_version = MeshVersion::V4;
        }
        config.takeover = self.takeover;
        config.allow_alone = self.allow_alone;
        config.tuning = self.tuning;
        config.limits.outbox_messages = self.outbox_messages;
        config.timers.heartbeat_interval = self.heartbeat_interval;
        config.timers.heartbeat_timeout = self.heartbeat_timeout;
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            takeover: Takeover::default(),
            outbox_messages: limits::OUTBOX_MESSAGES_MAX,
            heartbeat_interval: limits::HEARTBEAT_INTERVAL,
            heartbeat_timeout: limits::HEARTBEAT_TIMEOUT,
            tuning: Tuning::default(),
            disks: false,
            allow_alone: false,
            mixed_versions: false,
            tcp_segments: TCP_SEGMENTS,
        }
    }
}

fn takeover(rng: &mut StdRng) -> Takeover {
    match rng.random_range(0..10) {
        0..6 => Takeover::ExclusiveDevice,
        6 => Takeover::OnePerUser,
        7 => Takeover::MaxPerUser(1),
        8 => Takeover::MaxPerUser(2),
        _ => Takeover::RejectNewer,
    }
}

/// Half of the runs have the product's bounds, the others small ones, which are met sooner.
fn tuning(rng: &mut StdRng) -> Tuning {
    if rng.random_bool(0.5) {
        return Tuning::default();
    }
    let mut of = |choices: &[usize]| choices[rng.random_range(0..choices.len())];
    let mut tuning = Tuning {
        change_ring: of(&[2, 8, 64, 1_024]),
        relay_changes: of(&[1, 8, 64]),
        delta_changes: of(&[1, 2, 8, 64]),
        snapshot_chunk_entries: of(&[1, 2, 16]),
        purge_after: Duration::from_secs(of(&[8, 15, 600]) as u64),
        ..Tuning::default()
    };
    tuning.delta_changes = tuning.delta_changes.min(tuning.change_ring);
    tuning
}

/// Upper bound of a small outbox, in messages. Guess: a burst of a plan is longer.
const OUTBOX_SMALL_MAX: usize = 32;
/// TCP segments that wait at one socket: more than a run writes to a client that does not read.
const TCP_SEGMENTS: usize = 1_024;
/// The same where slow clients are to be met. Turmoil has the same number for connections that wait to
/// be accepted, and panics beyond it.
const TCP_SEGMENTS_SMALL: usize = 64;
/// The largest run whose clients cannot all wait at one node. Arithmetic: as many as wait at most.
const CLIENTS_OF_SMALL_WINDOWS_MAX: usize = TCP_SEGMENTS_SMALL;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_is_drawn_and_mostly_the_default() {
        let drawn: Vec<_> = (0..200).map(|seed| Settings::draw(seed, 50).takeover).collect();
        let times = |wanted| drawn.iter().filter(|takeover| **takeover == wanted).count();
        assert!(times(Takeover::ExclusiveDevice) > 80);
        let others =
            [Takeover::OnePerUser, Takeover::MaxPerUser(1), Takeover::MaxPerUser(2), Takeover::RejectNewer];
        assert!(others.into_iter().all(|takeover| times(takeover) > 0));
    }

    #[test]
    fn a_small_window_is_only_where_the_heartbeat_frees_it() {
        for seed in 0..200 {
            let settings = Settings::draw(seed, 50);
            assert!(settings.tcp_segments == TCP_SEGMENTS || settings.is_watchful());
            assert_eq!(Settings::draw(seed, 65).tcp_segments, TCP_SEGMENTS);
        }
    }
}
