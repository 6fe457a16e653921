//! What is kept for clients that are away is held by other nodes too, and outlives its owner.

use serde_json::{Value, json};

use crate::harness::{Cluster, Kept, Node, eventually, push, pushmesh, same, try_push};

/// Nodes each of which has so many others hold copies.
async fn cluster(nodes: usize, copies: &str) -> Cluster {
    let cluster = Cluster::start_with(nodes, &["--copies", copies]).await;
    for node in cluster.nodes() {
        shows(node, "pushmesh_copies_groups_short", 0.0).await;
    }
    cluster
}

async fn shows(node: &Node, metric: &str, value: f64) {
    eventually(&format!("{metric} of {}", node.name), async || {
        same(node.metric(metric).await, Some(value)).map(|_| ())
    })
    .await;
}

/// How many messages all nodes hold for others.
async fn held(cluster: &Cluster, messages: f64) {
    eventually("copies", async || {
        let mut all = 0.0;
        for node in cluster.nodes() {
            all += node.metric("pushmesh_copies_held").await.unwrap_or(0.0);
        }
        same(all, messages).map(|_| ())
    })
    .await;
}

#[tokio::test]
async fn what_is_queued_is_held_by_others_until_the_client_has_it() {
    let cluster = cluster(3, "2").await;
    let first = Kept::open(cluster.node(0)).await;
    cluster.shows("u", &[("d", "n1")]).await;
    held(&cluster, 0.0).await;
    let first = first.leave(&cluster).await;
    assert_eq!(push(cluster.node(1), "a").await, "queued");
    assert_eq!(push(cluster.node(2), "b").await, "queued");
    held(&cluster, 4.0).await;
    let mut second = first.back(cluster.node(0), 0).await;
    assert_eq!(second.resumed(), "complete");
    assert_eq!(second.next(2).await, ["older 1 a", "older 2 b"]);
    second.say(json!({ "type": "ack", "n": 2, "segment": first.text("segment") })).await;
    held(&cluster, 0.0).await;
}

#[tokio::test]
async fn what_a_connected_client_does_not_acknowledge_is_copied_and_no_more_once_it_has() {
    let cluster = cluster(2, "1").await;
    let mut client = Kept::open(cluster.node(0)).await;
    cluster.shows("u", &[("d", "n1")]).await;
    assert_eq!(push(cluster.node(1), "a").await, "delivered");
    assert_eq!(client.next(1).await, ["1 a"]);
    held(&cluster, 1.0).await;
    client.ack(1).await;
    held(&cluster, 0.0).await;
}

#[tokio::test]
async fn what_a_session_that_is_not_kept_has_taken_is_held_by_nobody_any_more() {
    let cluster = cluster(3, "2").await;
    for at in [0, 1] {
        let first = Kept::open(cluster.node(0)).await.leave(&cluster).await;
        assert_eq!(push(cluster.node(2), "a").await, "queued");
        held(&cluster, 2.0).await;
        let mut plain = cluster.node(at).connect("u", Some("d")).await;
        assert_eq!(plain.next_text().await, "a");
        held(&cluster, 0.0).await;
        plain.close().await;
        eventually("nobody is there", async || {
            same(cluster.node(2).stats().await["sessions"].clone(), json!(0)).map(|_| ())
        })
        .await;
        drop(first);
    }
}

#[tokio::test]
async fn a_killed_owner_loses_nothing_that_was_queued() {
    let cluster = cluster(3, "2").await;
    let first = Kept::open(cluster.node(0)).await;
    cluster.shows("u", &[("d", "n1")]).await;
    let first = first.leave(&cluster).await;
    for data in ["a", "b", "c"] {
        assert_eq!(push(cluster.node(1), data).await, "queued");
    }
    cluster.node(0).process.kill();
    let mut second = first.back(cluster.node(1), 0).await;
    assert_eq!(second.resumed(), "complete");
    assert_eq!(second.next(3).await, ["older 1 a", "older 2 b", "older 3 c"]);
    // The next owner has others hold it, and those of the former one need not any more.
    second.say(json!({ "type": "ack", "n": 2, "segment": first.text("segment") })).await;
    let survivors = [cluster.node(1), cluster.node(2)];
    eventually("one copy is left", async || {
        let mut all = 0.0;
        for node in survivors {
            all += node.metric("pushmesh_copies_held").await.unwrap_or(0.0);
        }
        same(all, 1.0).map(|_| ())
    })
    .await;
}

#[tokio::test]
async fn a_client_that_is_back_at_its_node_which_was_killed_and_runs_again_gets_what_others_hold() {
    let mut cluster = cluster(3, "2").await;
    let mut first = Kept::open(cluster.node(0)).await;
    cluster.shows("u", &[("d", "n1")]).await;
    assert_eq!(push(cluster.node(1), "a").await, "delivered");
    assert_eq!(first.next(1).await, ["1 a"]);
    held(&cluster, 2.0).await;
    cluster.node(0).process.kill();
    cluster.restart(0).await;
    cluster.node(0).ready().await;
    // It has not acknowledged what it has.
    let mut second = first.known.back(cluster.node(0), 0).await;
    assert_eq!(second.resumed(), "complete");
    assert_eq!(second.next(1).await, ["older 1 a"]);
}

#[tokio::test]
async fn a_push_that_waits_for_copies_survives_its_owner_and_says_so() {
    let cluster = cluster(3, "2").await;
    let mut first = Kept::open(cluster.node(0)).await;
    cluster.shows("u", &[("d", "n1")]).await;
    let stored = async |id: &str, data: &str| {
        let answer = try_push(cluster.node(1), "?wait=stored", &[("idempotency-key", id)], data).await;
        let session = &answer.json["sessions"][0];
        (answer.status, session["outcome"].clone(), session["copies"].clone())
    };
    assert_eq!(stored("one", "a").await, (200, json!("delivered"), json!(1)));
    assert_eq!(stored("one", "a").await, (200, json!("delivered"), json!(1)), "it is not written again");
    assert_eq!(stored("two", "b").await, (200, json!("delivered"), json!(1)));
    assert_eq!(first.next(2).await, ["1 a", "2 b"]);
    first.ack(1).await;
    assert_eq!(stored("one", "a").await, (200, json!("acked"), Value::Null));
    cluster.node(0).process.kill();
    // It has not acknowledged what it has.
    let mut second = first.known.back(cluster.node(2), 1).await;
    assert_eq!(second.resumed(), "complete");
    assert_eq!(second.next(1).await, ["older 2 b"]);
}

#[tokio::test]
async fn the_attributes_of_a_session_outlive_its_owner() {
    let path = "/v1/users/u/devices/d/attributes";
    let cluster = cluster(3, "2").await;
    let put = async |node: &Node, attributes: &str| {
        let json = [("content-type", "application/json")];
        let answer = node.http.call("PUT", path, &json, attributes.to_owned()).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, attributes));
    };
    let are = async |node: &Node, attributes: &str| {
        let answer = node.get(path).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, attributes), "{answer:?}");
    };
    let first = Kept::open(cluster.node(0)).await;
    cluster.shows("u", &[("d", "n1")]).await;
    put(cluster.node(1), r#"{"cart":1}"#).await;
    put(cluster.node(1), r#"{"cart":2}"#).await;
    held(&cluster, 2.0).await;
    cluster.node(0).process.kill();
    let second = first.known.back(cluster.node(1), 0).await;
    assert_eq!(second.resumed(), "complete");
    are(cluster.node(1), r#"{"cart":2}"#).await;
    // They go on with the session, and end with it.
    put(cluster.node(2), r#"{"cart":3}"#).await;
    let mut third = second.known.back(cluster.node(2), 0).await;
    are(cluster.node(2), r#"{"cart":3}"#).await;
    let survivors = [cluster.node(1), cluster.node(2)];
    let copies = async |copies: f64| {
        eventually("copies at those that are left", async || {
            let mut all = 0.0;
            for node in survivors {
                all += node.metric("pushmesh_copies_held").await.unwrap_or(0.0);
            }
            same(all, copies).map(|_| ())
        })
        .await;
    };
    copies(1.0).await;
    third.say(json!({ "type": "bye" })).await;
    copies(0.0).await;
}

#[tokio::test]
async fn a_client_that_is_away_is_reached_though_its_owner_is_gone() {
    let cluster = cluster(3, "2").await;
    let first = Kept::open(cluster.node(0)).await;
    cluster.shows("u", &[("d", "n1")]).await;
    let first = first.leave(&cluster).await;
    assert_eq!(push(cluster.node(1), "a").await, "queued");
    cluster.node(0).process.kill();
    let survivors = [cluster.node(1), cluster.node(2)];
    for node in survivors {
        eventually(&format!("another node keeps the session, as {} sees it", node.name), async || {
            let user = node.get("/v1/users/u").await.json;
            let session = &user["sessions"][0];
            let is_kept = user["state"] == "parked" && session["device"] == "d" && session["node"] != "n1";
            if is_kept { Ok(()) } else { Err(user) }
        })
        .await;
        assert_eq!(push(node, &node.name).await, "queued");
    }
    let mut second = first.back(cluster.node(2), 0).await;
    assert_eq!(second.resumed(), "complete");
    assert_eq!(second.next(3).await, ["older 1 a", "older 1 n2", "older 2 n3"]);
    let mut kept_on = 0.0;
    for node in survivors {
        kept_on += node.metric("pushmesh_copies_kept_on_total").await.unwrap_or(0.0);
    }
    assert_eq!(kept_on, 1.0);
}

#[tokio::test]
async fn a_node_says_how_many_of_its_groups_are_short_of_copies() {
    let short = async |node: &Node, of: &str| node.sees(of).await["groups_short"].clone();
    let cluster = cluster(2, "1").await;
    let [first, second] = [cluster.node(0), cluster.node(1)];
    assert_eq!((short(first, "n1").await, short(first, "n2").await), (json!(0), Value::Null));
    second.process.kill();
    eventually("all groups are short of copies", async || {
        same(short(first, "n1").await, json!(16)).map(|_| ())
    })
    .await;
    let url = format!("http://{}", first.addr);
    let shown = pushmesh(&["nodes", "--url", &url]).await.stdout;
    assert!(shown.contains("SHORT") && shown.contains(" 16 "), "{shown}");
    let without = Cluster::start_with(1, &["--copies", "0"]).await;
    assert_eq!(short(without.node(0), "n1").await, Value::Null, "it makes no copies");
}

#[tokio::test]
async fn explain_shows_who_holds_copies_and_what() {
    let cluster = cluster(3, "2").await;
    let first = Kept::open(cluster.node(0)).await;
    cluster.shows("u", &[("d", "n1")]).await;
    let _away = first.leave(&cluster).await;
    for data in ["a", "b"] {
        assert_eq!(push(cluster.node(1), data).await, "queued");
    }
    held(&cluster, 4.0).await;
    for node in cluster.nodes() {
        let answer = node.get("/v1/explain/users/u").await.json;
        let copies = &answer["copies"][0];
        let members = json!(["n2", "n3"]);
        let mut shown = copies["members"].as_array().cloned().unwrap_or_default();
        shown.sort_by_key(Value::to_string);
        assert_eq!((&copies["node"], json!(shown)), (&json!("n1"), members), "{answer}");
        let session = &copies["sessions"][0];
        assert_eq!(session["messages"], 2, "{answer}");
        assert!(session["last"].as_str().is_some_and(|last| last.ends_with(".2")), "{answer}");
        assert_eq!(session["device_hash"], answer["rows"][0]["device_hash"]);
    }
    let url = format!("http://{}", cluster.node(1).addr);
    let shown = pushmesh(&["explain", "--url", &url, "user/u"]).await;
    assert!(shown.code == 0 && shown.stdout.contains("COPIES AT"), "{shown:?}");
}
