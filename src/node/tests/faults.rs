//! Nodes in which something fails: real ones, on real sockets, of which the test breaks a part.

use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use futures_util::StreamExt;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};
use tokio_tungstenite::tungstenite::Message as Frame;

use super::harness::{Client, LOOK_EVERY, connect, until, within};
use crate::config::Config;
use crate::id::{DeviceId, NodeName, SessionKey, UserId};
use crate::node::{Fault, Node};
use crate::push::{Payload, Target};

use crate::key::Key;
use crate::limits;
use crate::push::Message;
use crate::session::{DirectWriter, Place, Session, Taken};
use crate::wire::{TcpFace, Wire};

/// A switch that breaks something of a wire.
type Broken = Arc<AtomicBool>;

/// Accepts connections until it is broken, and panics then.
struct Door(TcpFace, Broken);

impl Listener for Door {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        let accepted = self.0.accept().await;
        assert!(!self.1.load(Ordering::Relaxed), "the door is broken on purpose");
        accepted
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// Passes datagrams on until it is broken, and fails then.
#[derive(Debug)]
struct Cable(Arc<dyn AsyncUdpSocket>, Broken);

impl AsyncUdpSocket for Cable {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.0).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.0.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [io::IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        if self.1.load(Ordering::Relaxed) {
            return Poll::Ready(Err(io::Error::other("the cable is broken on purpose")));
        }
        self.0.poll_recv(cx, bufs, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// Panics when a message is written directly.
struct Trap;

impl DirectWriter for Trap {
    fn write(&self, _: &Message, _: Option<&Place>) -> Taken {
        panic!("the trap is sprung on purpose")
    }
}

/// A node that may break.
struct Fixture {
    node: Node,
    door: Broken,
    cable: Broken,
}

async fn start(name: &str, peers: &[&Node]) -> Fixture {
    let mut config = Config::dev(NodeName::new(name).unwrap());
    config.peers = peers.iter().map(|peer| peer.mesh_addr().to_string()).collect();
    let Wire { udp, runtime, threads, tcp, clock, resolver, fetcher, seed, files, process_metrics, .. } =
        Wire::bind(config.listen, config.mesh_listen).await.unwrap();
    let (door, cable) = (Broken::default(), Broken::default());
    let tcp = tcp.into_iter().map(|tcp| Door(tcp, Arc::clone(&door))).collect();
    let udp = Arc::new(Cable(udp, Arc::clone(&cable)));
    let node = Node::start(
        config,
        Wire {
            udp,
            runtime,
            threads,
            tcp,
            api: Vec::new(),
            admin: Vec::new(),
            clock,
            resolver,
            fetcher,
            seed,
            files,
            process_metrics,
        },
    )
    .await
    .unwrap();
    within("the node is ready", node.ready()).await;
    Fixture { node, door, cable }
}

/// Two nodes that see each other, the first of which is to break, and a client of it.
async fn two(name: &str) -> (Fixture, Node, Client) {
    let other = start(&format!("{name}-other"), &[]).await.node;
    let breaks = start(name, &[&other]).await;
    until("both see each other", || breaks.node.members_alive() == 2 && other.members_alive() == 2).await;
    let client = connect(&breaks.node, "u").await;
    until("the other one sees the client", || other.sessions() == 1).await;
    (breaks, other, client)
}

fn session(node: &Node, user: &str) -> Arc<Session> {
    let names = SessionKey::new(UserId::new(user).unwrap(), DeviceId::new("d").unwrap());
    node.shared.registry.get(key(node, &names)).unwrap()
}

fn key(node: &Node, names: &SessionKey) -> Key {
    node.shared.replica.hasher().key(names)
}

/// Code and reason with which the server closes.
async fn closed(mut client: Client) -> Option<(u16, String)> {
    let closing = async {
        while let Some(Ok(frame)) = client.next().await {
            if let Frame::Close(frame) = frame {
                return frame.map(|frame| (u16::from(frame.code), frame.reason.to_string()));
            }
        }
        None
    };
    within("the end of the connection", closing).await
}

async fn assert_told_to_come_back(client: Client) {
    let (code, reason) = closed(client).await.expect("the server says why it closes");
    assert_eq!(code, 1012);
    assert!(reason.starts_with("{\"retry_ms\":"), "{reason}");
}

/// Stops a node that has failed, and sees that this is soon over.
async fn assert_stops_soon(node: Node) {
    let stopped = Instant::now();
    node.shutdown().await;
    assert!(stopped.elapsed() < Duration::from_secs(2), "it took {:?}", stopped.elapsed());
}

/// The first line of the answer to `GET /livez`.
async fn livez(node: &Node) -> String {
    let mut tcp = TcpStream::connect(node.http_addr()).await.unwrap();
    tcp.write_all(b"GET /livez HTTP/1.1\r\nhost: n\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    within("an answer", tcp.read_to_string(&mut answer)).await.unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

fn counted(node: &Node, task: &str) -> bool {
    let sample = format!("pushmesh_tasks_failed_total{{task=\"{task}\"}} 1\n");
    node.shared.metrics.render().contains(&sample)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_door_panics_tells_its_clients_and_its_peers_that_it_goes() {
    let (Fixture { node, door, .. }, other, client) = two("door").await;
    door.store(true, Ordering::Relaxed);
    drop(TcpStream::connect(node.http_addr()).await.unwrap());
    let fault = within("a fault", node.failed()).await;
    let problem = "the door is broken on purpose".to_owned();
    assert_eq!(fault, Fault::Task { task: "http", problem });
    assert!(counted(&node, "http"));
    let name = node.name().clone();
    let stopping = Instant::now();
    let ((), ()) = tokio::join!(assert_stops_soon(node), assert_told_to_come_back(client));
    let left = || other.shared.roster.state(&name).is_none_or(|state| state.as_str() == "left");
    until("the peer knows that it has left", left).await;
    assert!(stopping.elapsed() < limits::LINK_IDLE_SUSPECT, "it was not told, but noticed");
    assert_eq!(other.sessions(), 0);
    other.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_mesh_socket_fails_can_not_go_on() {
    let (Fixture { node, cable, .. }, other, client) = two("cable").await;
    cable.store(true, Ordering::Relaxed);
    let fault = within("a fault", node.failed()).await;
    assert_eq!(fault, Fault::Task { task: "mesh", problem: "it ended early".to_owned() });
    assert!(livez(&node).await.contains(" 503 "));
    tokio::join!(assert_stops_soon(node), assert_told_to_come_back(client));
    other.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_under_a_lock_of_the_whole_node_is_a_fault() {
    let (Fixture { node, .. }, other, client) = two("lock").await;
    let names = SessionKey::new(UserId::new("x").unwrap(), DeviceId::new("d").unwrap());
    let claim =
        || node.shared.replica.claim(key(&node, &names), 1, None, None, None, |_| panic!("on purpose"));
    assert!(catch_unwind(AssertUnwindSafe(claim)).is_err());
    assert_eq!(within("a fault", node.failed()).await, Fault::Poisoned { what: "the directory" });
    tokio::join!(assert_stops_soon(node), assert_told_to_come_back(client));
    other.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_of_a_fan_out_is_a_fault() {
    let Fixture { node, .. } = start("fan-out", &[]).await;
    let mut other = connect(&node, "other").await;
    let client = connect(&node, "u").await;
    session(&node, "u").lend(Box::new(Trap));
    // What comes before the session's task rests is written by that.
    let broadcasts = async {
        while node.shared.vitals.fault().is_none() {
            let _ = node.handle().broadcast(Payload::text("all"), None).await;
            sleep(LOOK_EVERY).await; // Without a pause the task might never rest, and then the socket is full.
        }
    };
    within("the trap is sprung", broadcasts).await;
    let problem = "the trap is sprung on purpose".to_owned();
    let expected = Fault::Task { task: "fan-out", problem };
    assert_eq!(within("a fault", node.failed()).await, expected);
    assert_stops_soon(node).await;
    let mut frames = Vec::new();
    while let Some(Ok(frame)) = within("the end", other.next()).await {
        frames.push(frame);
    }
    assert!(matches!(frames.last(), Some(Frame::Close(Some(frame))) if u16::from(frame.code) == 1012));
    drop(client); // What is left of its session cannot speak any more.
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_of_a_link_ends_the_link_and_it_comes_back() {
    let (Fixture { node, .. }, other, victim) = two("link").await;
    let mut bystander = connect(&node, "bystander").await;
    until("the other one sees both", || other.sessions() == 2).await;
    session(&node, "u").lend(Box::new(Trap));
    let link = node.shared.links.get(other.name()).unwrap();
    let user = |user| Target::User(UserId::new(user).unwrap());
    let sprung = async {
        // What comes before the session's task rests is written by that.
        while !counted(&node, "link") {
            let _ = other.handle().push(user("u"), Payload::text("x"), None).await;
            sleep(LOOK_EVERY).await;
        }
    };
    within("the trap is sprung", sprung).await;
    let both = || {
        let linked = |node: &Node| !node.shared.links.all().is_empty() && node.members_alive() == 2;
        let another = node.shared.links.get(other.name()).is_some_and(|held| !Arc::ptr_eq(&held, &link));
        another && linked(&node) && linked(&other)
    };
    until("they are linked again", both).await;
    assert_eq!(node.shared.vitals.fault(), None);
    let pushed = async {
        loop {
            let report = other.handle().push(user("bystander"), Payload::text("hello"), None).await.unwrap();
            if report.delivered() == 1 {
                break;
            }
            yield_now().await;
        }
    };
    within("a push to another session", pushed).await;
    assert!(matches!(within("it", bystander.next()).await, Some(Ok(Frame::Text(text))) if text == "hello"));
    drop(victim);
    other.shutdown().await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_node_whose_watch_hangs_is_not_alive_until_it_goes_on() {
    let Fixture { node, .. } = start("watch", &[]).await;
    assert_eq!(livez(&node).await, "HTTP/1.1 200 OK");
    let (release, released) = std::sync::mpsc::channel::<()>();
    let liveness = Arc::clone(&node.shared.liveness);
    let runtime = tokio::runtime::Handle::current();
    let hold = move || {
        // What hangs may be the worker that would hear of new connections.
        while released.recv_timeout(Duration::from_millis(50)) == Err(RecvTimeoutError::Timeout) {
            drop(runtime.spawn(async {}));
        }
    };
    let holding = tokio::task::spawn_blocking(move || liveness.hang(hold));
    let hung = async {
        while !livez(&node).await.contains(" 503 ") {
            sleep(Duration::from_millis(50)).await;
        }
    };
    within("503", hung).await;
    drop(release);
    holding.await.unwrap();
    let back = async {
        while !livez(&node).await.contains(" 200 ") {
            sleep(Duration::from_millis(5)).await;
        }
    };
    within("200", back).await;
    node.shutdown().await;
}
