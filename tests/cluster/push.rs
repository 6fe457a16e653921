//! A push at any node reaches the node that holds the client, and its answer says what happened.

use serde_json::json;

use crate::harness::{Cluster, Message};

#[tokio::test]
async fn a_push_at_any_node_reaches_a_client_on_any_node() {
    let cluster = Cluster::start(3).await;
    let mut clients = Vec::new();
    for (user, node) in ["u0", "u1", "u2"].into_iter().zip(cluster.nodes()) {
        clients.push(node.connect(user, Some("phone")).await);
        cluster.shows(user, &[("phone", &node.name)]).await;
    }
    for entry in cluster.nodes() {
        for (index, owner) in cluster.nodes().iter().enumerate() {
            let text = format!("from {} to {} \u{2603}", entry.name, owner.name);
            let answer = entry.push(&format!("u{index}"), &text).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(answer.json["delivered"], 1);
            let expected = json!([{ "device": "phone", "node": owner.name, "outcome": "delivered" }]);
            assert_eq!(answer.json["sessions"], expected);
            assert!(!answer.json["id"].as_str().expect("a push has an id").is_empty());
            assert_eq!(clients[index].next_text().await, text);
        }
    }
    for (index, mut client) in clients.into_iter().enumerate() {
        let answer = cluster.node(0).push(&format!("u{index}"), "last").await;
        assert_eq!(answer.json["delivered"], 1);
        assert_eq!(client.next_text().await, "last", "nothing came twice or to the wrong client");
    }
}

#[tokio::test]
async fn whoever_is_told_to_be_connected_is_pushed_to_at_once() {
    let cluster = Cluster::start(2).await;
    for number in 0..20 {
        let (user, mut clients) = (format!("u{number}"), Vec::new());
        // The second time it takes the place of the connection to the other node.
        for node in cluster.nodes() {
            let mut client = node.connect(&user, Some("phone")).await;
            let answer = node.push(&user, &node.name).await;
            let expected = json!([{ "device": "phone", "node": node.name, "outcome": "delivered" }]);
            assert_eq!(answer.json["sessions"], expected, "{user}");
            assert_eq!(client.next_text().await, node.name);
            clients.push(client);
        }
    }
}

#[tokio::test]
async fn a_push_to_a_user_reaches_three_devices_on_three_nodes_and_a_push_to_one_only_that() {
    let cluster = Cluster::start(3).await;
    let devices = [("laptop", "n1"), ("phone", "n2"), ("tablet", "n3")];
    let mut clients = Vec::new();
    for ((device, _), node) in devices.iter().zip(cluster.nodes()) {
        clients.push(node.connect("42", Some(device)).await);
    }
    cluster.shows("42", &devices).await;
    for entry in cluster.nodes() {
        let answer = entry.push("42", &entry.name).await;
        assert_eq!((answer.status, &answer.json["delivered"]), (200, &json!(3)), "{answer:?}");
        let sessions =
            devices.map(|(device, node)| json!({ "device": device, "node": node, "outcome": "delivered" }));
        assert_eq!(answer.json["sessions"], json!(sessions));
        let only = entry.post("/v1/users/42/devices/phone/push", format!("phone {}", entry.name)).await;
        assert_eq!(
            only.json["sessions"],
            json!([{ "device": "phone", "node": "n2", "outcome": "delivered" }])
        );
    }
    for (client, (device, _)) in clients.iter_mut().zip(devices) {
        for entry in ["n1", "n2", "n3"] {
            assert_eq!(client.next_text().await, entry);
            if device == "phone" {
                assert_eq!(client.next_text().await, format!("phone {entry}"));
            }
        }
    }
}

#[tokio::test]
async fn a_broadcast_reaches_every_client_exactly_once_and_its_tally_is_exact() {
    let cluster = Cluster::start(3).await;
    let mut clients = Vec::new();
    // Different numbers, so that a count at the wrong node shows.
    for (index, node) in [0, 0, 1, 1, 1, 2, 2, 2, 2].into_iter().enumerate() {
        clients.push(cluster.node(node).connect(&format!("u{index}"), None).await);
    }
    cluster.counts(9).await;
    for entry in cluster.nodes() {
        let answer = entry.post("/v1/broadcast", format!("via {}", entry.name)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        for (field, count) in [("delivered", 9), ("buffered", 0), ("overloaded", 0), ("interrupted", 0)] {
            assert_eq!(answer.json[field], count, "{field}");
        }
        let nodes = answer.json["nodes"].as_array().expect("a broadcast lists nodes");
        let found: Vec<_> = nodes.iter().map(|n| (&n["node"], &n["outcome"], &n["delivered"])).collect();
        let answered = json!("answered");
        let (names, counts) = ([json!("n1"), json!("n2"), json!("n3")], [json!(2), json!(3), json!(4)]);
        let expected: Vec<_> = names.iter().zip(&counts).map(|(n, c)| (n, &answered, c)).collect();
        assert_eq!(found, expected);
    }
    for client in &mut clients {
        for entry in ["n1", "n2", "n3"] {
            assert_eq!(client.next_text().await, format!("via {entry}"));
        }
    }
}

#[tokio::test]
async fn a_binary_payload_arrives_byte_for_byte_as_a_binary_frame() {
    let cluster = Cluster::start(2).await;
    let mut client = cluster.node(0).connect("u", Some("d")).await;
    cluster.shows("u", &[("d", "n1")]).await;
    let bytes: Vec<u8> = (0..=255).cycle().take(100_003).collect();
    let headers = [("content-type", "application/octet-stream")];
    for entry in cluster.nodes() {
        let answer = entry.http.call("POST", "/v1/users/u/push", &headers, bytes.clone()).await;
        assert_eq!((answer.status, &answer.json["delivered"]), (200, &json!(1)));
        assert!(client.next().await == Message::binary(bytes.clone()), "the frame differs");
    }
    let empty = cluster.node(1).http.call("POST", "/v1/users/u/push", &headers, "").await;
    assert_eq!(empty.status, 200);
    assert_eq!(client.next().await, Message::binary(Vec::new()), "an empty payload is a payload");
}

#[tokio::test]
async fn the_largest_payload_arrives_and_one_byte_more_is_refused() {
    let cluster = Cluster::start(2).await;
    let mut client = cluster.node(0).connect("u", Some("d")).await;
    cluster.shows("u", &[("d", "n1")]).await;
    let largest = "x".repeat(PAYLOAD_BYTES_MAX);
    for entry in cluster.nodes() {
        let refused = entry.push("u", &format!("{largest}x")).await;
        assert_eq!(refused.error(), (413, "payload_too_large"));
        let refused = entry.post("/v1/broadcast", format!("{largest}x")).await;
        assert_eq!(refused.error(), (413, "payload_too_large"));
        let answer = entry.push("u", &largest).await;
        assert_eq!((answer.status, &answer.json["delivered"]), (200, &json!(1)), "{answer:?}");
        assert!(client.next_text().await == largest, "the first thing that arrives is the largest payload");
    }
}

#[tokio::test]
async fn a_retry_with_the_same_key_is_delivered_once_and_answered_delivered_twice() {
    let cluster = Cluster::start(3).await;
    let mut client = cluster.node(0).connect("u", Some("d")).await;
    cluster.shows("u", &[("d", "n1")]).await;
    let key = [("idempotency-key", "order-7")];
    for entry in cluster.nodes() {
        let answer = entry.http.call("POST", "/v1/users/u/push", &key, "once").await;
        assert_eq!((answer.status, &answer.json["delivered"]), (200, &json!(1)), "{answer:?}");
        assert_eq!(answer.json["id"], "order-7");
    }
    let other =
        cluster.node(1).http.call("POST", "/v1/users/u/push", &[("idempotency-key", "order-8")], "two");
    assert_eq!(other.await.json["delivered"], 1);
    assert_eq!(client.next_text().await, "once");
    assert_eq!(client.next_text().await, "two", "the retries did not arrive");
}

#[tokio::test]
async fn a_push_that_nobody_waits_for_is_accepted_and_arrives() {
    let cluster = Cluster::start(2).await;
    let mut client = cluster.node(0).connect("u", Some("d")).await;
    cluster.shows("u", &[("d", "n1")]).await;
    for path in ["/v1/users/u/push", "/v1/users/u/devices/d/push", "/v1/broadcast"] {
        for entry in cluster.nodes() {
            let answer = entry.post(&format!("{path}?wait=none"), format!("{path} {}", entry.name)).await;
            assert_eq!(answer.status, 202, "{answer:?}");
            assert!(answer.json["id"].is_string() && answer.json.get("delivered").is_none(), "{answer:?}");
            assert_eq!(client.next_text().await, format!("{path} {}", entry.name));
        }
    }
    let nobody = cluster.node(0).post("/v1/users/nobody/push?wait=none", "x").await;
    assert_eq!(nobody.status, 202, "what becomes of it stays unknown");
}

#[tokio::test]
async fn a_push_to_somebody_who_is_not_there_says_so() {
    let cluster = Cluster::start(2).await;
    let _client = cluster.node(0).connect("u", Some("d")).await;
    cluster.shows("u", &[("d", "n1")]).await;
    for entry in cluster.nodes() {
        for path in ["/v1/users/nobody/push", "/v1/users/u/devices/other/push"] {
            let answer = entry.post(path, "x").await;
            assert_eq!(answer.error(), (404, "no_session"), "{path}");
            assert_eq!(answer.json["sessions"], json!([]));
            assert!(answer.json["id"].is_string());
        }
    }
}

#[tokio::test]
async fn a_disconnect_at_any_node_closes_with_4002() {
    let cluster = Cluster::start(3).await;
    let mut devices = Vec::new();
    for (device, node) in ["a", "b", "c"].into_iter().zip(cluster.nodes()) {
        devices.push(node.connect("u", Some(device)).await);
    }
    cluster.shows("u", &[("a", "n1"), ("b", "n2"), ("c", "n3")]).await;
    let one = cluster.node(1).delete("/v1/users/u/devices/a").await;
    assert_eq!((one.status, &one.json["disconnected"]), (200, &json!(1)), "{one:?}");
    assert_eq!(devices[0].closed().await, (4002, "kicked".to_owned()));
    cluster.shows("u", &[("b", "n2"), ("c", "n3")]).await;
    let all = cluster.node(0).delete("/v1/users/u").await;
    assert_eq!((all.status, &all.json["disconnected"]), (200, &json!(2)), "{all:?}");
    for client in &mut devices[1..] {
        assert_eq!(client.closed().await, (4002, "kicked".to_owned()));
    }
    cluster.shows("u", &[]).await;
    let nobody = cluster.node(0).delete("/v1/users/u").await;
    assert_eq!(nobody.error(), (404, "no_session"));
}

/// The default of `--max-payload-bytes`.
const PAYLOAD_BYTES_MAX: usize = 1 << 20;
