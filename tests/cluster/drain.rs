//! A graceful stop: nothing that was answered is lost, and clients are told when to come back.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::harness::{Client, Cluster, Launch, Message, Plain, alone, eventually, same, unique};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_loses_no_push_that_was_answered_delivered() {
    let _alone = alone().await;
    let cluster = Arc::new(Cluster::start(3).await);
    let mut readers = Vec::new();
    for n in 0..CLIENTS {
        let client = cluster.node(1).connect(&format!("u{n}"), Some("d")).await;
        readers.push(tokio::spawn(read_to_end(client)));
    }
    let mut bystander = cluster.node(0).connect("bystander", Some("d")).await;
    cluster.counts(CLIENTS as u64 + 1).await;

    let answered = Arc::new(AtomicUsize::new(0));
    let mut pushers = Vec::new();
    for worker in 0..WORKERS {
        pushers.push(tokio::spawn(push_until_nobody(Arc::clone(&cluster), worker, Arc::clone(&answered))));
    }
    eventually("load before the stop", async || {
        let answered = answered.load(Ordering::Relaxed);
        if answered >= 500 { Ok(()) } else { Err(answered) }
    })
    .await;
    let stopped = Instant::now();
    cluster.node(1).process.signal("TERM");
    let status = cluster.node(1).process.end().await;
    assert_eq!(status.code(), Some(0), "a graceful stop is no failure");
    assert!(stopped.elapsed() < DRAIN_TIMEOUT, "the stop took {:?}", stopped.elapsed());

    let mut delivered = Vec::new();
    for pusher in pushers {
        delivered.extend(pusher.await.expect("a pusher ends well"));
    }
    let mut received = HashSet::new();
    let mut pauses = HashSet::new();
    for reader in readers {
        let (texts, retry_ms) = reader.await.expect("a reader ends well");
        for text in texts {
            assert!(received.insert(text.clone()), "{text} arrived twice");
        }
        assert!((100..=3_000).contains(&retry_ms), "retry_ms {retry_ms}");
        pauses.insert(retry_ms);
    }
    let missing = delivered.iter().find(|text| !received.contains(*text));
    assert_eq!(missing, None, "a message was answered delivered and did not arrive");
    assert!(delivered.len() >= 500, "only {} pushes were delivered", delivered.len());
    assert!(pauses.len() > CLIENTS / 2, "the pauses are spread: {pauses:?}");

    for survivor in [cluster.node(0), cluster.node(2)] {
        eventually("the stopped node's sessions are gone", async || {
            same(survivor.stats().await["sessions"].as_u64(), Some(1)).map(|_| ())
        })
        .await;
        eventually("the stopped node has left", async || {
            let seen = survivor.sees("n2").await;
            if seen.is_null() || seen["state"] == "left" { Ok(()) } else { Err(seen) }
        })
        .await;
        assert_eq!(survivor.push("bystander", &survivor.name).await.json["delivered"], 1);
        assert_eq!(bystander.next_text().await, survivor.name);
    }
}

/// Closed-loop pushes through a node that does not stop, each with a text of its own, until nobody
/// is there any more. Returns what was answered delivered.
async fn push_until_nobody(cluster: Arc<Cluster>, worker: usize, answered: Arc<AtomicUsize>) -> Vec<String> {
    let entry = cluster.node([0, 2][worker % 2]);
    let mut delivered = Vec::new();
    let mut misses = 0;
    for n in 0.. {
        let user = format!("u{}", (worker * 31 + n) % CLIENTS);
        let text = format!("{worker}-{n}");
        let answer = entry.push(&user, &text).await;
        match answer.status {
            200 if answer.json["delivered"] == 1 => {
                delivered.push(text);
                answered.fetch_add(1, Ordering::Relaxed);
                misses = 0;
            }
            404 => misses += 1,
            // Buffered, or cut off by the stop: said as it is.
            200 | 502 | 503 | 504 => {}
            other => panic!("a push was answered {other}: {answer:?}"),
        }
        if misses >= CLIENTS {
            break;
        }
    }
    delivered
}

async fn read_to_end(mut client: Client) -> (Vec<String>, u64) {
    let end = client.end().await;
    let (code, reason) = end.close.expect("the node says goodbye");
    assert_eq!(code, 1012);
    let reason: Value = serde_json::from_str(&reason).expect("the reason is JSON");
    let text = |message: Message| message.to_text().expect("only text was pushed").to_owned();
    (end.messages.into_iter().map(text).collect(), reason["retry_ms"].as_u64().expect("it has a pause"))
}

#[tokio::test]
async fn a_second_signal_ends_a_stop_that_waits_for_a_client() {
    let _alone = alone().await;
    let node = Launch::dev(&unique(), "n1").start().await;
    node.ready().await;
    // It takes nothing any more, so that the stop has something to wait for.
    let _deaf = node.dial().user("u").receive_buffer(16 << 10).open_raw().await;
    let large = "x".repeat(1 << 20);
    eventually("a write that stalls", async || {
        let answer = node.push("u", &large).await;
        same(answer.json["sessions"][0]["outcome"].as_str(), Some("buffered")).map(|_| ())
    })
    .await;
    node.process.signal("TERM");
    eventually("the node drains", async || {
        let answer = node.get("/readyz").await;
        same((answer.status, answer.text().contains("draining")), (503, true))
    })
    .await;
    let refused = node.dial().user("v").refused().await;
    assert_eq!(refused.error(), (503, "not_ready"));
    assert_eq!(refused.header("retry-after"), Some("1"));
    let (code, reason) = node.dial().user("v").query("errors", "close").open().await.closed().await;
    assert_eq!(
        (code, reason.contains("retry_ms")),
        (1013, true),
        "one that cannot read the status: {reason}"
    );
    assert_eq!(node.process.ended(), None, "it waits for the client");
    node.process.signal("TERM");
    // Had it waited any longer, the end would be the one in good order, with 0.
    assert_eq!(node.process.end().await.code(), Some(143));
}

#[tokio::test]
async fn during_the_drain_delay_the_node_serves_all_and_only_its_readiness_says_no() {
    let cluster = Cluster::start_with(2, &["--drain-delay", "1h"]).await;
    let node = cluster.node(0);
    let mut before = node.connect("u", Some("before")).await;
    node.process.signal("TERM");
    eventually("the readiness says that it leaves", async || {
        let ready = node.get("/readyz").await;
        same((ready.status, ready.json["phase"].clone()), (503, "leaving".into())).map(|_| ())
    })
    .await;
    assert_eq!(node.get("/livez").await.status, 200);
    let mut after = node.connect("u", Some("after")).await;
    cluster.shows("u", &[("after", "n1"), ("before", "n1")]).await;
    for (entry, text) in [(node, "here"), (cluster.node(1), "there")] {
        assert_eq!(entry.push("u", text).await.json["delivered"], 2);
        assert_eq!((before.next_text().await, after.next_text().await), (text.into(), text.into()));
    }
    assert_eq!(cluster.node(1).sees("n1").await["state"], "alive");
    node.process.signal("TERM");
    assert_eq!(node.process.end().await.code(), Some(143), "a second signal waits for nothing");
}

#[tokio::test]
async fn after_the_drain_delay_the_node_drains_and_one_that_never_was_ready_does_not_wait() {
    const DELAY: Duration = Duration::from_millis(700);
    let node = Launch::dev(&unique(), "n1").flags(["--drain-delay", "700ms"]).start().await;
    node.ready().await;
    let mut client = node.connect("u", Some("d")).await;
    let stopped = Instant::now();
    node.process.signal("TERM");
    assert_eq!(client.closed().await.0, 1012);
    assert!(stopped.elapsed() >= DELAY, "the drain began after {:?}", stopped.elapsed());
    assert_eq!(node.process.end().await.code(), Some(0));
    let flags = ["--drain-delay", "1h", "--expect", "2"];
    let node = Launch::dev(&unique(), "n1").flags(flags).start().await;
    node.process.signal("TERM");
    assert_eq!(node.process.end().await.code(), Some(0));
}

#[tokio::test]
async fn a_client_that_answers_nothing_does_not_hold_up_the_stop_for_long() {
    let node = Launch::dev(&unique(), "n1").start().await;
    node.ready().await;
    let _deaf = node.dial().user("u").open_raw().await;
    let stopped = Instant::now();
    node.process.signal("INT");
    assert_eq!(node.process.end().await.code(), Some(0));
    assert!(stopped.elapsed() < DRAIN_TIMEOUT, "the stop took {:?}", stopped.elapsed());
}

#[tokio::test]
async fn a_stream_that_is_open_ends_with_the_reason_and_the_probes_answer_until_the_end() {
    let node = Launch::dev(&unique(), "n1").start().await;
    node.ready().await;
    let mut client = node.connect("u", Some("d")).await;
    // A client that does not answer the close keeps the node draining for a while.
    let _deaf = node.dial().user("deaf").open_raw().await;
    let mut stream = Plain::open(&node).await;
    let line = r#"{"to":{"user":"u"},"data":"1"}"#;
    let head = "POST /v1/push HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.send(format!("{head}{:x}\r\n{line}\n\r\n", line.len() + 1)).await;
    assert_eq!(client.next_text().await, "1");
    let mut kept = Plain::open(&node).await;
    kept.send("GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(kept.answer().await.0, 200);

    let stopped = Instant::now();
    node.process.signal("TERM");
    let (answers, whole) = stream.until_end().await;
    assert!(whole && answers.contains(r#""line":1,"outcome":"delivered""#), "{answers:?}");
    assert!(answers.ends_with("0\r\n\r\n"), "the answer is complete: {answers:?}");
    let last = answers.lines().rfind(|line| line.starts_with('{')).expect("there is a last line");
    let last: Value = serde_json::from_str(last).expect("a line is JSON");
    assert_eq!(
        (&last["line"], &last["error"]["code"]),
        (&Value::from(2), &Value::from("not_ready")),
        "{last}"
    );
    assert_eq!(client.closed().await.0, 1012);

    kept.send("GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let (status, answer) = kept.answer().await;
    assert_eq!(status, 503);
    assert!(answer.contains("connection: close") && answer.contains("draining"), "{answer}");
    let mut probe = Plain::open(&node).await;
    probe.send("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(probe.answer().await.0, 200);
    assert_eq!(node.process.end().await.code(), Some(0));
    assert!(stopped.elapsed() < DRAIN_TIMEOUT / 2, "the stop took {:?}", stopped.elapsed());
}

#[tokio::test]
async fn the_port_stays_open_for_probes_until_the_last_request_is_answered() {
    let _alone = alone().await;
    let cluster = Cluster::start_with(2, &["--push-timeout", "4s"]).await;
    let _client = cluster.node(1).connect("u", Some("d")).await;
    cluster.shows("u", &[("d", "n2")]).await;
    let node = cluster.node(0);
    cluster.node(1).process.signal("STOP");
    let answered = AtomicBool::new(false);
    let push = async {
        let answer = node.push("u", "x").await;
        answered.store(true, Ordering::Relaxed);
        answer
    };
    let (push, probes) = tokio::join!(push, async {
        // The push has been dispatched once the node waits for the other one.
        eventually("the push waits", async || {
            let sent = node.metric("pushmesh_mesh_requests_total{direction=\"sent\"}").await;
            if sent >= Some(1.0) { Ok(()) } else { Err(sent) }
        })
        .await;
        node.process.signal("TERM");
        // It has no session, so that there is only the push to wait for.
        eventually("the node drains", async || same(node.get("/readyz").await.status, 503)).await;
        let mut probes = 0;
        while let Ok(answer) = node.http.try_call("GET", "/readyz", &[], "").await {
            assert_eq!((answer.status, &answer.json["phase"]), (503, &Value::from("draining")), "{answer:?}");
            assert_eq!(answer.header("connection"), Some("close"));
            probes += 1;
        }
        let closed = Instant::now();
        eventually("the push is answered", async || same(answered.load(Ordering::Relaxed), true)).await;
        assert!(
            closed.elapsed() < Duration::from_secs(1),
            "the port was closed {:?} before",
            closed.elapsed()
        );
        probes
    });
    cluster.node(1).process.signal("CONT");
    assert_eq!(push.error(), (504, "unreachable"));
    assert!(probes > 10, "{probes} probes were answered meanwhile");
    assert_eq!(node.process.end().await.code(), Some(0));
}

#[tokio::test]
async fn a_node_that_is_joining_stops_as_well() {
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port can be had");
    let silent = nobody.local_addr().expect("it has an address").to_string();
    let node = Launch::dev(&unique(), "n1").flags(["--peer".to_owned(), silent]).start().await;
    node.process.signal("TERM");
    assert_eq!(node.process.end().await.code(), Some(0));
}

/// Clients of the node that stops.
const CLIENTS: usize = 200;
/// Closed loops.
const WORKERS: usize = 64;
/// The default of `--drain-timeout`.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
