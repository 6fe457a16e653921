//! What the tasks of a node share, and the task that watches over it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use crate::config::{Config, MeshIdentity, MeshVersion};
use crate::copies::Copies;
use crate::current::Current;
use crate::gateway::{
    Access, Certificate, ConnectionParts, Connects, Fights, Gateway, LoginKeys, NodeStatus, Phase,
};
use crate::handle::NodeHandle;
use crate::handler::Handler;
use crate::id::{Incarnation, NodeName};
use crate::limits;
use crate::membership::gossip::Gossip;
use crate::membership::incarnation::IncarnationFile;
use crate::membership::member::{Advert, AdvertState, MemberState, bucket};
use crate::membership::roster::Roster;
use crate::mesh::Links;
use crate::metrics::Metrics;
use crate::metrics::label::NotAccepted;
use crate::node::company::Company;
use crate::node::liveness::Liveness;
use crate::node::readiness::Ready;
use crate::replica::Replica;
use crate::replication::Replication;
use crate::router::Router;
use crate::session::{HeartbeatTimers, Registry};
use crate::token::ResumeKey;
use crate::vital::{Fault, Vitals};
use crate::wire::{Clock, Entropy, Threads};

/// The parts of a running node.
pub(super) struct Shared {
    pub(super) config: Arc<Config>,
    /// Whom the face lets in.
    pub(super) access: Arc<Current<Access>>,
    /// The keys of an identity provider, where they are fetched.
    pub(super) login_keys: Option<Arc<LoginKeys>>,
    /// How this node proves itself to its peers now. Locked while a new configuration is taken over.
    pub(super) proof: Mutex<MeshIdentity>,
    /// What https shows; `None`: it is http.
    pub(super) certificate: Option<Arc<Certificate>>,
    pub(super) threads: Threads,
    pub(super) incarnation: Incarnation,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) started_ms: u64,
    pub(super) entropy: Arc<Entropy>,
    pub(super) replica: Arc<Replica>,
    pub(super) replication: Arc<Replication>,
    pub(super) copies: Arc<Copies>,
    pub(super) registry: Arc<Registry>,
    pub(super) roster: Arc<Roster>,
    pub(super) links: Arc<Links>,
    pub(super) liveness: Arc<Liveness>,
    pub(super) router: Arc<Router>,
    pub(super) gossip: Gossip,
    /// Gossip messages that could not be decoded and are not counted in the metrics yet.
    pub(super) gossip_rejected: Arc<AtomicU64>,
    /// Connections that could not be accepted and are not counted in the metrics yet.
    pub(super) accepts_failed: Arc<AtomicU64>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) phase: watch::Sender<Phase>,
    pub(super) vitals: Vitals,
    pub(super) http_shown: String,
    pub(super) mesh_shown: SocketAddr,
    /// Ends the HTTP face.
    pub(super) stop_http: CancellationToken,
    /// Ends everything else.
    pub(super) stop: CancellationToken,
}

impl Shared {
    /// What pushes from within the program.
    pub(super) fn handle(&self) -> NodeHandle {
        let payload_bytes_max = self.config.limits.max_payload_bytes;
        NodeHandle::new(self.config.name.clone(), payload_bytes_max, Arc::downgrade(&self.router))
    }

    /// The face of this node.
    pub(super) fn gateway(
        self: &Arc<Self>,
        resume: ResumeKey,
        handler: Arc<dyn Handler>,
        handle: NodeHandle,
    ) -> Arc<Gateway> {
        let (shared, liveness) = (Arc::clone(self), Arc::clone(&self.liveness));
        let timers = &self.config.timers;
        let connections = ConnectionParts {
            resume,
            message_rate: self.config.limits.messages_per_connection,
            timers: HeartbeatTimers {
                interval: timers.heartbeat_interval,
                timeout: timers.heartbeat_timeout,
                idle: timers.idle_timeout,
            },
            handler,
            handle,
            clock: Arc::clone(&self.clock),
            access: Arc::clone(&self.access),
            login_keys: self.login_keys.clone(),
            fights: Fights::new(self.config.limits.takeovers_per_session),
            metrics: Arc::clone(&self.metrics),
            vitals: self.vitals.clone(),
            _threads: self.threads.clone(),
        };
        Arc::new(Gateway {
            config: Arc::clone(&self.config),
            threads: self.threads.clone(),
            router: Arc::clone(&self.router),
            registry: Arc::clone(&self.registry),
            replica: Arc::clone(&self.replica),
            roster: Arc::clone(&self.roster),
            metrics: Arc::clone(&self.metrics),
            access: Arc::clone(&self.access),
            login_keys: self.login_keys.clone(),
            connections: Arc::new(connections),
            entropy: Arc::clone(&self.entropy),
            connects: Connects::new(&self.config.limits),
            phase: self.phase.subscribe(),
            vitals: self.vitals.clone(),
            nodes: Box::new(move || shared.nodes()),
            forget: Box::new(move |name| liveness.forget(name)),
        })
    }

    /// Feeds the overlay, tells gossip how this node is, and notices when it is ready or has to stop.
    pub(super) async fn keep_watch(self: Arc<Self>) {
        let mut tick = interval(limits::OVERLAY_TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let ended = self.gossip.terminated();
        tokio::pin!(ended);
        let turn = || AbortOnDropHandle::new(tokio::spawn(self.threads.turn()));
        let mut all_ran = turn();
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                why = &mut ended => return self.vitals.fail(Fault::Gossip(why)),
                _ = tick.tick() => {}
            }
            // One of the threads for pushes may hang while this one goes on.
            if all_ran.is_finished() {
                self.vitals.watched();
                all_ran = turn();
            }
            if let Some(what) = self.poisoned() {
                return self.vitals.fail(Fault::Poisoned { what });
            }
            self.metrics.gossip_refused.increment(self.gossip_rejected.swap(0, Ordering::Relaxed));
            let not_accepted = self.accepts_failed.swap(0, Ordering::Relaxed);
            self.metrics.accepts_failed.with(NotAccepted::Error).increment(not_accepted);
            self.metrics.mesh_handshakes.set(self.links.handshakes() as f64);
            self.liveness.round(self.gossip.views().await, &self.links);
            if let Some(known) = self.liveness.superseded_by() {
                self.vitals.fail(Fault::Superseded { known });
            }
            if *self.phase.borrow() == Phase::Joining
                && let Some(ready) = self.liveness.ready()
                && self.may_be_ready(&ready)
            {
                self.become_ready(&ready);
            }
            self.advertise().await;
        }
    }

    /// Whom this node misses.
    pub(super) fn company(&self) -> Company {
        let members = self.roster.members();
        let states = || members.values().map(|member| member.state);
        let joins = *self.phase.borrow() == Phase::Joining;
        if !states().any(|state| matches!(state, MemberState::Alive | MemberState::Unreachable)) {
            Company::None
        } else if joins || states().any(|state| state != MemberState::Alive) {
            Company::Partial
        } else {
            Company::Complete
        }
    }

    /// What a panic has left half changed, and the whole node relies on.
    fn poisoned(&self) -> Option<&'static str> {
        let members = self.liveness.is_poisoned() || self.roster.is_poisoned();
        let parts = [
            ("the list of members", members),
            ("the directory", self.replica.is_poisoned() || self.replication.is_poisoned()),
            ("the list of sessions", self.registry.is_poisoned()),
            ("the copies of messages", self.copies.is_poisoned()),
            ("the list of links", self.links.is_poisoned()),
        ];
        parts.into_iter().find(|(_, poisoned)| *poisoned).map(|(what, _)| what)
    }

    /// Keeps what this boot is behind of. The peers that the next boot asks may not know it, and it would
    /// be superseded again.
    pub(super) fn remember(&self, known: Incarnation) {
        let Some(data_dir) = self.config.data_dir.as_deref() else { return };
        if let Err(error) = IncarnationFile::open(data_dir).and_then(|file| file.store(known)) {
            warn!(%error, %known, "the later incarnation of this name could not be kept");
        }
    }

    /// A node that cannot go on takes no clients any more. Nor does one whose copies nobody holds yet, until the join timeout. And
    /// one that no peer links with, because its settings are not theirs, is not alone: it would take clients that the cluster does
    /// not find. Nodes that it is linked with already are the greater number, or will be told.
    pub(super) fn may_be_ready(&self, ready: &Ready) -> bool {
        // What a node accepts whose copies nobody holds is lost with it.
        let is_held = *ready != Ready::Complete
            || self.copies.have_members()
            || self.liveness.now() >= self.config.timers.join_timeout;
        let is_agreed = *ready != Ready::Alone || self.links.disagreeing().is_empty();
        self.vitals.fault().is_none() && is_held && is_agreed
    }

    fn become_ready(&self, ready: &Ready) {
        match ready {
            Ready::Complete => info!(node = %self.config.name, "ready: all sections are here"),
            Ready::First => info!(node = %self.config.name, "ready: no peers given"),
            Ready::Alone => warn!(
                node = %self.config.name,
                "ready, but none of the peers answers: if a cluster is running, check --peer, the cluster key and \
                 the cluster name"
            ),
            Ready::Incomplete(missing) => {
                warn!(node = %self.config.name, ?missing, "ready, but some sections did not arrive in time");
            }
        }
        self.liveness.joined();
        // Draining may have begun meanwhile.
        self.phase.send_if_modified(|phase| {
            let joining = *phase == Phase::Joining;
            if joining {
                *phase = Phase::Ready;
            }
            joining
        });
    }

    /// How long requests in progress have to end: a push waits for its receipts, a WebSocket for
    /// the end of its closing handshake.
    pub(super) fn http_stop_timeout(&self) -> Duration {
        http_stop_timeout(&self.config)
    }

    /// Tells gossip how this node is now.
    pub(super) async fn advertise(&self) {
        let phase = *self.phase.borrow();
        let sessions = bucket(self.registry.len() as u64);
        let advert = Self::advert(&self.config, phase, self.mesh_shown, &self.http_shown, sessions);
        self.gossip.advertise(&Advert { degraded: self.roster.degraded(), ..advert }).await;
    }

    /// What a node in this phase says of itself while it does not doubt itself.
    pub(super) fn advert(
        config: &Config,
        phase: Phase,
        mesh: SocketAddr,
        http: &str,
        sessions: u64,
    ) -> Advert {
        let state = match phase {
            Phase::Joining => AdvertState::Joining,
            Phase::Ready | Phase::Leaving => AdvertState::Ready,
            Phase::Draining => AdvertState::Draining,
            Phase::Stopped => AdvertState::Left,
        };
        Advert {
            state,
            protocol: u16::from(config.mesh_version.number()),
            mesh,
            http: http.to_owned(),
            zone: config.zone.clone(),
            sessions,
            degraded: false,
            keeps: keeps(config),
        }
    }

    /// All members, this node first, as `GET /v1/nodes` shows them.
    pub(super) fn nodes(&self) -> Vec<NodeStatus> {
        let sessions = |name: &NodeName| self.replica.len_of(name);
        let now_ms = self.clock.now_ms();
        let own_state = match *self.phase.borrow() {
            Phase::Joining => "joining",
            Phase::Ready | Phase::Leaving => "alive",
            Phase::Draining => "draining",
            Phase::Stopped => "left",
        };
        let own = NodeStatus {
            name: self.config.name.to_string(),
            state: own_state.into(),
            incarnation: self.incarnation.0,
            mesh: self.mesh_shown.to_string(),
            http: self.http_shown.clone(),
            zone: self.config.zone.clone(),
            sessions: sessions(&self.config.name),
            rtt_us: None,
            since_ms: self.started_ms,
            heard_ms: now_ms,
            degraded: self.roster.degraded(),
            groups_short: self.copies.groups_short(),
            own: true,
        };
        let members = self.roster.members();
        let others = members.iter().map(|(name, entry)| {
            let link = self.links.get(name);
            let rtt = link.as_ref().map(|link| link.rtt());
            let silent = link.map(|link| link.heard().elapsed());
            let lost_ms = self.started_ms + as_ms(entry.not_alive_since.unwrap_or(entry.since));
            let advert = entry.advert.as_ref();
            NodeStatus {
                name: name.to_string(),
                state: entry.state.as_str().into(),
                incarnation: entry.incarnation.0,
                mesh: entry.mesh.to_string(),
                http: advert.map(|advert| advert.http.clone()).unwrap_or_default(),
                zone: advert.and_then(|advert| advert.zone.clone()),
                sessions: sessions(name),
                rtt_us: rtt.and_then(|rtt| u64::try_from(rtt.as_micros()).ok()),
                since_ms: self.started_ms + as_ms(entry.since),
                heard_ms: silent.map_or(lost_ms, |silent| now_ms.saturating_sub(as_ms(silent))),
                degraded: advert.is_some_and(|advert| advert.degraded),
                groups_short: None,
                own: false,
            }
        });
        std::iter::once(own).chain(others).collect()
    }
}

/// Whether a node keeps messages for clients that are away: the version before does not.
fn keeps(config: &Config) -> bool {
    config.mesh_version >= MeshVersion::V5
}

/// See [`Shared::http_stop_timeout`].
pub(super) fn http_stop_timeout(config: &Config) -> Duration {
    config.timers.push_timeout.max(limits::CLOSE_TIMEOUT) + Duration::from_secs(1)
}

fn as_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
