//! The ids of messages: what is a repetition, and what is another message with the same id.

use serde_json::json;

use crate::harness::{Answer, Cluster, Message, Node, pushmesh};

const TEXT: &[(&str, &str)] = &[("idempotency-key", "m1")];
const BINARY: &[(&str, &str)] = &[("idempotency-key", "m1"), ("content-type", "application/octet-stream")];

async fn push(node: &Node, path: &str, headers: &[(&str, &str)], body: &'static str) -> Answer {
    node.http.call("POST", path, headers, body).await
}

#[tokio::test]
async fn an_id_that_another_message_has_is_409_at_whatever_node_and_reaches_nobody() {
    let cluster = Cluster::start(2).await;
    let mut client = cluster.node(0).connect("u", Some("d")).await;
    cluster.shows("u", &[("d", "n1")]).await;
    let paths = ["/v1/users/u/push", "/v1/users/u/devices/d/push"];
    assert_eq!(push(cluster.node(0), paths[0], TEXT, "first").await.status, 200);
    assert_eq!(client.next_text().await, "first");
    for node in cluster.nodes() {
        for path in paths {
            assert_eq!(
                push(node, path, TEXT, "first").await.json["delivered"],
                1,
                "a repetition is delivered"
            );
            for (headers, body) in [(TEXT, "other"), (BINARY, "first"), (TEXT, ""), (TEXT, "first ")] {
                let answer = push(node, path, headers, body).await;
                assert_eq!(answer.error(), (409, "id_reused"), "{path} {headers:?} {body}");
                let sessions = json!([{ "device": "d", "node": "n1", "outcome": "id_reused" }]);
                let details = [&answer.json["id"], &answer.json["delivered"], &answer.json["sessions"]];
                assert_eq!(details, [&json!("m1"), &json!(0), &sessions]);
            }
        }
        let none = push(node, "/v1/users/u/push?wait=none", TEXT, "other").await;
        assert_eq!(none.status, 202, "nobody waited");
        let other = node.http.call("POST", paths[0], &[("idempotency-key", &node.name)], "of its own").await;
        assert_eq!(other.status, 200);
        assert_eq!(client.next_text().await, "of its own", "and nothing before it");
    }
    let counted = cluster.node(1).metric("pushmesh_pushes_total{outcome=\"id_reused\"}").await;
    assert!(counted >= Some(8.0), "{counted:?}");
}

#[tokio::test]
async fn a_session_that_has_not_seen_the_id_gets_the_message_and_the_other_one_is_told() {
    let cluster = Cluster::start(2).await;
    let mut old = cluster.node(0).connect("u", Some("a")).await;
    cluster.shows("u", &[("a", "n1")]).await;
    assert_eq!(push(cluster.node(1), "/v1/users/u/push", TEXT, "first").await.status, 200);
    assert_eq!(old.next_text().await, "first");
    let mut new = cluster.node(1).connect("u", Some("b")).await;
    cluster.shows("u", &[("a", "n1"), ("b", "n2")]).await;
    let answer = push(cluster.node(0), "/v1/users/u/push", TEXT, "second").await;
    assert_eq!((answer.status, &answer.json["delivered"]), (200, &json!(1)), "{answer:?}");
    let mut outcomes: Vec<_> = answer.json["sessions"].as_array().expect("there are two").iter().collect();
    outcomes.sort_by_key(|session| session["device"].to_string());
    let outcomes: Vec<_> = outcomes.iter().map(|session| &session["outcome"]).collect();
    assert_eq!(outcomes, [&json!("id_reused"), &json!("delivered")]);
    assert_eq!(new.next_text().await, "second");
    // Now each of them has a message of that id.
    let broadcast = push(cluster.node(1), "/v1/broadcast", TEXT, "third").await;
    assert_eq!(broadcast.error(), (409, "id_reused"));
    assert_eq!((&broadcast.json["delivered"], &broadcast.json["id_reused"]), (&json!(0), &json!(2)));
    let mut third = cluster.node(0).connect("v", None).await;
    let broadcast = push(cluster.node(1), "/v1/broadcast", TEXT, "third").await;
    assert_eq!(broadcast.status, 200);
    assert_eq!((&broadcast.json["delivered"], &broadcast.json["id_reused"]), (&json!(1), &json!(2)));
    assert_eq!(third.next_text().await, "third");
}

#[tokio::test]
async fn lines_and_the_command_say_that_an_id_belongs_to_another_message() {
    let cluster = Cluster::start(2).await;
    let mut client = cluster.node(0).connect("u", Some("d")).await;
    cluster.shows("u", &[("d", "n1")]).await;
    let lines = [
        json!({ "to": { "user": "u" }, "data": "first", "id": "m1" }),
        json!({ "to": { "user": "u" }, "data": "first", "id": "m1" }),
        json!({ "to": { "user": "u" }, "data": "other", "id": "m1" }),
        json!({ "to": { "user": "u" }, "base64": "Zmlyc3Q=", "id": "m1" }),
        json!({ "to": "all", "data": "other", "id": "m1" }),
    ];
    let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let answer = cluster.node(1).post("/v1/push", body).await.text();
    let answers: Vec<serde_json::Value> =
        answer.lines().map(|line| serde_json::from_str(line).expect("an answer is JSON")).collect();
    let said: Vec<_> = answers.iter().map(|answer| &answer["outcome"]).collect();
    let (delivered, reused) = (json!("delivered"), json!("id_reused"));
    assert_eq!(said[2..], [&reused, &reused, &json!(null)], "{answers:?}");
    assert_eq!(said[0], &delivered);
    assert!([&delivered, &json!("buffered")].contains(&said[1]), "a repetition: {answers:?}");
    assert_eq!((&answers[4]["delivered"], &answers[4]["id_reused"]), (&json!(0), &json!(1)));
    assert_eq!(client.next().await, Message::text("first"));
    let url = format!("http://{}", cluster.node(1).addr);
    let command = pushmesh(&["push", "--url", &url, "--to", "user/u", "--id", "m1", "other"]).await;
    assert!(command.code == 4 && command.stderr.contains("id_reused"), "{command:?}");
}
