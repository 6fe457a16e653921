//! The QUIC connection that is in use to one peer: what is sent on it, and what is known of it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use quinn::Connection;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::config::MeshVersion;
use crate::id::{Incarnation, NodeName};
use crate::limits;
use crate::mesh::attached::Attached;
use crate::mesh::conduct::{Breach, Conduct};
use crate::mesh::endpoint::CloseCode;
use crate::mesh::frame::{Features, Receipt};
use crate::mesh::mailbox::Mailbox;
use crate::mesh::offenders::Offenders;
use crate::mesh::outbound::Outbound;
use crate::mesh::receipts::{Expected, PendingRequests, Refused};
use crate::metrics::Metrics;
use crate::receipt::{Answer, Asker};
use crate::vital::Vitals;

/// The node at the other end of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Its name, proven by its certificate.
    pub(crate) name: NodeName,
    /// Its boot.
    pub(crate) incarnation: Incarnation,
    /// Where it says that it is reached; gossip knows it by this address.
    pub(crate) mesh: SocketAddr,
}

/// What all links of a node share.
pub(crate) struct LinkShared {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) vitals: Vitals,
    /// Peers that were cut off lately.
    pub(crate) offenders: Offenders,
}

/// The link to one peer.
pub(crate) struct Link {
    peer: Peer,
    connection: Connection,
    version: MeshVersion,
    features: Features,
    dialled: bool,
    since: Instant,
    outbound: Outbound,
    pending: PendingRequests,
    /// Requests of the peer that are not answered yet.
    owed: AtomicUsize,
    gossip: Arc<Mailbox<Bytes>>,
    conduct: Conduct,
    attached: Attached,
    /// Requests may be sent: every request on the former links of this peer is answered or given up.
    opened: CancellationToken,
    /// Another connection to the peer is in use: nothing new is sent here.
    retired: CancellationToken,
    /// It is being replaced, because the peer is not trusted any more.
    renewed: AtomicBool,
    heard: Mutex<Heard>,
    shared: Arc<LinkShared>,
}

struct Heard {
    datagrams: u64,
    at: Instant,
}

impl Link {
    /// A link over `connection`, which this node has `dialled` or else accepted. `gossip` holds what
    /// waits for the peer.
    pub(crate) fn new(
        peer: Peer,
        connection: Connection,
        (version, features): (MeshVersion, Features),
        dialled: bool,
        gossip: Arc<Mailbox<Bytes>>,
        shared: Arc<LinkShared>,
    ) -> Self {
        let since = Instant::now();
        Self {
            peer,
            connection,
            version,
            features,
            dialled,
            since,
            outbound: Outbound::new(),
            pending: PendingRequests::new(),
            owed: AtomicUsize::new(0),
            gossip,
            conduct: Conduct::new(),
            attached: Attached::default(),
            opened: CancellationToken::new(),
            retired: CancellationToken::new(),
            renewed: AtomicBool::new(false),
            heard: Mutex::new(Heard { datagrams: 0, at: since }),
            shared,
        }
    }

    /// Who is at the other end.
    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// What is spoken on it.
    pub(crate) fn version(&self) -> MeshVersion {
        self.version
    }

    /// What both ends know beyond the version.
    pub(crate) fn features(&self) -> Features {
        self.features
    }

    /// Whether this node opened the connection.
    pub(crate) fn dialled(&self) -> bool {
        self.dialled
    }

    /// When the connection came up.
    pub(crate) fn since(&self) -> Instant {
        self.since
    }

    /// Opens the link for requests: they are sent from now on.
    pub(crate) fn open(&self) {
        self.opened.cancel();
    }

    /// Ends when requests may be sent.
    pub(crate) async fn opened(&self) {
        self.opened.cancelled().await;
    }

    /// Another connection to the peer is in use from now on.
    pub(crate) fn retire(&self) {
        self.retired.cancel();
    }

    /// Ends when another connection to the peer is in use.
    pub(crate) async fn retired(&self) {
        self.retired.cancelled().await;
    }

    /// It is to be replaced from now on. Returns whether it was not before.
    pub(crate) fn begin_renewal(&self) -> bool {
        !self.renewed.swap(true, Ordering::Relaxed)
    }

    /// Ends when no request waits for its receipt.
    pub(crate) async fn idle(&self) {
        self.pending.idle().await;
    }

    /// Nobody waits for what was asked of the peer until now: it may be gone.
    pub(crate) fn give_up(&self) {
        self.pending.give_up();
    }

    /// Whether more is under way than one request of this node or one answer.
    fn is_busy(&self) -> bool {
        self.pending.len() > 1 || self.owed.load(Ordering::Relaxed) > 0
    }

    /// What the peer has done lately.
    pub(crate) fn conduct(&self) -> &Conduct {
        &self.conduct
    }

    /// What a user of links keeps for this one.
    pub(crate) fn attached<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        self.attached.get()
    }

    /// The gossip that waits for the peer.
    pub(crate) fn gossip(&self) -> &Mailbox<Bytes> {
        &self.gossip
    }

    /// What is to be told of the tasks of the link.
    pub(crate) fn vitals(&self) -> &Vitals {
        &self.shared.vitals
    }

    /// Receipts that have come.
    pub(crate) fn answered(&self) -> u64 {
        self.pending.answered()
    }

    /// Requests that wait for their receipt.
    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// The QUIC connection.
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Smoothed round-trip time.
    pub(crate) fn rtt(&self) -> Duration {
        self.connection.rtt()
    }

    /// When the last packet of the peer arrived, to the accuracy of how often this is called.
    pub(crate) fn heard(&self) -> Instant {
        let datagrams = self.connection.stats().udp_rx.datagrams;
        let mut heard = self.heard.lock().expect("no panic happens under this lock");
        if datagrams > heard.datagrams {
            *heard = Heard { datagrams, at: Instant::now() };
        }
        heard.at
    }

    /// Queues a request for the peer, whose header `encode` makes with its number. Requests of one lane arrive in the
    /// order of these calls. The receiver fails when the link breaks before the answer.
    ///
    /// # Errors
    /// [`Refused`]: nothing was queued.
    pub(crate) fn request(
        &self,
        lane: usize,
        expected: Expected,
        encode: impl FnOnce(u64) -> Bytes,
        payload: Bytes,
    ) -> Result<oneshot::Receiver<Answer>, Refused> {
        let (seq, answer) = self.pending.register(expected)?;
        if self.outbound.request(lane, encode(seq), payload) {
            Ok(answer)
        } else {
            self.pending.cancel(seq);
            Err(Refused::Overloaded)
        }
    }

    /// A request of the peer has come, which is to be answered.
    ///
    /// # Errors
    /// [`Breach::Flood`]: too many are not answered yet.
    pub(crate) fn owe(&self) -> Result<(), Breach> {
        // The peer counts a request for at least as long as it is counted here.
        let owed = self.owed.fetch_add(1, Ordering::Relaxed);
        if owed >= limits::PENDING_MAX { Err(Breach::Flood("requests at once")) } else { Ok(()) }
    }

    /// Ends when the receipts that wait are few enough to take more requests.
    pub(crate) async fn room(&self) {
        self.outbound.room().await;
    }

    /// A receipt of the peer has come.
    ///
    /// # Errors
    /// [`Breach::Unasked`] and [`Breach::Answer`].
    pub(crate) fn complete(&self, receipt: Receipt) -> Result<(), Breach> {
        self.pending.complete(receipt)
    }

    /// Writes requests and receipts until the link breaks.
    ///
    /// # Errors
    /// [`Breach::Stalled`]: the peer takes nothing any more.
    pub(crate) async fn write(&self) -> Result<(), Breach> {
        self.outbound.run(&self.connection, self.version, self.opened(), || self.is_busy()).await
    }

    /// The connection is closed: nobody is answered any more.
    pub(crate) fn end(&self) {
        self.pending.close();
    }

    /// Closes the link, because nothing came from the peer for too long.
    pub(crate) fn abandon(&self) {
        if self.connection.close_reason().is_none() {
            warn!(peer = %self.peer.name, "nothing comes from a peer, and QUIC still waits; closing the link");
            self.hang_up();
        }
    }

    /// Closes the link, because its peer is forgotten.
    pub(crate) fn hang_up(&self) {
        CloseCode::Ended.close(&self.connection);
    }

    /// Closes the link for what the peer has done.
    pub(crate) fn reject(&self, breach: &Breach) {
        if let Some(offence) = breach.offence()
            && self.connection.close_reason().is_none()
        {
            self.shared.metrics.mesh_frames_refused.with(offence).increment(1);
            self.shared.offenders.note(&self.peer.name, Instant::now());
            warn!(peer = %self.peer.name, error = %breach, "a peer broke the protocol; closing the link");
            CloseCode::Protocol.close(&self.connection);
        }
    }
}

impl Asker for Link {
    fn answer(&self, seq: u64, answer: Answer) {
        self.owed.fetch_sub(1, Ordering::Relaxed);
        if !self.outbound.answer(seq, answer) {
            warn!(peer = %self.peer.name, "a peer does not take its receipts; closing the link");
            CloseCode::Protocol.close(&self.connection);
        }
    }
}
