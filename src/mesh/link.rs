//! The QUIC connection that is in use to one peer, and all the streams on it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use quinn::{Connection, ConnectionError, RecvStream, SendStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, error, warn};

use crate::hash;
use crate::id::{Incarnation, NodeName, SessionKey, UserId};
use crate::limits;
use crate::mesh::codec::{CodecError, FrameReader, StreamKind, encode};
use crate::mesh::conduct::{Breach, Conduct};
use crate::mesh::endpoint::CloseCode;
use crate::mesh::frame::{Action, Digests, Receipts, Recipients, Request, Subscribe};
use crate::mesh::lane::{GOSSIP_PRIORITY, open_stream};
use crate::mesh::mailbox::Mailbox;
use crate::mesh::notice::Notice;
use crate::mesh::offenders::Offenders;
use crate::mesh::outbound::Outbound;
use crate::mesh::receipts::{Expected, Pending};
use crate::mesh::{Service, anti_entropy, replication};
use crate::metrics::Metrics;
use crate::metrics::label::Task;
use crate::receipt::Answer;
use crate::replica::Replica;
use crate::vital::{Panicked, Vitals};

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

/// A request that was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// A queue of the link is full.
    #[error("the link's queue is full")]
    Overloaded,
    /// The link is gone.
    #[error("the link is closed")]
    Closed,
}

/// The link to one peer.
pub(crate) struct Link {
    peer: Peer,
    connection: Connection,
    dialled: bool,
    since: Instant,
    outbound: Outbound,
    pending: Pending,
    /// Requests of the peer that are not answered yet.
    owed: AtomicUsize,
    gossip: Arc<Mailbox<Bytes>>,
    conduct: Conduct,
    /// One snapshot at a time is sent to the peer, so that none takes the places of all.
    snapshot: Semaphore,
    /// Requests may be sent: none is in flight any more on the links that came before.
    settled: CancellationToken,
    /// Another connection to the peer is in use: nothing new is sent here.
    retired: CancellationToken,
    heard: Mutex<Heard>,
}

/// How a link ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkEnd {
    /// The peer said that it left the cluster.
    PeerLeft,
    /// This node closed it: it stops, or the peer broke the protocol.
    ClosedHere,
    /// The peer or the path is gone.
    Broken,
}

/// When the work of a link may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MayEnd {
    Before,
    WithTheLink,
}

struct Heard {
    datagrams: u64,
    at: Instant,
}

/// What the tasks of a link work with.
pub(crate) struct LinkContext {
    pub(crate) service: Arc<dyn Service>,
    pub(crate) replica: Arc<Replica>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) vitals: Vitals,
    pub(crate) gossip_inbox: mpsc::Sender<(SocketAddr, Bytes)>,
    /// Peers that were cut off lately.
    pub(crate) offenders: Offenders,
    /// Snapshots that may be sent now.
    pub(crate) snapshots_sent: Semaphore,
    /// Snapshots that may be received now.
    pub(crate) snapshots_received: Semaphore,
    /// The sections that are being pulled.
    pub(crate) pulling: Mutex<BTreeSet<NodeName>>,
    /// Of copies that are found to be wrong.
    pub(crate) wrong: Notice,
}

impl LinkContext {
    /// What the tasks of all links of a node share.
    pub(crate) fn new(
        service: Arc<dyn Service>,
        replica: Arc<Replica>,
        metrics: Arc<Metrics>,
        vitals: Vitals,
        gossip_inbox: mpsc::Sender<(SocketAddr, Bytes)>,
    ) -> Self {
        Self {
            service,
            replica,
            metrics,
            vitals,
            gossip_inbox,
            offenders: Offenders::default(),
            snapshots_sent: Semaphore::new(limits::SNAPSHOTS_MAX),
            snapshots_received: Semaphore::new(limits::SNAPSHOTS_MAX),
            pulling: Mutex::new(BTreeSet::new()),
            wrong: Notice::new(limits::REFUSALS_LOGGED_EVERY),
        }
    }
}

impl Link {
    /// A link over `connection`, which this node has `dialled` or else accepted. `gossip` holds what
    /// waits for the peer.
    pub(crate) fn new(
        peer: Peer,
        connection: Connection,
        dialled: bool,
        gossip: Arc<Mailbox<Bytes>>,
    ) -> Self {
        let since = Instant::now();
        Self {
            peer,
            connection,
            dialled,
            since,
            outbound: Outbound::new(),
            pending: Pending::new(),
            owed: AtomicUsize::new(0),
            gossip,
            conduct: Conduct::new(),
            snapshot: Semaphore::new(1),
            settled: CancellationToken::new(),
            retired: CancellationToken::new(),
            heard: Mutex::new(Heard { datagrams: 0, at: since }),
        }
    }

    /// Who is at the other end.
    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Whether this node opened the connection.
    pub(crate) fn dialled(&self) -> bool {
        self.dialled
    }

    /// When the connection came up.
    pub(crate) fn since(&self) -> Instant {
        self.since
    }

    /// Requests are sent from now on.
    pub(crate) fn settle(&self) {
        self.settled.cancel();
    }

    /// Ends when requests may be sent.
    pub(crate) async fn settled(&self) {
        self.settled.cancelled().await;
    }

    /// Another connection to the peer is in use from now on.
    pub(crate) fn retire(&self) {
        self.retired.cancel();
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

    /// The place of the one snapshot that is sent to the peer.
    pub(crate) fn snapshot(&self) -> &Semaphore {
        &self.snapshot
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

    /// Queues a request for the peer, or for `relay_to` by way of it; what it asks for happens in the
    /// order of these calls for each user. The receiver fails when the link breaks before the answer.
    ///
    /// # Errors
    /// [`Refused`]: nothing was queued.
    pub(crate) fn request(
        &self,
        relay_to: Option<NodeName>,
        recipients: Recipients,
        action: Action,
        payload: Bytes,
    ) -> Result<oneshot::Receiver<Answer>, Refused> {
        let lane = match &recipients {
            Recipients::Session(SessionKey { user, .. }) | Recipients::Devices { user, .. } => lane_of(user),
            Recipients::All | Recipients::Keys(_) => 0,
        };
        let (seq, answer) = self.pending.register(Expected::of(&recipients, relay_to.is_some()))?;
        let header = encode(&Request { seq, relay_to, recipients, action }, payload.len());
        if self.outbound.request(lane, header, payload) {
            Ok(answer)
        } else {
            self.pending.cancel(seq);
            Err(Refused::Overloaded)
        }
    }

    /// Sends the answer to the peer's request `seq`.
    pub(crate) fn answer(&self, seq: u64, answer: Answer) {
        self.owed.fetch_sub(1, Ordering::Relaxed);
        if !self.outbound.answer(seq, answer) {
            warn!(peer = %self.peer.name, "a peer does not take its receipts; closing the link");
            CloseCode::Protocol.close(&self.connection);
        }
    }

    /// Runs the link until its connection closes, and says who closed it. Requests are sent once it is
    /// [settled](Self::settle).
    pub(crate) async fn run(self: Arc<Self>, context: Arc<LinkContext>) -> LinkEnd {
        let tasks = self.spawn_tasks(&context);
        let reason = self.connection.closed().await;
        self.pending.close();
        drop(tasks);
        debug!(peer = %self.peer.name, %reason, "link closed");
        match reason {
            ConnectionError::ApplicationClosed(close) if close.error_code == CloseCode::Left.code() => {
                LinkEnd::PeerLeft
            }
            ConnectionError::LocallyClosed => LinkEnd::ClosedHere,
            _ => LinkEnd::Broken,
        }
    }

    /// The tasks of the link.
    fn spawn_tasks(self: &Arc<Self>, context: &Arc<LinkContext>) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let (link, with) = (Arc::clone(self), Arc::clone(context));
        let replicate = async move {
            let breach = replication::follow(&link.connection, &link.peer, &with).await;
            breach.map_or(Ok(()), Err)
        };
        self.spawn(&mut tasks, context, MayEnd::WithTheLink, replicate);
        let link = Arc::clone(self);
        let send =
            async move { link.outbound.run(&link.connection, link.settled(), || link.is_busy()).await };
        self.spawn(&mut tasks, context, MayEnd::WithTheLink, send);
        let link = Arc::clone(self);
        let watch = async move { Err(link.watch_answers().await) };
        self.spawn(&mut tasks, context, MayEnd::WithTheLink, watch);
        let (link, with) = (Arc::clone(self), Arc::clone(context));
        let accept = async move { link.accept_datagrams(&with).await };
        self.spawn(&mut tasks, context, MayEnd::WithTheLink, accept);
        let (link, with) = (Arc::clone(self), Arc::clone(context));
        let accept = async move {
            link.accept_streams(with).await;
            Ok(())
        };
        self.spawn(&mut tasks, context, MayEnd::WithTheLink, accept);
        let link = Arc::clone(self);
        let gossip = async move {
            link.send_gossip().await; // Until the link is retired.
            Ok(())
        };
        self.spawn(&mut tasks, context, MayEnd::Before, gossip);
        if self.dialled {
            let (link, with) = (Arc::clone(self), Arc::clone(context));
            let exchange = async move {
                anti_entropy::exchange(&link, &with).await;
                Ok(())
            };
            self.spawn(&mut tasks, context, MayEnd::Before, exchange);
        }
        tasks
    }

    /// Spawns work of the link. Its panic, its breach and its early end are the end of the link: one that only seems
    /// to work would be worse than none. The task itself sees to that: whoever holds it may be gone before it.
    fn spawn(
        self: &Arc<Self>,
        tasks: &mut JoinSet<()>,
        context: &Arc<LinkContext>,
        may_end: MayEnd,
        work: impl Future<Output = Result<(), Breach>> + Send + 'static,
    ) {
        let (link, context) = (Arc::clone(self), Arc::clone(context));
        let work = async move {
            match context.vitals.contained(Task::Link, work).await {
                Ok(Ok(())) => {}
                Ok(Err(breach)) => link.reject(&context, &breach),
                Err(Panicked) => link.fail(),
            }
            if may_end == MayEnd::WithTheLink && link.connection.close_reason().is_none() {
                context.vitals.count(Task::Link, "it ended early");
                link.fail();
            }
        };
        tasks.spawn(work.in_current_span());
    }

    fn fail(&self) {
        error!(peer = %self.peer.name, "closing the link");
        CloseCode::Ended.close(&self.connection);
    }

    async fn send_gossip(&self) {
        loop {
            // The mailbox is the peer's, not the link's: one that is retired must not empty it.
            let message = tokio::select! {
                message = self.gossip.pop() => message,
                () = self.retired.cancelled() => return,
            };
            let fits = self.connection.max_datagram_size().is_some_and(|max| message.len() <= max);
            if fits {
                let _ = self.connection.send_datagram(message); // Gossip repeats itself.
                continue;
            }
            let send = async {
                let mut stream = open_stream(&self.connection, StreamKind::Gossip, GOSSIP_PRIORITY).await?;
                stream.write_chunk(message).await?;
                let _ = stream.finish();
                Ok::<_, quinn::WriteError>(())
            };
            let _ = timeout(limits::GOSSIP_DEADLINE, send).await; // A late round is worth nothing.
        }
    }

    async fn accept_datagrams(&self, context: &LinkContext) -> Result<(), Breach> {
        while let Ok(datagram) = self.connection.read_datagram().await {
            self.receive_gossip(context, datagram)?;
        }
        Ok(())
    }

    fn receive_gossip(&self, context: &LinkContext, message: Bytes) -> Result<(), Breach> {
        let within = self.conduct.gossip(Instant::now())?;
        if !within || context.gossip_inbox.try_send((self.peer.mesh, message)).is_err() {
            context.metrics.gossip_refused.increment(1);
        }
        Ok(())
    }

    /// Ends when the peer has answered nothing for too long, although it was asked.
    async fn watch_answers(&self) -> Breach {
        let (mut answered, mut since) = (0, Instant::now());
        let mut looks = interval_at(since + ANSWERS_LOOK, ANSWERS_LOOK);
        loop {
            let now = looks.tick().await;
            let answers = self.pending.answered();
            if self.pending.len() == 0 || answers != answered {
                (answered, since) = (answers, now);
            } else if now.saturating_duration_since(since) >= limits::ANSWER_SILENCE_MAX {
                return Breach::Mute;
            }
        }
    }

    async fn accept_streams(self: Arc<Self>, context: Arc<LinkContext>) {
        let mut streams = JoinSet::new();
        loop {
            let (send, recv) = tokio::select! {
                uni = self.connection.accept_uni() => match uni {
                    Ok(recv) => (None, recv),
                    Err(_) => return,
                },
                bi = self.connection.accept_bi() => match bi {
                    Ok((send, recv)) => (Some(send), recv),
                    Err(_) => return,
                },
                Some(_) = streams.join_next(), if !streams.is_empty() => continue,
            };
            let pause = self.conduct.stream(Instant::now());
            let (link, with) = (Arc::clone(&self), Arc::clone(&context));
            let serve = async move { link.serve_stream(&with, send, recv).await };
            self.spawn(&mut streams, &context, MayEnd::Before, serve);
            if !pause.is_zero() {
                sleep(pause).await;
            }
        }
    }

    async fn serve_stream(
        self: &Arc<Self>,
        context: &Arc<LinkContext>,
        send: Option<SendStream>,
        recv: RecvStream,
    ) -> Result<(), Breach> {
        let (kind, mut reader) = soon(FrameReader::open(recv)).await?;
        match (kind, send) {
            (StreamKind::Lane, None) => {
                self.conduct.lane()?;
                while let Some((request, payload)) = reader.next::<Request>().await? {
                    request.recipients.check()?;
                    // The peer counts a request for at least as long as it is counted here.
                    if self.owed.fetch_add(1, Ordering::Relaxed) >= limits::PENDING_MAX {
                        return Err(Breach::Flood("requests at once"));
                    }
                    context.service.request(self, request, payload);
                    self.outbound.room().await;
                }
                Ok(())
            }
            (StreamKind::Receipts, None) => {
                self.conduct.receipts()?;
                while let Some((Receipts(receipts), _)) = reader.next().await? {
                    receipts.into_iter().try_for_each(|receipt| self.pending.complete(receipt))?;
                }
                Ok(())
            }
            (StreamKind::Gossip, None) => {
                let message = soon(reader.rest(limits::GOSSIP_BYTES_MAX)).await?;
                self.receive_gossip(context, message)
            }
            (StreamKind::Section, Some(send)) => {
                let Some((subscribe, _)) = soon(reader.next::<Subscribe>()).await? else { return Ok(()) };
                Ok(replication::serve(self, context, send, subscribe).await?)
            }
            (StreamKind::Digests, Some(send)) => {
                let Some((digests, _)) = soon(reader.next::<Digests>()).await? else { return Ok(()) };
                self.conduct.digests(Instant::now())?;
                // Whoever does not read the answer keeps a stream of its own, and nothing of this node.
                let answer = anti_entropy::answer(self, context, send, digests);
                timeout(limits::DIGEST_INTERVAL, answer).await.unwrap_or(Ok(())).map_err(Breach::from)
            }
            (kind, _) => {
                Err(CodecError::Header(format!("a stream of kind {kind:?} is not expected here")).into())
            }
        }
    }

    /// Closes the link for what the peer has done.
    pub(crate) fn reject(&self, context: &LinkContext, breach: &Breach) {
        if let Some(offence) = breach.offence()
            && self.connection.close_reason().is_none()
        {
            context.metrics.mesh_frames_refused.with(offence).increment(1);
            context.offenders.note(&self.peer.name, Instant::now());
            warn!(peer = %self.peer.name, error = %breach, "a peer broke the protocol; closing the link");
            CloseCode::Protocol.close(&self.connection);
        }
    }
}

/// What a stream has to bring soon after its opening.
async fn soon<T>(reading: impl Future<Output = Result<T, CodecError>>) -> Result<T, Breach> {
    Ok(timeout(limits::STREAM_SILENCE_MAX, reading).await.map_err(|_| Breach::Silent)??)
}

/// Time between two looks at whether a peer answers.
const ANSWERS_LOOK: Duration = Duration::from_secs(5);

/// All requests for one user share a lane, so that they arrive in order.
fn lane_of(user: &UserId) -> usize {
    hash::bucket(user.as_str(), limits::LANES)
}
