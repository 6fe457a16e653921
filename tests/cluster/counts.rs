//! Counts are exact, not estimates that drift.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::harness::{Client, Cluster, alone, eventually, same};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_are_exact_after_a_thousand_connects_and_disconnects_spread_over_the_nodes() {
    let _alone = alone().await;
    let cluster = Cluster::start_with(3, &["--takeovers-per-session", "1000000/30s"]).await;
    let mut model: BTreeMap<(String, String), (usize, Client)> = BTreeMap::new();
    let mut random = Random(1);
    let (mut connects, mut disconnects) = (0, 0);
    while connects < 1_000 || disconnects < 500 {
        let key = (format!("u{}", random.below(100)), format!("d{}", random.below(3)));
        match model.remove(&key) {
            Some((_, client)) if random.below(3) > 0 => {
                disconnects += 1;
                if random.below(2) == 0 {
                    assert_eq!(client.close().await.map(|(code, _)| code), Some(1000));
                } else {
                    drop(client); // Breaks the connection.
                }
            }
            // Else a takeover, where somebody was there.
            former => {
                connects += 1;
                let node = random.below(3);
                if let Some((owner, _)) = &former {
                    // Claims of nodes that have not heard of each other are ordered by their clocks;
                    // here the later connection is to win.
                    let owned = (key.1.clone(), format!("n{}", owner + 1));
                    eventually("the session that is taken over", async || {
                        let sessions = cluster.node(node).sessions_of(&key.0).await;
                        if sessions.contains(&owned) { Ok(()) } else { Err(sessions) }
                    })
                    .await;
                }
                let client = cluster.node(node).connect(&key.0, Some(&key.1)).await;
                if let Some((_, mut loser)) = former {
                    assert_eq!(loser.closed().await.0, 4001);
                }
                model.insert(key, (node, client));
            }
        }
    }
    assert!(model.len() > 50, "{} sessions are left to compare", model.len());
    for node in cluster.nodes() {
        let expected = Expected::of(&model);
        eventually(&format!("stats of {}", node.name), async || {
            same(Expected::read(&node.stats().await), expected.clone()).map(|_| ())
        })
        .await;
        let listed: Vec<_> = list(node, 7).await;
        let known: Vec<_> =
            model.iter().map(|((u, d), (n, _))| (u.clone(), d.clone(), format!("n{}", n + 1))).collect();
        assert_eq!(listed, known);
    }
    model.clear();
    cluster.counts(0).await;
    for node in cluster.nodes() {
        assert_eq!(node.stats().await["users"], 0);
        assert_eq!(list(node, 7).await, []);
    }
}

/// What `GET /v1/stats` has to say.
#[derive(Debug, Clone, PartialEq)]
struct Expected {
    sessions: u64,
    users: u64,
    nodes: BTreeMap<String, u64>,
}

impl Expected {
    fn of(model: &BTreeMap<(String, String), (usize, Client)>) -> Self {
        let mut users: Vec<_> = model.keys().map(|(user, _)| user).collect();
        users.dedup();
        let mut nodes = BTreeMap::new();
        for (node, _) in model.values() {
            *nodes.entry(format!("n{}", node + 1)).or_default() += 1;
        }
        Self { sessions: model.len() as u64, users: users.len() as u64, nodes }
    }

    fn read(stats: &Value) -> Self {
        let nodes = stats["nodes"].as_array().expect("stats list nodes");
        let count = |value: &Value| value.as_u64().expect("a count is a number");
        let name = |value: &Value| value.as_str().expect("a name is text").to_owned();
        Self {
            sessions: count(&stats["sessions"]),
            users: count(&stats["users"]),
            nodes: nodes.iter().map(|node| (name(&node["node"]), count(&node["sessions"]))).collect(),
        }
    }
}

/// All sessions that a node lists, page by page.
async fn list(node: &crate::harness::Node, page: usize) -> Vec<(String, String, String)> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let answer = node.get(&format!("/v1/sessions?limit={page}{cursor}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let sessions = answer.json["sessions"].as_array().expect("there is a list of sessions");
        assert!(sessions.len() <= page);
        let text = |value: &Value| value.as_str().expect("ids are text").to_owned();
        all.extend(sessions.iter().map(|s| (text(&s["user"]), text(&s["device"]), text(&s["node"]))));
        match answer.json["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => {
                let mut sorted = all.clone();
                sorted.sort();
                sorted.dedup();
                assert_eq!(sorted.len(), all.len(), "no session is listed twice");
                return sorted;
            }
        }
    }
}

/// A generator that is the same in every run. Source: Knuth's MMIX constants.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}
