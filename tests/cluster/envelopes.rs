//! The subprotocol `pushmesh.v1`.

use serde_json::json;

use crate::harness::{Client, Cluster, Message, Node};

async fn connect(node: &Node) -> Client {
    let mut client = node.dial().user("u").device("d").envelopes().open().await;
    assert_eq!(client.protocol.as_deref(), Some("pushmesh.v1"));
    let welcome = client.next_json().await;
    for (field, value) in [("type", "welcome"), ("user", "u"), ("device", "d"), ("node", &node.name)] {
        assert_eq!(welcome[field], value, "{welcome}");
    }
    let session = welcome["session"].as_str().expect("a session is text, because JavaScript rounds numbers");
    assert!(session.parse::<u64>().is_ok_and(|stamp| stamp > 0), "{welcome}");
    client
}

#[tokio::test]
async fn the_subprotocol_is_spoken_only_where_it_is_offered() {
    let cluster = Cluster::start(1).await;
    let node = cluster.node(0);
    let among = node.dial().user("a").header("sec-websocket-protocol", "chat, pushmesh.v1").open().await;
    assert_eq!(among.protocol.as_deref(), Some("pushmesh.v1"));
    let mut plain = node.connect("b", None).await;
    assert_eq!(plain.protocol, None);
    assert_eq!(node.push("b", "bare").await.json["delivered"], 1);
    assert_eq!(plain.next_text().await, "bare", "no welcome and no envelope");
}

#[tokio::test]
async fn messages_come_with_their_ids_and_are_escaped() {
    let cluster = Cluster::start(2).await;
    let mut client = connect(cluster.node(0)).await;
    cluster.shows("u", &[("d", "n1")]).await;
    let entry = cluster.node(1);
    let tricky = "\"quoted\" \\ \n \u{2603} \u{0} </script>";
    let answer = entry.http.call("POST", "/v1/users/u/push", &[("idempotency-key", "m1")], tricky).await;
    assert_eq!(answer.json["delivered"], 1, "{answer:?}");
    assert_eq!(client.next_json().await, json!({ "type": "message", "id": "m1", "data": tricky }));
    let own = entry.push("u", "x").await;
    assert_eq!(client.next_json().await, json!({ "type": "message", "id": own.json["id"], "data": "x" }));
    let binary = [("content-type", "application/octet-stream"), ("idempotency-key", "m2")];
    let answer = entry.http.call("POST", "/v1/users/u/push", &binary, vec![0, 255, 16]).await;
    assert_eq!(answer.json["delivered"], 1, "{answer:?}");
    assert_eq!(client.next_json().await, json!({ "type": "message", "id": "m2", "base64": "AP8Q" }));
}

#[tokio::test]
async fn a_client_can_ping_acknowledge_and_send() {
    let cluster = Cluster::start(1).await;
    let node = cluster.node(0);
    let mut client = connect(node).await;
    client.send(Message::text(r#"{"type":"ack","id":"m1"}"#)).await;
    client.send(Message::text(r#"{"type":"message","data":{"any":["json"]}}"#)).await;
    client.send(Message::text(r#"{"type":"message","base64":"AP8="}"#)).await;
    client.send(Message::text(r#"{"type":"ping"}"#)).await;
    assert_eq!(client.next_json().await, json!({ "type": "pong" }), "nothing before was an error");
    assert_eq!(node.metric("pushmesh_client_acks_total").await, Some(1.0));
    assert_eq!(node.metric("pushmesh_client_messages_total").await, Some(4.0));
}

#[tokio::test]
async fn a_frame_that_is_not_understood_is_answered_and_too_many_in_a_row_are_closed_with_1008() {
    let cluster = Cluster::start(1).await;
    let mut client = connect(cluster.node(0)).await;
    let bad = [
        ("nonsense", "bad_message"),
        (r#"{"no":"type"}"#, "bad_message"),
        (r#"{"type":"message"}"#, "bad_message"),
        (r#"{"type":"ack"}"#, "bad_message"),
        (r#"["ping"]"#, "bad_message"),
        (r#"{"type":"subscribe"}"#, "unknown_type"),
    ];
    for round in 0..3 {
        for (text, code) in bad {
            client.send(Message::text(text)).await;
            let error = client.next_json().await;
            assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!(code)), "{round} {text}");
            assert!(error["message"].as_str().is_some_and(|message| message.len() > 10), "{error}");
        }
        // A good one in between: the connection stays.
        client.send(Message::text(r#"{"type":"ping"}"#)).await;
        assert_eq!(client.next_json().await["type"], "pong");
    }
    for _ in 0..8 {
        client.send(Message::text("x")).await;
        assert_eq!(client.next_json().await["type"], "error");
    }
    client.send(Message::text("x")).await;
    assert_eq!(client.closed().await, (1008, "too many frames that are not understood".to_owned()));
    cluster.shows("u", &[]).await;
}

#[tokio::test]
async fn a_binary_frame_is_closed_with_1008() {
    let cluster = Cluster::start(1).await;
    let mut client = connect(cluster.node(0)).await;
    client.send(Message::binary(vec![1])).await;
    assert_eq!(client.closed().await, (1008, "pushmesh.v1 has text frames only".to_owned()));
}
