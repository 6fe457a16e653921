//! The links of a node: finds them by the peer's name, dials in the background, accepts.
//!
//! Dialling is single-flight for each address and backs off, so that callers may ask as often as
//! they like. When two nodes dial each other at the same time, both keep the connection that the
//! node with the smaller name opened; the other one is retired: nothing new is sent on it, what is
//! in flight may finish.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, RwLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use quinn::{Connection, Endpoint};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::config::Takeover;
use crate::id::{Incarnation, NodeName};
use crate::limits;
use crate::mesh::admission::Admission;
use crate::mesh::endpoint::{self, CloseCode, DialError};
use crate::mesh::frame::{Hello, ProbeAnswer, Settings};
use crate::mesh::gossip::GossipSend;
use crate::mesh::handshake::{self, HandshakeError};
use crate::mesh::identity::Identity;
use crate::mesh::link::{Link, LinkContext, LinkEnd, Peer};
use crate::mesh::links::disagreements::Disagreements;
use crate::mesh::mailbox::Mailbox;
use crate::mesh::notice::Notice;
use crate::mesh::refusal::Refusal;
use crate::mesh::{KnownMember, Service, anti_entropy};
use crate::metrics::Metrics;
use crate::metrics::label::Task;
use crate::replica::Replica;
use crate::vital::Vitals;
use crate::wire::Entropy;

mod accept;
mod disagreements;

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
    /// `None` until this boot's incarnation is decided; handshakes wait for it.
    incarnation: watch::Sender<Option<Incarnation>>,
    context: OnceLock<Arc<LinkContext>>,
    by_name: RwLock<BTreeMap<NodeName, Arc<Link>>>,
    /// Links that lost against another one and are not closed yet, the oldest of each peer first.
    retired: Mutex<BTreeMap<NodeName, VecDeque<Weak<Link>>>>,
    dials: Mutex<HashMap<SocketAddr, Dial>>,
    mailboxes: Mutex<HashMap<SocketAddr, Arc<Mailbox<Bytes>>>>,
    tasks: TaskTracker,
}

/// What is known of an address.
struct Dial {
    busy: bool,
    failures: u32,
    not_before: Instant,
    /// Who answered there last.
    name: Option<NodeName>,
}

impl Links {
    /// No links yet. Peers that connect wait until [`Links::start`].
    pub(crate) fn new(
        me: NodeName,
        advertise: SocketAddr,
        endpoint: Endpoint,
        identity: Identity,
        vitals: Vitals,
        entropy: Arc<Entropy>,
        takeover: Takeover,
    ) -> Arc<Self> {
        let settings = Settings { takeover: takeover.to_string(), keys_check: identity.keys_check() };
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
            metrics: Arc::clone(vitals.metrics()),
            vitals,
            incarnation: watch::Sender::new(None),
            context: OnceLock::new(),
            by_name: RwLock::default(),
            retired: Mutex::default(),
            dials: Mutex::default(),
            mailboxes: Mutex::default(),
            tasks: TaskTracker::new(),
        })
    }

    /// Asks the nodes at these addresses which incarnation of this node's name they know, and then those
    /// whom they know: after a mass restart it may be none of the first that remembers. Gives the highest.
    /// Bounded by [`limits::INCARNATION_PROBE`].
    pub(crate) async fn probe(self: &Arc<Self>, addrs: Vec<SocketAddr>) -> Option<Incarnation> {
        let (answered, mut answers) = mpsc::channel(limits::PEERS_MAX);
        let (mut asked, mut open) = (BTreeSet::new(), 0);
        let (mut next, mut highest) = (addrs, None);
        let deadline = sleep(limits::INCARNATION_PROBE);
        tokio::pin!(deadline);
        loop {
            for addr in next.drain(..) {
                if asked.len() < limits::PEERS_MAX && asked.insert(addr) {
                    open += 1;
                    let (links, answered) = (Arc::clone(self), answered.clone());
                    self.tasks.spawn(async move {
                        let _ = answered.send(links.probe_one(addr).await).await; // Too late to matter.
                    });
                }
            }
            if open == 0 {
                return highest;
            }
            tokio::select! {
                Some(answer) = answers.recv() => {
                    open -= 1;
                    if let Some(ProbeAnswer { known, members }) = answer {
                        highest = highest.max(known);
                        next = members;
                    }
                }
                () = &mut deadline => return highest,
            }
        }
    }

    /// Also a process of this very name is asked: it may be an older one that still runs.
    async fn probe_one(&self, addr: SocketAddr) -> Option<ProbeAnswer> {
        let (connection, _) = endpoint::dial(&self.endpoint, &self.identity, addr).await.ok()?;
        let answer = handshake::probe(&connection, &self.me).await;
        CloseCode::Probed.close(&connection);
        answer.ok()
    }

    /// Starts linking as this incarnation.
    ///
    /// # Panics
    /// When called twice.
    pub(crate) fn start(
        &self,
        incarnation: Incarnation,
        service: Arc<dyn Service>,
        replica: Arc<Replica>,
        gossip_inbox: mpsc::Sender<(SocketAddr, Bytes)>,
    ) {
        let metrics = Arc::clone(&self.metrics);
        let context =
            Arc::new(LinkContext::new(service, replica, metrics, self.vitals.clone(), gossip_inbox));
        assert!(self.context.set(context).is_ok(), "a node starts once");
        self.incarnation.send_replace(Some(incarnation));
    }

    /// Keeps the copies of all sections right until `stop`; for a node that has started.
    pub(crate) async fn keep_copies(self: Arc<Self>, entropy: Arc<Entropy>, stop: CancellationToken) {
        let context = Arc::clone(self.context());
        anti_entropy::run(self, context, entropy, stop).await;
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
        let pulling = self.context.get().is_some_and(|context| context.pulling.is_poisoned());
        self.by_name.is_poisoned() || self.dials.is_poisoned() || self.mailboxes.is_poisoned() || pulling
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

    /// Dials `addr` in the background, unless that is going on or failed a moment ago.
    pub(crate) fn dial(self: &Arc<Self>, addr: SocketAddr, expected: Option<NodeName>) {
        let own = addr == self.advertise && expected.is_none(); // A seed, or gossip about this node.
        if own || self.context.get().is_none() {
            return;
        }
        {
            let mut dials = self.dials.lock().expect(NOT_POISONED);
            let now = Instant::now();
            if !dials.contains_key(&addr) && dials.len() >= limits::PEERS_MAX {
                // Addresses of nodes that are gone must not keep new ones out.
                let idle =
                    dials.iter().filter(|(_, dial)| !dial.busy).min_by_key(|(_, dial)| dial.not_before);
                let Some(idle) = idle.map(|(addr, _)| *addr) else { return };
                dials.remove(&idle);
            }
            let dial =
                dials.entry(addr).or_insert(Dial { busy: false, failures: 0, not_before: now, name: None });
            if dial.busy || now < dial.not_before {
                return;
            }
            dial.busy = true;
        }
        let links = Arc::clone(self);
        self.tasks.spawn(async move {
            if links.vitals.contained(Task::Dial, links.dial_now(addr, expected)).await.is_err() {
                links.dialled(addr, None, Duration::ZERO); // Or it would never be dialled again.
            }
        });
    }

    async fn dial_now(self: &Arc<Self>, addr: SocketAddr, expected: Option<NodeName>) {
        // Another node may have taken over the address of one that is gone. A linked one is not asked
        // again who it is: the one that is gone would be looked for five times a second.
        let heir = self.heir(addr, expected.as_ref());
        let mut again = Duration::ZERO;
        let reached = match &heir {
            Some(heir) => Some(heir.clone()),
            None => match self.dial_once(addr).await {
                Ok(name) => Some(name),
                Err(failed) => {
                    again = failed.again;
                    None
                }
            },
        };
        self.dialled(addr, reached.clone(), again);
        let missed = reached.is_none() || expected.is_some() && reached != expected;
        if missed && heir.is_none() {
            self.metrics.mesh_dials_failed.increment(1);
        }
        self.context().service.dial_ended(addr, expected.as_ref(), reached.as_ref());
    }

    /// Who has the address at which `expected` is looked for: this node, or a peer that is linked.
    fn heir(&self, addr: SocketAddr, expected: Option<&NodeName>) -> Option<NodeName> {
        let expected = expected?;
        if addr == self.advertise {
            return (self.me != *expected).then(|| self.me.clone());
        }
        let link = self.linked_at(addr)?;
        let heir = link.peer().name != *expected && link.heard().elapsed() <= FRESH;
        heir.then(|| link.peer().name.clone())
    }

    async fn dial_once(self: &Arc<Self>, addr: SocketAddr) -> Result<NodeName, NotLinked> {
        let dialled = endpoint::dial(&self.endpoint, &self.identity, addr).await;
        let (connection, name) = dialled.map_err(|error| {
            debug!(%addr, %error, "nobody of this cluster was reached");
            // Somebody was, who is not of this cluster, or who says that this node is not of theirs.
            if let DialError::Connection(error) = &error {
                let refusal = Refusal::of_connection(error);
                let told = matches!(refusal, Some(Refusal::Identity | Refusal::Version));
                self.refused(refusal.filter(|_| told), addr, error);
            }
            NotLinked { again: Duration::ZERO }
        })?;
        // The peer may have several addresses, such as a service's. It is linked already: a second
        // connection would only have to be resolved against the first.
        if self.get(&name).is_some_and(|link| link.heard().elapsed() <= FRESH) {
            CloseCode::Duplicate.close(&connection);
            return Ok(name);
        }
        let greeted = async {
            if self.context().offenders.barred(&name, Instant::now()) {
                return Err(HandshakeError::Barred);
            }
            let hello = handshake::greet(&connection, &name, &self.hello()).await?;
            if name == self.me {
                return Err(HandshakeError::Myself);
            }
            match self.context().service.superseding(&name, hello.incarnation) {
                Some(known) => Err(HandshakeError::PeerIsStale { known }),
                None => Ok(hello),
            }
        };
        match greeted.await {
            Ok(hello) => {
                self.establish(connection, hello, true);
                Ok(name)
            }
            Err(error) => {
                if let HandshakeError::Stale { known } = error {
                    self.context().service.superseded(known);
                }
                debug!(%addr, peer = %name, %error, "a dialled peer was not linked");
                CloseCode::Ended.close(&connection);
                let disagreed = error.is_disagreement();
                if disagreed {
                    self.disagreed(&name, addr, &error);
                }
                let again = if disagreed { limits::DISAGREED_RETRY } else { Duration::ZERO };
                Err(NotLinked { again })
            }
        }
    }

    /// Notes how a dial ended. It is not repeated before `again` is over.
    fn dialled(&self, addr: SocketAddr, name: Option<NodeName>, again: Duration) {
        let mut dials = self.dials.lock().expect(NOT_POISONED);
        let dial = dials.get_mut(&addr).expect("an address that is dialled is noted");
        dial.busy = false;
        dial.failures = if name.is_some() { 0 } else { dial.failures.saturating_add(1) };
        // Nodes that lost the same peer at the same moment do not dial it in step.
        let share = self.entropy.between(DIAL_JITTER_MIN, DIAL_JITTER_MAX);
        dial.not_before = Instant::now() + again.max(jittered(backoff(dial.failures), share));
        dial.name = name.or(dial.name.take());
    }

    fn hello(&self) -> Hello {
        Hello {
            name: self.me.clone(),
            incarnation: self.incarnation.borrow().expect("links are made after the start"),
            mesh: self.advertise,
            members: self.context().service.members(),
            settings: self.settings.clone(),
        }
    }

    fn context(&self) -> &Arc<LinkContext> {
        self.context.get().expect("links are made after the start")
    }

    /// Puts a connection into use, unless the one that is in use wins against it.
    fn establish(self: &Arc<Self>, connection: Connection, hello: Hello, dialled: bool) {
        let Hello { name, incarnation, mesh, members, settings: _ } = hello;
        let peer = Peer { name, incarnation, mesh };
        self.disagreements.over(&peer.name);
        let link = Arc::new(Link::new(peer.clone(), connection, dialled, self.mailbox(mesh)));
        let replaced = {
            let mut by_name = self.by_name.write().expect(NOT_POISONED);
            if let Some(held) = by_name.get(&peer.name)
                && self.keeps(held, &link)
            {
                // The peer may have used it already: serve what it sent, then close.
                link.settle();
                let run = Arc::clone(&link).run(Arc::clone(self.context()));
                self.spawn_for(&link, async { _ = run.await });
                self.retire(link);
                return;
            }
            by_name.insert(peer.name.clone(), Arc::clone(&link))
        };
        let fresh = replaced.as_ref().is_none_or(|old| old.peer().incarnation != peer.incarnation);
        match &replaced {
            // What is in flight there would arrive behind what is sent on the new one.
            Some(old) if old.heard().elapsed() > FRESH => CloseCode::Duplicate.close(old.connection()),
            Some(old) => self.retire(Arc::clone(old)),
            None => {}
        }
        if fresh {
            info!(peer = %peer.name, incarnation = %peer.incarnation, addr = %peer.mesh, "link up");
        }
        let links = Arc::clone(self);
        let context = Arc::clone(self.context());
        context.service.link_up(&peer, members);
        let next = Arc::clone(&link);
        // Not a part of the link: when it is replaced in turn, the one after it waits for both.
        self.spawn_for(&link, async move {
            if let Some(old) = replaced {
                settled(&old).await;
            }
            next.settle();
        });
        self.spawn_for(&Arc::clone(&link), async move {
            let run = links.vitals.contained(Task::Link, Arc::clone(&link).run(context)).await;
            links.closed(&link, run.unwrap_or(LinkEnd::Broken));
            if run.is_err() {
                CloseCode::Ended.close(link.connection());
            }
        });
    }

    /// Does something for a link in the background. Should it panic, the link ends.
    fn spawn_for(&self, link: &Arc<Link>, work: impl Future<Output = ()> + Send + 'static) {
        let (vitals, link) = (self.vitals.clone(), Arc::clone(link));
        self.tasks.spawn(async move {
            if vitals.contained(Task::Link, work).await.is_err() {
                CloseCode::Ended.close(link.connection());
            }
        });
    }

    /// Whether the link in use is kept when another one to the same peer comes up.
    fn keeps(&self, held: &Link, new: &Link) -> bool {
        let (old, newer) = (held.peer().incarnation, new.peer().incarnation);
        if old != newer {
            return old > newer;
        }
        let state = Held {
            closed: held.connection().close_reason().is_some(),
            dialled: held.dialled(),
            age: held.since().elapsed(),
            silence: held.heard().elapsed(),
        };
        state.wins(new.dialled(), self.me < held.peer().name)
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
        self.context().service.link_down(link.peer(), end == LinkEnd::PeerLeft);
    }

    fn mailbox(&self, addr: SocketAddr) -> Arc<Mailbox<Bytes>> {
        let mut mailboxes = self.mailboxes.lock().expect(NOT_POISONED);
        if mailboxes.len() >= limits::PEERS_MAX && !mailboxes.contains_key(&addr) {
            let unused =
                mailboxes.iter().find(|(_, mailbox)| Arc::strong_count(mailbox) == 1).map(|(addr, _)| *addr);
            unused.and_then(|addr| mailboxes.remove(&addr));
        }
        Arc::clone(mailboxes.entry(addr).or_default())
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

    /// Whose address it was when it was last dialled.
    fn name_at(&self, addr: SocketAddr) -> Option<NodeName> {
        self.dials.lock().expect(NOT_POISONED).get(&addr).and_then(|dial| dial.name.clone())
    }
}

/// What decides whether a link in use is kept when another one to the same boot of a peer comes up.
struct Held {
    closed: bool,
    dialled: bool,
    age: Duration,
    silence: Duration,
}

impl Held {
    /// `dialled`: this node opened the other one. `smaller`: its name is the smaller one of the two.
    fn wins(&self, dialled: bool, smaller: bool) -> bool {
        if self.closed || self.dialled == dialled {
            return false; // The opener opened again, so that its old one is of no use to it.
        }
        if self.silence > FRESH || self.age > DIALS_CROSS {
            return false; // Only one side still believes in it: who hears a peer does not dial it.
        }
        // Both dialled at the same time. The one stays that the node with the smaller name opened.
        self.dialled == smaller
    }
}

/// Ends when nothing is in flight any more on a link that was replaced, nor on those before it: requests
/// of its successor must not overtake it. A link that falls silent meanwhile is given up with what is in
/// flight on it.
async fn settled(old: &Link) {
    old.settled().await;
    while timeout(LOOK, old.idle()).await.is_err() {
        if old.heard().elapsed() > FRESH {
            return CloseCode::Duplicate.close(old.connection());
        }
    }
}

/// Gossip knows peers by address; a seed may have another address than the one it advertises.
pub(crate) struct GossipOut(pub(crate) Arc<Links>);

impl GossipSend for GossipOut {
    fn send(&self, to: SocketAddr, message: Bytes) {
        let links = &self.0;
        let link = links.linked_at(to).or_else(|| links.name_at(to).and_then(|name| links.get(&name)));
        match link {
            Some(link) => {
                links.mailbox(link.peer().mesh).push(message);
            }
            None => {
                links.mailbox(to).push(message);
                links.dial(to, None);
            }
        }
    }
}

/// Why a dialled peer was not linked has been told; this is what follows.
struct NotLinked {
    /// The address is not dialled before this is over.
    again: Duration,
}

/// A part of a pause, in thousandths.
fn jittered(pause: Duration, thousandths: u64) -> Duration {
    let thousandths = u32::try_from(thousandths).unwrap_or(u32::MAX);
    pause.saturating_mul(thousandths) / 1_000
}

fn backoff(failures: u32) -> Duration {
    if failures == 0 {
        return Duration::ZERO;
    }
    let doubled = limits::DIAL_BACKOFF_MIN.saturating_mul(1 << failures.min(10).saturating_sub(1));
    doubled.min(limits::DIAL_BACKOFF_MAX)
}

/// A member of the cluster, seen from outside the mesh.
impl From<&Peer> for KnownMember {
    fn from(peer: &Peer) -> Self {
        Self { name: peer.name.clone(), incarnation: peer.incarnation, mesh: peer.mesh }
    }
}

/// A pause between dials is this share of the one that is due, in thousandths, drawn anew each time. Source: half of
/// it stays, so that pauses still double; the bound of the longest one stays too.
const DIAL_JITTER_MIN: u64 = 500;
/// See [`DIAL_JITTER_MIN`].
const DIAL_JITTER_MAX: u64 = 1_000;
/// See [`limits::LINK_FRESH`].
const FRESH: Duration = limits::LINK_FRESH;
/// Of two dials that cross, the links come up within this time of each other. Arithmetic: a connection
/// and an exchange of hellos.
const DIALS_CROSS: Duration =
    Duration::from_millis((limits::DIAL_TIMEOUT.as_millis() + limits::HELLO_TIMEOUT.as_millis()) as u64);
const NOT_POISONED: &str = "no panic happens under this lock";
/// Time between two looks at whether a link that settles has fallen silent.
const LOOK: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_links_both_sides_keep_the_same_one() {
        let held = |dialled| Held { closed: false, dialled, age: FRESH, silence: FRESH };
        for smaller in [false, true] {
            // Dials that crossed: the one that the smaller name opened stays, whichever was first.
            assert!(held(smaller).wins(!smaller, smaller));
            assert!(!held(!smaller).wins(smaller, smaller));
            for dialled in [false, true] {
                let new = !dialled;
                assert!(!held(dialled).wins(dialled, smaller), "it was opened again");
                assert!(!Held { closed: true, ..held(dialled) }.wins(new, smaller));
                let silence = FRESH + Duration::from_millis(1);
                assert!(!Held { silence, ..held(dialled) }.wins(new, smaller));
                let age = DIALS_CROSS + Duration::from_millis(1);
                assert!(!Held { age, ..held(dialled) }.wins(new, smaller), "the peer does not hear it");
            }
        }
    }

    #[test]
    fn the_pause_between_dials_doubles_up_to_its_bound() {
        assert_eq!(backoff(0), Duration::ZERO);
        assert_eq!(backoff(1), limits::DIAL_BACKOFF_MIN);
        assert_eq!(backoff(2), 2 * limits::DIAL_BACKOFF_MIN);
        assert_eq!(backoff(u32::MAX), limits::DIAL_BACKOFF_MAX);
    }

    #[test]
    fn pauses_between_dials_differ_and_stay_within_their_bound() {
        let entropy = Entropy::new([1; 32]);
        let pauses: BTreeSet<_> = (0..100)
            .map(|_| jittered(backoff(9), entropy.between(DIAL_JITTER_MIN, DIAL_JITTER_MAX)))
            .collect();
        assert!(pauses.len() > 50, "nodes that began together would dial in step: {pauses:?}");
        assert!(pauses.iter().all(|pause| *pause <= limits::DIAL_BACKOFF_MAX));
        assert!(pauses.iter().all(|pause| *pause >= limits::DIAL_BACKOFF_MAX / 2));
    }
}
