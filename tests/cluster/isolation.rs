//! A node that reaches none of the others: it serves its own clients, and does not guess about the rest.

use serde_json::json;

use crate::harness::{Cluster, Node, alone, eventually, pushmesh, same};

#[tokio::test]
async fn a_node_without_its_peers_says_isolated_serves_its_own_clients_and_recovers() {
    let _alone = alone().await;
    let cluster = Cluster::start(3).await;
    let (node, others) = (cluster.node(0), [cluster.node(1), cluster.node(2)]);
    let mut own = node.connect("own", Some("d")).await;
    let mut far = others[0].connect("far", Some("d")).await;
    cluster.counts(2).await;
    others.iter().for_each(|other| other.process.signal("STOP"));

    eventually("the node notices", async || {
        same(node.metric("pushmesh_isolated").await, Some(1.0)).map(|_| ())
    })
    .await;
    let ready = node.get("/readyz").await;
    assert_eq!((ready.status, &ready.json), (200, &json!({ "phase": "isolated" })), "it goes on serving");
    assert_eq!(node.push("nobody", "x").await.error(), (503, "isolated"));
    for path in ["/v1/users/nobody", "/v1/stats", "/v1/sessions"] {
        assert_eq!(node.get(path).await.error(), (503, "isolated"), "{path}");
    }
    let nobody = node.get("/v1/explain/users/nobody").await;
    assert_eq!((&nobody.json["isolated"], &nobody.json["rows"]), (&json!(true), &json!([])), "{nobody:?}");
    // What it knows it still says, and how sure it is.
    assert_eq!(node.push("own", "still here").await.json["delivered"], 1);
    assert_eq!(own.next_text().await, "still here");
    let user = node.get("/v1/users/own").await.json;
    assert_eq!((&user["state"], &user["silent"]), (&json!("online"), &json!(["n2", "n3"])), "{user}");
    let user = node.get("/v1/users/far").await.json;
    assert_eq!((&user["state"], &user["sessions"][0]["node"]), (&json!("suspect"), &json!("n2")), "{user}");
    assert_eq!(node.push("far", "x").await.error(), (504, "unreachable"));
    let mut late = node.connect("late", Some("d")).await;
    assert_eq!(node.push("late", "welcome").await.json["delivered"], 1);
    assert_eq!(late.next_text().await, "welcome");
    let url = format!("http://{}", node.addr);
    let nodes = pushmesh(&["nodes", "--url", &url]).await.stdout;
    assert!(nodes.contains("n1*   alive (degraded)"), "{nodes}");
    let explained = pushmesh(&["explain", "--url", &url, "user/nobody"]).await;
    assert!(explained.code == 3 && explained.stdout.contains(", isolated, silent n2 n3"), "{explained:?}");

    others.iter().for_each(|other| other.process.signal("CONT"));
    cluster.all_alive().await;
    cluster.counts(3).await;
    for entry in cluster.nodes() {
        assert_eq!(entry.push("nobody", "x").await.error(), (404, "no_session"), "at {}", entry.name);
        assert_eq!(entry.get("/v1/users/nobody").await.json["state"], "offline", "at {}", entry.name);
        for (user, client) in [("own", &mut own), ("late", &mut late)] {
            assert_eq!(entry.push(user, &entry.name).await.json["delivered"], 1, "from {}", entry.name);
            assert_eq!(client.next_text().await, entry.name);
        }
    }
    assert_eq!(node.metric("pushmesh_isolated").await, Some(0.0));
    assert_eq!(node.push("far", "again").await.json["delivered"], 1);
    // Of the push that was answered `unreachable` nobody knows whether it arrived.
    while far.next_text().await != "again" {}
}

async fn is_isolated(node: &Node) {
    eventually("the node notices", async || {
        same(node.metric("pushmesh_isolated").await, Some(1.0)).map(|_| ())
    })
    .await;
}

#[tokio::test]
async fn a_survivor_answers_again_once_it_is_told_that_the_dead_are_gone_for_good() {
    let _alone = alone().await;
    let mut cluster = Cluster::start(3).await;
    let node = cluster.node(0);
    let mut client = node.connect("u", Some("d")).await;
    let _far = cluster.node(1).connect("far", Some("d")).await;
    cluster.counts(2).await;
    for (path, error) in [
        ("/v1/nodes/n1", (409, "not_dead")),
        ("/v1/nodes/n2", (409, "not_dead")),
        ("/v1/nodes/n9", (404, "no_node")),
        ("/v1/nodes/n%2F9", (400, "bad_request")),
    ] {
        assert_eq!(node.delete(path).await.error(), error, "{path}");
    }
    cluster.node(1).process.kill();
    // This one lives, and the operator is mistaken.
    cluster.node(2).process.signal("STOP");
    is_isolated(node).await;
    node.sees_as("n3", "dead").await;
    node.sees_as("n2", "dead").await;
    assert_eq!(node.push("nobody", "x").await.error(), (503, "isolated"));

    let answer = node.delete("/v1/nodes/n2").await;
    let expected = json!({ "node": "n2", "incarnation": cluster.node(1).incarnation, "isolated": false });
    assert_eq!((answer.status, &answer.json), (200, &expected));
    assert_eq!(node.delete("/v1/nodes/n2").await.error(), (404, "no_node"), "it is forgotten already");
    let url = format!("http://{}", node.addr);
    let forgotten = pushmesh(&["forget", "--url", &url, "n3"]).await;
    assert!(forgotten.code == 0 && forgotten.stdout.contains("n3 is forgotten"), "{forgotten:?}");
    let again = pushmesh(&["forget", "--url", &url, "n3"]).await;
    assert!(again.code == 1 && again.stderr.contains("no_node"), "{again:?}");
    assert_eq!(node.metric("pushmesh_members_forgotten_total").await, Some(2.0));
    assert_eq!(node.push("nobody", "x").await.error(), (404, "no_session"));
    assert_eq!(node.get("/v1/users/far").await.json["state"], "offline");
    assert_eq!(node.stats().await["sessions"], 1);
    assert_eq!(node.get("/readyz").await.json["phase"], "ready");
    assert_eq!(node.get("/v1/nodes").await.json["nodes"].as_array().map(Vec::len), Some(1));
    assert_eq!(node.push("u", "hello").await.json["delivered"], 1);
    assert_eq!(client.next_text().await, "hello");

    cluster.node(2).process.signal("CONT");
    cluster.restart(1).await;
    cluster.all_alive().await;
    cluster.counts(1).await;
}

#[tokio::test]
async fn a_node_whose_balancer_knows_better_is_not_ready_while_it_is_isolated() {
    let _alone = alone().await;
    let cluster = Cluster::start_with(3, &["--isolated-not-ready"]).await;
    let node = cluster.node(0);
    assert_eq!(node.get("/readyz").await.json, json!({ "phase": "ready" }));
    (1..3).for_each(|other| cluster.node(other).process.signal("STOP"));
    is_isolated(node).await;
    let answer = node.get("/readyz").await;
    assert_eq!((answer.error(), &answer.json["phase"]), ((503, "not_ready"), &json!("isolated")));
    let mut client = node.connect("u", None).await;
    assert_eq!(node.push("u", "served all the same").await.json["delivered"], 1);
    assert_eq!(client.next_text().await, "served all the same");
    (1..3).for_each(|other| cluster.node(other).process.signal("CONT"));
    cluster.all_alive().await;
    assert_eq!(node.get("/readyz").await.json, json!({ "phase": "ready" }));
}
