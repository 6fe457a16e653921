//! Heads of requests, sent byte by byte to a real node: what is not understood is refused, and nothing comes of it.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Cluster, Frame, Message, Node, contract, within};

/// What a node answers to these very bytes, in small letters; the connection ends with it.
async fn answer(node: &Node, request: &str) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(node.addr).await.expect("the node listens");
        stream.write_all(request.as_bytes()).await.expect("the node reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("the node answers and closes");
        String::from_utf8_lossy(&answer).to_lowercase()
    };
    within(request, exchange).await
}

/// Status and code of an answer.
fn told(answer: &str) -> (u16, Option<&str>) {
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    let code = answer.split_once("\"code\":\"").and_then(|(_, rest)| rest.split('"').next());
    (status, code)
}

/// A request with a body of five bytes.
fn post(path: &str, headers: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n{headers}\r\nhello")
}

/// A good handshake, but for what is added.
fn handshake(method: &str, headers: &str, body: &str) -> String {
    format!(
        "{method} /v1/ws?user=u&device=d HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n{body}"
    )
}

#[tokio::test]
async fn a_body_that_is_packed_is_415_and_reaches_nobody() {
    let cluster = Cluster::start(1).await;
    let node = cluster.node(0);
    let mut client = node.connect("u", Some("d")).await;
    let calls = ["/v1/users/u/push", "/v1/users/u/devices/d/push", "/v1/broadcast", "/v1/push"];
    let headers = [
        "Content-Encoding: gzip\r\nContent-Type: application/octet-stream\r\n",
        "Content-Encoding: br\r\nContent-Type: text/plain\r\n",
        "content-encoding: GZIP\r\nContent-Type: application/x-ndjson\r\n",
        "Content-Encoding: identity\r\nContent-Encoding: zstd\r\n",
        "Content-Encoding: identity, deflate\r\n",
        "Content-Encoding: nonsense\r\n",
    ];
    for path in calls {
        for headers in headers {
            let answer = answer(node, &post(path, headers)).await;
            assert_eq!(told(&answer), (415, Some("unsupported_encoding")), "{path} {headers}");
            assert!(answer.contains("accept-encoding: identity\r\n"), "{answer}");
        }
    }
    let plain = answer(node, &post("/v1/users/u/push", "Content-Encoding: identity\r\n")).await;
    assert_eq!(told(&plain).0, 200, "{plain}");
    assert_eq!(client.next_text().await, "hello", "the first that was delivered");
}

#[tokio::test]
async fn a_transfer_coding_that_is_not_known_is_501() {
    let cluster = Cluster::start(1).await;
    let node = cluster.node(0);
    let mut client = node.connect("u", Some("d")).await;
    let chunked = |coding: &str| {
        format!(
            "POST /v1/users/u/push HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{coding}\r\n5\r\nhello\r\n0\r\n\r\n"
        )
    };
    for coding in [
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity, chunked\r\n",
    ] {
        let answer = answer(node, &chunked(coding)).await;
        assert_eq!(told(&answer), (501, Some("unsupported_transfer_encoding")), "{coding}");
    }
    // Where the end of the body cannot be known the server refuses by itself, as RFC 9112 demands.
    for coding in ["Transfer-Encoding: gzip\r\n", "Transfer-Encoding: chunked, gzip\r\n"] {
        assert_eq!(told(&answer(node, &chunked(coding)).await).0, 400, "{coding}");
    }
    assert_eq!(told(&answer(node, &chunked("Transfer-Encoding: Chunked\r\n")).await).0, 200);
    assert_eq!(client.next_text().await, "hello");
}

#[tokio::test]
async fn escapes_that_are_none_and_bytes_that_are_no_utf_8_are_400() {
    let cluster = Cluster::start(1).await;
    let node = cluster.node(0);
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    for target in [
        "/v1/users/%zz",
        "/v1/users/%",
        "/v1/users/a%2",
        "/v1/users/%FF",
        "/v1/explain/users/%C3",
        "/nowhere/%zz",
        "/livez?%zz",
        "/v1/sessions?limit=%FF",
        "/v1/sessions?cursor=%FF",
        "/v1/sessions?limit=1%",
        "/v1/sessions?limit=1&limit=2",
        "/v1/sessions?unknown=1",
        "/v1/stats?a=%zz",
    ] {
        assert_eq!(told(&answer(node, &get(target)).await), (400, Some("bad_request")), "{target}");
    }
    for query in [
        "device=%FF",
        "device=%FE",
        "user=%FF",
        "token=%C3%28",
        "resume=%80",
        "x=%FF",
        "device=%z",
        "device=%",
    ] {
        let request = handshake("GET", "", "").replace("user=u&device=d", &format!("user=u&{query}"));
        assert_eq!(told(&answer(node, &request).await), (400, Some("bad_request")), "{query}");
    }
    for target in ["/v1/users/u/push?wait=%FF", "/v1/users/u/push?wait=none&wait=none", "/v1/users/%FF/push"]
    {
        assert_eq!(told(&answer(node, &post(target, "")).await), (400, Some("bad_request")), "{target}");
    }
    assert_eq!(told(&answer(node, &get("/v1/users/%C3%BC%25")).await).0, 200);
    assert_eq!(node.stats().await["sessions"], 0);
}

#[tokio::test]
async fn a_request_names_one_host() {
    let cluster = Cluster::start(1).await;
    let node = cluster.node(0);
    let get =
        |version: &str, hosts: &str| format!("GET /livez HTTP/{version}\r\n{hosts}Connection: close\r\n\r\n");
    for hosts in
        ["", "Host: a\r\nHost: a\r\n", "Host:\r\n", "Host: a b\r\n", "Host: u@a\r\n", "Host: a:x\r\n"]
    {
        assert_eq!(told(&answer(node, &get("1.1", hosts)).await), (400, Some("bad_request")), "{hosts:?}");
    }
    for hosts in ["Host: a\r\n", "Host: [::1]:8080\r\n", "Host: my_service:80\r\n"] {
        assert_eq!(told(&answer(node, &get("1.1", hosts)).await).0, 200, "{hosts:?}");
    }
    assert_eq!(told(&answer(node, &get("1.0", "")).await).0, 200, "HTTP/1.0 has no Host");
    assert_eq!(told(&answer(node, &get("1.0", "Host: a b\r\n")).await).0, 400);
}

#[tokio::test]
async fn a_header_with_one_value_is_there_once() {
    let cluster = Cluster::start(1).await;
    let node = cluster.node(0);
    let mut client = node.connect("u", Some("d")).await;
    for headers in [
        "Idempotency-Key: a\r\nIdempotency-Key: b\r\n",
        "Idempotency-Key: a\r\nidempotency-key: a\r\n",
        "Content-Type: text/plain\r\nContent-Type: application/octet-stream\r\n",
        "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n",
    ] {
        let answer = answer(node, &post("/v1/users/u/push", headers)).await;
        assert_eq!(told(&answer), (400, Some("bad_request")), "{headers}");
    }
    assert_eq!(told(&answer(node, &post("/v1/users/u/push", "Idempotency-Key: a\r\n")).await).0, 200);
    assert_eq!(client.next_text().await, "hello");
}

#[tokio::test]
async fn a_handshake_is_one_get_without_a_body_and_with_one_key() {
    let cluster = Cluster::start(1).await;
    let node = cluster.node(0);
    let not_get = |answer: &str| {
        assert_eq!(told(answer).0, 405, "{answer}");
        assert!(answer.contains("allow: get\r\n"), "{answer}");
    };
    not_get(&answer(node, &handshake("HEAD", "", "")).await);
    not_get(&answer(node, &handshake("POST", "Content-Length: 0\r\n", "")).await);
    not_get(&answer(node, &handshake("OPTIONS", "", "")).await);
    let bad = [
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""),
        ("Sec-WebSocket-Version: 13\r\n", ""),
        ("Origin: https://a\r\nOrigin: https://a\r\n", ""),
        ("Content-Length: 5\r\n", "hello"),
        ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
    ];
    for (headers, body) in bad {
        let answer = answer(node, &handshake("GET", headers, body)).await;
        assert_eq!(told(&answer), (400, Some("bad_request")), "{headers}");
    }
    for missing in ["Upgrade: websocket\r\n", "Sec-WebSocket-Version: 13\r\n"] {
        let answer = answer(node, &handshake("GET", "", "").replace(missing, "")).await;
        assert_eq!(told(&answer), (426, Some("upgrade_required")), "without {missing}");
        for header in ["upgrade: websocket\r\n", "sec-websocket-version: 13\r\n"] {
            assert!(answer.contains(header), "{header}: {answer}");
        }
        let connection = answer.lines().filter(|line| line.starts_with("connection:"));
        assert!(connection.into_iter().any(|line| line.contains("upgrade")), "{answer}");
    }
    assert_eq!(node.stats().await["sessions"], 0, "nobody has got in");
    let old = node.metric("pushmesh_connections_opened_total").await;
    assert_eq!(old, Some(0.0));
}

#[tokio::test]
async fn subprotocols_are_compared_letter_by_letter() {
    let cluster = Cluster::start(1).await;
    let node = cluster.node(0);
    for (offered, chosen) in [("pushmesh.v1", true), ("chat, pushmesh.v1", true)] {
        let client = node.dial().user("u").header("sec-websocket-protocol", offered).open().await;
        assert_eq!(client.protocol.is_some(), chosen, "{offered}");
    }
    let shouted = handshake("GET", "Sec-WebSocket-Protocol: PushMesh.V1\r\n", "");
    let mut stream = TcpStream::connect(node.addr).await.expect("the node listens");
    stream.write_all(shouted.as_bytes()).await.expect("the node reads");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within("the answer", stream.read_u8()).await.expect("the node answers"));
    }
    let head = String::from_utf8(head).expect("a head is text").to_lowercase();
    assert!(head.starts_with("http/1.1 101") && !head.contains("sec-websocket-protocol"), "{head}");
}

#[tokio::test]
async fn a_head_that_is_refused_is_refused_by_every_call_as_described() {
    let cluster = Cluster::start(1).await;
    let node = cluster.node(0);
    let long_url = format!("?a={}", "x".repeat(8 << 10));
    let long_header = format!("x-a: {}\r\n", "x".repeat(16 << 10));
    let refused = [
        (400, "bad_request", "?a=%zz", "", ""),
        (414, "uri_too_long", long_url.as_str(), "", ""),
        (415, "unsupported_encoding", "", "Content-Encoding: gzip\r\nContent-Length: 1\r\n", "x"),
        (431, "headers_too_large", "", long_header.as_str(), ""),
        (501, "unsupported_transfer_encoding", "", "Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"),
    ];
    for (method, path, _) in contract::calls() {
        let (method, path) = (method.to_uppercase(), path.replace(['{', '}'], ""));
        for (status, code, query, headers, body) in refused {
            let head =
                format!("{method} {path}{query} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n");
            let answer = answer(node, &(head + body)).await;
            assert_eq!(told(&answer), (status, Some(code)), "{method} {path}");
            contract::check_code(&method, &path, status, code);
        }
    }
}

#[tokio::test]
async fn probes_say_what_they_allow() {
    let cluster = Cluster::start(1).await;
    let node = cluster.node(0);
    for path in ["/livez", "/readyz", "/metrics", "/openapi.json"] {
        let answer = node.http.call("OPTIONS", path, &[], "").await;
        assert_eq!((answer.status, answer.header("allow")), (200, Some("GET,HEAD,OPTIONS")), "{path}");
        assert!(answer.body.is_empty(), "{path}");
        assert_eq!(node.http.call("HEAD", path, &[], "").await.status, 200, "{path}");
    }
    assert_eq!(node.http.call("OPTIONS", "/v1/stats", &[], "").await.status, 405);
}

#[tokio::test]
async fn a_close_with_a_code_that_nobody_may_send_counts_as_an_error_of_the_protocol() {
    let cluster = Cluster::start(1).await;
    let node = cluster.node(0);
    let mut client = node.dial().user("u").open_raw().await;
    // A close frame with 1005, which stands for a close without a code and is never sent; masked with 0.
    client.send(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xed]).await;
    assert!(matches!(client.frame().await, Frame::Close(1002, _)));
    let mut good = node.connect("u", None).await;
    good.send(Message::Close(None)).await;
    assert_eq!(good.end().await.messages, []);
    let metric = async |sample: &str| node.metric(sample).await;
    assert_eq!(metric("pushmesh_client_errors_total{code=\"protocol_error\"}").await, Some(1.0));
    assert_eq!(metric("pushmesh_connections_closed_total{reason=\"policy\"}").await, Some(1.0));
    assert_eq!(metric("pushmesh_connections_closed_total{reason=\"client_gone\"}").await, Some(1.0));
}
