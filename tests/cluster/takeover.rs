//! A key has one owner: the next connection with it, on any node, takes it over.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use crate::harness::{Client, Cluster, alone};

#[tokio::test]
async fn a_takeover_leaves_exactly_one_survivor_200_times_in_a_row() {
    let _alone = alone().await;
    let cluster = Cluster::start_with(3, MANY).await;
    let mut survivor = cluster.node(0).connect("u", Some("phone")).await;
    cluster.shows("u", &[("phone", "n1")]).await;
    let mut at = 0;
    for round in 0..200 {
        // Three times around in one direction, three times in the other: all pairs, both ways.
        at = (at + 1 + (round / 3) % 2) % 3;
        let owner = cluster.node(at);
        sleep(CLAIMS_APART).await;
        let mut loser = std::mem::replace(&mut survivor, owner.connect("u", Some("phone")).await);
        for turn in 0..3 {
            // Without waiting: a push that follows the client's own knowledge has to find it.
            let entry = cluster.node((round + turn) % 3);
            let text = format!("{round} via {}", entry.name);
            let answer = entry.push("u", &text).await;
            let expected = json!([{ "device": "phone", "node": owner.name, "outcome": "delivered" }]);
            assert_eq!(
                (answer.status, &answer.json["sessions"]),
                (200, &expected),
                "round {round}: {answer:?}"
            );
            assert_eq!(survivor.next_text().await, text, "round {round}");
        }
        assert_eq!(loser.closed().await, (4001, "superseded".to_owned()), "round {round}");
        let found = owner.sessions_of("u").await;
        assert_eq!(found, [("phone".to_owned(), owner.name.clone())], "round {round}");
    }
    cluster.shows("u", &[("phone", &cluster.node(at).name)]).await;
    cluster.counts(1).await;
}

#[tokio::test]
async fn a_second_connection_on_the_same_node_takes_over() {
    let cluster = Cluster::start(2).await;
    let mut first = cluster.node(0).connect("u", Some("phone")).await;
    let mut second = cluster.node(0).connect("u", Some("phone")).await;
    assert_eq!(first.closed().await, (4001, "superseded".to_owned()));
    cluster.shows("u", &[("phone", "n1")]).await;
    for entry in cluster.nodes() {
        assert_eq!(entry.push("u", &entry.name).await.json["delivered"], 1);
        assert_eq!(second.next_text().await, entry.name);
    }
    cluster.counts(1).await;
}

#[tokio::test]
async fn clients_that_name_no_device_coexist() {
    let cluster = Cluster::start(2).await;
    let mut clients = Vec::new();
    for node in [0, 0, 1] {
        clients.push(cluster.node(node).connect("u", None).await);
    }
    cluster.counts(3).await;
    for entry in cluster.nodes() {
        let answer = entry.push("u", &entry.name).await;
        assert_eq!((answer.status, &answer.json["delivered"]), (200, &json!(3)), "{answer:?}");
        for client in &mut clients {
            assert_eq!(client.next_text().await, entry.name);
        }
    }
    let devices = cluster.node(0).sessions_of("u").await;
    let mut distinct: Vec<_> = devices.iter().map(|(device, _)| device).collect();
    distinct.dedup();
    assert_eq!(distinct.len(), 3, "{devices:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_answered_delivered_during_takeovers_reaches_exactly_one_connection() {
    let _alone = alone().await;
    let cluster = std::sync::Arc::new(Cluster::start_with(3, MANY).await);
    let mut survivor = cluster.node(0).connect("u", Some("phone")).await;
    cluster.shows("u", &[("phone", "n1")]).await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut pushers = Vec::new();
    for worker in 0..6 {
        let (cluster, stopped) = (std::sync::Arc::clone(&cluster), stopped.clone());
        pushers.push(tokio::spawn(async move {
            let mut delivered = Vec::new();
            for n in 0.. {
                if *stopped.borrow() {
                    break;
                }
                let text = format!("{worker}-{n}");
                let answer = cluster.node(worker % 3).push("u", &text).await;
                if answer.json["delivered"] == 1 {
                    delivered.push(text);
                }
            }
            delivered
        }));
    }
    let mut readers = Vec::new();
    for round in 1..=30 {
        sleep(CLAIMS_APART).await;
        let next = cluster.node(round % 3).connect("u", Some("phone")).await;
        readers.push(tokio::spawn(read_all(std::mem::replace(&mut survivor, next))));
    }
    stop.send_replace(true);
    let mut delivered = Vec::new();
    for pusher in pushers {
        delivered.extend(pusher.await.expect("a pusher ends well"));
    }
    assert_eq!(cluster.node(0).delete("/v1/users/u").await.json["disconnected"], 1);
    readers.push(tokio::spawn(read_all(survivor)));
    let (mut received, mut codes) = (Vec::new(), Vec::new());
    for reader in readers {
        let (texts, code) = reader.await.expect("a reader ends well");
        received.extend(texts);
        codes.push(code);
    }
    assert_eq!(codes.pop(), Some(Some(4002)));
    assert_eq!(codes, [Some(4001); 30]);
    delivered.sort();
    received.sort();
    let twice = received.windows(2).find(|pair| pair[0] == pair[1]);
    assert_eq!(twice, None, "a message arrived twice");
    let missing = delivered.iter().find(|text| received.binary_search(text).is_err());
    assert_eq!(missing, None, "a message was answered delivered and did not arrive");
    assert!(delivered.len() > 100, "only {} pushes were delivered", delivered.len());
}

async fn read_all(mut client: Client) -> (Vec<String>, Option<u16>) {
    let end = client.end().await;
    let text =
        |message: &crate::harness::Message| message.to_text().expect("only text was pushed").to_owned();
    (end.messages.iter().map(text).collect(), end.close.map(|(code, _)| code))
}

/// Time between two connections of a device at two nodes. Source: of claims in one millisecond the greater name may
/// win, and not the later one: docs/PROTOCOL.md, section 4.
const CLAIMS_APART: Duration = Duration::from_millis(1);

/// Clients that are there take a session from each other as often as a test likes.
const MANY: &[&str] = &["--takeovers-per-session", "1000000/30s"];
