//! Strangers at the mesh port: what they cost a node is bounded, and members get through.
//!
//! A stranger has no key of the cluster. It knows QUIC and TLS, and sends as many first packets as it likes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quinn::crypto::rustls::QuicClientConfig;
use rustls::RootCertStore;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::{Duration, interval};

use crate::harness::{Cluster, Node, alone, eventually, within};

/// How a stranger dials; it has no certificate, and stops before that matters.
fn stranger() -> quinn::ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("ring has TLS 1.3")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"pushmesh/4".to_vec()];
    quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).expect("ring has QUIC's cipher suite")))
}

fn client() -> quinn::Endpoint {
    quinn::Endpoint::client(loopback(1)).expect("a socket can be bound")
}

fn loopback(host: u8) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, host], 0))
}

/// First packets as a client of QUIC sends them, each with a ClientHello and a connection id of its own.
async fn first_packets(count: usize) -> Vec<Vec<u8>> {
    let sink = UdpSocket::bind(loopback(1)).await.expect("a socket can be bound");
    let (addr, endpoint) = (sink.local_addr().expect("it is bound"), client());
    let mut packets = BTreeMap::new();
    let mut buffer = [0; 2_048];
    while packets.len() < count {
        let dial = endpoint.connect_with(stranger(), addr, "pushmesh").expect("it is an address");
        let len = within("a first packet", sink.recv(&mut buffer)).await.expect("the sink is open");
        // Version, length and bytes of the connection id. What repeats it comes later.
        let id = buffer[6..6 + usize::from(buffer[5])].to_vec();
        packets.entry(id).or_insert_with(|| buffer[..len].to_vec());
        drop(dial);
    }
    let packets: Vec<_> = packets.into_values().collect();
    assert!(packets.iter().all(|packet| packet.len() >= 1_200), "a server ignores shorter ones");
    packets
}

/// Sends first packets until it is dropped, from several addresses, and counts bytes in both directions.
struct Flood {
    sent: Arc<AtomicU64>,
    answered: Arc<AtomicU64>,
    _tasks: JoinSet<()>,
}

impl Flood {
    async fn begin(target: SocketAddr) -> Self {
        let packets = Arc::new(first_packets(500).await);
        let (sent, answered) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let mut tasks = JoinSet::new();
        for host in 1..=ADDRESSES {
            let socket = Arc::new(UdpSocket::bind(loopback(host)).await.expect("a socket can be bound"));
            let (from, packets, count) = (Arc::clone(&socket), Arc::clone(&packets), Arc::clone(&sent));
            tasks.spawn(async move {
                let mut tick = interval(PACE);
                for packet in packets.iter().cycle().skip(usize::from(host) * 50) {
                    tick.tick().await;
                    if from.send_to(packet, target).await.is_ok() {
                        count.fetch_add(packet.len() as u64, Ordering::Relaxed);
                    }
                }
            });
            let count = Arc::clone(&answered);
            tasks.spawn(async move {
                let mut buffer = [0; 2_048];
                while let Ok(len) = socket.recv(&mut buffer).await {
                    count.fetch_add(len as u64, Ordering::Relaxed);
                }
            });
        }
        Self { sent, answered, _tasks: tasks }
    }
}

async fn count_of(node: &Node, sample: &str) -> f64 {
    node.metric(sample).await.unwrap_or_else(|| panic!("{sample} is a metric of {}", node.name))
}

async fn reaches(node: &Node, sample: &str, least: f64) {
    eventually(&format!("{sample} of {}", node.name), async || {
        let found = count_of(node, sample).await;
        if found >= least { Ok(()) } else { Err(found) }
    })
    .await;
}

async fn none_under_way(node: &Node) {
    eventually("handshakes under way", async || {
        let found = count_of(node, "pushmesh_mesh_handshakes").await;
        if found == 0.0 { Ok(()) } else { Err(found) }
    })
    .await;
}

#[tokio::test]
async fn members_stay_linked_and_join_while_strangers_flood_the_mesh_port() {
    let _alone = alone().await;
    let mut cluster = Cluster::start(2).await;
    let mut client = cluster.node(0).connect("u", Some("d")).await;
    let before = cluster.node(0).resident_bytes();
    let flood = Flood::begin(cluster.node(0).mesh).await;
    reaches(cluster.node(0), "pushmesh_mesh_retries_total", 1_000.0).await;
    let third = cluster.add().await;
    cluster.node(third).ready().await;
    cluster.all_alive().await;
    cluster.node(third).shows("u", &[("d", "n1")]).await;
    for node in cluster.nodes() {
        assert_eq!(node.push("u", &node.name).await.json["delivered"], 1, "from {}", node.name);
        assert_eq!(client.next_text().await, node.name);
    }
    let seen = cluster.node(0).process.stderr();
    assert!(!seen.contains("to=\"suspect\""), "a member was not heard");
    assert!(seen.matches("connections to the mesh were refused").count() <= 5, "each line stands for many");
    let (sent, answered) = (flood.sent.load(Ordering::Relaxed), flood.answered.load(Ordering::Relaxed));
    assert!(answered < sent / 2, "{answered} bytes were answered to {sent} bytes of strangers");
    drop(flood);
    none_under_way(cluster.node(0)).await;
    let after = cluster.node(0).resident_bytes();
    assert!(after < before + MEMORY_MAX, "{before} bytes before the flood, {after} after it");
}

/// A way to `node` on which a dialler proves its address and is never heard of again: two packets pass towards
/// the node, and one back.
async fn way_that_breaks(node: SocketAddr, host: u8, tasks: &mut JoinSet<()>) -> SocketAddr {
    let front = UdpSocket::bind(loopback(1)).await.expect("a socket can be bound");
    let back = UdpSocket::bind(loopback(host)).await.expect("a socket can be bound");
    let addr = front.local_addr().expect("it is bound");
    tasks.spawn(async move {
        let (mut there, mut here) = ([0; 2_048], [0; 2_048]);
        let Ok((len, dialler)) = front.recv_from(&mut there).await else { return };
        let _ = back.send_to(&there[..len], node).await;
        let Ok(len) = back.recv(&mut here).await else { return };
        let _ = front.send_to(&here[..len], dialler).await;
        let Ok((len, _)) = front.recv_from(&mut there).await else { return };
        let _ = back.send_to(&there[..len], node).await;
        // The sockets stay: a port that nobody has would tell the node that the dialler is gone.
        std::future::pending::<()>().await;
    });
    addr
}

#[tokio::test]
async fn strangers_that_prove_their_address_and_fall_silent_leave_room_for_members() {
    let _alone = alone().await;
    let mut cluster = Cluster::start(1).await;
    let node = cluster.node(0).mesh;
    let endpoint = client();
    let (mut tasks, mut dials) = (JoinSet::new(), Vec::new());
    for stranger_number in 0..200 {
        let host = 1 + stranger_number % 4;
        let way = way_that_breaks(node, host, &mut tasks).await;
        dials.push(endpoint.connect_with(stranger(), way, "pushmesh").expect("it is an address"));
    }
    reaches(cluster.node(0), "pushmesh_mesh_handshakes_refused_total{reason=\"flood\"}", 10.0).await;
    let second = cluster.add().await;
    cluster.node(second).ready().await;
    cluster.all_alive().await;
    assert_eq!(
        count_of(cluster.node(1), "pushmesh_mesh_handshakes_refused_total{reason=\"flood\"}").await,
        0.0
    );
    drop((dials, endpoint, tasks));
    none_under_way(cluster.node(0)).await;
    reaches(cluster.node(0), "pushmesh_mesh_handshakes_refused_total{reason=\"unfinished\"}", 1.0).await;
}

/// Addresses that a flood comes from.
const ADDRESSES: u8 = 8;
/// Time between two packets from one address: 1,600 a second from all.
const PACE: Duration = Duration::from_millis(5);
/// A development build that answers a flood may hold so much more after it than before. Every handshake that a
/// stranger could leave behind would be some 40 KB.
const MEMORY_MAX: u64 = 48 << 20;
