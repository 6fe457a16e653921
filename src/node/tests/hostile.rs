//! A member that does what no working node does, over real QUIC on loopback and with the right key. Whatever it tries,
//! its link ends, it is counted, and who keeps to the protocol is served beside it.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use bytes::Bytes;
use quinn::{Connection, ConnectionError, Runtime, SendStream, TokioRuntime};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::config::{MeshVersion, Takeover, Tuning};
use crate::directory::{Claim, ClaimState, Delta, Entry, Lost, SnapshotFrame};
use crate::id::{ClusterName, DeviceId, Incarnation, NodeName, SessionKey, Stamp, UserId};
use crate::key::{DeviceHash, KeyHasher};
use crate::limits;
use crate::mesh::carried::Carried;
use crate::mesh::codec::{CodecError, FrameReader, encode, write_frame};
use crate::mesh::endpoint::{self, CloseCode};
use crate::mesh::frame::{Features, Hello, Receipt, Receipts, Settings};
use crate::mesh::gossip::carrier::GossipCarrier;
use crate::mesh::handshake;
use crate::mesh::identity::Identity;
use crate::mesh::refusal::Refusal;
use crate::mesh::stream::{GOSSIP, LANE, RECEIPTS, StreamKind};
use crate::mesh::{
    ClusterKeys, KnownMember, LaneStreams, Link, Links, LinksParts, Members, Peer, ReceiptStreams, Refused,
    RequestHandler,
};
use crate::metrics::Metrics;
use crate::push::{Outcome, Tally};
use crate::receipt::{Answer, Asker, NamedOutcome};
use crate::replica::Replica;
use crate::replication::frame::{DIGESTS, DigestsFrame, SECTION, SectionFrame, Subscribe};
use crate::replication::{Owners, Replication};
use crate::router::frame::{Action, Recipients, Request, request};
use crate::section::{Digest, Packed, Position};
use crate::vital::Vitals;
use crate::wire::{Entropy, Threads};

mod links;
mod sections;

/// The version of all links here.
const VERSION: MeshVersion = MeshVersion::V5;

/// A node without sessions.
struct Quiet {
    /// Whether it answers requests.
    answers: bool,
}

impl Members for Quiet {
    fn members(&self) -> Vec<KnownMember> {
        Vec::new()
    }
    fn incarnation_of(&self, _: &NodeName) -> Option<Incarnation> {
        None
    }
    fn superseding(&self, _: &NodeName, _: Incarnation) -> Option<Incarnation> {
        None
    }
    fn link_up(&self, _: &Peer, _: Vec<KnownMember>) {}
    fn link_down(&self, _: &Peer, _: bool) {}
    fn dial_ended(&self, _: SocketAddr, _: Option<&NodeName>, _: Option<&NodeName>) {}
    fn superseded(&self, _: Incarnation) {}
}

impl RequestHandler for Quiet {
    type Request = Request;
    fn check(&self, request: &Request, _: usize) -> Result<(), CodecError> {
        request.recipients.check()
    }
    fn request(&self, link: &Arc<Link>, request: Request, _: Bytes) {
        if self.answers {
            let answer = match request.recipients {
                Recipients::Keys(keys) => Answer::Sessions(vec![Some(long_names()); keys.0.len()]),
                _ => Answer::Tally(Tally::default()),
            };
            link.answer(request.seq, answer);
        }
    }
}

impl Owners for Quiet {
    fn peers(&self) -> usize {
        0
    }
    fn section_synced(&self, _: &NodeName) {}
    fn is_stale(&self, _: &NodeName) -> bool {
        true
    }
    fn admits(&self, _: &NodeName, _: Incarnation) -> bool {
        true
    }
    fn lost(&self, _: Vec<Lost>) {}
}

/// The node that is to bear it.
struct Victim {
    links: Arc<Links>,
    metrics: Arc<Metrics>,
    replica: Arc<Replica>,
    addr: SocketAddr,
    gossip: mpsc::Receiver<(SocketAddr, Bytes)>,
}

fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

fn identity(of: &str) -> Identity {
    let keys = ClusterKeys::parse("pmk1_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8").unwrap();
    Identity::from_cluster_keys(&ClusterName::new("shop").unwrap(), &name(of), &keys).unwrap()
}

/// What a boot of that node says first. It knows every feature that there may ever be.
fn hello(of: &str, boot: u64, mesh: SocketAddr, settings: Settings) -> Hello {
    let (members, features) = (Vec::new(), Features(u64::MAX));
    Hello { name: name(of), incarnation: Incarnation(boot), mesh, members, settings, features }
}

/// An endpoint of that node, with seeds that no other one of the process has.
fn endpoint(identity: &Identity) -> quinn::Endpoint {
    static BOOTS: AtomicU8 = AtomicU8::new(0);
    let boot = BOOTS.fetch_add(1, Ordering::Relaxed);
    let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    let udp = TokioRuntime.wrap_udp_socket(socket).unwrap();
    let vitals = Vitals::new(Arc::new(Metrics::new()));
    let seeds = [[boot; 32], [!boot; 32]];
    endpoint::open(udp, Arc::new(TokioRuntime), Handle::current(), identity, VERSION, seeds, vitals).unwrap()
}

fn victim(answers: bool) -> Victim {
    let (me, identity) = (name("n1"), identity("n1"));
    let endpoint = endpoint(&identity);
    let addr = endpoint.local_addr().unwrap();
    let (metrics, entropy) = (Arc::new(Metrics::new()), Arc::new(Entropy::new([1; 32])));
    let (takeover, hasher) = (Takeover::default(), KeyHasher::new(&[0; 32]));
    let replica = Arc::new(Replica::new(me.clone(), Incarnation(1), hasher, takeover, Tuning::default()));
    let vitals = Vitals::new(Arc::clone(&metrics));
    let links = Links::new(LinksParts {
        me,
        advertise: addr,
        endpoint,
        identity,
        vitals: vitals.clone(),
        entropy,
        takeover,
        threads: Threads::current(),
    });
    let (inbox, gossip) = mpsc::channel(limits::GOSSIP_INBOX);
    let quiet = Arc::new(Quiet { answers });
    let carrier = Arc::new(GossipCarrier::new(inbox, Arc::clone(&metrics)));
    let carried = Carried::new(Arc::clone(&carrier))
        .streams(Arc::new(LaneStreams(Arc::clone(&quiet))))
        .streams(Arc::new(ReceiptStreams))
        .streams(Arc::clone(&carrier))
        .task(carrier);
    let replication = Replication::new(Arc::clone(&replica), Arc::clone(&quiet) as _, vitals);
    links.start(Incarnation(1), quiet, replication.register(carried));
    tokio::spawn(Arc::clone(&links).accept());
    Victim { links, metrics, replica, addr, gossip }
}

impl Victim {
    /// Its link to a node that has dialled it.
    async fn link_to(&self, peer: &NodeName) -> Arc<Link> {
        let linked = async {
            loop {
                match self.links.get(peer) {
                    Some(link) => break link,
                    None => tokio::task::yield_now().await,
                }
            }
        };
        within("the link", linked).await
    }
}

/// A peer with the right key; the endpoint comes along because dropping it ends the link.
struct Member {
    connection: Connection,
    _endpoint: quinn::Endpoint,
}

impl Member {
    /// Links with the victim as this node.
    async fn link(victim: &Victim, of: &str) -> Self {
        let identity = identity(of);
        let endpoint = endpoint(&identity);
        let connection = Self::greet(victim, of, &identity, &endpoint).await;
        Self { connection, _endpoint: endpoint }
    }

    async fn greet(victim: &Victim, of: &str, identity: &Identity, endpoint: &quinn::Endpoint) -> Connection {
        let (connection, _) = endpoint::dial(endpoint, identity, victim.addr).await.unwrap();
        let settings =
            Settings { takeover: Takeover::default().to_string(), keys_check: identity.keys_check() };
        let mesh = endpoint.local_addr().unwrap();
        let hello = hello(of, 5, mesh, settings);
        handshake::greet(&connection, &name("n1"), &hello).await.unwrap();
        connection
    }

    async fn open(&self, kind: StreamKind) -> SendStream {
        let mut stream = self.connection.open_uni().await.unwrap();
        stream.write_all(&kind.preface(VERSION)).await.unwrap();
        stream
    }

    async fn open_both_ways(&self, kind: StreamKind) -> (SendStream, FrameReader) {
        let (mut stream, answers) = self.connection.open_bi().await.unwrap();
        stream.write_all(&kind.preface(VERSION)).await.unwrap();
        (stream, FrameReader::answers(answers))
    }

    /// The stream of this kind that the victim opened, of those that go one way.
    async fn accept(&self, kind: StreamKind) -> FrameReader {
        loop {
            let stream = self.connection.accept_uni().await.unwrap();
            let (found, reader) = FrameReader::open(stream, VERSION).await.unwrap();
            if found == kind.byte {
                return reader;
            }
            std::mem::forget(reader); // A stream that is dropped is stopped, and the victim would notice.
        }
    }

    /// The subscription of the victim to this member's section.
    async fn subscribed(&self) -> SendStream {
        loop {
            let (send, recv) = self.connection.accept_bi().await.unwrap();
            let (kind, mut reader) = FrameReader::open(recv, VERSION).await.unwrap();
            if kind == SECTION.byte && reader.next::<Subscribe>().await.unwrap().is_some() {
                return send;
            }
        }
    }
}

/// Bounds every wait, so that a mistake fails the test and does not hang it.
async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(40), future).await.unwrap_or_else(|_| panic!("{what}: not within 40 s"))
}

/// Waits until the victim has closed the link for what the member did, and checks that it was counted.
async fn cut_off(victim: &Victim, member: &Member, kind: &str) {
    let reason = within(&format!("the end for {kind}"), member.connection.closed()).await;
    let protocol = |reason: &ConnectionError| matches!(reason, ConnectionError::ApplicationClosed(close) if close.error_code == CloseCode::Protocol.code());
    assert!(protocol(&reason), "{kind}: {reason}");
    let sample = format!("pushmesh_mesh_frames_refused_total{{kind=\"{kind}\"}} 1\n");
    assert!(victim.metrics.render().contains(&sample), "{sample} {}", victim.metrics.render());
    // Another member asks, and is answered.
    let honest = Member::link(victim, "honest").await;
    let asked = Request { seq: 7, relay_to: None, recipients: Recipients::All, action: Action::Disconnect };
    let mut lane = honest.open(LANE).await;
    write_frame(&mut lane, &asked).await.unwrap();
    let mut receipts = honest.accept(RECEIPTS).await;
    let (Receipts(found), _) = within("a receipt", receipts.next()).await.unwrap().unwrap();
    assert_eq!(found, [Receipt { seq: 7, answer: Answer::Tally(Tally::default()) }]);
}

fn tally(seq: u64) -> Receipts {
    Receipts(vec![Receipt { seq, answer: Answer::Tally(Tally::default()) }])
}

/// Names as long as they may be.
fn long_names() -> SessionKey {
    let text = |len| "x".repeat(len);
    let (user, device) = (text(limits::USER_BYTES_MAX), text(limits::DEVICE_BYTES_MAX));
    SessionKey::new(UserId::new(user).unwrap(), DeviceId::new(device).unwrap())
}

fn names() -> SessionKey {
    SessionKey::new(UserId::new("u").unwrap(), DeviceId::new("d").unwrap())
}

#[tokio::test]
async fn a_receipt_that_nobody_asked_for_ends_the_link() {
    let victim = victim(true);
    let evil = Member::link(&victim, "evil").await;
    write_frame(&mut evil.open(RECEIPTS).await, &tally(0)).await.unwrap();
    cut_off(&victim, &evil, "unasked").await;
}

#[tokio::test]
async fn a_receipt_that_is_no_answer_ends_the_link_and_whoever_asked_learns_it() {
    let named =
        |length| Answer::Named(vec![NamedOutcome { device: None, outcome: Outcome::Delivered }; length]);
    let devices = |count| Recipients::Devices { user: names().user, devices: vec![DeviceHash(1); count] };
    let cases = [
        (None, devices(2), named(1)),
        (None, devices(2), named(5_000)),
        (None, devices(1), Answer::NotRelayed),
        (None, Recipients::Session(names()), Answer::Tally(Tally::default())),
        // What is passed on would not fit a frame of the one who asked.
        (Some(name("n3")), Recipients::All, Answer::Sessions(vec![Some(names()); 20_000])),
    ];
    for (relay_to, recipients, wrong) in cases {
        let victim = victim(true);
        let evil = Member::link(&victim, "evil").await;
        let link = victim.link_to(&name("evil")).await;
        let asked = format!("{recipients:?} {relay_to:?}");
        let answer = request(&link, relay_to, recipients, Action::Disconnect, Bytes::new()).unwrap();
        let mut lane = evil.accept(LANE).await;
        let request = within("the request", lane.next::<Request>());
        // It may be in any of the lanes: the first request of a link has the number 0 in each.
        let _ = timeout(Duration::from_millis(50), request).await;
        let receipts = Receipts(vec![Receipt { seq: 0, answer: wrong }]);
        write_frame(&mut evil.open(RECEIPTS).await, &receipts).await.unwrap();
        assert!(within(&asked, answer).await.is_err(), "{asked}");
        cut_off(&victim, &evil, "answer").await;
    }
}

#[tokio::test]
async fn more_lanes_or_streams_of_receipts_than_a_link_has_end_it() {
    for (kind, allowed) in [(LANE, limits::LANES), (RECEIPTS, 1)] {
        let victim = victim(true);
        let evil = Member::link(&victim, "evil").await;
        let mut streams = Vec::new();
        for _ in 0..=allowed {
            streams.push(evil.open(kind).await);
        }
        cut_off(&victim, &evil, "flood").await;
    }
}

#[tokio::test]
async fn more_requests_at_once_than_a_node_may_have_end_the_link() {
    let victim = victim(false);
    let evil = Member::link(&victim, "evil").await;
    let mut lane = evil.open(LANE).await;
    for seq in 0..=limits::PENDING_MAX as u64 {
        let request =
            Request { seq, relay_to: None, recipients: Recipients::All, action: Action::Disconnect };
        if write_frame(&mut lane, &request).await.is_err() {
            break; // It was cut off meanwhile.
        }
    }
    let reason = within("the end", evil.connection.closed()).await;
    assert!(matches!(reason, ConnectionError::ApplicationClosed(_)), "{reason}");
    assert!(victim.metrics.render().contains("pushmesh_mesh_frames_refused_total{kind=\"flood\"} 1\n"));
}

#[tokio::test]
async fn streams_that_say_nothing_end_the_link() {
    let victim = victim(true);
    for both_ways in [false, true] {
        let evil = Member::link(&victim, "evil").await;
        let mut streams = Vec::new();
        // A byte makes it known to the victim; the second one of the opening never comes.
        for _ in 0..60 {
            let mut stream = match both_ways {
                true => evil.connection.open_bi().await.unwrap().0,
                false => evil.connection.open_uni().await.unwrap(),
            };
            stream.write_all(&[DIGESTS.byte]).await.unwrap();
            streams.push(stream);
        }
        let reason = within("the end", evil.connection.closed()).await;
        assert!(matches!(reason, ConnectionError::ApplicationClosed(_)), "{reason}");
        drop(streams);
    }
    let evil = Member::link(&victim, "other-evil").await;
    let mut gossip = evil.open(GOSSIP).await;
    gossip.write_all(b"and so on").await.unwrap();
    let reason = within("the end of a message without one", evil.connection.closed()).await;
    assert!(matches!(reason, ConnectionError::ApplicationClosed(_)), "{reason}");
    assert!(victim.metrics.render().contains("pushmesh_mesh_frames_refused_total{kind=\"silent\"} 3\n"));
}

#[tokio::test]
async fn a_gossip_message_that_is_longer_than_any_ends_the_link() {
    let victim = victim(true);
    let evil = Member::link(&victim, "evil").await;
    let mut gossip = evil.open(GOSSIP).await;
    let _ = gossip.write_all(&vec![0; limits::GOSSIP_BYTES_MAX + 1]).await; // It may be cut off before.
    cut_off(&victim, &evil, "oversize").await;
}

#[tokio::test]
async fn gossip_without_end_ends_the_link_and_leaves_room_for_others() {
    let mut victim = victim(true);
    let evil = Member::link(&victim, "evil").await;
    let flood = async {
        while evil.connection.close_reason().is_none() {
            let _ = evil.connection.send_datagram(Bytes::from_static(b"gossip")); // Too many at once are dropped.
            tokio::task::yield_now().await;
        }
    };
    within("the end", flood).await;
    cut_off(&victim, &evil, "flood").await;
    let mut arrived = 0;
    while victim.gossip.try_recv().is_ok() {
        arrived += 1;
    }
    assert!(arrived < limits::GOSSIP_INBOX, "{arrived} messages of one peer waited");
}

#[tokio::test]
async fn only_a_push_has_a_payload() {
    for kind in [RECEIPTS, DIGESTS] {
        let victim = victim(true);
        let evil = Member::link(&victim, "evil").await;
        let mut stream = match kind {
            DIGESTS => evil.open_both_ways(kind).await.0,
            _ => evil.open(kind).await,
        };
        stream.write_all(&encode(&tally(0), 1)).await.unwrap();
        cut_off(&victim, &evil, "oversize").await;
    }
}

#[tokio::test]
async fn a_stream_of_another_version_than_was_agreed_ends_the_link() {
    for other in [MeshVersion::V4.number(), VERSION.number() + 1, 0] {
        let victim = victim(true);
        let evil = Member::link(&victim, "evil").await;
        let mut stream = evil.connection.open_uni().await.unwrap();
        stream.write_all(&[LANE.byte, other]).await.unwrap();
        cut_off(&victim, &evil, "version").await;
    }
}

#[tokio::test]
async fn features_that_are_not_known_are_ignored() {
    let victim = victim(true);
    let _later = Member::link(&victim, "later").await;
    let link = victim.link_to(&name("later")).await;
    assert_eq!((link.version(), link.features()), (VERSION, Features::OWN));
}

#[tokio::test]
async fn comparisons_without_pause_end_the_link() {
    let victim = victim(true);
    let evil = Member::link(&victim, "evil").await;
    let ask = async {
        let mut streams = Vec::new();
        while evil.connection.close_reason().is_none() {
            let Ok((mut send, recv)) = evil.connection.open_bi().await else { break };
            let _ = send.write_all(&DIGESTS.preface(VERSION)).await;
            let _ = write_frame(&mut send, &DigestsFrame(Vec::new())).await;
            let _ = send.finish();
            streams.push(recv);
            if streams.len() > 30 {
                streams.remove(0);
            }
        }
    };
    within("the end", ask).await;
    cut_off(&victim, &evil, "flood").await;
}

#[tokio::test]
async fn a_peer_that_takes_no_requests_is_cut_off() {
    let victim = victim(true);
    let evil = Member::link(&victim, "evil").await;
    let link = victim.link_to(&name("evil")).await;
    let payload = Bytes::from(vec![0; limits::FRAME_PAYLOAD_BYTES_MAX]);
    let mut answers = Vec::new();
    loop {
        let (recipients, action) = (Recipients::Session(names()), Action::Disconnect);
        match request(&link, None, recipients, action, payload.clone()) {
            Ok(answer) => answers.push(answer),
            Err(refused) => break assert_eq!(refused, Refused::Overloaded),
        }
    }
    for answer in answers {
        assert!(within("the end of a request", answer).await.is_err());
    }
    cut_off(&victim, &evil, "stalled").await;
}

#[tokio::test]
async fn names_that_a_peer_does_not_take_are_not_gathered_without_bound() {
    let victim = victim(true);
    let evil = Member::link(&victim, "evil").await;
    let mut lane = evil.open(LANE).await;
    let key = KeyHasher::new(&[0; 32]).key(&names());
    let ask = async {
        for seq in 0.. {
            let recipients = Recipients::Keys(Packed(vec![key; limits::SESSIONS_PAGE_MAX]));
            let request = Request { seq, relay_to: None, recipients, action: Action::Describe };
            if write_frame(&mut lane, &request).await.is_err() {
                return seq;
            }
        }
        unreachable!("a u64 has no end")
    };
    // The stream of receipts is accepted by nobody. Once it is full the victim reads no more requests, of which
    // some wait in the windows of QUIC.
    let asked = within("the end", ask).await;
    assert!(asked < 1_000, "{asked} questions were taken in");
    cut_off(&victim, &evil, "stalled").await;
}
