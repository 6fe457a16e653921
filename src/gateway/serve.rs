//! Accepting connections: TCP, TLS where configured, HTTP/1.1 on it.
//!
//! A loop of our own instead of `axum::serve`, because that has no bound on connections, no timeout
//! on a slow head and no TLS. Every connection holds a slot until its socket is gone, a WebSocket
//! included. Without a free slot nothing is accepted, and the kernel's backlog waits.
//!
//! ```text
//!   socket ─► Paced: writes make progress ─► TLS ─► Line ─► hyper ─► Arrival ─► answer
//!                     HeadTimer: idle, or a head within its time ──┘
//!   at the end: a caller that is still sending is read for a while (linger), so that it gets its answer
//! ```
//!
//! A caller may close its side after its request and still gets the answer: who vanishes in the middle of
//! one is found out by the write of the answer, and every request ends by itself.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, debug_span};

use crate::gateway::line::Line;
use crate::limits;

mod arrival;
mod linger;
mod pace;

use arrival::Arrival;
use linger::{has_more, linger};
use pace::{HeadTimer, Pace, Paced};

/// How connections are served.
pub(crate) struct Terms {
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
    /// How many of the connections are expected to be WebSockets; the API has
    /// [`API_CONNECTIONS`] beside them.
    pub(crate) websockets_max: usize,
    /// How long a connection may be idle between two requests.
    pub(crate) keep_alive: Duration,
    /// How long requests in progress may take once the face stops.
    pub(crate) stop_timeout: Duration,
}

/// The place of a connection among those that may be open. In the extensions of a request for another
/// protocol: what outlives the request keeps a clone.
#[derive(Clone)]
pub(super) struct ConnectionSlot {
    _permit: Arc<OwnedSemaphorePermit>,
}

/// What the connections share.
struct Server<A> {
    tls: Option<TlsAcceptor>,
    handshakes: Semaphore,
    keep_alive: Duration,
    answer: A,
    /// No new requests; those in progress are finished.
    stop: CancellationToken,
    /// Now.
    abort: CancellationToken,
}

/// Serves requests with `answer` until `stop` fires, then lets requests in progress end. Returns
/// when all sockets are gone, or when the time for that is over.
pub(crate) async fn serve<L, A, F>(mut listener: L, terms: Terms, answer: A, stop: CancellationToken)
where
    L: Listener<Addr = SocketAddr>,
    A: Fn(Request) -> F + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let slots_max = u32::try_from(terms.websockets_max.saturating_add(API_CONNECTIONS))
        .unwrap_or(u32::MAX)
        .min(u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX));
    let slots = Arc::new(Semaphore::new(slots_max as usize));
    let server = Arc::new(Server {
        tls: terms.tls.map(TlsAcceptor::from),
        handshakes: Semaphore::new(limits::TLS_HANDSHAKES_MAX),
        keep_alive: terms.keep_alive,
        answer,
        stop: stop.clone(),
        abort: CancellationToken::new(),
    });
    loop {
        let accepted = async {
            let permit = Arc::clone(&slots).acquire_owned().await.expect("the slots are never closed");
            (permit, listener.accept().await)
        };
        let (permit, (io, peer)) = tokio::select! {
            accepted = accepted => accepted,
            () = stop.cancelled() => break,
        };
        let slot = ConnectionSlot { _permit: Arc::new(permit) };
        let connection = Arc::clone(&server).connection(io, slot);
        tokio::spawn(connection.instrument(debug_span!("connection", %peer)));
    }
    drop(listener); // Whoever comes now is refused by the kernel at once.
    let all_gone = timeout(terms.stop_timeout, slots.acquire_many(slots_max)).await;
    debug!(in_time = all_gone.is_ok(), "the HTTP face has stopped");
    server.abort.cancel();
}

impl<A, F> Server<A>
where
    A: Fn(Request) -> F + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    async fn connection<I: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        self: Arc<Self>,
        io: I,
        slot: ConnectionSlot,
    ) {
        let pace = Arc::new(Pace::default());
        let io = Paced::new(io, Arc::clone(&pace));
        let Some(acceptor) = &self.tls else { return self.http(io, pace, slot).await };
        let handshake = async {
            let _place = self.handshakes.acquire().await.expect("the handshakes are never closed");
            acceptor.accept(io).await
        };
        let handshake = tokio::select! {
            handshake = timeout(limits::TLS_HANDSHAKE_TIMEOUT, handshake) => handshake,
            () = self.stop.cancelled() => return,
        };
        match handshake {
            Ok(Ok(stream)) => self.http(stream, pace, slot).await,
            Ok(Err(error)) => debug!(%error, "a TLS handshake failed"),
            Err(_) => debug!("a TLS handshake took too long"),
        }
    }

    /// Serves one request after the other, and closes so that the last answer arrives.
    async fn http<I: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        io: I,
        pace: Arc<Pace>,
        slot: ConnectionSlot,
    ) {
        let line = Line::new(io);
        let direct = line.direct();
        let service = hyper::service::service_fn(|mut request: hyper::Request<Incoming>| {
            pace.next_request();
            if request.headers().contains_key(header::UPGRADE) {
                request.extensions_mut().insert(slot.clone());
                request.extensions_mut().insert(Arc::clone(&direct));
            }
            let answer = (self.answer)(Arrival::body(request, &pace));
            let pace = &pace;
            async move {
                let mut response = answer.await;
                if pace.is_unread() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
                    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(response)
            }
        });
        let mut connection = http1::Builder::new()
            .timer(HeadTimer::new(Arc::clone(&pace), self.keep_alive))
            .header_read_timeout(limits::HTTP_HEADER_TIMEOUT)
            .half_close(true)
            .writev(false)
            .max_buf_size(limits::HTTP_BUFFER_BYTES)
            .serve_connection(TokioIo::new(line), service)
            .with_upgrades();
        let ended = tokio::select! {
            ended = &mut connection => ended,
            () = self.stopped() => {
                std::pin::Pin::new(&mut connection).graceful_shutdown();
                tokio::select! {
                    ended = &mut connection => ended,
                    () = self.abort.cancelled() => return,
                }
            }
        };
        let malformed = ended.as_ref().is_err_and(hyper::Error::is_parse);
        if let Err(error) = ended {
            debug!(%error, "a connection ended with an error");
        }
        let Some(parts) = connection.into_parts() else { return pace.release() };
        let mut line = parts.io.into_inner();
        let sending = malformed || pace.is_unread() || !parts.read_buf.is_empty() || has_more(&mut line);
        if sending && !pace.is_stalled() {
            tokio::select! {
                () = linger(&mut line) => {}
                () = self.abort.cancelled() => {}
            }
        }
    }

    /// Waits until the face has stopped and no request comes any more that was under way by then: its caller could
    /// not know.
    async fn stopped(&self) {
        self.stop.cancelled().await;
        sleep(STOP_GRACE).await;
    }
}

/// Connections beside the WebSockets: one for each API request that may be in progress.
const API_CONNECTIONS: usize = limits::API_REQUESTS_MAX;
/// How long requests that are under way have to arrive when the face stops. Guess: a round trip of any sane network.
const STOP_GRACE: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests;
