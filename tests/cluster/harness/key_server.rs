//! Where an identity provider publishes its keys: a server on loopback that answers what a test decides.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, header};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls_pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

/// The server. Dropping it ends it.
pub(crate) struct KeyServer {
    /// What nodes are to fetch.
    pub(crate) url: String,
    /// The certificate that vouches for it; none over http.
    pub(crate) ca_pem: String,
    answer: Arc<Mutex<Answer>>,
    task: AbortHandle,
}

/// A status and a body.
type Answer = (u16, String);

impl KeyServer {
    /// One that speaks http.
    pub(crate) async fn http(body: String) -> Self {
        Self::start("http://127.0.0.1", body, String::new(), None).await
    }

    /// One that speaks https, with a certificate of its own.
    pub(crate) async fn https(body: String) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("one can be made");
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring supports them")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .expect("the key is that of the certificate");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Self::start("https://localhost", body, made.cert.pem(), Some(acceptor)).await
    }

    async fn start(base: &str, body: String, ca_pem: String, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let answer = Arc::new(Mutex::new((200, body)));
        let answers = Arc::clone(&answer);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answers, tls) = (Arc::clone(&answers), tls.clone());
                tokio::spawn(async move {
                    let Some(tls) = tls else { return serve(stream, answers).await };
                    // Who does not trust the certificate goes away.
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, answers).await;
                    }
                });
            }
        });
        Self { url: format!("{base}:{port}/keys"), ca_pem, answer, task: task.abort_handle() }
    }

    /// From now on it answers so.
    pub(crate) fn answers(&self, status: u16, body: impl Into<String>) {
        *self.answer.lock().expect("no test panics with it") = (status, body.into());
    }
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, answers: Arc<Mutex<Answer>>) {
    let service = service_fn(|request| {
        assert_eq!(hyper::Request::<hyper::body::Incoming>::uri(&request).path(), "/keys");
        let (status, body) = answers.lock().expect("no test panics with it").clone();
        let answer = Response::builder().status(status).header(header::CONTENT_TYPE, "application/json");
        let answer = answer.body(Full::new(Bytes::from(body))).expect("it is an answer");
        async { Ok::<_, Infallible>(answer) }
    });
    // A client that goes away early is none of its business.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}
