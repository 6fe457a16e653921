//! Is a user online: what every node says, how sure it is, and what it says when it cannot know.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::harness::{Cluster, Node, SLACK, alone, eventually, now_unix, same};

#[tokio::test]
async fn a_user_is_online_at_every_node_with_the_boot_that_holds_it() {
    let cluster = Cluster::start(2).await;
    let client = cluster.node(1).connect("u", Some("d")).await;
    cluster.shows("u", &[("d", "n2")]).await;
    for node in cluster.nodes() {
        let answer = presence(node, "u").await;
        assert_eq!((&answer["state"], &answer["silent"]), (&json!("online"), &json!([])), "{answer}");
        let session = &answer["sessions"][0];
        assert_eq!(session["state"], "online", "{answer}");
        assert_eq!(session["incarnation"], cluster.node(1).incarnation, "{answer}");
        assert!(session["as_of_ms"].as_u64() >= answer["as_of_ms"].as_u64(), "{answer}");
    }
    client.close().await;
    cluster.shows("u", &[]).await;
    for node in cluster.nodes() {
        let answer = presence(node, "u").await;
        assert_eq!((&answer["online"], &answer["state"]), (&json!(false), &json!("offline")), "{answer}");
    }
}

#[tokio::test]
async fn as_of_is_at_most_a_moment_ago_and_rises_while_peers_are_heard() {
    let cluster = Cluster::start(2).await;
    for node in cluster.nodes() {
        let first = as_of(node).await;
        let now = now_unix() * 1_000;
        assert!(first > now - FRESH_MS && first < now + 1_000, "{first} at {now}");
        eventually("as_of_ms rises", async || {
            let next = as_of(node).await;
            // Two clocks make the time, each cut to milliseconds.
            assert!(next + 1 >= first, "{next} is before {first}");
            if next > first { Ok(()) } else { Err(next) }
        })
        .await;
    }
}

#[tokio::test]
async fn the_user_of_a_stopped_node_is_suspect_then_offline_and_online_again_when_it_goes_on() {
    let _alone = alone().await;
    let cluster = Cluster::start(3).await;
    let _client = cluster.node(1).connect("u", Some("d")).await;
    cluster.shows("u", &[("d", "n2")]).await;
    let others = [cluster.node(0), cluster.node(2)];
    cluster.node(1).process.signal("STOP");

    let (one, two) = tokio::join!(suspected(others[0]), suspected(others[1]));
    for answer in [one, two] {
        assert_eq!((&answer["online"], &answer["silent"]), (&json!(true), &json!(["n2"])), "{answer}");
        let session = &answer["sessions"][0];
        assert_eq!((&session["device"], &session["node"]), (&Value::Null, &json!("n2")), "{answer}");
        assert_eq!(session["incarnation"], cluster.node(1).incarnation, "{answer}");
        assert_eq!(session["as_of_ms"], answer["as_of_ms"], "it is the one heard least recently: {answer}");
    }
    for node in others {
        becomes(node, "u", "offline").await;
        assert_eq!(presence(node, "u").await["silent"], json!(["n2"]), "a dead node may hold it still");
    }

    cluster.node(1).process.signal("CONT");
    cluster.all_alive().await;
    cluster.shows("u", &[("d", "n2")]).await;
    for node in others {
        let answer = presence(node, "u").await;
        assert_eq!((&answer["state"], &answer["silent"]), (&json!("online"), &json!([])), "{answer}");
    }
}

#[tokio::test]
async fn the_user_of_a_killed_node_is_offline_everywhere_within_seven_seconds() {
    let _alone = alone().await;
    let cluster = Cluster::start(3).await;
    let _client = cluster.node(1).connect("u", Some("d")).await;
    cluster.shows("u", &[("d", "n2")]).await;
    cluster.node(1).process.kill();
    let killed = Instant::now();
    tokio::join!(becomes(cluster.node(0), "u", "offline"), becomes(cluster.node(2), "u", "offline"));
    let took = killed.elapsed();
    assert!(took < GONE_AFTER + SLACK, "the user was shown for {took:?}");
}

/// The answer about a user.
async fn presence(node: &Node, user: &str) -> Value {
    let answer = node.get(&format!("/v1/users/{user}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json
}

/// The first answer that calls `u` suspect.
async fn suspected(node: &Node) -> Value {
    becomes(node, "u", "suspect").await
}

/// The first answer that calls a user so.
async fn becomes(node: &Node, user: &str, state: &str) -> Value {
    eventually(&format!("{user} at {}", node.name), async || {
        let answer = presence(node, user).await;
        same(answer["state"].as_str(), Some(state)).map(|_| ())?;
        Ok::<_, String>(answer)
    })
    .await
}

async fn as_of(node: &Node) -> u64 {
    presence(node, "nobody").await["as_of_ms"].as_u64().expect("a time is a number")
}

/// A keep-alive each second, one of which may be late, and the second that [`now_unix`] leaves out.
const FRESH_MS: u64 = 4_000;
/// Within which a dead node's sessions are gone: 6.4 s by the arithmetic of
/// src/membership/overlay/member.rs.
const GONE_AFTER: Duration = Duration::from_secs(7);
