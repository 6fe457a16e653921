//! Traces of pushes, as a collector gets them from two nodes.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use bytes::Bytes;
use pushmesh::config::{Otlp, SampleRatio};
use pushmesh::id::ClusterName;
use pushmesh::{Config, Node, NodeName, UserId, Wire};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::{WebSocketStream, client_async};

/// The trace of the caller, and its span in it.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

/// What a collector has got.
#[derive(Default)]
struct Collector(Mutex<Vec<Bytes>>);

/// A span, as it travels.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Span {
    trace: String,
    id: String,
    parent: String,
    name: String,
    /// The text of all of it that is text.
    all: String,
}

async fn take(State(collector): State<Arc<Collector>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    collector.0.lock().unwrap().push(body);
    StatusCode::OK
}

impl Collector {
    /// One that listens, and its URL.
    async fn start() -> (Arc<Self>, String) {
        let collector = Arc::new(Self::default());
        let app = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&collector));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (collector, url)
    }

    /// All spans that it has got.
    fn spans(&self) -> Vec<Span> {
        let bodies = self.0.lock().unwrap().clone();
        let resources = bodies.iter().flat_map(|body| fields(body, 1));
        let scopes = resources.flat_map(|resource| fields(resource, 2));
        scopes.flat_map(|scope| fields(scope, 2)).map(Span::read).collect()
    }
}

impl Span {
    /// Source: trace.proto of the OpenTelemetry protocol.
    fn read(bytes: &[u8]) -> Self {
        let field = |number| fields(bytes, number).next().unwrap_or_default();
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            trace: hex(field(1)),
            id: hex(field(2)),
            parent: hex(field(4)),
            name: text(field(5)),
            all: text(bytes),
        }
    }
}

/// The fields of a message with that number that have a length.
fn fields(mut bytes: &[u8], number: u64) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        while !bytes.is_empty() {
            let tag = varint(&mut bytes);
            let value = match tag & 7 {
                0 => {
                    varint(&mut bytes);
                    continue;
                }
                1 => take_bytes(&mut bytes, 8),
                2 => {
                    let len = varint(&mut bytes) as usize;
                    take_bytes(&mut bytes, len)
                }
                5 => take_bytes(&mut bytes, 4),
                wire => panic!("there is no wire type {wire}"),
            };
            if (tag >> 3, tag & 7) == (number, 2) {
                return Some(value);
            }
        }
        None
    })
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = take_bytes(bytes, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}

fn take_bytes<'a>(bytes: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(len);
    *bytes = rest;
    taken
}

async fn node(name: &str, cluster: &str, peers: Vec<String>, endpoint: &str, sample: &str) -> Node {
    let mut config = Config::dev(NodeName::new(name).unwrap());
    config.cluster = ClusterName::new(cluster).unwrap();
    config.peers = peers;
    let sample: SampleRatio = sample.parse().unwrap();
    config.otlp = Some(Otlp { endpoint: endpoint.parse().unwrap(), sample });
    let wire = Wire::bind(config.listen, config.mesh_listen).await.unwrap();
    let node = Node::start(config, wire).await.unwrap();
    timeout(PATIENCE, node.ready()).await.unwrap();
    node
}

/// Pushes to the user 42 at a node, over HTTP. Returns the answer.
async fn push(node: &Node, path: &str, header: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(node.http_addr()).await.unwrap();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: n\r\nconnection: close\r\n{header}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Two nodes; a client of the user 42 is connected to the second one, and the first one knows it.
async fn two(cluster: &str, endpoint: &str, sample: &str) -> ([Node; 2], WebSocketStream<TcpStream>) {
    let a = node("a", cluster, Vec::new(), endpoint, sample).await;
    let b = node("b", cluster, vec![a.mesh_addr().to_string()], endpoint, sample).await;
    let url = format!("ws://{}/v1/ws?user=42&device=secret-device", b.http_addr());
    let stream = TcpStream::connect(b.http_addr()).await.unwrap();
    let (client, _) = client_async(url, stream).await.unwrap();
    let user = UserId::new("42").unwrap();
    let seen = async {
        while a.holders_of(&user).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, seen).await.unwrap();
    ([a, b], client)
}

async fn stop(nodes: [Node; 2]) {
    for node in nodes {
        timeout(PATIENCE, node.shutdown()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_is_followed_from_its_caller_over_the_mesh_to_the_socket() {
    let (collector, url) = Collector::start().await;
    let (nodes, client) = two("followed", &url, "0").await;
    let parent = format!("traceparent: 00-{TRACE}-{SPAN}-01\r\nidempotency-key: order-7\r\n");
    let answer = push(&nodes[0], "/v1/users/42/push", &parent, "secret-payload").await;
    assert!(answer.contains("\"outcome\":\"delivered\""), "{answer}");
    // Nobody asks for a trace of these, and none is drawn.
    let unsampled = format!("traceparent: 00-{TRACE}-{SPAN}-00\r\n");
    for header in ["", "traceparent: nonsense\r\n", &unsampled] {
        let answer = push(&nodes[0], "/v1/users/42/push", header, "x").await;
        assert!(answer.contains("\"outcome\":\"delivered\""), "{answer}");
    }
    stop(nodes).await;
    let spans = collector.spans();
    let named = |name: &str| {
        let named: Vec<_> = spans.iter().filter(|span| span.name == name).cloned().collect();
        assert_eq!(named.len(), 1, "{name}: {spans:?}");
        named[0].clone()
    };
    let [pushed, hop, socket] = ["push", "push.hop", "push.socket"].map(named);
    assert_eq!(spans.len(), 3, "{spans:?}");
    assert!(spans.iter().all(|span| span.trace == TRACE), "{spans:?}");
    let parents = [&pushed, &hop, &socket].map(|span| span.parent.as_str());
    assert_eq!(parents, [SPAN, &pushed.id, &hop.id]);
    assert!(pushed.all.contains("order-7") && pushed.all.contains("delivered"), "{pushed:?}");
    assert!(hop.all.contains("pushmesh.peer") && socket.all.contains("delivered"), "{spans:?}");
    assert!(!spans.iter().any(|span| span.all.contains("secret")), "no device, no payload: {spans:?}");
    drop(client);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broadcasts_and_lines_are_traced_where_chance_says_so_for_all() {
    let (collector, url) = Collector::start().await;
    let (nodes, client) = two("chance", &url, "1").await;
    push(&nodes[0], "/v1/broadcast", "", "x").await;
    push(&nodes[0], "/v1/push", "", "{\"to\":{\"user\":\"42\"},\"data\":\"x\"}\n").await;
    push(&nodes[0], "/v1/users/nobody/push", "", "x").await;
    stop(nodes).await;
    let spans = collector.spans();
    let count = |name: &str| spans.iter().filter(|span| span.name == name).count();
    // A broadcast is written at both nodes.
    assert_eq!(["push", "push.hop", "push.socket"].map(count), [3, 2, 3], "{spans:?}");
    let roots: Vec<_> = spans.iter().filter(|span| span.parent.is_empty()).collect();
    assert_eq!(roots.len(), 3);
    let of_root = |root: &Span| spans.iter().filter(|span| span.trace == root.trace).count();
    let mut sizes: Vec<_> = roots.iter().map(|root| of_root(root)).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [1, 3, 4], "each has a trace of its own: {spans:?}");
    drop(client);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_not_there_costs_no_push_and_is_counted() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (nodes, client) = two("gone", &format!("http://{gone}"), "1").await;
    for _ in 0..3 {
        let answer = push(&nodes[0], "/v1/users/42/push", "", "x").await;
        assert!(answer.contains("\"outcome\":\"delivered\""), "{answer}");
    }
    let mut stream = TcpStream::connect(nodes[0].http_addr()).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: n\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut metrics = String::new();
    stream.read_to_string(&mut metrics).await.unwrap();
    assert!(metrics.contains("pushmesh_trace_spans_total{step=\"ended\"} 6"), "{metrics}");
    stop(nodes).await;
    drop(client);
}

/// Far above what anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);
