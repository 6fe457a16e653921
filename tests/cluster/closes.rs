//! Close codes that no other module produces: 1000, 1002, 1007, 1009 and 1013. The others: 1008 in
//! `heartbeat` and `envelopes`, 1012 in `drain`, 4001 in `takeover`, 4002 in `push`, 4003 in
//! `access`, 4004 in `slow`.

use serde_json::Value;

use crate::harness::{Cluster, Frame, Launch, Message, unique};

#[tokio::test]
async fn a_client_that_says_goodbye_is_answered_with_1000_and_its_session_is_gone() {
    let cluster = Cluster::start(2).await;
    let client = cluster.node(0).connect("u", Some("d")).await;
    cluster.shows("u", &[("d", "n1")]).await;
    assert_eq!(client.close().await.map(|(code, _)| code), Some(1000));
    cluster.shows("u", &[]).await;
    assert_eq!(cluster.node(1).push("u", "x").await.error(), (404, "no_session"));
}

#[tokio::test]
async fn a_message_of_a_client_beyond_the_limit_is_closed_with_1009() {
    let cluster = Cluster::start(1).await;
    let mut client = cluster.node(0).connect("u", Some("d")).await;
    client.send(Message::text("x".repeat(CLIENT_MESSAGE_BYTES_MAX))).await;
    assert_eq!(cluster.node(0).push("u", "the largest is accepted").await.json["delivered"], 1);
    assert_eq!(client.next_text().await, "the largest is accepted");
    client.send(Message::text("x".repeat(CLIENT_MESSAGE_BYTES_MAX + 1))).await;
    assert_eq!(client.closed().await, (1009, "message too big".to_owned()));
    cluster.shows("u", &[]).await;
}

#[tokio::test]
async fn a_message_far_beyond_the_limit_still_gets_its_close_code() {
    let cluster = Cluster::start(1).await;
    let mut raw = cluster.node(0).dial().user("u").device("d").open_raw().await;
    // A header that announces 1 GiB, and the beginning of it, never read by the server as a message.
    raw.send(&[0x82, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0]).await;
    raw.send(&vec![0; 256 << 10]).await;
    assert_eq!(raw.frame().await, Frame::Close(1009, "message too big".to_owned()));
    cluster.shows("u", &[]).await;
}

#[tokio::test]
async fn what_is_no_websocket_frame_or_no_text_is_closed_with_1002_and_1007() {
    let cluster = Cluster::start(1).await;
    // A client's frames have to be masked; a text has to be UTF-8.
    for (bytes, code) in [(&[0x81, 0x01, b'a'][..], 1002), (&[0x81, 0x81, 0, 0, 0, 0, 0xff][..], 1007)] {
        let mut raw = cluster.node(0).dial().user("u").device("d").open_raw().await;
        raw.send(bytes).await;
        match raw.frame().await {
            Frame::Close(found, _) => assert_eq!(found, code),
            other => panic!("expected a close with {code}, found {other:?}"),
        }
        assert_eq!(raw.frame().await, Frame::End);
        cluster.shows("u", &[]).await;
    }
}

#[tokio::test]
async fn a_node_that_is_full_closes_with_1013_and_says_when_to_come_back() {
    let node = Launch::dev(&unique(), "n1").flags(["--max-connections", "2"]).start().await;
    node.ready().await;
    let first = node.connect("a", None).await;
    let mut second = node.connect("b", None).await;
    let mut third = node.connect("c", None).await;
    let (code, reason) = third.closed().await;
    let reason: Value = serde_json::from_str(&reason).expect("the reason is JSON");
    let retry_ms = reason["retry_ms"].as_u64().expect("it has a pause");
    assert_eq!(code, 1013);
    assert!((100..=3_000).contains(&retry_ms), "{retry_ms}");
    assert_eq!(node.stats().await["sessions"], 2);
    assert_eq!(node.push("b", "not affected").await.json["delivered"], 1);
    assert_eq!(second.next_text().await, "not affected");
    first.close().await;
    let mut fourth = crate::harness::eventually("a free place", async || {
        let mut client = node.connect("d", None).await;
        match node.push("d", "welcome").await.json["delivered"].as_u64() {
            Some(1) => Ok(client),
            _ => Err(client.closed().await),
        }
    })
    .await;
    assert_eq!(fourth.next_text().await, "welcome");
}

/// The default of `--max-client-message-bytes`.
const CLIENT_MESSAGE_BYTES_MAX: usize = 64 << 10;
