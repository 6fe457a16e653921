//! Accepting connections: TCP, TLS where configured, HTTP/1.1 on it.
//!
//! A loop of our own instead of `axum::serve`, because that has no bound on connections, no timeout
//! on a slow head and no TLS. Every connection holds a slot until its socket is gone, a WebSocket
//! included. Without a free slot nothing is accepted, and the kernel's backlog waits. An idle
//! keep-alive connection ends after [`HTTP_HEADER_TIMEOUT`](limits::HTTP_HEADER_TIMEOUT), the time
//! that it has for its next request.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::header;
use axum::response::Response;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, debug_span};

use crate::gateway::line::Line;
use crate::limits;

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
    answer: A,
    /// No new requests; those in progress are finished.
    stop: CancellationToken,
    /// Now.
    abort: CancellationToken,
}

/// Serves requests with `answer` until `stop` fires, then lets requests in progress end, for `stop_timeout`. Returns
/// when all sockets are gone, or when that time is over. `websockets_max` is how many of the
/// connections are expected to be WebSockets; the API has [`API_CONNECTIONS`] beside them.
pub(crate) async fn serve<L, A, F>(
    mut listener: L,
    tls: Option<Arc<rustls::ServerConfig>>,
    answer: A,
    websockets_max: usize,
    stop_timeout: Duration,
    stop: CancellationToken,
) where
    L: Listener<Addr = SocketAddr>,
    A: Fn(Request) -> F + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let slots_max = u32::try_from(websockets_max.saturating_add(API_CONNECTIONS))
        .unwrap_or(u32::MAX)
        .min(u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX));
    let slots = Arc::new(Semaphore::new(slots_max as usize));
    let server = Arc::new(Server {
        tls: tls.map(TlsAcceptor::from),
        handshakes: Semaphore::new(limits::TLS_HANDSHAKES_MAX),
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
    let all_gone = timeout(stop_timeout, slots.acquire_many(slots_max)).await;
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
        let Some(acceptor) = &self.tls else { return self.http(io, slot).await };
        let handshake = async {
            let _place = self.handshakes.acquire().await.expect("the handshakes are never closed");
            acceptor.accept(io).await
        };
        let handshake = tokio::select! {
            handshake = timeout(limits::TLS_HANDSHAKE_TIMEOUT, handshake) => handshake,
            () = self.stop.cancelled() => return,
        };
        match handshake {
            Ok(Ok(stream)) => self.http(stream, slot).await,
            Ok(Err(error)) => debug!(%error, "a TLS handshake failed"),
            Err(_) => debug!("a TLS handshake took too long"),
        }
    }

    async fn http<I: AsyncRead + AsyncWrite + Unpin + Send + 'static>(&self, io: I, slot: ConnectionSlot) {
        let line = Line::new(io);
        let direct = line.direct();
        let service = hyper::service::service_fn(|mut request: hyper::Request<Incoming>| {
            if request.headers().contains_key(header::UPGRADE) {
                request.extensions_mut().insert(slot.clone());
                request.extensions_mut().insert(Arc::clone(&direct));
            }
            let answer = (self.answer)(request.map(axum::body::Body::new));
            async { Ok::<_, Infallible>(answer.await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits::HTTP_HEADER_TIMEOUT)
            .writev(false)
            .max_buf_size(limits::HTTP_BUFFER_BYTES)
            .serve_connection(TokioIo::new(line), service)
            .with_upgrades();
        tokio::pin!(connection);
        let mut stopping = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        debug!(%error, "a connection ended with an error");
                    }
                    return;
                }
                () = self.stop.cancelled(), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = self.abort.cancelled() => return,
            }
        }
    }
}

/// Connections beside the WebSockets: one for each API request that may be in progress.
const API_CONNECTIONS: usize = limits::API_REQUESTS_MAX;

#[cfg(test)]
mod tests;
