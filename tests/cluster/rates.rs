//! How often clients may connect, and say something.

use serde_json::Value;

use crate::harness::{Cluster, Message, Node, eventually};

#[tokio::test]
async fn a_user_whose_clients_connect_too_often_is_told_when_to_come_back() {
    let node = Node::dev(&["--connects-per-user", "2/1h"]).await;
    let _first = node.connect("u", None).await;
    let _second = node.connect("u", None).await;
    let refused = node.dial().user("u").refused().await;
    assert_eq!(refused.error(), (429, "too_many_requests"));
    let wait: u64 = refused.header("retry-after").and_then(|text| text.parse().ok()).expect("it says when");
    assert!((1..=1_800).contains(&wait), "half an hour for each: {wait}");
    let (code, reason) = node.dial().user("u").envelopes().open().await.closed().await;
    let reason: Value = serde_json::from_str(&reason).expect("the reason is JSON");
    assert!(code == 1013 && reason["retry_ms"].as_u64() > Some(1_000_000), "{code} {reason}");
    let _other = node.connect("v", None).await;
    assert_eq!(node.stats().await["sessions"], 3);
    let counted = node.metric("pushmesh_connections_refused_total{reason=\"too_many_requests\"}").await;
    assert_eq!(counted, Some(2.0));
}

#[tokio::test]
async fn an_address_is_that_of_the_client_where_a_balancer_is_believed() {
    let rate = ["--connects-per-address", "1/1h"];
    let believing = Node::dev(&[&rate[..], &["--trusted-proxy", "127.0.0.0/8"]].concat()).await;
    let from = |address: &str| believing.dial().user("u").header("x-forwarded-for", address);
    let _one = from("203.0.113.5, 198.51.100.1").open().await;
    let _other = from("198.51.100.2").open().await;
    assert_eq!(from("198.51.100.1").refused().await.error(), (429, "too_many_requests"));
    let wary = Node::dev(&rate).await;
    let from = |address: &str| wary.dial().user("u").header("x-forwarded-for", address);
    let _one = from("198.51.100.1").open().await;
    assert_eq!(
        from("198.51.100.2").refused().await.error(),
        (429, "too_many_requests"),
        "anybody can write that"
    );
}

#[tokio::test]
async fn a_client_that_says_too_much_is_closed_with_1008() {
    let node = Node::dev(&["--messages-per-connection", "5/1h"]).await;
    let mut client = node.connect("u", None).await;
    for _ in 0..5 {
        client.send(Message::text("x")).await;
    }
    assert_eq!(node.push("u", "still there").await.json["delivered"], 1);
    assert_eq!(client.next_text().await, "still there");
    client.send(Message::text("x")).await;
    assert_eq!(client.closed().await, (1008, "too many messages".to_owned()));
    let counted = node.metric("pushmesh_client_errors_total{code=\"too_many_messages\"}").await;
    assert_eq!(counted, Some(1.0));
    let mut again = node.connect("u", None).await;
    again.send(Message::text("x")).await;
    assert_eq!(node.push("u", "a connection of its own").await.json["delivered"], 1);
}

#[tokio::test]
async fn two_clients_that_take_a_session_from_each_other_are_slowed_and_a_broken_connection_is_not() {
    let cluster = Cluster::start_with(2, &["--takeovers-per-session", "3/1h"]).await;
    let (mut at, mut taken) = (0, 0);
    let mut there = cluster.node(at).connect("u", Some("d")).await;
    let refused = loop {
        at = 1 - at;
        match cluster.node(at).dial().user("u").device("d").try_open().await {
            Ok(next) => {
                let displaced = std::mem::replace(&mut there, next).end().await;
                assert_eq!(displaced.close.map(|(code, _)| code), Some(4001));
                taken += 1;
            }
            Err(refused) => break refused,
        }
    };
    assert!(refused.contains("429"), "{refused}");
    assert!((3..=12).contains(&taken), "{taken} times: each node sees every other takeover");
    let answer = cluster.node(at).dial().user("u").device("d").query("errors", "status").answer().await;
    assert_eq!(answer.error(), (429, "too_many_requests"));
    let (code, reason) =
        cluster.node(at).dial().user("u").device("d").envelopes().open().await.closed().await;
    assert!(code == 1013 && reason.contains("retry_ms"), "{code} {reason}");
    let said = cluster.node(at).process.stderr();
    assert_eq!(said.matches("two clients take this session from each other").count(), 1, "{said}");
    // Others are not held up, and who was there stays, and may come back when its connection has broken.
    let other = cluster.node(at).connect("u", Some("e")).await;
    assert_eq!(cluster.node(at).push("u", "hello").await.json["delivered"], 2);
    assert_eq!(there.next_text().await, "hello");
    drop((other, there));
    // The claim of the one that was displaced last stays for a second.
    let again = async || cluster.node(at).dial().user("u").device("d").try_open().await;
    let _again = eventually("nobody is connected", again).await;
    // A client that moves takes its session from itself, and one whose connection breaks takes it from nobody who is there.
    let mut moving = cluster.node(0).dial().user("moving").device("d").envelopes().open().await;
    for _ in 0..9 {
        let welcome = moving.next_json().await;
        let token = welcome["resume"].as_str().expect("a welcome has a token");
        let dial = cluster.node(0).dial().user("moving").query("resume", token).envelopes();
        let next = dial.open().await;
        assert_eq!(std::mem::replace(&mut moving, next).end().await.close.map(|(code, _)| code), Some(4001));
    }
    for _ in 0..9 {
        drop(cluster.node(0).connect("flaky", Some("d")).await);
    }
    cluster.node(0).connect("flaky", Some("d")).await.close().await;
}
