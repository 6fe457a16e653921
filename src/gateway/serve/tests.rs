//! The accept loop over pipes and over TLS.

use std::io;

use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::{Notify, mpsc};
use tower::ServiceExt;

use super::*;
use crate::config::{HttpTls, Secret};

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
}

fn start(tls: Option<Arc<rustls::ServerConfig>>) -> Fixture {
    let (pipes, accepted) = mpsc::channel(1);
    let stop = CancellationToken::new();
    let gate = Arc::new(Notify::new());
    let waits = Arc::clone(&gate);
    let app = axum::Router::new().route("/now", get(|| async { "now" })).route(
        "/later",
        get(move || async move {
            waits.notified().await;
            "later"
        }),
    );
    let answer = move |request| {
        let app = app.clone();
        async move { app.oneshot(request).await.unwrap() }
    };
    let server = tokio::spawn(serve(Pipes(accepted), tls, answer, 0, STOP_TIMEOUT, stop.clone()));
    Fixture { pipes, stop, server, gate }
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
async fn a_caller_that_sends_its_head_too_slowly_is_dropped() {
    let fixture = start(None);
    let mut client = fixture.open().await;
    client.write_all(b"GET /now HTTP/1.1\r\n").await.unwrap();
    let started = tokio::time::Instant::now();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert!(started.elapsed() <= limits::HTTP_HEADER_TIMEOUT + Duration::from_millis(10));
}

fn tls() -> (Arc<rustls::ServerConfig>, tokio_rustls::TlsConnector) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let files = HttpTls { cert_pem: made.cert.pem(), key_pem: Secret::new(made.signing_key.serialize_pem()) };
    let server = crate::gateway::server_config(&files).unwrap();
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
    let name = rustls_pki_types::ServerName::try_from("localhost").unwrap();
    let mut client = connector.connect(name, fixture.open().await).await.unwrap();
    ask(&mut client, "/now").await;
    answer(&mut client, "now").await;
}

#[tokio::test(start_paused = true)]
async fn a_tls_handshake_that_does_not_come_is_dropped_and_others_are_served_meanwhile() {
    let (server, connector) = tls();
    let fixture = start(Some(server));
    let mut silent = fixture.open().await;
    let name = rustls_pki_types::ServerName::try_from("localhost").unwrap();
    let mut client = connector.connect(name, fixture.open().await).await.unwrap();
    ask(&mut client, "/now").await;
    answer(&mut client, "now").await;
    assert_eq!(silent.read(&mut [0; 8]).await.unwrap(), 0, "it is closed after a while");
}
