//! Nodes on several threads.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio_tungstenite::tungstenite::Message as Frame;

use super::harness::{Client, connect, until, within};
use crate::config::Config;
use crate::handle::NodeHandle;
use crate::handler::{Handler, PushOnly, SessionInfo};
use crate::id::NodeName;
use crate::node::Node;
use crate::wire::{Threads, Wire};

/// Says when a client has gone, and is busy with that until it is told to go on.
struct Busy {
    began: Notify,
    go_on: Notify,
    done: mpsc::Sender<()>,
}

#[async_trait]
impl Handler for Busy {
    async fn on_disconnect(&self, _: &NodeHandle, _: &SessionInfo, _: u16) {
        self.began.notify_one();
        self.go_on.notified().await;
        self.done.try_send(()).unwrap();
    }
}

/// A node on so many threads for pushes.
async fn start(name: &str, count: usize, peers: &[&Node]) -> (Node, Threads) {
    start_with(name, count, peers, Arc::new(PushOnly)).await
}

async fn start_with(name: &str, count: usize, peers: &[&Node], handler: Arc<dyn Handler>) -> (Node, Threads) {
    let mut config = Config::dev(NodeName::new(name).unwrap());
    config.peers = peers.iter().map(|peer| peer.mesh_addr().to_string()).collect();
    let threads = Threads::start(count).unwrap();
    let wire = Wire::bind_on(config.listen, config.mesh_listen, threads.clone()).await.unwrap();
    let node = Node::start_with(config, wire, handler).await.unwrap();
    within("the node is ready", node.ready()).await;
    (node, threads)
}

/// So many clients, each of a user of its own.
async fn clients(node: &Node, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for number in 0..count {
        clients.push(connect(node, &format!("u{number}")).await);
    }
    clients
}

/// The whole answer to a push, over a connection that stays open.
async fn push(tcp: &mut TcpStream, path: &str, payload: &str) -> String {
    let bytes = payload.len();
    let request = format!("POST {path} HTTP/1.1\r\nhost: n\r\ncontent-length: {bytes}\r\n\r\n{payload}");
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        let read = within("an answer", tcp.read_buf(&mut answer)).await.unwrap();
        assert_ne!(read, 0, "the answer breaks off");
    }
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn calls_that_follow_each_other_keep_their_order_whichever_threads_they_come_by() {
    let (other, _) = start("threads-order-other", 3, &[]).await;
    let (entry, _) = start("threads-order", 3, &[&other]).await;
    let mut far = connect(&other, "far").await;
    let mut near = connect(&entry, "near").await;
    until("the entry sees both", || entry.sessions() == 2).await;
    let mut connections = Vec::new();
    for _ in 0..8 {
        connections.push(TcpStream::connect(entry.http_addr()).await.unwrap());
    }
    for (user, client) in [("far", &mut far), ("near", &mut near)] {
        let path = format!("/v1/users/{user}/push?wait=none");
        for number in 0..400 {
            // The answer does not wait for the message, which the next one must not overtake.
            let answer = push(&mut connections[number % 8], &path, &number.to_string()).await;
            assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
        }
        for number in 0..400 {
            let Some(Ok(Frame::Text(text))) = within("a message", client.next()).await else {
                panic!("{user}")
            };
            assert_eq!(text, number.to_string(), "{user}");
        }
    }
    entry.shutdown().await;
    other.shutdown().await;
}

#[tokio::test]
async fn a_node_that_stops_sends_the_clients_of_all_its_threads_away_and_closes_its_port() {
    let (node, _) = start("threads-stop", 3, &[]).await;
    let mut clients = clients(&node, 40).await;
    let http = node.http_addr();
    let told = async {
        for client in &mut clients {
            let Some(Ok(Frame::Close(Some(frame)))) = client.next().await else { panic!("no word of it") };
            assert_eq!(u16::from(frame.code), 1012);
        }
    };
    let ((), ()) = tokio::join!(node.shutdown(), within("all are told", told));
    assert!(TcpStream::connect(http).await.is_err(), "no thread listens any more");
}

#[tokio::test]
async fn a_node_with_a_thread_that_hangs_is_not_alive_until_it_goes_on() {
    let (node, threads) = start("threads-hang", 2, &[]).await;
    for thread in threads.push() {
        let (release, released) = std::sync::mpsc::channel::<()>();
        thread.spawn(async move { released.recv() });
        until("it is noticed", || !node.shared.vitals.is_watched()).await;
        drop(release);
        until("it is over", || node.shared.vitals.is_watched()).await;
    }
    node.shutdown().await;
}

#[tokio::test]
async fn a_broadcast_reaches_the_clients_of_all_threads() {
    let (node, _) = start("threads-broadcast", 3, &[]).await;
    let mut clients = clients(&node, 20).await;
    let mut tcp = TcpStream::connect(node.http_addr()).await.unwrap();
    let answer = push(&mut tcp, "/v1/broadcast", "all").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    for client in &mut clients {
        assert!(matches!(within("it", client.next()).await, Some(Ok(Frame::Text(text))) if text == "all"));
    }
    node.shutdown().await;
}

#[tokio::test]
async fn the_threads_of_a_node_end_with_it() {
    let (node, threads) = start("threads-end", 2, &[]).await;
    let (alive, gone) = tokio::sync::oneshot::channel::<()>();
    threads.push()[1].spawn(async move {
        std::future::pending::<()>().await;
        drop(alive);
    });
    drop(threads);
    node.shutdown().await;
    assert!(within("the threads end with the node", gone).await.is_err());
}

#[tokio::test]
async fn a_handler_that_outlasts_its_node_has_its_thread_for_as_long_as_it_needs_it() {
    let (done, mut ended) = mpsc::channel(1);
    let busy = Arc::new(Busy { began: Notify::new(), go_on: Notify::new(), done });
    let handler = Arc::clone(&busy) as Arc<dyn Handler>;
    let (node, threads) = start_with("threads-busy", 2, &[], handler).await;
    let client = connect(&node, "u").await;
    let push = threads.push().to_vec();
    drop((client, threads));
    within("the handler is called", busy.began.notified()).await;
    node.shutdown().await;
    for thread in push {
        let _ = thread.spawn(async {}).await; // A thread that ends has ended by then, and with it what ran there.
    }
    busy.go_on.notify_one();
    assert_eq!(within("it is done", ended.recv()).await, Some(()));
}
