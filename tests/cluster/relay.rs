//! Two nodes that do not reach each other, and a third one that both reach.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::harness::{Cluster, Node, SLACK, alone, eventually, same};

#[tokio::test]
async fn a_third_node_passes_on_pushes_and_sections_while_a_path_is_cut() {
    let _alone = alone().await;
    let cluster = Cluster::start_gated(3, &[]).await;
    let (one, two, three) = (cluster.node(0), cluster.node(1), cluster.node(2));
    let mut before = two.connect("before", Some("d")).await;
    cluster.shows("before", &[("d", "n2")]).await;
    assert_eq!(way(one, "before").await, ("direct".to_owned(), json!([])));

    cluster.cut(0, 1);
    one.sees_as("n2", "unreachable").await;
    two.sees_as("n1", "unreachable").await;
    three.sees_as("n1", "alive").await;
    three.sees_as("n2", "alive").await;

    assert_eq!(one.push("before", "over n3").await.json["delivered"], 1);
    assert_eq!(before.next_text().await, "over n3");
    assert_eq!(way(one, "before").await, ("relay".to_owned(), json!(["n3"])));
    assert!(relayed(one, "asked").await >= 1.0);
    assert!(relayed(three, "passed_on").await >= 1.0);
    assert_eq!(relayed(one, "passed_on").await + relayed(two, "passed_on").await, 0.0);
    let user = one.get("/v1/users/before").await.json;
    assert_eq!((&user["state"], &user["silent"]), (&json!("online"), &json!([])), "{user}");
    assert_eq!(user["sessions"][0]["device"], "d", "its owner is asked over n3");

    let pulled = one.metric(PULLS).await.unwrap_or_default();
    let connected = Instant::now();
    let mut meanwhile = two.connect("meanwhile", Some("d")).await;
    one.shows("meanwhile", &[("d", "n2")]).await;
    let took = connected.elapsed();
    assert!(took < RELAYED_WITHIN + SLACK, "a new session was seen after {took:?}");
    assert!(one.metric(PULLS).await.unwrap_or_default() > pulled, "it came as a part of a section");
    assert_eq!(one.push("meanwhile", "over n3").await.json["delivered"], 1);
    assert_eq!(meanwhile.next_text().await, "over n3");

    cluster.heal(0, 1);
    cluster.all_alive().await;
    let asked = relayed(one, "asked").await;
    assert_eq!(one.push("before", "direct").await.json["delivered"], 1);
    assert_eq!(before.next_text().await, "direct");
    assert_eq!(way(one, "before").await, ("direct".to_owned(), json!([])));
    assert_eq!(relayed(one, "asked").await, asked, "nobody was asked to pass it on");
}

#[tokio::test]
async fn a_takeover_goes_over_a_third_node_while_a_path_is_cut() {
    let _alone = alone().await;
    let cluster = Cluster::start_gated(3, &[]).await;
    let (one, two) = (cluster.node(0), cluster.node(1));
    let mut first = two.connect("u", Some("d")).await;
    cluster.shows("u", &[("d", "n2")]).await;
    cluster.cut(0, 1);
    one.sees_as("n2", "unreachable").await;
    two.sees_as("n1", "unreachable").await;

    let mut second = one.connect("u", Some("d")).await;
    assert_eq!(first.closed().await, (4001, "superseded".to_owned()));
    cluster.shows("u", &[("d", "n1")]).await;
    for entry in cluster.nodes() {
        assert_eq!(entry.push("u", &entry.name).await.json["delivered"], 1, "from {}", entry.name);
        assert_eq!(second.next_text().await, entry.name);
    }
}

#[tokio::test]
async fn two_claims_that_did_not_know_of_each_other_meet_at_a_third_node() {
    let _alone = alone().await;
    let cluster = Cluster::start_gated(3, &[]).await;
    let (one, two) = (cluster.node(0), cluster.node(1));
    cluster.cut(0, 1);
    one.sees_as("n2", "unreachable").await;
    two.sees_as("n1", "unreachable").await;
    let mut older = one.connect("u", Some("d")).await;
    let mut newer = two.connect("u", Some("d")).await;
    assert_eq!(older.closed().await, (4001, "superseded".to_owned()));
    cluster.shows("u", &[("d", "n2")]).await;
    let all = one.post("/v1/broadcast", "to everybody").await.json;
    assert_eq!((&all["delivered"], all["nodes"].as_array().map(Vec::len)), (&json!(1), Some(3)), "{all}");
    assert_eq!(newer.next_text().await, "to everybody");
    assert_eq!(one.delete("/v1/users/u").await.json["disconnected"], 1);
    assert_eq!(newer.closed().await.0, 4002, "it came once, and the next is the close");
    cluster.counts(0).await;
}

#[tokio::test]
async fn a_node_that_joins_behind_a_cut_is_ready_with_what_a_third_node_has_of_the_other() {
    let _alone = alone().await;
    let mut cluster = Cluster::start_gated(2, &[]).await;
    let mut far = cluster.node(0).connect("far", Some("d")).await;
    cluster.shows("far", &[("d", "n1")]).await;
    let joined = Instant::now();
    let new = cluster.add_apart_from(0).await;
    let new = cluster.node(new);
    new.ready().await;
    let took = joined.elapsed();
    assert!(took < READY_WITHIN + SLACK, "it was ready after {took:?}");
    new.shows("far", &[("d", "n1")]).await;
    assert_eq!(new.sees("n1").await["state"], "unreachable");
    assert_eq!(new.push("far", "over n2").await.json["delivered"], 1);
    assert_eq!(far.next_text().await, "over n2");
    new.process.says("ready: all sections are here").await;
}

/// The way of a push to the only session of a user, and over whom.
async fn way(node: &Node, user: &str) -> (String, Value) {
    eventually("the way", async || {
        let route = node.get(&format!("/v1/explain/users/{user}")).await.json["route"].take();
        same(route.as_array().map(Vec::len), Some(1))?;
        let way = route[0]["way"].as_str().map(str::to_owned).ok_or("there is a way")?;
        Ok::<_, String>((way, route[0]["relays"].clone()))
    })
    .await
}

async fn relayed(node: &Node, step: &str) -> f64 {
    node.metric(&format!("pushmesh_mesh_relayed_total{{step=\"{step}\"}}")).await.unwrap_or_default()
}

/// 3 s until the third node's copy is believed, and two rounds of digests of 2 s; far below the 30 s after
/// which a node is ready anyway.
const READY_WITHIN: Duration = Duration::from_secs(7);
const PULLS: &str = "pushmesh_directory_pulls_total{from=\"relay\"}";
/// Two exchanges of digests with the one peer that is left, 2 s apart each.
const RELAYED_WITHIN: Duration = Duration::from_secs(4);
