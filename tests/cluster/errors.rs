//! Every error answer of the HTTP face, produced by what causes it.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Answer, Cluster, Launch, SLACK, unique};

#[tokio::test]
async fn a_request_that_can_not_be_understood_is_400() {
    let cluster = Cluster::start(1).await;
    let node = cluster.node(0);
    let long = "u".repeat(129);
    let not_text = node.post("/v1/users/u/push", vec![0xff, 0xfe]).await;
    assert!(not_text.text().contains("octet-stream"), "it says what to do: {}", not_text.text());
    let answers: [Answer; 9] = [
        not_text,
        node.post(&format!("/v1/users/{long}/push"), "x").await,
        node.post("/v1/users/u%00/push", "x").await,
        node.post("/v1/users/u/push?wait=forever", "x").await,
        node.http.call("POST", "/v1/users/u/push", &[("idempotency-key", "a b")], "x").await,
        node.get("/v1/sessions?limit=0").await,
        node.get("/v1/sessions?limit=1001").await,
        node.get("/v1/sessions?cursor=nonsense").await,
        node.dial().user("u").device(&"d".repeat(65)).refused().await,
    ];
    for answer in answers {
        assert_eq!(answer.error(), (400, "bad_request"), "{answer:?}");
    }
}

#[tokio::test]
async fn unknown_routes_and_methods_are_404_and_405() {
    let cluster = Cluster::start(1).await;
    let node = cluster.node(0);
    for path in ["/", "/v1", "/v1/unknown", "/v1/users", "/v2/stats"] {
        assert_eq!(node.get(path).await.error(), (404, "not_found"), "{path}");
    }
    let cases = [
        ("GET", "/v1/broadcast", "POST"),
        ("GET", "/v1/push", "POST"),
        ("POST", "/v1/stats", "GET,HEAD"),
        ("DELETE", "/v1/users/u/push", "POST"),
        ("POST", "/readyz", "GET,HEAD,OPTIONS"),
    ];
    for (method, path, allowed) in cases {
        let answer = node.http.call(method, path, &[], "").await;
        assert_eq!(answer.error(), (405, "method_not_allowed"), "{method} {path}");
        assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
    }
}

#[tokio::test]
async fn requests_beyond_a_bound_are_413_414_and_431() {
    let node = Launch::dev(&unique(), "n1").flags(["--max-payload-bytes", "10"]).start().await;
    node.ready().await;
    let mut client = node.connect("u", None).await;
    assert_eq!(node.push("u", "0123456789").await.json["delivered"], 1);
    assert_eq!(node.push("u", "0123456789x").await.error(), (413, "payload_too_large"));
    assert_eq!(client.next_text().await, "0123456789");
    let path = |bytes: usize| format!("/v1/stats?{}", "x".repeat(bytes - "/v1/stats?".len()));
    assert_eq!(node.get(&path(8_192)).await.status, 200);
    assert_eq!(node.get(&path(8_193)).await.error(), (414, "uri_too_long"));
    let header = |bytes: usize| ("x-filler", "x".repeat(bytes));
    let (name, value) = header(16_000);
    assert_eq!(node.http.call("GET", "/v1/stats", &[(name, &value)], "").await.status, 200);
    let (name, value) = header(16_384);
    let answer = node.http.call("GET", "/v1/stats", &[(name, &value)], "").await;
    assert_eq!(answer.error(), (431, "headers_too_large"));
}

#[tokio::test]
async fn a_websocket_route_without_a_handshake_is_426() {
    let cluster = Cluster::start(1).await;
    let answer = cluster.node(0).get("/v1/ws?user=u").await;
    assert_eq!(answer.error(), (426, "upgrade_required"));
    for (name, value) in
        [("upgrade", "websocket"), ("connection", "upgrade"), ("sec-websocket-version", "13")]
    {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
}

#[tokio::test]
async fn a_user_with_all_its_sessions_is_429_unless_it_takes_one_over() {
    let cluster = Cluster::start_with(2, &["--max-sessions-per-user", "2"]).await;
    let mut first = cluster.node(0).connect("u", Some("a")).await;
    let _second = cluster.node(1).connect("u", Some("b")).await;
    cluster.shows("u", &[("a", "n1"), ("b", "n2")]).await;
    for node in cluster.nodes() {
        assert_eq!(node.dial().user("u").device("c").refused().await.error(), (429, "too_many_sessions"));
        assert_eq!(node.dial().user("u").refused().await.error(), (429, "too_many_sessions"));
    }
    let _other_user = cluster.node(0).connect("v", Some("a")).await;
    let _takeover = cluster.node(1).connect("u", Some("a")).await;
    assert_eq!(first.closed().await.0, 4001);
    cluster.shows("u", &[("a", "n2"), ("b", "n2")]).await;
}

#[tokio::test]
async fn a_connection_that_breaks_during_the_write_is_502() {
    let flags = ["--max-payload-bytes", "16777216", "--outbox-bytes", "16777216"];
    let cluster = Cluster::start_with(2, &flags).await;
    let mut client = cluster.node(0).dial().user("u").device("d").receive_buffer(16 << 10).open_raw().await;
    cluster.shows("u", &[("d", "n1")]).await;
    // More than the kernels hold between the two, so that the write is not over when the client goes.
    let large = "x".repeat(16 << 20);
    let (answer, ()) = tokio::join!(cluster.node(1).push("u", &large), async {
        client.first_byte().await;
        drop(client);
    });
    assert_eq!(answer.error(), (502, "interrupted"));
    assert_eq!(answer.json["sessions"], json!([{ "device": "d", "node": "n1", "outcome": "interrupted" }]));
    cluster.shows("u", &[]).await;
}

#[tokio::test]
async fn a_node_that_does_not_answer_is_504_within_the_push_timeout() {
    let _alone = crate::harness::alone().await;
    let cluster = Cluster::start_with(2, &["--push-timeout", "2900ms"]).await;
    let mut client = cluster.node(0).connect("u", Some("d")).await;
    cluster.shows("u", &[("d", "n1")]).await;
    cluster.node(0).process.signal("STOP");
    let asked = tokio::time::Instant::now();
    let answer = cluster.node(1).push("u", "x").await;
    let took = asked.elapsed();
    cluster.node(0).process.signal("CONT");
    assert_eq!(answer.error(), (504, "unreachable"));
    assert_eq!(answer.json["sessions"], json!([{ "device": null, "node": "n1", "outcome": "unreachable" }]));
    // The default would be 2 s.
    assert!(took >= PUSH_TIMEOUT && took < PUSH_TIMEOUT + SLACK, "the answer took {took:?}");
    // It only did not answer: the client has it, as the answer says it may.
    assert_eq!(client.next_text().await, "x");
}

#[tokio::test]
async fn every_answer_carries_a_request_id_and_a_good_one_is_kept() {
    let cluster = Cluster::start(1).await;
    let node = cluster.node(0);
    for path in ["/v1/stats", "/livez", "/nowhere", "/v1/ws"] {
        let own = node.http.call("GET", path, &[("x-request-id", "trace-7")], "").await;
        assert_eq!(own.header("x-request-id"), Some("trace-7"), "{path}");
        let long = "x".repeat(65);
        let replaced = node.http.call("GET", path, &[("x-request-id", &long)], "").await;
        let id = replaced.header("x-request-id").expect("every answer has one");
        assert!(!id.is_empty() && id.len() <= 64 && id != long, "{id}");
    }
}

/// Longer than the default, and over before the node would be suspect.
const PUSH_TIMEOUT: Duration = Duration::from_millis(2_900);
