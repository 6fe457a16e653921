//! How a node comes up: each part is made once, in the order in which they need each other.

use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use axum::serve::Listener;
use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::config::{Config, LimitsConfig};
use crate::copies::{Copies, CopiesParts};
use crate::current::Current;
use crate::gateway::{Access, App, Certificate, Front, LoginKeys, Phase, Shares};
use crate::handler::{Handler, PushOnly};
use crate::id::Incarnation;
use crate::key::KeyHasher;
use crate::limits;
use crate::membership::gossip::{Gossip, GossipConfig};
use crate::membership::incarnation::{self, IncarnationFile};
use crate::membership::roster::Roster;
use crate::mesh::carried::Carried;
use crate::mesh::gossip::GossipTransport;
use crate::mesh::gossip::carrier::GossipCarrier;
use crate::mesh::identity::Identity;
use crate::mesh::{GossipOut, LaneStreams, Links, LinksParts, ReceiptStreams, endpoint};
use crate::metrics::Metrics;
use crate::metrics::label::{Spans, Task};
use crate::node::advertised::advertised;
use crate::node::faces::{self, Faces};
use crate::node::liveness::Liveness;
use crate::node::members::NodeMembers;
use crate::node::owners::NodeOwners;
use crate::node::readiness::JoinTerms;
use crate::node::seeds::Seeds;
use crate::node::shared::Shared;
use crate::node::{Node, StartError};
use crate::position::Writer;
use crate::quorum::Boot;
use crate::replica::Replica;
use crate::replication::Replication;
use crate::router::{Owner, Requests, Router, RouterParts};
use crate::session::{Copying, OutboxLimits, Registry, Store, StoreBounds};
use crate::token::ResumeKey;
use crate::trace::{self, Exports, Step, Tracer};
use crate::vital::Vitals;
use crate::wire::{Clock, Entropy, OpenFiles, Resolver, Threads, Wire};

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
        start(config, wire, handler).await
    }
}

/// Starts a node.
///
/// # Errors
/// See [`StartError`]; nothing is left running then.
async fn start<L>(config: Config, wire: Wire<L>, handler: Arc<dyn Handler>) -> Result<Node, StartError>
where
    L: Listener<Addr = SocketAddr>,
{
    config.check()?;
    let (http, mesh) = (wire.http_addr()?, wire.mesh_addr()?);
    let faces = Faces { clients: wire.tcp, api: wire.api, admin: wire.admin };
    let [api, admin] = faces.apart()?;
    config.check_mesh_address(mesh)?;
    let metrics = Arc::new(Metrics::new().with_process(wire.process_metrics));
    let login_keys = LoginKeys::new(&config.auth, wire.fetcher, Arc::clone(&metrics));
    let access = Arc::new(Current::new(Access::new(&config.auth, login_keys.as_deref())?));
    let certificate = config.tls.as_ref().map(Certificate::new).transpose()?.map(Arc::new);
    let identity = Identity::from_config(&config)?;
    let resume = ResumeKey::new(&identity.shared_key("resume token"));
    let entropy = Arc::new(Entropy::new(wire.seed));
    let mesh_shown = advertised(&config, mesh, &*wire.resolver).await?;
    let scheme = if certificate.is_some() { "https" } else { "http" };
    let http_shown = format!("{scheme}://{}", config.http_advertise.unwrap_or(http));
    let vitals = Vitals::new(Arc::clone(&metrics));
    let seeds = [entropy.seed(), entropy.seed()];
    let threads = wire.threads;
    let links_on = threads.links().clone();
    let newest = config.mesh_version;
    let endpoint =
        endpoint::open(wire.udp, wire.runtime, links_on, &identity, newest, seeds, vitals.clone())?;
    let hash_key = identity.shared_key("session keys");
    let links = Links::new(LinksParts {
        me: config.name.clone(),
        advertise: mesh_shown,
        endpoint,
        identity,
        vitals: vitals.clone(),
        entropy: Arc::clone(&entropy),
        takeover: config.takeover,
        threads: threads.clone(),
    });
    let tasks = TaskTracker::new();
    tasks.spawn_on(vitals.vital(Task::Mesh, Arc::clone(&links).accept()), threads.links());
    let front = Front::new(Arc::clone(&entropy));
    let shares = shares(&config, &wire.files);
    let terms = faces::terms(&config, certificate.as_ref(), shares, &vitals);
    let stop_http = CancellationToken::new();
    // Whoever gives up the start closes the port.
    let open = stop_http.clone().drop_guard();
    let served = faces.serve(terms, &front, &threads, &stop_http);
    let http_face = tasks.spawn(vitals.vital(Task::Http, served));
    let started = Started { vitals: vitals.clone(), links: Some(Arc::clone(&links)) };
    let (tracer, exports) = traces(&config, &metrics).map_err(StartError::Traces)?;
    let store = Arc::new(Store::new(store_bounds(&config.limits), Arc::clone(&metrics)));
    let parts = Parts {
        config: Arc::new(config),
        access,
        login_keys,
        certificate,
        store,
        threads,
        accepts_failed: wire.files.accepts_failed,
        websockets_max: shares.websockets,
        stop_http,
        links: Arc::clone(&links),
        metrics,
        vitals: vitals.clone(),
        clock: wire.clock,
        resolver: wire.resolver,
        entropy,
        http_shown,
        mesh_shown,
        hash_key,
        tracer,
    };
    let (shared, seeds) = parts.connect().await?;
    let handle = shared.handle();
    front.open(App::new(shared.gateway(resume, handler, handle.clone())));
    started.all();
    open.disarm();
    spawn(&shared, seeds, &tasks);
    let (node, incarnation) = (&shared.config.name, shared.incarnation);
    let trusted = shared.links.identity().trusted();
    info!(%node, %incarnation, http = %shared.http_shown, mesh = %mesh_shown, ?trusted, "node started");
    Ok(Node { shared, http, mesh, api, admin, handle, tasks, exports, http_face: Some(http_face) })
}

/// Spawns what works until the node stops.
fn spawn(shared: &Arc<Shared>, seeds: Seeds, tasks: &TaskTracker) {
    let (vitals, stop) = (&shared.vitals, || shared.stop.clone());
    tasks.spawn(vitals.vital(Task::Watch, Arc::clone(shared).keep_watch()));
    tasks.spawn(vitals.vital(Task::Seeds, seeds.keep_looking(Arc::clone(shared))));
    let (links, entropy) = (Arc::clone(&shared.links), Arc::clone(&shared.entropy));
    let replication = Arc::clone(&shared.replication);
    tasks.spawn(vitals.vital(Task::Copies, replication.run(links, entropy, stop())));
    tasks.spawn(vitals.vital(Task::Groups, Arc::clone(&shared.copies).run(stop())));
    tasks.spawn(vitals.vital(Task::Absent, Arc::clone(&shared.router).keep_absent(stop())));
    if let Some(keys) = &shared.login_keys {
        tasks.spawn(vitals.vital(Task::LoginKeys, Arc::clone(keys).run(stop())));
    }
}

/// What runs already while a node starts. Whoever gives up the start drops it, and that is no fault.
struct Started {
    vitals: Vitals,
    links: Option<Arc<Links>>,
}

impl Started {
    /// The node has started: all of it stays.
    fn all(mut self) {
        self.links = None;
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(links) = &self.links {
            self.vitals.stop();
            links.close();
        }
    }
}

/// What is known before the node speaks to anybody.
struct Parts {
    config: Arc<Config>,
    access: Arc<Current<Access>>,
    login_keys: Option<Arc<LoginKeys>>,
    certificate: Option<Arc<Certificate>>,
    /// What is kept for clients that are away.
    store: Arc<Store>,
    threads: Threads,
    accepts_failed: Arc<AtomicU64>,
    /// As far as the operating system allows.
    websockets_max: usize,
    stop_http: CancellationToken,
    links: Arc<Links>,
    metrics: Arc<Metrics>,
    vitals: Vitals,
    clock: Arc<dyn Clock>,
    resolver: Arc<dyn Resolver>,
    entropy: Arc<Entropy>,
    http_shown: String,
    mesh_shown: SocketAddr,
    /// Of the hash under which the directory keeps session keys.
    hash_key: [u8; 32],
    tracer: Tracer,
}

impl Parts {
    /// Decides the incarnation and joins the cluster under it.
    async fn connect(self) -> Result<(Arc<Shared>, Seeds), StartError> {
        let name = &self.config.name;
        let mut seeds = Seeds::new(&self.config.peers, Arc::clone(&self.resolver));
        let incarnation =
            decide_incarnation(&self.config, &self.links, &mut seeds, self.clock.now_ms(), &self.entropy)
                .await?;
        let hasher = KeyHasher::new(&self.hash_key);
        let (takeover, tuning) = (self.config.takeover, self.config.tuning);
        let replica = Arc::new(Replica::new(name.clone(), incarnation, hasher, takeover, tuning));
        let registry = Arc::new(Registry::new(name.clone(), self.websockets_max));
        let roster = Arc::new(Roster::joining());
        let owner = Arc::new(Owner::new(
            name.clone(),
            Arc::clone(&registry),
            Arc::clone(&replica),
            &self.threads,
            &self.vitals,
            self.tracer.clone(),
        ));
        let copies = self.copies(incarnation, &registry, &roster);
        let router = self.router(&replica, &registry, &roster, Arc::clone(&owner), Arc::clone(&copies));
        let liveness = Arc::new(Liveness::new(
            &self.config,
            JoinTerms::of(&self.config, seeds.name_others(self.mesh_shown)),
            incarnation,
            Arc::clone(&roster),
            Arc::clone(&replica),
            Arc::downgrade(&router),
        ));
        let owners = NodeOwners { liveness: Arc::clone(&liveness), roster: Arc::clone(&roster) };
        let replication = Replication::new(Arc::clone(&replica), Arc::new(owners), self.vitals.clone());
        let (gossip_in, gossip_out) = mpsc::channel(limits::GOSSIP_INBOX);
        let carried = copies.register(self.carried(&replication, owner, gossip_in));
        let members = NodeMembers {
            me: name.clone(),
            liveness: Arc::clone(&liveness),
            roster: Arc::clone(&roster),
            links: Arc::downgrade(&self.links),
            vitals: self.vitals.clone(),
        };
        self.links.start(incarnation, Arc::new(members), carried);
        let (gossip, gossip_rejected) =
            self.start_gossip(incarnation, seeds.literal().to_vec(), gossip_out).await?;
        let shared = Shared {
            incarnation,
            started_ms: self.clock.now_ms(),
            proof: Mutex::new(self.config.mesh_identity.clone()),
            config: self.config,
            access: self.access,
            login_keys: self.login_keys,
            certificate: self.certificate,
            threads: self.threads,
            clock: self.clock,
            entropy: self.entropy,
            replica,
            replication,
            copies,
            registry,
            roster,
            links: self.links,
            liveness,
            router,
            gossip,
            gossip_rejected,
            accepts_failed: self.accepts_failed,
            metrics: self.metrics,
            phase: watch::Sender::new(Phase::Joining),
            vitals: self.vitals,
            http_shown: self.http_shown,
            mesh_shown: self.mesh_shown,
            stop_http: self.stop_http,
            stop: CancellationToken::new(),
        };
        Ok((Arc::new(shared), seeds))
    }

    /// All that the links carry. A new kind of streams adds a line here, and a file for its handler.
    fn carried(
        &self,
        replication: &Arc<Replication>,
        owner: Arc<Owner>,
        gossip: mpsc::Sender<(SocketAddr, Bytes)>,
    ) -> Carried {
        let requests = Requests {
            me: self.config.name.clone(),
            owner,
            links: Arc::downgrade(&self.links),
            vitals: self.vitals.clone(),
            push_timeout: self.config.timers.push_timeout,
        };
        let gossip = Arc::new(GossipCarrier::new(gossip, Arc::clone(&self.metrics)));
        let carried = Carried::new(Arc::clone(&gossip))
            .streams(Arc::new(LaneStreams(Arc::new(requests))))
            .streams(Arc::new(ReceiptStreams))
            .streams(Arc::clone(&gossip))
            .task(gossip);
        replication.register(carried)
    }

    /// What this node holds for others, and others for it.
    fn copies(
        &self,
        incarnation: Incarnation,
        registry: &Arc<Registry>,
        roster: &Arc<Roster>,
    ) -> Arc<Copies> {
        let (config, limits) = (&self.config, &self.config.limits);
        let copies = Copies::new(CopiesParts {
            me: Boot { name: config.name.clone(), incarnation },
            wants: limits.copies,
            keep_max: config.timers.keep_max,
            zone: config.zone.clone(),
            takeover: config.takeover,
            registry: Arc::clone(registry),
            roster: Arc::clone(roster),
            store: Arc::clone(&self.store),
            metrics: Arc::clone(&self.metrics),
            vitals: self.vitals.clone(),
            resume_timeout: config.timers.resume_timeout,
            copied_after: config.tuning.copied_after,
        });
        let copying: Arc<dyn Copying> = copies.clone();
        self.store.copy_by(Arc::downgrade(&copying));
        copies
    }

    async fn start_gossip(
        &self,
        incarnation: Incarnation,
        seeds: Vec<SocketAddr>,
        inbox: mpsc::Receiver<(SocketAddr, Bytes)>,
    ) -> Result<(Gossip, Arc<AtomicU64>), StartError> {
        let transport = GossipTransport::new(Arc::new(GossipOut(Arc::clone(&self.links))), inbox);
        let config = GossipConfig {
            cluster: self.config.cluster.clone(),
            name: self.config.name.clone(),
            incarnation,
            advertise: self.mesh_shown,
            seeds,
            advert: Shared::advert(&self.config, Phase::Joining, self.mesh_shown, &self.http_shown, 0),
        };
        let rejected = transport.rejected();
        Ok((Gossip::start(config, &transport).await?, rejected))
    }

    fn router(
        &self,
        replica: &Arc<Replica>,
        registry: &Arc<Registry>,
        roster: &Arc<Roster>,
        owner: Arc<Owner>,
        copies: Arc<Copies>,
    ) -> Arc<Router> {
        let limits = &self.config.limits;
        Router::new(RouterParts {
            me: self.config.name.clone(),
            replica: Arc::clone(replica),
            registry: Arc::clone(registry),
            links: Arc::clone(&self.links),
            roster: Arc::clone(roster),
            owner,
            metrics: Arc::clone(&self.metrics),
            vitals: self.vitals.clone(),
            clock: Arc::clone(&self.clock),
            push_timeout: self.config.timers.push_timeout,
            outbox: OutboxLimits { messages_max: limits.outbox_messages, bytes_max: limits.outbox_bytes },
            store: Arc::clone(&self.store),
            resume_timeout: self.config.timers.resume_timeout,
            incarnation: copies.me().incarnation,
            writer: Writer::of(&self.config.name, copies.me().incarnation),
            copies,
            id_prefix: self.entropy.next_u64(),
            tracer: self.tracer.clone(),
        })
    }
}

/// What makes the spans of pushes, and where they go.
fn traces(config: &Config, metrics: &Arc<Metrics>) -> io::Result<(Tracer, Exports)> {
    let Some(otlp) = &config.otlp else { return Ok((Tracer::none(), Exports::none())) };
    let metrics = Arc::clone(metrics);
    let count = move |step, spans| {
        let step = match step {
            Step::Ended => Spans::Ended,
            Step::Exported => Spans::Exported,
            Step::Failed => Spans::Failed,
        };
        metrics.trace_spans.with(step).increment(spans);
    };
    trace::start((otlp.endpoint.uri(), otlp.sample.as_f64()), &config.name, Arc::new(count))
}

/// How much may be kept for clients that are away.
fn store_bounds(limits: &LimitsConfig) -> StoreBounds {
    StoreBounds {
        messages_max: limits.kept_messages,
        bytes_max: limits.kept_bytes,
        node_bytes_max: limits.kept_bytes_total,
    }
}

/// How many connections there may be. Warns where they are fewer than configured.
fn shares(config: &Config, files: &OpenFiles) -> Shares {
    let max_connections = config.limits.max_connections;
    let (wanted, shares) =
        (Shares::new(max_connections, None), Shares::new(max_connections, files.connections_max));
    if shares != wanted {
        warn!(
            websockets = shares.websockets,
            max_connections,
            needed = OpenFiles::limit_for(wanted.all()),
            "the limit of open files is too low for --max-connections: raise `ulimit -n` (or LimitNOFILE=), or lower it"
        );
    }
    shares
}

/// The incarnation of this boot, decided before anybody hears of it.
async fn decide_incarnation(
    config: &Config,
    links: &Arc<Links>,
    seeds: &mut Seeds,
    now_ms: u64,
    entropy: &Entropy,
) -> Result<Incarnation, StartError> {
    let file = config.data_dir.as_deref().map(IncarnationFile::open).transpose()?;
    let persisted = file.as_ref().map(IncarnationFile::load).transpose()?.flatten();
    let known = links.probe(seeds.first(limits::INCARNATION_PROBE).await).await;
    if let Some(addr) = known.namesake().filter(|_| !config.replace) {
        return Err(StartError::NameTaken { name: config.name.clone(), addr });
    }
    let draw = |from: RangeInclusive<u64>| entropy.between(*from.start(), *from.end());
    let (clock, step) = (now_ms.saturating_add(draw(incarnation::SPREAD)), draw(incarnation::STEPS));
    let decided = incarnation::decide(clock, persisted, known.highest().max(config.again.above()), step);
    if let Some(file) = &file {
        file.store(decided)?;
    }
    Ok(decided)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::handler::PushOnly;
    use crate::id::NodeName;

    /// What a node says that is started with a changed configuration.
    async fn refusal(change: impl FnOnce(&mut Config)) -> String {
        let mut config = Config::dev(NodeName::new("n1").unwrap());
        change(&mut config);
        let wire = Wire::bind(config.listen, config.mesh_listen).await.unwrap();
        match start(config, wire, Arc::new(PushOnly)).await {
            Err(error @ StartError::Config(_)) => error.to_string(),
            Err(error) => panic!("another error: {error}"),
            Ok(_) => panic!("the node starts"),
        }
    }

    #[tokio::test]
    async fn a_wrong_number_is_an_error_of_the_start() {
        let outbox = refusal(|config| config.limits.outbox_messages = 0).await;
        assert_eq!(outbox, "limits.outbox_messages: 0 would allow nothing: give at least 1");
        let heartbeat = refusal(|config| config.timers.heartbeat_timeout = Duration::from_secs(20)).await;
        assert!(heartbeat.starts_with("timers.heartbeat_timeout: 20s must exceed twice"), "{heartbeat}");
        let payload = refusal(|config| config.limits.max_payload_bytes = 1 << 30).await;
        assert!(payload.starts_with("limits.max_payload_bytes: 1073741824 is above"), "{payload}");
        let ring = refusal(|config| config.tuning.change_ring = 0).await;
        assert!(ring.starts_with("tuning.change_ring: 0 would"), "{ring}");
    }

    #[tokio::test]
    async fn a_node_that_listens_everywhere_has_to_say_where_it_is_dialled() {
        let config = Config::dev(NodeName::new("n1").unwrap());
        let everywhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let wire = Wire::bind(config.listen, everywhere).await.unwrap();
        let error = start(config, wire, Arc::new(PushOnly)).await.map(|_| ()).unwrap_err().to_string();
        assert!(error.starts_with("mesh_advertise is missing: "), "{error}");
    }
}
