//! Connections of the HTTP face: callers that send what nobody wants, stop in the middle, or never read.

use std::time::Duration;

use futures_util::future::join_all;
use rustls::RootCertStore;
use serde_json::json;
use tokio::time::Instant;

use crate::harness::{Cluster, Frame, Keys, Launch, Node, Plain, alone, eventually, same, unique};

/// A node that asks for keys, plain or with a certificate.
async fn guarded(keys: &Keys, encrypted: bool) -> Node {
    let mut launch = Launch::new(&unique(), "n1").flags(keys.flags()).key(&keys.api);
    if encrypted {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("it can be made");
        let cert = keys.write("tls.pem", &made.cert.pem());
        let key = keys.write("tls.key", &made.signing_key.serialize_pem());
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).expect("the certificate is one");
        launch = launch.flags(["--tls-cert", &cert, "--tls-key", &key]).https(roots);
    }
    let node = launch.start().await;
    node.ready().await;
    node
}

/// Heads that are refused before their body is read, with the status.
fn refused(key: &str) -> Vec<(String, u16)> {
    let key = format!("authorization: bearer {key}\r\n");
    let filler = format!("x-filler: {}\r\n", "x".repeat(17_000));
    let long = "x".repeat(9_000);
    let line = |line: &str, headers: &str| format!("{line} HTTP/1.1\r\nhost: x\r\n{headers}");
    let push = "POST /v1/users/u/push";
    vec![
        (line(push, ""), 401),
        (line(push, "authorization: bearer wrong\r\n"), 401),
        (line("POST /v1/push", ""), 401),
        (line("POST /v1/broadcast", "expect: 100-continue\r\n"), 401),
        (line("DELETE /v1/users/u", ""), 401),
        (line("POST /nowhere", ""), 404),
        (line("POST /livez", ""), 405),
        (line("GET /v1/users/u/push", &key), 405),
        (line("POST /v1/users/%00/push", &key), 400),
        (line(&format!("{push}?wait=forever"), &key), 400),
        (line(push, &format!("{key}idempotency-key: a b\r\n")), 400),
        (line(&format!("POST /{long}"), ""), 414),
        (line(push, &filler), 431),
        (line("GET /v1/ws", ""), 426),
        (line(push, "bad header: 1\r\n"), 400),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_refusal_arrives_though_the_body_is_still_being_sent() {
    let keys = Keys::generate().await;
    for encrypted in [false, true] {
        let node = guarded(&keys, encrypted).await;
        let mut calls = Vec::new();
        for (head, status) in refused(&keys.api) {
            for (bytes, pause) in [(40_000, Duration::from_millis(30)), (900_000, Duration::ZERO)] {
                for chunked in [false, true] {
                    calls.push(refuse(&node, head.clone(), status, bytes, pause, chunked));
                }
            }
        }
        join_all(calls).await;
        // What is too long by its length, and what turns out to be.
        let key = format!("authorization: bearer {}\r\n", keys.api);
        let push = format!("POST /v1/users/u/push HTTP/1.1\r\nhost: x\r\n{key}");
        for chunked in [false, true] {
            refuse(&node, push.clone(), 413, 9_000_000, Duration::ZERO, chunked).await;
        }
    }
}

async fn refuse(node: &Node, head: String, status: u16, bytes: usize, pause: Duration, chunked: bool) {
    let what = format!("{head:.60} with {bytes} bytes, chunked {chunked}");
    let mut caller = Plain::open(node).await;
    let framing = if chunked {
        format!("transfer-encoding: chunked\r\n\r\n{bytes:x}\r\n")
    } else {
        format!("content-length: {bytes}\r\n\r\n")
    };
    caller.send(format!("{head}{framing}")).await;
    let sent = caller.send_paced(bytes, 10, pause).await;
    assert!(sent.is_ok(), "{what}: {sent:?}");
    let (answer, whole) = caller.until_end().await;
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: {answer:?}");
    assert!(whole, "{what}: the connection is reset");
}

#[tokio::test]
async fn a_caller_that_closes_its_side_after_its_request_gets_its_answer_over_a_hop_too() {
    let cluster = Cluster::start(2).await;
    let mut client = cluster.node(0).connect("u", Some("d")).await;
    cluster.shows("u", &[("d", "n1")]).await;
    for n in 0..10 {
        let text = format!("message {n}");
        let mut caller = Plain::open(cluster.node(1)).await;
        let request = format!(
            "POST /v1/users/u/push HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{text}",
            text.len()
        );
        caller.send(request).await;
        caller.shut().await;
        let (answer, whole) = caller.until_end().await;
        assert!(
            whole && answer.starts_with("HTTP/1.1 200 ") && answer.contains(r#""delivered":1"#),
            "{answer:?}"
        );
        assert_eq!(client.next_text().await, text);
    }
    let lines: String = (0..100)
        .map(|n| format!("{}\n", json!({ "to": { "user": "u" }, "data": format!("line {n}") })))
        .collect();
    let mut caller = Plain::open(cluster.node(1)).await;
    caller
        .send(format!("POST /v1/push HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{lines}", lines.len()))
        .await;
    caller.shut().await;
    let (answer, whole) = caller.until_end().await;
    assert!(whole && answer.ends_with("0\r\n\r\n"), "{answer:?}");
    assert_eq!(
        answer.matches(r#""outcome":"delivered""#).count(),
        200,
        "each line and each session: {answer}"
    );
    for n in 0..100 {
        assert_eq!(client.next_text().await, format!("line {n}"));
    }
}

#[tokio::test]
async fn a_client_that_closes_its_side_of_a_websocket_is_gone_and_one_that_says_goodbye_is_answered() {
    let node = Launch::dev(&unique(), "n1").start().await;
    node.ready().await;
    let mut abrupt = node.dial().user("u").device("abrupt").open_raw().await;
    let mut polite = node.dial().user("u").device("polite").open_raw().await;
    node.shows("u", &[("abrupt", "n1"), ("polite", "n1")]).await;
    abrupt.shut().await;
    polite.send(b"\x88\x82\0\0\0\0\x03\xe8").await;
    polite.shut().await;
    assert_eq!(abrupt.frame().await, Frame::End);
    assert_eq!(polite.frame().await, Frame::Close(1000, String::new()));
    assert_eq!(polite.frame().await, Frame::End);
    node.shows("u", &[]).await;
}

#[tokio::test]
async fn an_idle_connection_is_kept_for_the_time_of_keep_alive() {
    let node = Launch::dev(&unique(), "n1").flags(["--keep-alive", "1500ms"]).start().await;
    node.ready().await;
    let mut caller = Plain::open(&node).await;
    let mut idle = Instant::now();
    for _ in 0..3 {
        caller.send("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert_eq!(caller.answer().await.0, 200);
        idle = Instant::now();
    }
    assert_eq!(caller.until_end().await, (String::new(), true));
    let idle = idle.elapsed().as_millis();
    assert!((1_400..4_000).contains(&idle), "it was closed after {idle} ms");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_never_read_are_given_up_and_others_do_not_notice() {
    let _alone = alone().await;
    let keys = Keys::generate().await;
    let (plain, encrypted) = (guarded(&keys, false).await, guarded(&keys, true).await);
    let key = format!("host: x\r\nauthorization: bearer {}\r\n", keys.api);
    let pipelined = format!("GET /openapi.json HTTP/1.1\r\n{key}\r\n");
    let line = r#"{"to":{"user":"nobody"},"data":"x"}"#;
    let streamed = format!("{:x}\r\n{}\r\n", 100 * (line.len() + 1), format!("{line}\n").repeat(100));
    let stream = format!("POST /v1/push HTTP/1.1\r\n{key}transfer-encoding: chunked\r\n\r\n");
    let mut callers = Vec::new();
    for node in [&plain, &encrypted] {
        callers.extend((0..DEAF_CALLERS).map(|_| never_read(node, String::new(), &pipelined)));
        callers.push(never_read(node, stream.clone(), &streamed));
    }
    let others = async {
        for node in [&plain, &encrypted] {
            for _ in 0..20 {
                assert_eq!(node.push("nobody", "x").await.error(), (404, "no_session"));
            }
        }
    };
    tokio::join!(join_all(callers), others);
}

/// Sends for as long as the node takes it, and reads nothing.
async fn never_read(node: &Node, head: String, again: &str) {
    let mut caller = Plain::open(node).await;
    caller.send(head).await;
    while caller.try_send(again).await.is_ok() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_say_nothing_keep_the_api_from_others_for_a_moment_only() {
    let _alone = alone().await;
    let node = Launch::dev(&unique(), "n1").start().await;
    node.ready().await;
    let mut silent = Vec::new();
    for _ in 0..REQUESTS_MAX {
        let mut caller = Plain::open(&node).await;
        caller.send("POST /v1/push HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n").await;
        silent.push(caller);
    }
    eventually("all places are taken", async || same(push_status(&node).await, 503)).await;
    assert_eq!(node.get("/livez").await.status, 200);
    eventually("places are free again", async || same(push_status(&node).await, 404)).await;
    let (answer, whole) = silent[0].until_end().await;
    assert!(whole && answer.starts_with("HTTP/1.1 200 "), "{answer:?}");
    assert!(answer.contains(r#""line":1"#) && answer.contains("the stream stalled"), "{answer:?}");
}

async fn push_status(node: &Node) -> u16 {
    node.push("u", "x").await.status
}

#[tokio::test]
async fn the_kernel_watches_over_connections_that_are_silent() {
    let node = Launch::dev(&unique(), "n1").start().await;
    node.ready().await;
    let mut caller = Plain::open(&node).await;
    caller.send("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(caller.answer().await.0, 200);
    // Columns of the kernel's table: the local address, the state (01 is established), the timer (02 is keep-alive).
    let port = format!(":{:04X}", node.addr.port());
    eventually("a timer that looks after the caller", async || {
        let table = std::fs::read_to_string("/proc/net/tcp").expect("the node runs on Linux");
        let accepted = table
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .find(|columns| columns[1].ends_with(&port) && columns[3] == "01");
        let timer = accepted.map(|columns| columns[5].to_owned()).unwrap_or_default();
        if timer.starts_with("02:") { Ok(()) } else { Err(timer) }
    })
    .await;
}

/// Callers at each node that ask again and again.
const DEAF_CALLERS: usize = 50;
/// API requests in progress at a node: docs/PROTOCOL.md, section 2.6.
const REQUESTS_MAX: usize = 4_096;
