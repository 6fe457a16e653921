//! Questions about users, sessions and nodes, and what operators read.

use serde_json::{Value, json};

use crate::harness::{Cluster, Launch, eventually, now_unix, same, unique};

#[tokio::test]
async fn a_user_is_online_or_not_and_since_when() {
    let cluster = Cluster::start(2).await;
    let before = now_unix() * 1_000;
    let _client = cluster.node(0).connect("u", Some("d")).await;
    cluster.shows("u", &[("d", "n1")]).await;
    for node in cluster.nodes() {
        let answer = node.get("/v1/users/u").await;
        assert_eq!((&answer.json["user"], &answer.json["online"]), (&"u".into(), &true.into()));
        let since = answer.json["sessions"][0]["since_ms"].as_u64().expect("a time is a number");
        assert!((before..=now_unix() * 1_000 + 1_000).contains(&since), "{since}");
        let nobody = node.get("/v1/users/nobody").await;
        assert_eq!((nobody.status, &nobody.json["online"]), (200, &false.into()));
    }
}

#[tokio::test]
async fn ids_with_any_printable_character_work_when_they_are_percent_encoded() {
    let cluster = Cluster::start(2).await;
    let mut client = cluster.node(0).dial().user("a%2Fb%20%C3%A9%3F%25").device("%E2%98%83%26x").open().await;
    cluster.counts(1).await;
    let path = "/v1/users/a%2Fb%20%C3%A9%3F%25";
    let found = cluster.node(1).get(path).await;
    assert_eq!(found.json["user"], "a/b \u{e9}?%");
    assert_eq!(found.json["sessions"][0]["device"], "\u{2603}&x");
    let answer = cluster.node(1).post(&format!("{path}/devices/%E2%98%83%26x/push"), "x").await;
    assert_eq!(answer.json["delivered"], 1, "{answer:?}");
    assert_eq!(client.next_text().await, "x");
    let listed = cluster.node(1).get("/v1/sessions").await;
    assert_eq!(listed.json["sessions"][0]["user"], "a/b \u{e9}?%");
}

#[tokio::test]
async fn nodes_show_their_addresses_states_and_links() {
    let cluster = Cluster::start(3).await;
    let _client = cluster.node(1).connect("u", None).await;
    cluster.counts(1).await;
    for node in cluster.nodes() {
        let list = node.get("/v1/nodes").await;
        assert_eq!(list.json["nodes"].as_array().map(Vec::len), Some(3), "{}", list.text());
        for other in cluster.nodes() {
            let own = node.name == other.name;
            // Addresses come by gossip, a moment after the link.
            let seen = eventually("the whole entry", async || {
                let seen = node.sees(&other.name).await;
                if seen["http"] == "" { Err(seen) } else { Ok(seen) }
            })
            .await;
            assert_eq!(seen["mesh"], other.mesh.to_string(), "{seen}");
            assert_eq!(seen["http"], format!("http://{}", other.addr), "{seen}");
            assert_eq!(seen["sessions"], u64::from(other.name == "n2"), "{seen}");
            assert_eq!((&seen["self"], seen["rtt_us"].is_u64()), (&json!(own), !own), "{seen}");
        }
    }
}

#[tokio::test]
async fn a_zone_and_advertised_addresses_are_shown() {
    let cluster = unique();
    let flags = ["--zone", "west", "--http-advertise", "192.0.2.1:80"];
    let first = Launch::dev(&cluster, "n1").flags(flags).start().await;
    let second = Launch::dev(&cluster, "n2").peers([&first]).start().await;
    second.ready().await;
    for node in [&first, &second] {
        eventually("the advert", async || {
            let seen = node.sees("n1").await;
            let right = seen["zone"] == "west" && seen["http"] == "http://192.0.2.1:80";
            if right { Ok(()) } else { Err(seen) }
        })
        .await;
    }
}

#[tokio::test]
async fn the_metrics_count_what_happened() {
    let cluster = Cluster::start(2).await;
    let node = cluster.node(0);
    let client = node.connect("u", Some("d")).await;
    let mut second = node.connect("u", Some("d")).await;
    drop(client);
    assert_eq!(node.push("u", "x").await.json["delivered"], 1);
    assert_eq!(node.push("nobody", "x").await.status, 404);
    assert_eq!(node.get("/nowhere").await.status, 404);
    second.next_text().await;
    for (sample, value) in [
        ("pushmesh_pushes_total{outcome=\"delivered\"}", 1.0),
        ("pushmesh_pushes_total{outcome=\"no_session\"}", 1.0),
        ("pushmesh_push_seconds_count", 2.0),
        ("pushmesh_connections_opened_total", 2.0),
        ("pushmesh_takeovers_total", 1.0),
        ("pushmesh_connections", 1.0),
        ("pushmesh_sessions_owned", 1.0),
        ("pushmesh_mesh_links", 1.0),
        ("pushmesh_members{state=\"alive\"}", 2.0),
    ] {
        eventually(sample, async || same(node.metric(sample).await, Some(value)).map(|_| ())).await;
    }
    let text = node.get("/metrics").await.text();
    for name in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
        assert!(text.contains(&format!("# HELP {name} ")), "{name} is explained");
    }
}

#[tokio::test]
async fn the_openapi_document_lists_the_routes() {
    let cluster = Cluster::start(1).await;
    let document = cluster.node(0).get("/openapi.json").await;
    assert!(document.json["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    let has = |path: &str, method: &str| document.json["paths"][path][method] != Value::Null;
    assert!(
        has("/v1/users/{user}/push", "post") && has("/v1/ws", "get") && has("/v1/users/{user}", "delete")
    );
}
