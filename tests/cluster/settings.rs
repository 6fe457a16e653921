//! Nodes whose settings must be the same and are not: they are not linked, and both say why.

use crate::harness::{Cluster, Keys, Launch, Node, alone, eventually, same, unique};
use crate::mesh::Authority;

/// Waits until a node has said this in its log.
async fn says(node: &Node, words: &[&str]) {
    eventually(&format!("{words:?} of {}", node.name), async || {
        let log = node.process.stderr();
        let line = log.lines().find(|line| words.iter().all(|word| line.contains(word)));
        line.map(str::to_owned).ok_or(log.lines().last().map(str::to_owned))
    })
    .await;
}

async fn refused(node: &Node, reason: &str, least: f64) {
    let sample = format!("pushmesh_mesh_handshakes_refused_total{{reason=\"{reason}\"}}");
    eventually(&format!("{sample} of {}", node.name), async || match node.metric(&sample).await {
        Some(count) if count >= least => Ok(()),
        found => Err(found),
    })
    .await;
}

/// How often a node has said that settings differ.
fn lines(node: &Node) -> usize {
    node.process.stderr().matches("is not linked: its settings differ").count()
}

fn launch(cluster_name: &str, name: &str, policy: &str) -> Launch {
    Launch::dev(cluster_name, name).flags(["--takeover", policy])
}

/// Two nodes with the same policy.
async fn linked(cluster_name: &str, policy: &str) -> [Node; 2] {
    let first = launch(cluster_name, "n1", policy).start().await;
    first.ready().await;
    let second = launch(cluster_name, "n2", policy).peers([&first]).start().await;
    second.ready().await;
    [first, second]
}

#[tokio::test]
async fn a_node_with_another_takeover_policy_is_not_linked_and_not_ready_and_both_say_why() {
    let _alone = alone().await;
    let cluster_name = unique();
    let [first, second] = linked(&cluster_name, "max-per-user=3").await;
    let third = launch(&cluster_name, "n3", "one-per-user").peers([&first]).start().await;
    says(&first, &["n3", "--takeover max-per-user=3", "--takeover one-per-user", "with the same one"]).await;
    says(&third, &["n1", "--takeover one-per-user", "--takeover max-per-user=3", "with the same one"]).await;
    let mut one = first.connect("u", Some("a")).await;
    let mut other = second.connect("u", Some("b")).await;
    // It tries again and again; a node that reaches nobody would be ready by then.
    refused(&third, "takeover", 2.0).await;
    refused(&first, "takeover", 2.0).await;
    assert_eq!(third.get("/readyz").await.status, 503);
    assert_eq!((lines(&first), lines(&third)), (1, 1), "each dial has not its own line");
    assert!(first.sees("n3").await.is_null(), "it is no member");
    assert_eq!(first.push("u", "hello").await.json["delivered"], 2);
    assert_eq!((one.next_text().await, other.next_text().await), ("hello".to_owned(), "hello".to_owned()));
    assert!(!first.process.stderr().contains("to=\"suspect\""));
}

#[tokio::test]
async fn a_member_that_comes_back_with_another_policy_is_dead_to_the_others() {
    let _alone = alone().await;
    let cluster_name = unique();
    let [first, second] = linked(&cluster_name, "exclusive-device").await;
    let _session = second.connect("u", Some("d")).await;
    first.shows("u", &[("d", "n2")]).await;
    second.process.kill();
    let second = launch(&cluster_name, "n2", "reject-newer").peers([&first]).start().await;
    says(&first, &["n2", "--takeover reject-newer"]).await;
    first.sees_as("n2", "dead").await;
    first.shows("u", &[]).await;
    assert_eq!(first.push("u", "hello").await.error(), (404, "no_session"));
    assert_eq!(second.get("/readyz").await.status, 503);
}

#[tokio::test]
async fn nodes_with_other_hash_keys_are_not_linked_and_both_say_why() {
    let _alone = alone().await;
    let (keys, other) = tokio::join!(Keys::generate(), Keys::generate());
    let (authority, cluster) = (Authority::new("operator"), unique());
    let launch = |keys: &Keys, name: &str| {
        let files = authority.issue(keys, name, &format!("pushmesh://{cluster}/{name}"));
        Launch::new(&cluster, name).flags(files).key(&keys.api)
    };
    let first = launch(&keys, "n1").start().await;
    first.ready().await;
    let second = launch(&keys, "n2").peers([&first]).start().await;
    second.ready().await;
    let third = launch(&other, "n3").peers([&first]).start().await;
    for node in [&first, &third] {
        says(node, &["hash key", "the same --hash-key-file"]).await;
        refused(node, "hash_key", 1.0).await;
    }
    assert_eq!(third.get("/readyz").await.status, 503);
    let members = first.get("/v1/nodes").await.json["nodes"].as_array().map(Vec::len);
    assert_eq!(same(members, Some(2)), Ok(Some(2)));
}

#[tokio::test]
async fn links_that_cross_or_end_are_no_refusals() {
    let _alone = alone().await;
    let mut cluster = Cluster::start(3).await;
    cluster.node(1).process.kill();
    cluster.restart(1).await;
    cluster.node(1).ready().await;
    cluster.all_alive().await;
    for node in cluster.nodes() {
        let metrics = node.get("/metrics").await.text();
        let refused =
            metrics.lines().filter(|line| line.starts_with("pushmesh_mesh_handshakes_refused_total{"));
        let refused: Vec<_> = refused.filter(|line| !line.ends_with(" 0")).collect();
        assert_eq!(refused, [""; 0], "at {}", node.name);
    }
}
