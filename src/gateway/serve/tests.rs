//! The accept loop over pipes and over TLS.

use std::io;

use axum::http::StatusCode;
use axum::routing::{get, post};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tower::ServiceExt;

use super::*;
use crate::config::{HttpTls, Secret, TlsVersion};
use crate::metrics::Metrics;

mod crowd;

const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// A listener whose connections come from the test.
struct Pipes(mpsc::Receiver<DuplexStream>);

impl Listener for Pipes {
    type Io = DuplexStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (DuplexStream, SocketAddr) {
        match self.0.recv().await {
            Some(pipe) => (pipe, SocketAddr::from(([127, 0, 0, 1], 1))),
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::from(([127, 0, 0, 1], 1)))
    }
}

struct Fixture {
    pipes: mpsc::Sender<DuplexStream>,
    stop: CancellationToken,
    server: tokio::task::JoinHandle<()>,
    gate: Arc<Notify>,
    metrics: Arc<Metrics>,
}

fn start(tls: Option<Arc<rustls::ServerConfig>>) -> Fixture {
    start_with(tls, Shares::new(0, None))
}

fn start_with(tls: Option<Arc<rustls::ServerConfig>>, shares: Shares) -> Fixture {
    let (pipes, accepted) = mpsc::channel(1);
    let stop = CancellationToken::new();
    let gate = Arc::new(Notify::new());
    let answer = answers(Arc::clone(&gate));
    let metrics = Arc::new(Metrics::new());
    let terms = Terms {
        tls,
        proxied: Proxied::default(),
        shares,
        vitals: Vitals::new(Arc::clone(&metrics)),
        keep_alive: limits::KEEP_ALIVE,
        stop_timeout: STOP_TIMEOUT,
    };
    let server = tokio::spawn(serve(vec![(Pipes(accepted), Handle::current())], terms, answer, stop.clone()));
    Fixture { pipes, stop, server, gate, metrics }
}

/// The routes; `/later` waits for its turn.
fn answers(waits: Arc<Notify>) -> impl Fn(Request) -> BoxFuture<'static, Response> + Send + Sync + 'static {
    let app = axum::Router::new().route("/now", get(|| async { "now" })).route(
        "/later",
        get(move || async move {
            waits.notified().await;
            "later"
        }),
    );
    let app = app.route("/panics", get(panics));
    let app = app.route("/refused", post(|| async { (StatusCode::UNAUTHORIZED, "refused") }));
    let app = app.route("/body", post(|body: String| async { body }));
    let app = app.route("/much", get(|| async { "x".repeat(MUCH_BYTES) }));
    move |request| {
        let app = app.clone();
        async move { app.oneshot(request).await.unwrap() }.boxed()
    }
}

async fn panics() -> &'static str {
    panic!("on purpose")
}

impl Fixture {
    async fn open(&self) -> DuplexStream {
        let (server, client) = tokio::io::duplex(4_096);
        self.pipes.send(server).await.unwrap();
        client
    }
}

async fn ask(stream: &mut (impl AsyncWrite + Unpin), path: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
}

async fn answer(stream: &mut (impl AsyncRead + Unpin), ending: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(ending) {
        let mut bytes = [0; 1_024];
        let read = stream.read(&mut bytes).await.unwrap();
        assert!(read > 0, "the connection ended after {text:?}");
        text.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
    }
    text
}

async fn answer_to_end(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut text = Vec::new();
    stream.read_to_end(&mut text).await.unwrap();
    String::from_utf8(text).unwrap()
}

fn localhost() -> rustls_pki_types::ServerName<'static> {
    rustls_pki_types::ServerName::try_from("localhost").unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_request_that_panics_ends_its_connection_and_frees_its_place() {
    let fixture = start_with(None, Shares::new(0, Some(4))); // There is one place, and one to spare.
    for failed in 1..5 {
        let mut client = fixture.open().await;
        ask(&mut client, "/panics").await;
        assert_eq!(answer_to_end(&mut client).await, "", "it is closed without an answer");
        let counted = format!("pushmesh_tasks_failed_total{{task=\"connection\"}} {failed}");
        assert!(fixture.metrics.render().contains(&counted), "{counted}");
    }
    let (mut first, mut second) = (fixture.open().await, fixture.open().await);
    for client in [&mut first, &mut second] {
        ask(client, "/now").await;
        assert!(answer(client, "now").await.starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_serves_one_request_after_the_other() {
    let fixture = start(None);
    let mut client = fixture.open().await;
    for _ in 0..2 {
        ask(&mut client, "/now").await;
        assert!(answer(&mut client, "now").await.starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_a_request_in_progress_end_and_closes_idle_connections() {
    let fixture = start(None);
    let mut busy = fixture.open().await;
    ask(&mut busy, "/later").await;
    let mut idle = fixture.open().await;
    ask(&mut idle, "/now").await;
    answer(&mut idle, "now").await;
    fixture.stop.cancel();
    assert_eq!(idle.read(&mut [0; 8]).await.unwrap(), 0, "it is closed");
    fixture.gate.notify_one();
    answer(&mut busy, "later").await;
    fixture.server.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_ever() {
    let fixture = start(None);
    let mut busy = fixture.open().await;
    ask(&mut busy, "/later").await;
    tokio::task::yield_now().await;
    let started = tokio::time::Instant::now();
    fixture.stop.cancel();
    fixture.server.await.unwrap();
    assert!(started.elapsed() <= STOP_TIMEOUT + Duration::from_millis(10));
    assert_eq!(busy.read(&mut [0; 8]).await.unwrap(), 0, "it is closed all the same");
}

#[tokio::test(start_paused = true)]
async fn after_the_stop_new_callers_are_answered_until_the_last_request_of_before_has_ended() {
    let fixture = start(None);
    let mut busy = fixture.open().await;
    ask(&mut busy, "/later").await;
    tokio::task::yield_now().await;
    fixture.stop.cancel();
    for _ in 0..3 {
        sleep(Duration::from_millis(500)).await;
        let mut late = fixture.open().await;
        ask(&mut late, "/now").await;
        assert!(answer_to_end(&mut late).await.contains("connection: close"), "it has one request");
    }
    fixture.gate.notify_one();
    answer(&mut busy, "later").await;
    fixture.server.await.unwrap();
    assert!(fixture.pipes.is_closed(), "nobody listens any more");
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_sends_its_head_too_slowly_is_dropped() {
    let fixture = start(None);
    let mut client = fixture.open().await;
    client.write_all(b"GET /now HTTP/1.1\r\n").await.unwrap();
    let started = tokio::time::Instant::now();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert!(started.elapsed() <= limits::HTTP_HEADER_TIMEOUT + Duration::from_millis(10));
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_kept_for_as_long_as_configured_and_then_closed() {
    let fixture = start(None);
    let mut client = fixture.open().await;
    for _ in 0..2 {
        ask(&mut client, "/now").await;
        answer(&mut client, "now").await;
        sleep(limits::KEEP_ALIVE - Duration::from_millis(10)).await;
    }
    ask(&mut client, "/now").await;
    answer(&mut client, "now").await;
    let idle = Instant::now();
    assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0, "it is closed");
    assert_eq!(idle.elapsed().as_secs(), limits::KEEP_ALIVE.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_later_head_has_its_time_from_its_first_byte() {
    let fixture = start(None);
    let mut client = fixture.open().await;
    ask(&mut client, "/now").await;
    answer(&mut client, "now").await;
    sleep(Duration::from_secs(70)).await;
    client.write_all(b"GET /now HTT").await.unwrap();
    let begun = Instant::now();
    sleep(limits::HTTP_HEADER_TIMEOUT - Duration::from_millis(10)).await;
    client.write_all(b"P/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    answer(&mut client, "now").await;

    client.write_all(b"GET /now HTT").await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(11));
    let begun = Instant::now();
    sleep(limits::HTTP_HEADER_TIMEOUT / 2).await;
    client.write_all(b"P").await.unwrap();
    assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0, "it is closed, however it trickles");
    assert_eq!(begun.elapsed().as_secs(), limits::HTTP_HEADER_TIMEOUT.as_secs());
}

#[tokio::test(start_paused = true)]
async fn what_follows_a_refusal_is_read_so_that_the_refusal_arrives() {
    for head in [
        "POST /refused HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n",
        "POST /refused HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nF4240\r\n",
        "POST /nowhere HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n",
        "POST /refused HTTP/1.1\r\nhost: x\r\nbad header: 1\r\n\r\n",
        "NONSENSE\r\n\r\n",
        "POST /refused HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\ncontent-length: 1000000\r\n\r\n",
        "POST /nowhere HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\ncontent-length: 1000000\r\n\r\n",
        "CONNECT x:443 HTTP/1.1\r\nhost: x:443\r\ncontent-length: 1000000\r\n\r\n",
        "CONNECT x:443 HTTP/1.1\r\nhost: x:443\r\n\r\n",
    ] {
        let fixture = start(None);
        let mut client = fixture.open().await;
        client.write_all(head.as_bytes()).await.unwrap();
        for piece in 0..100 {
            sleep(Duration::from_millis(100)).await;
            client.write_all(&[b'x'; 10_000]).await.unwrap_or_else(|error| panic!("{head} {piece}: {error}"));
        }
        let answer = answer_to_end(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{head}: {answer:?}");
        fixture.stop.cancel();
        drop(client);
        fixture.server.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_never_stops_sending_after_a_refusal_is_given_up() {
    let fixture = start(None);
    let mut client = fixture.open().await;
    let started = Instant::now();
    client
        .write_all(b"POST /refused HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000\r\n\r\n")
        .await
        .unwrap();
    while client.write_all(b"x").await.is_ok() {
        sleep(Duration::from_millis(500)).await;
    }
    assert!((30..32).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_asks_before_it_sends_is_told_without_having_to() {
    let fixture = start(None);
    let mut client = fixture.open().await;
    let head = "POST /refused HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 9000\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    let text = answer(&mut client, "refused").await;
    assert!(text.starts_with("HTTP/1.1 401") && text.contains("connection: close"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_no_http_ends_the_connection_and_the_answer_says_so() {
    let head = "POST /body HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    for broken in ["xyz\r\n", "2\r\nhi;\r\n", "2\r\nhi\r\n0\r\nbad trailer\r\n\r\n"] {
        let fixture = start(None);
        let mut client = fixture.open().await;
        client.write_all(format!("{head}{broken}").as_bytes()).await.unwrap();
        client.write_all(b"GET /now HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let text = answer_to_end(&mut client).await;
        assert!(text.starts_with("HTTP/1.1 4") && text.contains("connection: close"), "{broken:?}: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_small_body_that_nobody_reads_costs_no_connection() {
    let fixture = start(None);
    let mut client = fixture.open().await;
    for body in [
        "content-length: 2\r\n\r\nhi",
        "transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\nx: y\r\n\r\n",
        "content-length: 2\r\n\r\nhi",
    ] {
        let request = format!("POST /refused HTTP/1.1\r\nhost: x\r\n{body}");
        client.write_all(request.as_bytes()).await.unwrap();
        assert!(!answer(&mut client, "refused").await.contains("connection: close"), "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_closes_its_side_after_its_request_gets_the_answer() {
    let fixture = start(None);
    let mut client = fixture.open().await;
    ask(&mut client, "/later").await;
    client.shutdown().await.unwrap();
    sleep(Duration::from_millis(500)).await;
    fixture.gate.notify_one();
    let text = answer_to_end(&mut client).await;
    assert!(text.starts_with("HTTP/1.1 200") && text.ends_with("later"), "{text:?}");
}

#[tokio::test(start_paused = true)]
async fn a_websocket_is_not_opened_for_a_client_that_has_closed_its_side() {
    let fixture = start(None);
    let mut client = fixture.open().await;
    client.write_all(b"GET /later HTTP/1.1\r\nhost: x\r\nupgrade: WebSocket\r\n\r\n").await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let closed = Instant::now();
    client.shutdown().await.unwrap();
    // What is opened is dropped while it waits.
    assert!(answer_to_end(&mut client).await.starts_with("HTTP/1.1 400"));
    assert_eq!(closed.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_never_reads_is_given_up() {
    for tls in [None, Some(tls())] {
        let (server, connector) = tls.unzip();
        let fixture = start(server);
        let pipe = fixture.open().await;
        let mut client: Box<dyn Duplex> = match connector {
            None => Box::new(pipe),
            Some(connector) => Box::new(connector.connect(localhost(), pipe).await.unwrap()),
        };
        for _ in 0..10 {
            ask(&mut client, "/much").await;
        }
        sleep(limits::HTTP_WRITE_TIMEOUT - Duration::from_millis(10)).await;
        client.write_all(b"x").await.expect("it is open");
        client.flush().await.expect("it is open");
        sleep(Duration::from_millis(20)).await;
        let written = client.write_all(b"x").await;
        assert!(written.is_err() || client.flush().await.is_err(), "it is closed");
    }
}

/// A pipe, encrypted or not.
trait Duplex: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

/// Far more than a pipe holds, and than hyper and TLS do.
const MUCH_BYTES: usize = 1 << 20;

fn tls() -> (Arc<rustls::ServerConfig>, tokio_rustls::TlsConnector) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let files = HttpTls { cert_pem: made.cert.pem(), key_pem: Secret::new(made.signing_key.serialize_pem()) };
    let certificate = Arc::new(crate::gateway::Certificate::new(&files).unwrap());
    let server = crate::gateway::server_config(&certificate, TlsVersion::default());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
    (server, tokio_rustls::TlsConnector::from(Arc::new(client)))
}

#[tokio::test]
async fn https_is_served_with_the_configured_certificate() {
    let (server, connector) = tls();
    let fixture = start(Some(server));
    let mut client = connector.connect(localhost(), fixture.open().await).await.unwrap();
    ask(&mut client, "/now").await;
    answer(&mut client, "now").await;
}

#[tokio::test(start_paused = true)]
async fn a_tls_handshake_that_does_not_come_is_dropped_and_others_are_served_meanwhile() {
    let (server, connector) = tls();
    let fixture = start(Some(server));
    let mut silent = fixture.open().await;
    let mut client = connector.connect(localhost(), fixture.open().await).await.unwrap();
    ask(&mut client, "/now").await;
    answer(&mut client, "now").await;
    assert_eq!(silent.read(&mut [0; 8]).await.unwrap(), 0, "it is closed after a while");
}

#[tokio::test(start_paused = true)]
async fn as_many_callers_as_may_shake_hands_and_do_not_keep_nobody_out() {
    let (server, connector) = tls();
    let fixture = start(Some(server));
    let mut silent = Vec::new();
    for _ in 0..2 * limits::TLS_HANDSHAKES_MAX {
        let mut caller = fixture.open().await;
        // The beginning of a record, so that it is not only those who say nothing at all.
        caller.write_all(&[22, 3, 1]).await.unwrap();
        silent.push(caller);
    }
    let started = Instant::now();
    let mut client = connector.connect(localhost(), fixture.open().await).await.unwrap();
    ask(&mut client, "/now").await;
    answer(&mut client, "now").await;
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}
