//! A node joins: it answers for every session that was there before it says that it is ready.

use std::net::UdpSocket;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde_json::json;
use tokio::time::Instant;

use crate::harness::{Cluster, Launch, alone, unique, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_joins_ten_thousand_sessions_knows_all_of_them_when_it_is_ready() {
    let _alone = alone().await;
    let mut cluster = Cluster::start(3).await;
    let connects = (0..SESSIONS).map(|n| {
        let node = cluster.node(n % 3);
        async move { node.connect(&format!("u{n}"), Some("d")).await }
    });
    let mut clients: Vec<_> = stream::iter(connects).buffered(64).collect().await;
    cluster.counts(SESSIONS as u64).await;

    let joined = cluster.add().await;
    let node = cluster.node(joined);
    let mut refused = 0;
    within("the node is ready", async {
        loop {
            let answer = node.get("/readyz").await;
            if answer.status == 200 {
                break;
            }
            assert_eq!(answer.error(), (503, "not_ready"));
            refused += 1;
        }
    })
    .await;
    let stats = node.stats().await;
    assert_eq!((&stats["sessions"], &stats["users"]), (&json!(SESSIONS), &json!(SESSIONS)));
    assert_eq!(stats["self"], "n4");
    let by_node = stats["nodes"].as_array().expect("stats list nodes");
    for (name, expected) in [("n1", 3_334), ("n2", 3_333), ("n3", 3_333)] {
        let found = by_node.iter().find(|entry| entry["node"] == name).expect("every owner is listed");
        assert_eq!(found["sessions"], expected, "{name}");
    }
    node.ready().await;
    assert!(refused > 0, "a node with peers is not ready before it has met them");
    for n in (0..SESSIONS).step_by(97) {
        let answer = node.push(&format!("u{n}"), &n.to_string()).await;
        let expected = json!([{ "device": "d", "node": format!("n{}", n % 3 + 1), "outcome": "delivered" }]);
        assert_eq!((answer.status, &answer.json["sessions"]), (200, &expected), "{answer:?}");
        assert_eq!(clients[n].next_text().await, n.to_string());
    }
    let answer = node.post("/v1/broadcast?wait=none", "all").await;
    assert_eq!(answer.status, 202);
    for client in &mut clients {
        assert_eq!(client.next_text().await, "all");
    }
}

#[tokio::test]
async fn a_node_is_not_ready_while_the_sessions_of_one_member_are_missing() {
    let _alone = alone().await;
    let mut cluster = Cluster::start(3).await;
    let mut clients = Vec::new();
    for n in 0..30 {
        clients.push(cluster.node(n % 3).connect(&format!("u{n}"), None).await);
    }
    cluster.counts(30).await;
    // For less time than makes it suspect: the others tell of it as a member that is alive.
    cluster.node(2).process.signal("STOP");
    let joined = cluster.add().await;
    let node = cluster.node(joined);
    node.counts(20).await;
    for _ in 0..50 {
        // Every round of the overlay would be an occasion to call it ready; a few pass meanwhile.
        assert_eq!(node.stats().await["sessions"], 20);
        assert_eq!(node.get("/readyz").await.error(), (503, "not_ready"), "ten sessions are missing");
        tokio::time::sleep(OBSERVATION / 50).await;
    }
    cluster.node(2).process.signal("CONT");
    node.ready().await;
    assert_eq!(node.stats().await["sessions"], 30);
}

#[tokio::test]
async fn a_node_whose_peers_are_silent_takes_no_clients_until_it_starts_alone() {
    let nobody = UdpSocket::bind("127.0.0.1:0").expect("a port can be had");
    let silent = nobody.local_addr().expect("it has an address").to_string();
    let started = Instant::now();
    let node = Launch::dev(&unique(), "n1").flags(["--peer".to_owned(), silent]).start().await;
    let not_ready = node.get("/readyz").await;
    let refused = node.dial().user("u").refused().await;
    assert_eq!(not_ready.error(), (503, "not_ready"));
    assert!(not_ready.text().contains("joining"), "{not_ready:?}");
    assert_eq!(refused.error(), (503, "not_ready"));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(node.get("/livez").await.status, 200, "it is alive all the same");
    node.ready().await;
    assert!(started.elapsed() >= JOIN_ALONE_AFTER, "it gave its peers the time to answer");
    assert_eq!(node.get("/readyz").await.status, 200);
    let _client = node.connect("u", None).await;
}

#[tokio::test]
async fn peers_may_be_named_by_dns() {
    let cluster = unique();
    let first = Launch::dev(&cluster, "n1").start().await;
    first.ready().await;
    let peer = format!("localhost:{}", first.mesh.port());
    let second = Launch::dev(&cluster, "n2").flags(["--peer", &peer]).start().await;
    second.ready().await;
    let mut client = first.connect("u", Some("d")).await;
    second.shows("u", &[("d", "n1")]).await;
    assert_eq!(second.push("u", "found you").await.json["delivered"], 1);
    assert_eq!(client.next_text().await, "found you");
}

#[tokio::test]
async fn a_node_that_knows_one_peer_finds_the_others() {
    let cluster = unique();
    let first = Launch::dev(&cluster, "n1").start().await;
    let second = Launch::dev(&cluster, "n2").peers([&first]).start().await;
    let third = Launch::dev(&cluster, "n3").peers([&second]).start().await;
    let mut client = first.connect("u", Some("d")).await;
    third.ready().await;
    third.shows("u", &[("d", "n1")]).await;
    assert_eq!(third.push("u", "hello").await.json["delivered"], 1);
    assert_eq!(client.next_text().await, "hello");
}

/// Sessions in the cluster that is joined.
const SESSIONS: usize = 10_000;
/// How long a node is watched that must not become ready: three rounds of its overlay. This is the
/// one thing that has no condition to wait for, because nothing is to happen.
const OBSERVATION: Duration = Duration::from_millis(600);
/// How long a node waits for its peers before it starts alone; documented.
const JOIN_ALONE_AFTER: Duration = Duration::from_secs(3);
