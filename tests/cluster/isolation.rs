//! A node that reaches none of the others: it serves its own clients, and does not guess about the rest.

use serde_json::json;

use crate::harness::{Cluster, alone, eventually, pushmesh, same};

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
    assert_eq!((&user["state"], &user["unasked"]), (&json!("online"), &json!(["n2", "n3"])), "{user}");
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
    assert!(explained.code == 3 && explained.stdout.contains(", isolated, unasked n2 n3"), "{explained:?}");

    others.iter().for_each(|other| other.process.signal("CONT"));
    cluster.settled().await;
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
