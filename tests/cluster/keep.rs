//! Sessions that are kept for clients that are away: nothing that was accepted is forgotten while its owners live.

use serde_json::{Value, json};

use crate::harness::{Cluster, Kept, Message, parked, push, push_with, try_push};

#[tokio::test]
async fn a_client_that_was_away_gets_what_it_missed_at_another_node_once_and_in_order() {
    let cluster = Cluster::start(3).await;
    let mut first = Kept::open(cluster.node(0)).await;
    assert_eq!((first.resumed(), &first.known.0["n"]), ("none", &json!(0)));
    cluster.shows("u", &[("d", "n1")]).await;
    assert_eq!(push(cluster.node(1), "a").await, "delivered");
    assert_eq!(first.next(1).await, ["1 a"]);
    let first = first.leave(&cluster).await;
    for (via, data) in [(0, "b"), (1, "c"), (2, "d")] {
        assert_eq!(push(cluster.node(via), data).await, "queued", "{data}");
    }
    let mut second = first.back(cluster.node(2), 1).await;
    assert_eq!(second.resumed(), "complete");
    assert_eq!(second.next(3).await, ["older 2 b", "older 3 c", "older 4 d"]);
    assert_eq!(push(cluster.node(2), "e").await, "delivered");
    assert_eq!(second.next(1).await, ["1 e"]);
    second.say(json!({ "type": "ack", "n": 4, "segment": first.text("segment") })).await;
    assert_eq!(second.next(1).await, ["closed 4"]);
    second.ack(1).await;
    // It comes back to the very node that it was at, and lacks nothing.
    let second = second.leave(&cluster).await;
    let mut third = second.back(cluster.node(2), 1).await;
    assert_eq!(third.resumed(), "complete");
    assert_eq!(third.next(1).await, ["closed 1"]);
    assert_eq!(push(cluster.node(0), "f").await, "delivered");
    assert_eq!(third.next(1).await, ["1 f"]);
}

#[tokio::test]
async fn a_client_that_has_not_said_what_it_has_is_sent_it_again_under_the_same_numbers() {
    let cluster = Cluster::start(2).await;
    let mut first = Kept::open(cluster.node(0)).await;
    for data in ["a", "b", "c"] {
        assert_eq!(push(cluster.node(0), data).await, "delivered");
    }
    assert_eq!(first.next(3).await, ["1 a", "2 b", "3 c"]);
    first.ack(1).await;
    let first = first.leave(&cluster).await;
    let mut second = first.back(cluster.node(1), 2).await;
    assert_eq!(second.next(1).await, ["older 3 c"], "it says that it has the second one");
    // The third connection remembers nothing but its resume token: it is told what it had.
    let second = second.leave(&cluster).await;
    let mut third = second.back_after(cluster.node(0), &[]).await;
    assert_eq!(third.resumed(), "complete");
    assert_eq!(third.next(2).await, ["gap 1-2 acknowledged", "older 3 c"]);
}

#[tokio::test]
async fn a_publisher_that_waits_for_it_is_told_that_the_client_has_the_message() {
    let cluster = Cluster::start(2).await;
    let mut kept = Kept::open(cluster.node(0)).await;
    cluster.shows("u", &[("d", "n1")]).await;
    let client = async {
        let frame = kept.client.next_json().await;
        assert_eq!((&frame["n"], &frame["ack"]), (&json!(1), &json!(true)), "{frame}");
        kept.ack(1).await;
    };
    let (outcome, ()) = tokio::join!(push_with(cluster.node(1), "?wait=acked", &[], "a"), client);
    assert_eq!(outcome, "acked");
    // What is not acknowledged in time was delivered, and no more is said.
    assert_eq!(push_with(cluster.node(1), "?wait=acked", &[], "b").await, "delivered");
    let line = r#"{"to":{"user":"u"},"data":"c","wait":"acked","ttl":5}"#;
    let client = async {
        assert_eq!(kept.client.next_json().await["data"], "b");
        assert_eq!(kept.client.next_json().await["data"], "c");
        kept.ack(3).await;
    };
    let (answer, ()) = tokio::join!(cluster.node(0).http.call("POST", "/v1/push", &[], line), client);
    assert_eq!(answer.json["outcome"], "acked", "{answer:?}");
    let kept = kept.leave(&cluster).await;
    assert_eq!(push_with(cluster.node(1), "?wait=acked", &[], "d").await, "queued");
    drop(kept);
}

#[tokio::test]
async fn what_may_not_wait_that_long_leaves_a_gap() {
    let cluster = Cluster::start(1).await;
    let node = cluster.node(0);
    let kept = Kept::open(node).await.leave(&cluster).await;
    assert_eq!(try_push(node, "", &[("TTL", "0")], "a").await.error(), (404, "no_session"));
    assert_eq!(push_with(node, "", &[("TTL", "1")], "b").await, "queued");
    assert_eq!(push_with(node, "", &[("TTL", "60")], "c").await, "queued");
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await; // The time of b is over.
    let mut back = kept.back(node, 0).await;
    assert_eq!(back.next(2).await, ["gap 1-1 expired", "older 2 c"]);
}

#[tokio::test]
async fn a_node_that_stops_leaves_its_kept_sessions_to_the_others() {
    let mut cluster = Cluster::start(3).await;
    let mut first = Kept::open(cluster.node(0)).await;
    cluster.shows("u", &[("d", "n1")]).await;
    assert_eq!(push(cluster.node(1), "a").await, "delivered");
    assert_eq!(first.next(1).await, ["1 a"]);
    cluster.node(0).process.signal("TERM");
    let (code, reason) = first.client.closed().await;
    assert!(code == 1012 && reason.starts_with("{\"retry_ms\":"), "{code} {reason}");
    assert!(cluster.node(0).process.end().await.success());
    cluster.restart(0).await;
    cluster.node(0).ready().await;
    parked(&cluster).await;
    assert_eq!(push(cluster.node(0), "b").await, "queued");
    // And the node that keeps it stops as well.
    let shown = cluster.node(0).http.call("GET", "/v1/users/u", &[], "").await.json;
    let keeper = shown["sessions"][0]["node"].as_str().unwrap().to_owned();
    let keeper = cluster.nodes().iter().position(|node| node.name == keeper).unwrap();
    assert_ne!(keeper, 0, "{shown}");
    cluster.node(keeper).process.signal("TERM");
    assert!(cluster.node(keeper).process.end().await.success());
    let other = 3 - keeper;
    let mut second = first.known.back(cluster.node(other), 0).await;
    assert_eq!(second.resumed(), "complete");
    assert_eq!(second.next(2).await, ["older 1 a", "older 1 b"]);
}

#[tokio::test]
async fn a_session_ends_with_a_word_of_its_client_or_of_a_backend_and_when_its_time_is_over() {
    let cluster = Cluster::start_with(2, &["--keep-max", "1s"]).await;
    let node = cluster.node(0);
    let offline = async || cluster.shows("u", &[]).await;
    let open = async || {
        let dial = node.dial().user("u").device("d").query("keep", "30").envelopes();
        let mut client = dial.open().await;
        assert_eq!(client.next_json().await["keep"], 1, "the node grants less");
        cluster.shows("u", &[("d", "n1")]).await;
        client
    };
    let mut client = open().await;
    client.send(Message::text(r#"{"type":"bye"}"#)).await;
    assert_eq!(client.closed().await, (1000, "bye".to_owned()));
    offline().await;
    assert_eq!(open().await.close().await.map(|(code, _)| code), Some(1000));
    offline().await;
    drop(open().await);
    parked(&cluster).await;
    let answer = cluster.node(1).http.call("DELETE", "/v1/users/u", &[], "").await;
    assert_eq!(answer.json["disconnected"], 1, "{answer:?}");
    offline().await;
    drop(open().await);
    parked(&cluster).await;
    assert_eq!(push(node, "a").await, "queued");
    offline().await;
    let metrics = node.http.call("GET", "/metrics", &[], "").await.text();
    assert!(metrics.contains("pushmesh_kept_dropped_total{reason=\"expired\"} 1"), "{metrics}");
    assert!(metrics.contains("pushmesh_kept_bytes{origin=\"here\"} 0"), "{metrics}");
}

#[tokio::test]
async fn what_two_nodes_could_not_hand_over_comes_when_they_reach_each_other() {
    let cluster = Cluster::start_gated(2, &["--copies", "0"]).await;
    let mut first = Kept::open(cluster.node(0)).await;
    cluster.shows("u", &[("d", "n1")]).await;
    assert_eq!(push(cluster.node(0), "a").await, "delivered");
    assert_eq!(first.next(1).await, ["1 a"]);
    cluster.cut(0, 1);
    cluster.node(1).sees_as("n1", "suspect").await;
    let mut second = first.known.back(cluster.node(1), 0).await;
    assert_eq!(second.resumed(), "pending");
    assert_eq!(second.next(1).await, ["resumed partial"]);
    assert_eq!(push(cluster.node(1), "b").await, "delivered");
    assert_eq!(second.next(1).await, ["1 b"]);
    cluster.heal(0, 1);
    assert_eq!(second.next(2).await, ["resumed complete", "older 1 a"]);
    assert_eq!(first.client.closed().await, (4001, "superseded".to_owned()));
}

#[tokio::test]
async fn messages_are_handed_over_by_way_of_a_third_node() {
    let cluster = Cluster::start_gated(3, &[]).await;
    let mut first = Kept::open(cluster.node(0)).await;
    cluster.shows("u", &[("d", "n1")]).await;
    assert_eq!(push(cluster.node(0), "a").await, "delivered");
    assert_eq!(first.next(1).await, ["1 a"]);
    cluster.cut(0, 1);
    cluster.node(1).sees_as("n1", "unreachable").await;
    cluster.node(0).sees_as("n2", "unreachable").await;
    let mut second = first.known.back(cluster.node(1), 0).await;
    assert_eq!(second.resumed(), "complete");
    assert_eq!(second.next(1).await, ["older 1 a"]);
}

#[tokio::test]
async fn a_connection_that_keeps_nothing_takes_over_what_waits() {
    let cluster = Cluster::start(2).await;
    let kept = Kept::open(cluster.node(0)).await.leave(&cluster).await;
    assert_eq!(push(cluster.node(1), "a").await, "queued");
    drop(kept);
    let mut plain = cluster.node(1).dial().user("u").device("d").open().await;
    assert_eq!(plain.next_text().await, "a");
    assert_eq!(push(cluster.node(0), "b").await, "delivered");
    assert_eq!(plain.next_text().await, "b");
}

#[tokio::test]
async fn a_repetition_is_recognised_after_a_takeover() {
    let cluster = Cluster::start(2).await;
    let mut first = Kept::open(cluster.node(0)).await;
    cluster.shows("u", &[("d", "n1")]).await;
    let keyed =
        async |key: &str, data: &str| push_with(cluster.node(0), "", &[("Idempotency-Key", key)], data).await;
    assert_eq!(
        (keyed("k1", "a").await, keyed("k2", "b").await),
        ("delivered".to_owned(), "delivered".to_owned())
    );
    assert_eq!(first.next(2).await, ["1 a", "2 b"]);
    first.ack(1).await;
    let mut second = first.known.back(cluster.node(1), 2).await;
    cluster.shows("u", &[("d", "n2")]).await;
    assert_eq!(keyed("k1", "a").await, "delivered");
    assert_eq!(keyed("k1", "x").await, "id_reused");
    assert_eq!(keyed("k3", "c").await, "delivered");
    let mut said = second.next(2).await;
    said.retain(|frame| !frame.starts_with("closed"));
    assert_eq!(said, ["1 c"], "neither is written again");
}

#[tokio::test]
async fn beyond_the_bounds_new_pushes_are_refused_and_those_before_stay() {
    let flags = ["--outbox-messages", "1", "--kept-messages", "2"];
    let cluster = Cluster::start_with(1, &flags).await;
    let node = cluster.node(0);
    let kept = Kept::open(node).await.leave(&cluster).await;
    for data in ["a", "b", "c"] {
        assert_eq!(push(node, data).await, "queued");
    }
    assert_eq!(try_push(node, "", &[], "d").await.error(), (503, "overloaded"));
    let mut back = kept.back(node, 0).await;
    assert_eq!(back.next(3).await, ["older 1 a", "older 2 b", "older 3 c"]);
}

#[tokio::test]
async fn a_client_that_asks_for_nothing_sees_no_difference() {
    let cluster = Cluster::start(2).await;
    let node = cluster.node(0);
    let mut plain = node.dial().user("u").device("d").query("keep", "30").open().await;
    assert_eq!(push(node, "a").await, "delivered");
    assert_eq!(plain.next_text().await, "a");
    drop(plain);
    cluster.shows("u", &[]).await;
    for dial in [node.dial(), node.dial().query("keep", "0")] {
        let mut client = dial.user("u").device("d").envelopes().open().await;
        let welcome = client.next_text().await;
        let fields: Value = serde_json::from_str(&welcome).unwrap();
        let (session, resume) = (fields["session"].as_str().unwrap(), fields["resume"].as_str().unwrap());
        let expected = format!(
            r#"{{"type":"welcome","user":"u","device":"d","node":"n1","session":"{session}","resume":"{resume}"}}"#
        );
        assert_eq!(welcome, expected);
        assert_eq!(
            push_with(node, "?wait=acked", &[("Idempotency-Key", "m1"), ("TTL", "9")], "a").await,
            "delivered"
        );
        assert_eq!(client.next_text().await, r#"{"type":"message","id":"m1","data":"a"}"#);
        drop(client);
        cluster.shows("u", &[]).await;
        assert_eq!(try_push(node, "", &[], "b").await.error(), (404, "no_session"));
    }
}

#[tokio::test]
async fn what_is_not_understood_is_told() {
    let cluster = Cluster::start(1).await;
    let node = cluster.node(0);
    let dial = || node.dial().user("u").device("d").envelopes();
    for keep in ["x", "-1", "1.5", "%20"] {
        assert_eq!(dial().query("keep", keep).refused().await.error(), (400, "bad_request"), "{keep}");
    }
    for after in ["x", "1.1", "01a223e214b4128866776997", "01a223e214b4128866776997.x"] {
        let refused = dial().query("keep", "9").query("after", after).refused().await;
        assert_eq!(refused.error(), (400, "bad_request"), "{after}");
    }
    let five = ["01a223e214b4128866776997.1"; 5].join(",");
    assert_eq!(dial().query("keep", "9").query("after", &five).refused().await.code(), "bad_request");
    for ttl in ["x", "-1", "1.5", "4294967296"] {
        assert_eq!(try_push(node, "", &[("TTL", ttl)], "a").await.error(), (400, "bad_request"), "{ttl}");
    }
    assert_eq!(try_push(node, "?wait=held", &[], "a").await.error(), (400, "bad_request"));
    let mut kept = Kept::open(node).await;
    let segment = kept.segment().to_owned();
    for (frame, code) in [
        (json!({ "type": "ack", "n": 1 }), "ack_ahead"),
        (json!({ "type": "ack", "n": 1, "segment": segment }), "ack_ahead"),
        (json!({ "type": "ack", "n": "1" }), "bad_message"),
        (json!({ "type": "ack", "n": 0, "segment": "x" }), "bad_message"),
        (json!({ "type": "ack", "n": -1 }), "bad_message"),
        (json!({ "type": "ack" }), "bad_message"),
    ] {
        kept.say(frame.clone()).await;
        let answer = kept.client.next_json().await;
        assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!(code)), "{frame}");
    }
    // A position that was never reached harms nobody but the client itself.
    assert_eq!(push(node, "a").await, "delivered");
    let mut back = kept.known.back(node, 9_999).await;
    assert_eq!(back.resumed(), "complete");
    assert_eq!(push(node, "b").await, "delivered");
    let said = back.next(2).await;
    assert!(said.contains(&"1 b".to_owned()), "{said:?}");
}

#[tokio::test]
async fn where_newer_connections_are_rejected_a_client_comes_back_to_its_messages_all_the_same() {
    let cluster = Cluster::start_with(2, &["--takeover", "reject-newer"]).await;
    let mut first = Kept::open(cluster.node(0)).await;
    cluster.shows("u", &[("d", "n1")]).await;
    assert_eq!(push(cluster.node(0), "a").await, "delivered");
    assert_eq!(first.next(1).await, ["1 a"]);
    let refused = cluster.node(1).dial().user("u").device("d").envelopes().refused().await;
    assert_eq!(refused.error(), (409, "session_exists"), "it is connected");
    // Its own connection ends for it, also where that is still open.
    let mut second = first.known.back(cluster.node(1), 0).await;
    assert_eq!(second.resumed(), "complete");
    assert_eq!(second.next(1).await, ["older 1 a"]);
    let second = second.leave(&cluster).await;
    assert_eq!(push(cluster.node(1), "b").await, "queued");
    let mut third = second.back(cluster.node(0), 0).await;
    assert_eq!(third.resumed(), "complete");
    assert_eq!(third.next(2).await, ["older 1 a", "older 1 b"]);
    drop(third);
    parked(&cluster).await;
    // Nobody is connected: whoever comes is let in, and gets what waits.
    let mut other = cluster.node(1).dial().user("u").device("d").open().await;
    assert_eq!((other.next_text().await, other.next_text().await), ("a".to_owned(), "b".to_owned()));
}

#[tokio::test]
async fn a_push_that_waits_for_the_window_is_told_so_in_time() {
    let cluster = Cluster::start(1).await;
    let node = cluster.node(0);
    let mut kept = Kept::open(node).await;
    let line = |number| format!("{{\"to\":{{\"user\":\"u\"}},\"data\":\"{number}\"}}\n");
    let lines: String = (1..=257).map(line).collect();
    let reads = async {
        for number in 1..=256 {
            assert_eq!(kept.next(1).await, [format!("{number} {number}")]);
        }
    };
    let (answer, ()) = tokio::join!(node.http.call("POST", "/v1/push", &[], lines), reads);
    let last = answer.text().lines().last().expect("each line is answered").to_owned();
    assert!(last.contains("\"outcome\":\"buffered\""), "{last}");
    kept.say(json!({ "type": "ack", "n": 1 })).await;
    assert_eq!(kept.next(1).await, ["257 257"]);
    let broadcast = node.http.call("POST", "/v1/broadcast?wait=acked", &[], "x").await;
    assert_eq!(
        (&broadcast.json["delivered"], &broadcast.json["buffered"]),
        (&json!(0), &json!(1)),
        "{broadcast:?}"
    );
}
