//! A node whose operating system lets it open few files.

use std::process::Stdio;
use std::time::Duration;

use tokio::time::Instant;

use crate::harness::{Launch, Node, Plain, Streams, alone, eventually, same, unique};

/// A node that may have so many files open.
async fn limited(cluster: &str, files: usize) -> Node {
    let shell = Some(format!(r#"ulimit -n {files}; exec "$0" "$@""#));
    let streams = Streams { stdout: Some(Stdio::piped()), shell, ..Streams::default() };
    let node = Launch::dev(cluster, "n1").start_on(streams, &[]).await;
    node.ready().await;
    node
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_files_are_used_up_answers_probes_and_pushes_to_those_who_are_in() {
    let _alone = alone().await;
    let cluster = unique();
    let node = limited(&cluster, 64).await;
    let other = Launch::dev(&cluster, "n2").peers([&node]).start().await;
    other.ready().await;
    node.sees_as("n2", "alive").await;
    node.process.says("the limit of open files").await;

    let mut clients = Vec::new();
    for n in 0..CLIENTS {
        clients.push(handshake(&node, n).await);
    }
    let mut silent = Vec::new();
    for _ in 0..CLIENTS {
        silent.push(Plain::open(&node).await);
    }
    let members = eventually("some clients are in, for both nodes", async || {
        let (here, there) = (node.sessions_of("u").await.len(), other.sessions_of("u").await.len());
        if here == there && here >= 10 { Ok(here) } else { Err((here, there)) }
    })
    .await;
    assert!(members < CLIENTS, "they do not all fit");
    for round in 0..10 {
        assert_eq!(ask(&node, "/livez").await, 200);
        assert_eq!(ask(&node, "/readyz").await, 200);
        for entry in [&node, &other] {
            let answer = entry.push("u", &format!("round {round}")).await;
            assert_eq!((answer.status, &answer.json["delivered"]), (200, &members.into()), "{answer:?}");
        }
    }
    let full = node.metric("pushmesh_accepts_failed_total{reason=\"full\"}").await;
    assert!(full.is_some_and(|full| full > 0.0), "{full:?}");
    node.process.says("every place for connections is taken").await;
    let lines = node.process.stderr().matches("every place for connections is taken").count();
    assert_eq!(lines, 1, "the log is told once a minute");

    drop((clients, silent));
    eventually("places are free again", async || same(node.metric("pushmesh_connections").await, Some(0.0)))
        .await;
    let mut client = node.connect("v", Some("d")).await;
    other.shows("v", &[("d", "n1")]).await;
    assert_eq!(other.push("v", "hello").await.json["delivered"], 1);
    assert_eq!(client.next_text().await, "hello");
}

/// How callers keep a node waiting: a part of a head, a body that does not come, a refusal of what is not sent to its
/// end, answers that are not read.
const SLOW: [&str; 5] = [
    "G",
    "POST /v1/push HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n",
    "POST /v1/users/u/push HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n",
    "POST /nowhere HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\ncontent-length: 9\r\n\r\n",
    "GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\nGET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_keeps_a_node_waiting_does_not_keep_out_a_probe() {
    let _alone = alone().await;
    let node = limited(&unique(), 64).await;
    let mut client = node.connect("v", Some("d")).await;
    for begin in SLOW {
        let mut crowd = Vec::new();
        for _ in 0..CROWD {
            let mut caller = Plain::open(&node).await;
            caller.send(begin).await;
            crowd.push(caller);
        }
        let asked = Instant::now();
        assert_eq!(ask(&node, "/livez").await, 200, "{begin}");
        // Without making room it is 15 to 30 s. How long it takes exactly is a matter of the unit tests.
        assert!(asked.elapsed() < Duration::from_secs(8), "{begin}: {:?}", asked.elapsed());
        assert_eq!(node.push("v", begin).await.json["delivered"], 1);
        assert_eq!(client.next_text().await, begin);
    }
}

/// Twice as many as the node has places.
const CROWD: usize = 80;

/// A client that connects as well as it can.
async fn handshake(node: &Node, n: usize) -> Plain {
    let mut client = Plain::open(node).await;
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";
    client.send(format!("GET /v1/ws?user=u&device=d{n} HTTP/1.1\r\nhost: x\r\n{upgrade}\r\n\r\n")).await;
    let (status, answer) = client.answer().await;
    assert!(matches!(status, 101 | 503), "{answer}");
    client
}

/// The status of a probe over a connection of its own.
async fn ask(node: &Node, path: &str) -> u16 {
    let mut probe = Plain::open(node).await;
    probe.send(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
    probe.answer().await.0
}

/// More than fit.
const CLIENTS: usize = 100;
