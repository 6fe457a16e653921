//! The links of a node: finds them by the peer's name, dials in the background, accepts.
//!
//! Dialling is single-flight for each address and backs off, so that callers may ask as often as
//! they like. When two nodes dial each other at the same time, both keep the connection that the
//! node with the smaller name opened; the other one is retired: nothing new is sent on it, what is
//! in flight may finish.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, RwLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use quinn::{Connection, Endpoint};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::config::{MeshVersion, Takeover};
use crate::id::{Incarnation, NodeName};
use crate::limits;
use crate::mesh::admission::Admission;
use crate::mesh::carried::Carried;
use crate::mesh::contest::{InUse, Newcomer, Outcome, is_fresh};
use crate::mesh::dials::Dials;
use crate::mesh::endpoint::CloseCode;
use crate::mesh::frame::{Features, Hello, KnownMember, Settings};
use crate::mesh::identity::Identity;
use crate::mesh::link::{Link, LinkShared, Peer};
use crate::mesh::links::disagreements::Disagreements;
use crate::mesh::mailbox::Mailbox;
use crate::mesh::mailboxes::Mailboxes;
use crate::mesh::members::Members;
use crate::mesh::notice::Notice;
use crate::mesh::offenders::Offenders;
use crate::mesh::running::{self, LinkEnd};
use crate::metrics::Metrics;
use crate::metrics::label::Task;
use crate::vital::Vitals;
use crate::wire::{Entropy, Threads};

mod accept;
mod dial;
mod disagreements;
mod gossip_out;
mod probe;
mod renew;

pub(crate) use gossip_out::GossipOut;

/// All links of a node.
pub(crate) struct Links {
    me: NodeName,
    /// Where peers are told to reach this node.
    advertise: SocketAddr,
    endpoint: Endpoint,
    identity: Identity,
    metrics: Arc<Metrics>,
    entropy: Arc<Entropy>,
    settings: Settings,
    admission: Arc<Admission>,
    /// Which refused connections are worth a line of the log.
    refusals: Notice,
    disagreements: Disagreements,
    vitals: Vitals,
    threads: Threads,
    /// `None` until this boot's incarnation is decided; handshakes wait for it.
    incarnation: watch::Sender<Option<Incarnation>>,
    started: OnceLock<Started>,
    shared: Arc<LinkShared>,
    by_name: RwLock<BTreeMap<NodeName, Arc<Link>>>,
    /// Links that lost against another one and are not closed yet, the oldest of each peer first.
    retired: Mutex<BTreeMap<NodeName, VecDeque<Weak<Link>>>>,
    /// What the times of `dials` count from.
    began: Instant,
    dials: Mutex<Dials>,
    mailboxes: Mutex<Mailboxes>,
    tasks: TaskTracker,
}

/// What links are made of.
pub(crate) struct LinksParts {
    pub(crate) me: NodeName,
    /// Where peers are told to reach this node.
    pub(crate) advertise: SocketAddr,
    pub(crate) endpoint: Endpoint,
    pub(crate) identity: Identity,
    pub(crate) vitals: Vitals,
    pub(crate) entropy: Arc<Entropy>,
    pub(crate) takeover: Takeover,
    pub(crate) threads: Threads,
}

/// What links work with once the node has started.
struct Started {
    members: Arc<dyn Members>,
    carried: Arc<Carried>,
}

impl Links {
    /// No links yet. Peers that connect wait until [`Links::start`].
    pub(crate) fn new(parts: LinksParts) -> Arc<Self> {
        let LinksParts { me, advertise, endpoint, identity, vitals, entropy, takeover, threads } = parts;
        let settings = Settings { takeover: takeover.to_string(), keys_check: identity.keys_check() };
        let metrics = Arc::clone(vitals.metrics());
        let shared = LinkShared {
            metrics: Arc::clone(&metrics),
            vitals: vitals.clone(),
            offenders: Offenders::default(),
        };
        Arc::new(Self {
            entropy,
            settings,
            admission: Admission::new(identity.passes()),
            refusals: Notice::new(limits::REFUSALS_LOGGED_EVERY),
            disagreements: Disagreements::default(),
            me,
            advertise,
            endpoint,
            identity,
            metrics,
            shared: Arc::new(shared),
            vitals,
            threads,
            incarnation: watch::Sender::new(None),
            started: OnceLock::new(),
            by_name: RwLock::default(),
            retired: Mutex::default(),
            began: Instant::now(),
            dials: Mutex::default(),
            mailboxes: Mutex::default(),
            tasks: TaskTracker::new(),
        })
    }

    /// Starts linking as this incarnation; the links carry what is registered in `carried`.
    ///
    /// # Panics
    /// When called twice.
    pub(crate) fn start(&self, incarnation: Incarnation, members: Arc<dyn Members>, carried: Carried) {
        let started = Started { members, carried: Arc::new(carried) };
        assert!(self.started.set(started).is_ok(), "a node starts once");
        self.incarnation.send_replace(Some(incarnation));
    }

    /// The link to a peer.
    pub(crate) fn get(&self, name: &NodeName) -> Option<Arc<Link>> {
        self.by_name.read().expect(NOT_POISONED).get(name).cloned()
    }

    /// The link to the peer that has this mesh address.
    fn linked_at(&self, addr: SocketAddr) -> Option<Arc<Link>> {
        let by_name = self.by_name.read().expect(NOT_POISONED);
        by_name.values().find(|link| link.peer().mesh == addr).cloned()
    }

    /// Whether a panic has left something half changed that all links rely on.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.by_name.is_poisoned()
            || self.retired.is_poisoned()
            || self.dials.is_poisoned()
            || self.mailboxes.is_poisoned()
    }

    /// All links, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Link>> {
        self.by_name.read().expect(NOT_POISONED).values().cloned().collect()
    }

    /// The peers that could not be linked lately because their settings differ from this node's, with the reason.
    pub(crate) fn disagreeing(&self) -> Vec<(NodeName, String)> {
        self.disagreements.all(Instant::now())
    }

    /// How many handshakes that others began are under way.
    pub(crate) fn handshakes(&self) -> usize {
        let (members, strangers) = self.admission.under_way();
        members + strangers
    }

    /// How many addresses were dialled.
    pub(crate) fn addresses(&self) -> usize {
        self.dials.lock().expect(NOT_POISONED).len()
    }

    /// How many addresses have a mailbox.
    pub(crate) fn mailboxes(&self) -> usize {
        self.mailboxes.lock().expect(NOT_POISONED).len()
    }

    fn hello(&self) -> Hello {
        Hello {
            name: self.me.clone(),
            incarnation: self.incarnation.borrow().expect("links are made after the start"),
            mesh: self.advertise,
            members: self.members().members(),
            settings: self.settings.clone(),
            features: Features::OWN,
        }
    }

    fn started(&self) -> &Started {
        self.started.get().expect("links are made after the start")
    }

    fn members(&self) -> &dyn Members {
        &*self.started().members
    }

    fn mailbox(&self, addr: SocketAddr) -> Arc<Mailbox<Bytes>> {
        self.mailboxes.lock().expect(NOT_POISONED).of(addr)
    }

    /// Puts a connection into use, unless the one that is in use wins against it.
    fn establish(
        self: &Arc<Self>,
        connection: Connection,
        version: MeshVersion,
        hello: Hello,
        dialled: bool,
    ) {
        let Hello { name, incarnation, mesh, members, settings: _, features } = hello;
        let spoken = (version, features.shared_with(Features::OWN));
        let peer = Peer { name, incarnation, mesh };
        self.disagreements.over(&peer.name);
        let (mailbox, shared) = (self.mailbox(mesh), Arc::clone(&self.shared));
        let link = Arc::new(Link::new(peer.clone(), connection, spoken, dialled, mailbox, shared));
        let (carried, threads) = (Arc::clone(&self.started().carried), self.threads.clone());
        let replaced = {
            let mut by_name = self.by_name.write().expect(NOT_POISONED);
            let outcome = by_name.get(&peer.name).map(|held| self.contest(held, &link));
            if outcome == Some(Outcome::Stays) {
                // The peer may have used it already: serve what it sent, then close.
                link.open();
                let run = running::run(Arc::clone(&link), carried, threads);
                self.spawn_for(&link, async { _ = run.await });
                self.retire(link);
                return;
            }
            by_name.insert(peer.name.clone(), Arc::clone(&link)).zip(outcome)
        };
        let fresh = replaced.as_ref().is_none_or(|(old, _)| old.peer().incarnation != peer.incarnation);
        match &replaced {
            Some((old, Outcome::Closed)) => CloseCode::Duplicate.close(old.connection()),
            Some((old, _)) => self.retire(Arc::clone(old)),
            None => {}
        }
        if fresh {
            info!(peer = %peer.name, incarnation = %peer.incarnation, addr = %peer.mesh, %version, features = link.features().0, "link up");
        }
        let links = Arc::clone(self);
        if !self.identity.trusts(link.connection()) {
            // Its handshake began before that: whoever exchanges the identity looks at links that are in use.
            CloseCode::Ended.close(link.connection());
        }
        self.members().link_up(&peer, members);
        let next = Arc::clone(&link);
        // Not a part of the link: when it is replaced in turn, the one after it waits for both.
        self.spawn_for(&link, async move {
            if let Some((old, _)) = replaced {
                drained(&old).await;
            }
            next.open();
        });
        self.spawn_for(&Arc::clone(&link), async move {
            let run =
                links.vitals.contained(Task::Link, running::run(Arc::clone(&link), carried, threads)).await;
            links.closed(&link, run.unwrap_or(LinkEnd::Broken));
            if run.is_err() {
                CloseCode::Ended.close(link.connection());
            }
        });
    }

    /// Does something for a link in the background. Should it panic, the link ends.
    fn spawn_for(&self, link: &Arc<Link>, work: impl Future<Output = ()> + Send + 'static) {
        let (vitals, link) = (self.vitals.clone(), Arc::clone(link));
        self.spawn(async move {
            if vitals.contained(Task::Link, work).await.is_err() {
                CloseCode::Ended.close(link.connection());
            }
        });
    }

    /// Does something in the background, where the links are.
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn_on(work, self.threads.links());
    }

    /// What becomes of the link in use when another one to the same peer comes up.
    fn contest(&self, held: &Link, new: &Link) -> Outcome {
        let in_use = InUse {
            incarnation: held.peer().incarnation,
            closed: held.connection().close_reason().is_some(),
            dialled: held.dialled(),
            age: held.since().elapsed(),
            silence: held.heard().elapsed(),
        };
        let newcomer = Newcomer { incarnation: new.peer().incarnation, dialled: new.dialled() };
        in_use.against(newcomer, self.me < held.peer().name)
    }

    /// Keeps a connection for what is in flight on it, then closes it.
    fn retire(self: &Arc<Self>, link: Arc<Link>) {
        link.retire();
        if let Some(oldest) = self.one_retired_too_many(&link) {
            CloseCode::Duplicate.close(oldest.connection());
        }
        self.spawn_for(&Arc::clone(&link), async move {
            tokio::select! {
                () = sleep(limits::LINK_RETIRE) => CloseCode::Duplicate.close(link.connection()),
                _ = link.connection().closed() => {}
            }
        });
    }

    /// Notes that a link is retired, and returns the one of the same peer that has to go for it.
    fn one_retired_too_many(&self, link: &Arc<Link>) -> Option<Arc<Link>> {
        let open =
            |link: &Weak<Link>| link.upgrade().is_some_and(|l| l.connection().close_reason().is_none());
        let mut retired = self.retired.lock().expect(NOT_POISONED);
        retired.retain(|_, links| {
            links.retain(open);
            !links.is_empty()
        });
        let of_peer = retired.entry(link.peer().name.clone()).or_default();
        of_peer.push_back(Arc::downgrade(link));
        if of_peer.len() <= limits::LINKS_RETIRED_MAX {
            return None;
        }
        of_peer.pop_front().and_then(|oldest| oldest.upgrade())
    }

    fn closed(&self, link: &Arc<Link>, end: LinkEnd) {
        {
            let mut by_name = self.by_name.write().expect(NOT_POISONED);
            match by_name.get(&link.peer().name) {
                Some(held) if Arc::ptr_eq(held, link) => by_name.remove(&link.peer().name),
                _ => return, // It was retired: the peer is still linked.
            };
        }
        match end {
            LinkEnd::PeerLeft => info!(peer = %link.peer().name, "link closed, the peer has left"),
            LinkEnd::Broken => warn!(peer = %link.peer().name, "link down"),
            LinkEnd::ClosedHere => debug!(peer = %link.peer().name, "link closed here"),
        }
        self.members().link_down(link.peer(), end == LinkEnd::PeerLeft);
    }

    /// Tells all peers that this node has left, and closes everything.
    pub(crate) async fn leave(&self) {
        self.endpoint.close(CloseCode::Left.code(), b"");
        self.endpoint.wait_idle().await;
    }

    /// Closes everything without waiting for anything.
    pub(crate) fn close(&self) {
        self.endpoint.close(CloseCode::Ended.code(), b"");
    }
}

/// Ends when a link that was replaced has drained: no request is in flight on it any more, nor on those before it. The
/// requests of its successor must not overtake these. A link that falls silent meanwhile is given up with what is in
/// flight on it.
async fn drained(old: &Link) {
    old.opened().await;
    while timeout(LOOK, old.idle()).await.is_err() {
        if !is_fresh(old.heard().elapsed()) {
            return CloseCode::Duplicate.close(old.connection());
        }
    }
}

/// A member of the cluster, seen from outside the mesh.
impl From<&Peer> for KnownMember {
    fn from(peer: &Peer) -> Self {
        Self { name: peer.name.clone(), incarnation: peer.incarnation, mesh: peer.mesh }
    }
}

const NOT_POISONED: &str = "no panic happens under this lock";
/// Time between two looks at whether a link that drains has fallen silent.
const LOOK: Duration = Duration::from_millis(100);
