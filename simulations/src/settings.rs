//! How all nodes of a run are configured, as far as the workload needs it: the policy of takeover, the
//! bound of an outbox, the heartbeat, and the window of a socket.

use std::time::Duration;

use pushmesh::Config;
use pushmesh::config::{MeshVersion, Takeover, Tuning};
use pushmesh::limits;
use rand::Rng;
use rand::rngs::StdRng;

use crate::entropy;
use crate::id::ClientIndex;

/// What is drawn about the nodes' configuration. It is the same at all of them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    /// Which sessions of a user exclude each other.
    pub(crate) takeover: Takeover,
    /// Messages that wait in one session's outbox at most.
    pub(crate) outbox_messages: usize,
    /// Messages that a kept session holds beyond its outbox at most.
    pub(crate) kept_messages: usize,
    /// How clients have their sessions kept, if any does.
    pub(crate) keeping: Option<Keeping>,
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

/// How clients of `pushmesh.v1` have their sessions kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Keeping {
    /// For how many seconds.
    pub(crate) seconds: u32,
    /// Of their connections the part on which they do what a client should not, or what goes wrong on the way: they lose
    /// acknowledgements, break in the middle of a tail, acknowledge what they were not sent, come with old or forged positions.
    pub(crate) careless: f64,
    /// All clients do so; else five of six that speak `pushmesh.v1`.
    pub(crate) everybody: bool,
    /// How many other nodes hold what a node accepts.
    pub(crate) copies: usize,
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
        let mut rng = entropy::stream(seed, "keeping");
        // Nothing is kept while one member cannot: a run of two versions would mostly see sessions that are not.
        if !settings.mixed_versions {
            let keeping = settings.keeping.insert(keeping(&mut rng));
            let mut copying = entropy::stream(seed, "copies");
            keeping.copies = copying.random_range(0..=limits::COPIES_MAX);
            // Of a client that says to have what it has not, nobody can tell whether something was lost.
            if keeping.copies > 0 && copying.random_bool(0.5) {
                keeping.careless = 0.0;
            }
            if rng.random_bool(0.3) {
                settings.kept_messages = rng.random_range(1..=KEPT_SMALL_MAX);
            }
        }
        settings
    }

    /// For how many seconds a client wants its session to be kept; 0: it does not.
    pub(crate) fn keep_s(&self, client: ClientIndex) -> u32 {
        // Six and five have no common divisor either: see `speaks_envelopes`.
        let keeps = |keeping: &&Keeping| keeping.everybody || (speaks_envelopes(client) && client % 6 != 5);
        self.keeping.as_ref().filter(keeps).map_or(0, |keeping| keeping.seconds)
    }

    /// Whether other nodes hold what a client's session is kept with.
    pub(crate) fn is_copied(&self, client: ClientIndex) -> bool {
        self.keep_s(client) > 0 && self.keeping.as_ref().is_some_and(|keeping| keeping.copies > 0)
    }

    /// Whether a client speaks `pushmesh.v1`.
    pub(crate) fn speaks_envelopes(&self, client: ClientIndex) -> bool {
        speaks_envelopes(client) || self.keep_s(client) > 0
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
        config.limits.kept_messages = self.kept_messages;
        config.limits.copies = self.keeping.as_ref().map_or(0, |keeping| keeping.copies);
        config.timers.heartbeat_interval = self.heartbeat_interval;
        config.timers.heartbeat_timeout = self.heartbeat_timeout;
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            takeover: Takeover::default(),
            outbox_messages: limits::OUTBOX_MESSAGES_MAX,
            kept_messages: limits::KEPT_MESSAGES_MAX,
            keeping: None,
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

/// Two of five clients speak `pushmesh.v1`. Five and three have no common divisor, so that all mixtures are among the users.
fn speaks_envelopes(client: ClientIndex) -> bool {
    client % 5 < 2
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

/// A keep as short as the time that clients of a plan are away, or much longer.
fn keeping(rng: &mut StdRng) -> Keeping {
    let seconds =
        if rng.random_bool(0.3) { rng.random_range(2..=6) } else { rng.random_range(10..=KEEP_S_MAX) };
    let careless = if rng.random_bool(0.2) { 0.0 } else { rng.random_range(0.1..0.6) };
    Keeping { seconds, careless, everybody: false, copies: 0 }
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
/// Upper bound of what a kept session holds beyond a small outbox, in messages. Guess: as of an outbox.
const KEPT_SMALL_MAX: usize = 32;
/// The longest that a session is kept, in seconds. Source: what nobody comes back for has to be gone when all have to agree.
const KEEP_S_MAX: u32 = 20;
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
    fn in_runs_of_one_version_a_third_of_the_clients_keeps_its_sessions() {
        let all: Vec<_> = (0..200).map(|seed| Settings::draw(seed, 50)).collect();
        assert!(all.iter().all(|settings| settings.keeping.is_some() != settings.mixed_versions));
        let settings = all.iter().find(|settings| settings.keeping.is_some()).unwrap();
        let keeps = (0..300).filter(|client| settings.keep_s(*client) > 0).count();
        assert_eq!(keeps, 100);
        assert!((0..300).all(|client| settings.keep_s(client) == 0 || settings.speaks_envelopes(client)));
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
