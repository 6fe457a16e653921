//! A node that hears nobody any more, and doubts itself before it buries the others.

use std::time::Duration;

use tokio::time::Instant;

use crate::harness::{Cluster, Node, alone, eventually, same};

#[tokio::test]
async fn a_node_that_loses_all_its_peers_at_once_says_degraded_and_hides_them_later() {
    let _alone = alone().await;
    let cluster = Cluster::start(3).await;
    let survivor = cluster.node(0);
    let mut lost = Vec::new();
    for node in 1..3 {
        lost.push(cluster.node(node).connect(&format!("lost{node}"), Some("d")).await);
    }
    cluster.counts(2).await;
    assert_eq!(survivor.sees("n1").await["degraded"], false);
    cluster.node(1).process.kill();
    cluster.node(2).process.kill();
    let killed = Instant::now();

    eventually("the survivor doubts itself", async || {
        same(survivor.sees("n1").await["degraded"].as_bool(), Some(true)).map(|_| ())
    })
    .await;
    assert_eq!(survivor.sees("n1").await["state"], "alive", "it serves as before");
    // What it shows is gone, and alone it does not say how many there are.
    eventually("the sessions are hidden", async || {
        let shown = survivor.get("/v1/explain/users/lost1").await.json["rows"][0]["visible"].clone();
        same(shown.as_bool(), Some(false)).map(|_| ())
    })
    .await;
    let took = killed.elapsed();
    assert!(took >= NOT_BEFORE, "the sessions were hidden after {took:?}, as if one node had died");
    both_are_dead(survivor).await;
    eventually("nobody is left to be decided", async || {
        same(survivor.sees("n1").await["degraded"].as_bool(), Some(false)).map(|_| ())
    })
    .await;
}

async fn both_are_dead(survivor: &Node) {
    for name in ["n2", "n3"] {
        eventually("state of the killed node", async || {
            same(survivor.sees(name).await["state"].as_str(), Some("dead")).map(|_| ())
        })
        .await;
    }
}

/// Well after the 6 to 7 s in which the death of one node is known; without it they would be hidden
/// then. The arithmetic says 12 s: 3 s of silence, and three times 3 s.
const NOT_BEFORE: Duration = Duration::from_secs(10);
