//! The composition root: makes the parts of a node, connects them, and takes them down in order.
//!
//! ```text
//!   start:  identity ─► endpoint ─► probe seeds ─► incarnation ─► links ─► gossip ─► gateway ─► ready
//!   stop:   not ready ─► draining ─► close sessions ─► finish requests ─► left ─► close links
//! ```

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use tokio::net::lookup_host;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::config::Config;
use crate::directory::Counts;
use crate::gateway::{self, Gateway, NodeStatus, Phase};
use crate::handler::{Handler, PushOnly};
use crate::id::{DeviceId, Incarnation, MessageId, NodeName, UserId};
use crate::limits;
use crate::membership::gossip::{Gossip, GossipConfig, GossipError};
use crate::membership::incarnation::{self, IncarnationError, IncarnationFile};
use crate::membership::member::{Advert, AdvertState, bucket};
use crate::membership::roster::Roster;
use crate::mesh::gossip::GossipTransport;
use crate::mesh::identity::{Identity, IdentityError};
use crate::mesh::{GossipOut, Links, endpoint};
use crate::metrics::Metrics;
use crate::push::{BroadcastReport, Payload, PushReport, Target};
use crate::replica::Replica;
use crate::router::{Owner, Router, RouterParts};
use crate::session::{OutboxLimits, Registry};
use crate::token::{TokenKeyError, TokenVerifier};
use crate::wire::{Clock, Entropy, Wire};

mod drain;
mod liveness;
mod readiness;
mod service;

use liveness::Liveness;
use readiness::Ready;
use service::NodeService;

/// A running node. Dropping it stops the node abruptly; [`Node::shutdown`] drains it first.
pub struct Node {
    shared: Arc<Shared>,
    http: SocketAddr,
    mesh: SocketAddr,
    tasks: TaskTracker,
}

struct Shared {
    config: Arc<Config>,
    incarnation: Incarnation,
    clock: Arc<dyn Clock>,
    started_ms: u64,
    entropy: Arc<Entropy>,
    replica: Arc<Replica>,
    registry: Arc<Registry>,
    roster: Arc<Roster>,
    links: Arc<Links>,
    liveness: Arc<Liveness>,
    router: Arc<Router>,
    gossip: Gossip,
    phase: watch::Sender<Phase>,
    fault: watch::Sender<Option<Fault>>,
    http_shown: String,
    mesh_shown: SocketAddr,
    /// Ends the HTTP face.
    stop_http: CancellationToken,
    /// Ends everything else.
    stop: CancellationToken,
}

/// Why a node did not start. Nothing of it is left running.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A socket of the wire is of no use.
    #[error("the node's sockets cannot be used: {0}")]
    Wire(#[from] io::Error),
    /// The node cannot prove who it is.
    #[error("{0}")]
    Identity(String),
    /// The keys for client tokens are of no use.
    #[error("{0}")]
    TokenKeys(String),
    /// The certificate or the key for https is of no use.
    #[error("{0}")]
    HttpTls(String),
    /// The incarnation cannot be kept in the data directory.
    #[error("{0}")]
    Incarnation(String),
    /// Gossip did not start.
    #[error("gossip did not start: {0}")]
    Gossip(String),
}

/// Why a running node has to stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Another process runs under this node's name, and it started later.
    #[error(
        "another process with this node's name has joined the cluster (incarnation {known}); this one stops. \
         Give each node a --name of its own"
    )]
    Superseded {
        /// The incarnation of the other process.
        known: Incarnation,
    },
    /// Gossip ended, so that the node would go on with frozen knowledge.
    #[error("gossip ended: {0}; restart the node")]
    Gossip(String),
}

impl From<IdentityError> for StartError {
    fn from(error: IdentityError) -> Self {
        StartError::Identity(error.to_string())
    }
}

impl From<TokenKeyError> for StartError {
    fn from(error: TokenKeyError) -> Self {
        StartError::TokenKeys(error.to_string())
    }
}

impl From<IncarnationError> for StartError {
    fn from(error: IncarnationError) -> Self {
        StartError::Incarnation(error.to_string())
    }
}

impl From<GossipError> for StartError {
    fn from(error: GossipError) -> Self {
        StartError::Gossip(error.to_string())
    }
}

impl Node {
    /// Starts a node that only pushes.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start<L>(config: Config, wire: Wire<L>) -> Result<Self, StartError>
    where
        L: Listener<Addr = SocketAddr>,
    {
        Self::start_with(config, wire, Arc::new(PushOnly)).await
    }

    /// Starts a node whose clients' connections and messages go to `handler`.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start_with<L>(
        config: Config,
        wire: Wire<L>,
        handler: Arc<dyn Handler>,
    ) -> Result<Self, StartError>
    where
        L: Listener<Addr = SocketAddr>,
    {
        let config = Arc::new(config);
        let (http, mesh) = (wire.http_addr()?, wire.mesh_addr()?);
        let mesh_shown = config.mesh_advertise.unwrap_or(mesh);
        let identity = Identity::from_config(&config)?;
        let tokens = TokenVerifier::new(&config.auth)?;
        let tls = config.tls.as_ref().map(gateway::server_config).transpose();
        let tls = tls.map_err(|error| StartError::HttpTls(error.to_string()))?;
        let entropy = Arc::new(Entropy::new(wire.seed));
        let metrics = Arc::new(Metrics::new());
        let endpoint = endpoint::open(wire.udp, wire.runtime, &identity, entropy.seed())?;
        let links = Links::new(config.name.clone(), mesh_shown, endpoint, identity, Arc::clone(&metrics));
        let tasks = TaskTracker::new();
        tasks.spawn(Arc::clone(&links).accept());

        let incarnation = decide_incarnation(&config, &links, wire.clock.now_ms()).await?;
        let replica = Arc::new(Replica::new(config.name.clone(), incarnation));
        let registry = Arc::new(Registry::new(config.name.clone(), config.limits.max_connections));
        let roster = Arc::new(Roster::default());
        let owner = Arc::new(Owner::new(config.name.clone(), Arc::clone(&registry), Arc::clone(&replica)));
        let has_peers = !config.peers.is_empty();
        let liveness = Arc::new(Liveness::new(
            config.name.clone(),
            incarnation,
            has_peers,
            Arc::clone(&roster),
            Arc::clone(&replica),
            Arc::clone(&registry),
        ));
        let fault = watch::Sender::new(None);
        let service = Arc::new(NodeService {
            me: config.name.clone(),
            liveness: Arc::clone(&liveness),
            roster: Arc::clone(&roster),
            owner: Arc::clone(&owner),
            links: Arc::downgrade(&links),
            metrics: Arc::clone(&metrics),
            fault: fault.clone(),
        });
        let (gossip_inbox, gossip_outbox) = mpsc::channel(limits::GOSSIP_INBOX);
        links.start(incarnation, service, Arc::clone(&replica), gossip_inbox);

        let scheme = if tls.is_some() { "https" } else { "http" };
        let http_shown = format!("{scheme}://{}", config.http_advertise.unwrap_or(http));
        let advert = Advert {
            state: AdvertState::Joining,
            protocol: u16::from(crate::mesh::PROTOCOL_VERSION),
            mesh: mesh_shown,
            http: http_shown.clone(),
            zone: config.zone.clone(),
            sessions: 0,
        };
        let gossip_config = GossipConfig {
            cluster: config.cluster.clone(),
            name: config.name.clone(),
            incarnation,
            advertise: mesh_shown,
            seeds: config.peers.clone(),
            advert,
        };
        let transport = GossipTransport::new(Arc::new(GossipOut(Arc::clone(&links))), gossip_outbox);
        let gossip = Gossip::start(gossip_config, &transport).await?;

        let router = Router::new(RouterParts {
            me: config.name.clone(),
            replica: Arc::clone(&replica),
            registry: Arc::clone(&registry),
            links: Arc::clone(&links),
            roster: Arc::clone(&roster),
            owner,
            metrics: Arc::clone(&metrics),
            clock: Arc::clone(&wire.clock),
            push_timeout: config.timers.push_timeout,
            outbox: OutboxLimits {
                messages_max: config.limits.outbox_messages,
                bytes_max: config.limits.outbox_bytes,
            },
            id_prefix: entropy.next_u64(),
        });
        let shared = Arc::new(Shared {
            incarnation,
            started_ms: wire.clock.now_ms(),
            clock: wire.clock,
            entropy,
            replica,
            registry,
            roster,
            links,
            liveness,
            router,
            gossip,
            phase: watch::Sender::new(Phase::Joining),
            fault,
            http_shown,
            mesh_shown,
            stop_http: CancellationToken::new(),
            stop: CancellationToken::new(),
            config,
        });
        let app = gateway::routes(shared.gateway(tokens, metrics, handler));
        let websockets_max = shared.config.limits.max_connections;
        tasks.spawn(gateway::serve(wire.tcp, tls, app, websockets_max, shared.stop_http.clone()));
        tasks.spawn(Arc::clone(&shared).keep_watch());
        let name = &shared.config.name;
        info!(node = %name, %incarnation, http = %shared.http_shown, mesh = %mesh_shown, "node started");
        Ok(Self { shared, http, mesh, tasks })
    }

    /// This node's name.
    #[must_use]
    pub fn name(&self) -> &NodeName {
        &self.shared.config.name
    }

    /// This boot.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.shared.incarnation
    }

    /// Where HTTP and WebSocket clients connect.
    #[must_use]
    pub fn http_addr(&self) -> SocketAddr {
        self.http
    }

    /// Where peers connect: a value for their `peers`.
    #[must_use]
    pub fn mesh_addr(&self) -> SocketAddr {
        self.mesh
    }

    /// Waits until the node has copied the directory and serves clients.
    pub async fn ready(&self) {
        // Shared owns the sender, so that this ends only by the condition.
        let _ = self.shared.phase.subscribe().wait_for(|phase| *phase != Phase::Joining).await;
    }

    /// Waits until the node can not go on, and says why. A node that is merely shut down never gets here.
    pub async fn failed(&self) -> Fault {
        let mut fault = self.shared.fault.subscribe();
        match fault.wait_for(Option::is_some).await.map(|fault| fault.clone()) {
            Ok(Some(fault)) => fault,
            _ => std::future::pending().await,
        }
    }

    /// Pushes to one session or to all sessions of a user, wherever they are connected. With an
    /// `id` of the caller's, repeating the call does not deliver twice.
    ///
    /// # Panics
    /// On [`Target::All`]: see [`Node::broadcast`].
    pub async fn push(&self, target: Target, payload: Payload, id: Option<MessageId>) -> PushReport {
        assert!(target != Target::All, "a broadcast has a report of its own: call `broadcast`");
        self.shared.router.push(target, self.shared.router.message(id, payload)).await
    }

    /// Pushes to every session of the cluster.
    pub async fn broadcast(&self, payload: Payload, id: Option<MessageId>) -> BroadcastReport {
        self.shared.router.broadcast(self.shared.router.message(id, payload)).await
    }

    /// Disconnects one session or all sessions of a user, with close code 4002. `Delivered` means
    /// closed.
    ///
    /// # Panics
    /// On [`Target::All`]: stop the nodes instead.
    pub async fn disconnect(&self, target: Target) -> PushReport {
        assert!(target != Target::All, "nobody disconnects a whole cluster by one call");
        self.shared.router.disconnect(target).await
    }

    /// The devices that a user is connected with, and the node that holds each.
    #[must_use]
    pub fn sessions_of(&self, user: &UserId) -> Vec<(DeviceId, NodeName)> {
        let sessions = self.shared.replica.user(user);
        sessions.into_iter().map(|(device, owned)| (device, owned.owner)).collect()
    }

    /// How many sessions the cluster has, as this node sees it.
    #[must_use]
    pub fn sessions(&self) -> u64 {
        let Counts { sessions, .. } = self.shared.replica.counts();
        sessions
    }

    /// How many members this node counts as alive, itself included.
    #[must_use]
    pub fn members_alive(&self) -> usize {
        let alive = |status: &&NodeStatus| status.state == "alive";
        self.shared.nodes().iter().filter(alive).count()
    }

    /// Stops the node gracefully: clients are told to come back elsewhere, spread over time, what
    /// was accepted is delivered, peers learn that it left. Bounded by the drain timeout.
    pub async fn shutdown(self) {
        let drain_timeout = self.shared.config.timers.drain_timeout;
        if timeout(drain_timeout, self.drain(drain_timeout)).await.is_err() {
            warn!("the drain timeout is over; stopping at once");
        }
    }

    async fn drain(&self, drain_timeout: Duration) {
        let shared = &self.shared;
        shared.phase.send_replace(Phase::Draining);
        shared.advertise().await;
        info!(node = %shared.config.name, "draining");
        let budget = drain_timeout.saturating_sub(LEAVE_RESERVE).max(drain_timeout / 2);
        drain::close_sessions(&shared.registry, &shared.entropy, budget).await;
        shared.stop_http.cancel();
        // Receipts of this node's last deliveries and its releases are on their way.
        sleep(LEAVE_GRACE).await;
        shared.phase.send_replace(Phase::Stopped);
        shared.advertise().await;
        shared.stop.cancel();
        shared.links.leave().await;
        self.tasks.close();
        self.tasks.wait().await;
        info!(node = %shared.config.name, "left");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.shared.stop_http.cancel();
        self.shared.stop.cancel();
        self.shared.links.close();
    }
}

impl Shared {
    fn gateway(
        self: &Arc<Self>,
        tokens: TokenVerifier,
        metrics: Arc<Metrics>,
        handler: Arc<dyn Handler>,
    ) -> Arc<Gateway> {
        let shared = Arc::clone(self);
        Arc::new(Gateway {
            config: Arc::clone(&self.config),
            router: Arc::clone(&self.router),
            registry: Arc::clone(&self.registry),
            replica: Arc::clone(&self.replica),
            metrics,
            tokens,
            handler,
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
            phase: self.phase.subscribe(),
            nodes: Box::new(move || shared.nodes()),
        })
    }

    /// Feeds the overlay, tells gossip how this node is, and notices when it is ready or has to stop.
    async fn keep_watch(self: Arc<Self>) {
        let mut tick = interval(limits::OVERLAY_TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let ended = self.gossip.terminated();
        tokio::pin!(ended);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                why = &mut ended => {
                    self.fault.send_replace(Some(Fault::Gossip(why)));
                    return;
                }
                _ = tick.tick() => {}
            }
            self.liveness.round(self.gossip.views().await, &self.links);
            if let Some(known) = self.liveness.superseded_by() {
                self.fault.send_replace(Some(Fault::Superseded { known }));
            }
            if *self.phase.borrow() == Phase::Joining
                && let Some(ready) = self.liveness.ready()
            {
                self.become_ready(&ready);
            }
            self.advertise().await;
        }
    }

    fn become_ready(&self, ready: &Ready) {
        match ready {
            Ready::Complete => info!(node = %self.config.name, "ready: all sections are here"),
            Ready::Alone if self.config.peers.is_empty() => info!(node = %self.config.name, "ready: no peers given"),
            Ready::Alone => warn!(
                node = %self.config.name,
                "ready, but none of the peers answers: if a cluster is running, check --peer, the cluster key and \
                 the cluster name"
            ),
            Ready::Incomplete(missing) => {
                warn!(node = %self.config.name, ?missing, "ready, but some sections did not arrive in time");
            }
        }
        // Draining may have begun meanwhile.
        self.phase.send_if_modified(|phase| {
            let joining = *phase == Phase::Joining;
            if joining {
                *phase = Phase::Ready;
            }
            joining
        });
    }

    async fn advertise(&self) {
        let state = match *self.phase.borrow() {
            Phase::Joining => AdvertState::Joining,
            Phase::Ready => AdvertState::Ready,
            Phase::Draining => AdvertState::Draining,
            Phase::Stopped => AdvertState::Left,
        };
        let advert = Advert {
            state,
            protocol: u16::from(crate::mesh::PROTOCOL_VERSION),
            mesh: self.mesh_shown,
            http: self.http_shown.clone(),
            zone: self.config.zone.clone(),
            sessions: bucket(self.registry.len() as u64),
        };
        self.gossip.advertise(&advert).await;
    }

    /// All members, this node first, as `GET /v1/nodes` shows them.
    fn nodes(&self) -> Vec<NodeStatus> {
        let counts = self.replica.counts().by_node;
        let sessions = |name: &NodeName| counts.get(name).copied().unwrap_or(0);
        let own_state = match *self.phase.borrow() {
            Phase::Joining => "joining",
            Phase::Ready => "alive",
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
            own: true,
        };
        let members = self.roster.members();
        let others = members.iter().map(|(name, entry)| {
            let rtt = self.links.get(name).map(|link| link.rtt());
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
                since_ms: self.started_ms + u64::try_from(entry.since.as_millis()).unwrap_or(u64::MAX),
                own: false,
            }
        });
        std::iter::once(own).chain(others).collect()
    }
}

/// The incarnation of this boot, decided before anybody hears of it.
async fn decide_incarnation(config: &Config, links: &Arc<Links>, now_ms: u64) -> Result<Incarnation, StartError> {
    let file = config.data_dir.as_deref().map(IncarnationFile::open).transpose()?;
    let persisted = file.as_ref().map(IncarnationFile::load).transpose()?.flatten();
    let known = links.probe(resolve(&config.peers).await).await;
    let decided = incarnation::decide(now_ms, persisted, known);
    if let Some(file) = &file {
        file.store(decided)?;
    }
    Ok(decided)
}

/// The addresses of the peers that can be resolved now; gossip goes on trying the others.
async fn resolve(peers: &[String]) -> Vec<SocketAddr> {
    let mut addrs = Vec::new();
    for peer in peers {
        if let Ok(addr) = peer.parse() {
            addrs.push(addr);
            continue;
        }
        match timeout(limits::INCARNATION_PROBE, lookup_host(peer)).await {
            Ok(Ok(found)) => addrs.extend(found),
            Ok(Err(error)) => warn!(%peer, %error, "a peer's name does not resolve; trying again later"),
            Err(_) => warn!(%peer, "a peer's name does not resolve in time; trying again later"),
        }
    }
    addrs
}

/// Kept of the drain timeout for what follows the sessions' end: requests, receipts, farewell.
const LEAVE_RESERVE: Duration = Duration::from_millis(2_500);
/// Source: longer than the directory's gathering time and a round trip.
const LEAVE_GRACE: Duration = Duration::from_millis(300);
