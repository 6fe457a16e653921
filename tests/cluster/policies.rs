//! The takeover policies: whose connection ends, on one node, across nodes and after a partition.

use serde_json::Value;

use crate::harness::{Client, Cluster, Node, alone};

#[tokio::test]
async fn one_per_user_closes_the_other_device_at_another_node() {
    let cluster = Cluster::start_with(2, &["--takeover", "one-per-user"]).await;
    let mut first = cluster.node(0).connect("u", Some("a")).await;
    let mut other = cluster.node(0).connect("v", Some("a")).await;
    cluster.shows("u", &[("a", "n1")]).await;
    let mut second = cluster.node(1).connect("u", Some("b")).await;
    assert_eq!(first.closed().await, superseded());
    cluster.shows("u", &[("b", "n2")]).await;
    let mut third = cluster.node(1).connect("u", Some("c")).await;
    assert_eq!(second.closed().await, superseded(), "on one node as well");
    cluster.shows("u", &[("c", "n2")]).await;
    delivers(&cluster, "u", &mut third).await;
    delivers(&cluster, "v", &mut other).await;
}

#[tokio::test]
async fn max_per_user_closes_the_oldest_wherever_it_is() {
    let cluster = Cluster::start_with(2, &["--takeover", "max-per-user=2"]).await;
    let mut first = cluster.node(0).connect("u", Some("z")).await;
    cluster.shows("u", &[("z", "n1")]).await;
    let mut second = cluster.node(1).connect("u", Some("b")).await;
    cluster.shows("u", &[("b", "n2"), ("z", "n1")]).await;
    let mut third = cluster.node(1).connect("u", Some("c")).await;
    assert_eq!(first.closed().await, superseded());
    cluster.shows("u", &[("b", "n2"), ("c", "n2")]).await;
    let mut fourth = cluster.node(0).connect("u", Some("a")).await;
    assert_eq!(second.closed().await, superseded());
    cluster.shows("u", &[("a", "n1"), ("c", "n2")]).await;
    // The same device again takes its own place, and nobody else's.
    let mut again = cluster.node(0).connect("u", Some("c")).await;
    assert_eq!(third.closed().await, superseded());
    cluster.shows("u", &[("a", "n1"), ("c", "n1")]).await;
    for entry in cluster.nodes() {
        assert_eq!(entry.push("u", &entry.name).await.json["delivered"], 2, "from {}", entry.name);
        assert_eq!(
            (fourth.next_text().await, again.next_text().await),
            (entry.name.clone(), entry.name.clone())
        );
    }
}

#[tokio::test]
async fn where_newer_ones_are_rejected_the_resume_token_takes_over_and_closes_the_old_one() {
    let cluster = Cluster::start_with(2, &["--takeover", "reject-newer"]).await;
    let (mut first, resume) = welcomed(cluster.node(0), "device", "d").await;
    cluster.shows("u", &[("d", "n1")]).await;
    for node in cluster.nodes() {
        assert_eq!(node.dial().user("u").device("d").refused().await.error(), (409, "session_exists"));
    }
    let (mut second, resume) = welcomed(cluster.node(1), "resume", &resume).await;
    assert_eq!(first.closed().await, superseded(), "at another node");
    cluster.shows("u", &[("d", "n2")]).await;
    let (_third, _) = welcomed(cluster.node(1), "resume", &resume).await;
    assert_eq!(second.closed().await, superseded(), "at the same node");
    cluster.shows("u", &[("d", "n2")]).await;
    cluster.counts(1).await;
}

#[tokio::test]
async fn a_resumed_session_that_an_unreachable_node_still_holds_is_the_one_that_stays_when_that_node_is_back()
{
    let _alone = alone().await;
    let cluster = Cluster::start_gated(3, &["--takeover", "reject-newer"]).await;
    let (mut first, resume) = welcomed(cluster.node(0), "device", "d").await;
    cluster.shows("u", &[("d", "n1")]).await;
    cluster.cut(0, 1);
    cluster.cut(0, 2);
    let mut second = cluster.node(1).dial().user("u").query("resume", &resume).open().await;
    for node in [cluster.node(1), cluster.node(2)] {
        node.shows("u", &[("d", "n2")]).await;
        assert_eq!(node.push("u", &node.name).await.json["delivered"], 1, "from {}", node.name);
        assert_eq!(second.next_text().await, node.name);
    }
    // Nobody could ask the first node to let go, and under this policy the older claim wins.
    cluster.heal(0, 1);
    cluster.heal(0, 2);
    assert_eq!(first.closed().await, superseded());
    cluster.shows("u", &[("d", "n2")]).await;
    delivers(&cluster, "u", &mut second).await;
}

#[tokio::test]
async fn after_a_partition_the_newer_connection_of_a_device_stays() {
    let (cluster, mut older, mut newer) = parted("exclusive-device", ["d", "d"]).await;
    assert_eq!(older.closed().await, superseded());
    cluster.shows("u", &[("d", "n2")]).await;
    delivers(&cluster, "u", &mut newer).await;
}

#[tokio::test]
async fn after_a_partition_the_older_connection_stays_where_newer_ones_are_rejected() {
    let (cluster, mut older, mut newer) = parted("reject-newer", ["d", "d"]).await;
    assert_eq!(newer.closed().await, superseded());
    cluster.shows("u", &[("d", "n1")]).await;
    delivers(&cluster, "u", &mut older).await;
}

#[tokio::test]
async fn after_a_partition_the_newer_device_stays_where_a_user_has_one() {
    let (cluster, mut older, mut newer) = parted("one-per-user", ["a", "b"]).await;
    assert_eq!(older.closed().await, superseded());
    cluster.shows("u", &[("b", "n2")]).await;
    delivers(&cluster, "u", &mut newer).await;
}

/// Two nodes under a policy that have lost each other, then each let in a device of `u`, the first
/// before the second, and then have met again.
async fn parted(policy: &str, devices: [&str; 2]) -> (Cluster, Client, Client) {
    let cluster = Cluster::start_gated(2, &["--takeover", policy]).await;
    cluster.cut(0, 1);
    tokio::join!(cluster.node(0).sees_as("n2", "dead"), cluster.node(1).sees_as("n1", "dead"));
    let older = cluster.node(0).connect("u", Some(devices[0])).await;
    let newer = cluster.node(1).connect("u", Some(devices[1])).await;
    for (node, device) in cluster.nodes().iter().zip(devices) {
        node.shows("u", &[(device, &node.name)]).await;
    }
    cluster.heal(0, 1);
    (cluster, older, newer)
}

/// Pushes from every node reach this client of the user, and nobody else.
async fn delivers(cluster: &Cluster, user: &str, client: &mut Client) {
    for entry in cluster.nodes() {
        assert_eq!(entry.push(user, &entry.name).await.json["delivered"], 1, "from {}", entry.name);
        assert_eq!(client.next_text().await, entry.name);
    }
}

/// Connects as `u` with `name=value` in the query, and gives the resume token as well.
async fn welcomed(node: &Node, name: &str, value: &str) -> (Client, String) {
    let mut client = node.dial().user("u").query(name, value).envelopes().open().await;
    let welcome: Value = client.next_json().await;
    let resume = welcome["resume"].as_str().unwrap_or_else(|| panic!("no resume token in {welcome}"));
    (client, resume.to_owned())
}

/// How a connection ends that another one replaces.
fn superseded() -> (u16, String) {
    (4001, "superseded".to_owned())
}
