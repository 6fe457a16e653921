//! Spans go to an OpenTelemetry collector, over OTLP and HTTP.
//!
//! They are sent a batch at a time, by a thread of the SDK's own. What the collector does not take in time is dropped and counted;
//! no push waits for it. Headers for it, such as keys, are those of `OTEL_EXPORTER_OTLP_HEADERS`.
//!
//! Source: the OpenTelemetry protocol, 1.x, OTLP/HTTP.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::http::uri::{Scheme, Uri};
use axum::http::{Request, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry::trace::TracerProvider;
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchSpanProcessor, Sampler, SdkTracerProvider, Span, SpanData, SpanExporter, SpanProcessor,
};
use rustls::RootCertStore;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::{info, warn};

use super::{Counts, Step, Tracer};
use crate::id::NodeName;
use crate::wire::roots;

/// Where spans go, until this is dropped.
pub(crate) struct Exports(Option<SdkTracerProvider>);

/// Makes spans of a node, and sends them to the collector at `endpoint`. Of pushes whose callers say nothing of a trace that part is
/// `sampled`, from 0 to 1. Only within a runtime.
///
/// # Errors
/// TLS can not be spoken, or no thread be started.
pub(crate) fn start(
    (endpoint, sampled): (&Uri, f64),
    node: &NodeName,
    counts: Counts,
) -> io::Result<(Tracer, Exports)> {
    let why = Arc::new(Mutex::new(None));
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(Collector::new(Arc::clone(&why), endpoint)?)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(traces_at(endpoint))
        .with_timeout(TAKEN_WITHIN)
        .build()
        .map_err(io::Error::other)?;
    let fails = AtomicBool::new(false);
    let exporter = Watched { exporter, endpoint: endpoint.clone(), counts: Arc::clone(&counts), why, fails };
    let processor = Counted { processor: BatchSpanProcessor::builder(exporter).build(), counts };
    let resource = Resource::builder()
        .with_service_name("pushmesh")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("service.instance.id", node.to_string()))
        .build();
    let provider = SdkTracerProvider::builder()
        .with_span_processor(processor)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(sampled))))
        .with_resource(resource)
        .build();
    Ok((Tracer(Some(provider.tracer("pushmesh"))), Exports(Some(provider))))
}

impl Exports {
    /// To nobody.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// Sends what has not been sent yet, as far as the collector takes it in a short time.
    pub(crate) async fn finish(&self) {
        let Some(provider) = self.0.clone() else { return };
        // It waits for the SDK's thread, which waits for this runtime.
        let _ = spawn_blocking(move || provider.shutdown_with_timeout(TAKEN_WITHIN)).await;
    }
}

/// Where traces are posted to: the path is the usual one, unless there is another.
fn traces_at(endpoint: &Uri) -> String {
    let base = endpoint.to_string();
    match endpoint.path() {
        "" | "/" => format!("{}/v1/traces", base.trim_end_matches('/')),
        _ => base,
    }
}

/// Why nothing came back from the collector last: the SDK does not pass it on.
type Why = Arc<Mutex<Option<String>>>;

/// The HTTP client, which needs the runtime of the node.
#[derive(Debug)]
struct Collector {
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    runtime: Handle,
    why: Why,
}

impl Collector {
    fn new(why: Why, endpoint: &Uri) -> io::Result<Self> {
        let trusted = if endpoint.scheme() == Some(&Scheme::HTTPS) {
            let none = |error| io::Error::other(format!("--otlp-endpoint is https, and {error}"));
            roots::of_machine().map_err(none)?
        } else {
            RootCertStore::empty()
        };
        let tls = roots::trusting(trusted);
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        let http = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { http, runtime: Handle::current(), why })
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.http.request(request.map(Full::new));
        let answer = async move {
            let (head, body) = answer.await?.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await?.to_bytes();
            Ok::<_, HttpError>(Response::from_parts(head, body))
        };
        // The thread that calls this has no runtime.
        let answered = self.runtime.spawn(async { timeout(TAKEN_WITHIN, answer).await }).await?;
        let answer = answered.unwrap_or_else(|_| Err("it did not answer in time".into()));
        if let (Err(error), Ok(mut why)) = (&answer, self.why.lock()) {
            *why = Some(chain(&**error));
        }
        answer
    }
}

/// An error with all that it comes from.
fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Says when the collector does not take spans, and counts them.
struct Watched {
    exporter: opentelemetry_otlp::SpanExporter,
    endpoint: Uri,
    counts: Counts,
    why: Why,
    fails: AtomicBool,
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.exporter.fmt(f)
    }
}

impl SpanExporter for Watched {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        let result = self.exporter.export(batch).await;
        let failed = self.fails.swap(result.is_err(), Ordering::Relaxed);
        match &result {
            Ok(()) if failed => info!("the collector takes spans again"),
            Err(error) if !failed => {
                let why = self.why.lock().ok().and_then(|mut why| why.take());
                let (endpoint, error) = (&self.endpoint, why.unwrap_or_else(|| error.to_string()));
                warn!(
                    %endpoint, %error, spans,
                    "the collector does not take spans, and they are lost until it does: it has to listen at --otlp-endpoint for OTLP over HTTP"
                );
            }
            _ => {}
        }
        (self.counts)(if result.is_ok() { Step::Exported } else { Step::Failed }, spans);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// Counts the spans that end.
struct Counted {
    processor: BatchSpanProcessor,
    counts: Counts,
}

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.processor.fmt(f)
    }
}

impl SpanProcessor for Counted {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.processor.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        (self.counts)(Step::Ended, 1);
        self.processor.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.processor.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.processor.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.processor.set_resource(resource);
    }
}

/// How long the collector has to take a batch. Guess: as long as a push may take, so that a stop does not wait for it.
const TAKEN_WITHIN: Duration = Duration::from_secs(2);
/// The longest answer of a collector that is read. Guess: far more than an error says.
const ANSWER_BYTES_MAX: usize = 64 << 10;
