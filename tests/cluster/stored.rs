//! Pushes that wait until other nodes hold the message: what was not reached is not answered, and the message goes on.

use serde_json::{Value, json};

use crate::harness::{Answer, Client, Cluster, Message, Node};

async fn push(node: &Node, query: &str, id: &str) -> Answer {
    let path = format!("/v1/users/u/push{query}");
    node.http.call("POST", &path, &[("Idempotency-Key", id)], id.to_owned()).await
}

async fn line(node: &Node, wait: &str) -> Value {
    let line = format!(r#"{{"to":{{"user":"u"}},"data":"line"{wait}}}"#);
    node.http.call("POST", "/v1/push", &[], line).await.json
}

/// A client whose session is kept while it is away.
async fn kept(node: &Node) -> Client {
    let mut client = node.dial().user("u").device("d").query("keep", "30").envelopes().open().await;
    assert_eq!(client.next_json().await["type"], "welcome");
    client
}

/// Fails unless nothing is stored, and the one session has come as far as that.
fn not_stored(answer: &Answer, id: &str, outcome: &str) {
    assert_eq!(answer.error(), (504, "not_stored"), "{answer:?}");
    let session = &answer.json["sessions"][0];
    assert_eq!((&answer.json["id"], &session["outcome"]), (&json!(id), &json!(outcome)), "{answer:?}");
    assert_eq!(session.get("copies"), None, "none is known: {answer:?}");
}

#[tokio::test]
async fn what_no_other_node_holds_is_delivered_and_not_called_stored() {
    let cluster = Cluster::start(2).await;
    let mut client = cluster.node(0).connect("u", Some("d")).await;
    cluster.shows("u", &[("d", "n1")]).await;
    for node in cluster.nodes() {
        let answer = push(node, "?wait=stored", &node.name).await;
        not_stored(&answer, &node.name, "delivered");
        assert_eq!(answer.json["delivered"], 1, "{answer:?}");
        assert_eq!(client.next_text().await, node.name);
    }
    // It is not stored by asking again either, nor delivered twice.
    not_stored(&push(cluster.node(1), "?wait=stored", "n1").await, "n1", "delivered");
    let stored = line(cluster.node(1), r#","wait":"stored""#).await;
    assert_eq!((&stored["outcome"], &stored["delivered"]), (&json!("not_stored"), &json!(1)), "{stored}");
    assert_eq!(
        (client.next_text().await.as_str(), &stored["sessions"][0]["outcome"]),
        ("line", &json!("delivered"))
    );
    // An error stays what it is.
    drop(client);
    cluster.shows("u", &[]).await;
    assert_eq!(push(cluster.node(1), "?wait=stored", "later").await.error(), (404, "no_session"));
}

#[tokio::test]
async fn a_node_without_others_stores_nothing_and_keeps_the_message() {
    let cluster = Cluster::start(1).await;
    let node = cluster.node(0);
    let mut client = kept(node).await;
    not_stored(&push(node, "?wait=stored", "a").await, "a", "delivered");
    let frame = client.next_json().await;
    assert_eq!(
        (&frame["data"], frame.get("ack")),
        (&json!("a"), None),
        "nobody waits for the client: {frame}"
    );
    let broadcast = node.http.call("POST", "/v1/broadcast?wait=stored", &[], "b").await;
    assert_eq!((broadcast.status, &broadcast.json["delivered"]), (200, &json!(1)), "{broadcast:?}");
    assert_eq!(client.next_json().await["data"], "b");
}

#[tokio::test]
async fn pushes_that_do_not_say_it_wait_for_what_the_node_is_told() {
    let cluster = Cluster::start_with(1, &["--wait-default", "stored"]).await;
    let node = cluster.node(0);
    let mut client = kept(node).await;
    not_stored(&push(node, "", "a").await, "a", "delivered");
    assert_eq!(push(node, "?wait=receipt", "b").await.status, 200);
    assert_eq!(push(node, "?wait=none", "c").await.status, 202);
    assert_eq!(line(node, "").await["outcome"], "not_stored");
    assert_eq!(line(node, r#","wait":"receipt""#).await["outcome"], "delivered");
    for data in ["a", "b", "c", "line", "line"] {
        assert_eq!(client.next_json().await["data"], data);
    }
    let cluster = Cluster::start_with(1, &["--wait-default", "acked"]).await;
    let node = cluster.node(0);
    let mut client = kept(node).await;
    let acknowledges = async {
        let frame = client.next_json().await;
        assert_eq!(frame["ack"], true, "somebody waits: {frame}");
        client.send(Message::text(r#"{"type":"ack","n":1}"#)).await;
    };
    let (answer, ()) = tokio::join!(push(node, "", "a"), acknowledges);
    assert_eq!((answer.status, &answer.json["sessions"][0]["outcome"]), (200, &json!("acked")), "{answer:?}");
}
