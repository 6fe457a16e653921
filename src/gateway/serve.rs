//! Accepting connections: TCP, TLS where configured, HTTP/1.1 on it.
//!
//! A loop of our own instead of `axum::serve`, because that has no bound on connections, no timeout
//! on a slow head and no TLS. `GracefulShutdown` of hyper-util does not give a connection back when it has ended, and here
//! its socket lingers. Every connection holds a place until its socket is gone, a WebSocket
//! included. When all places are taken a few connections more get one request each, so that probes and pushes get in;
//! beyond them nothing is accepted, and the kernel's backlog waits. After the stop it is the same, until the last
//! request of before has ended: a probe learns of the drain and not of a closed port.
//!
//! ```text
//!   socket ─► Paced: writes make progress ─► Proxied: whose it is ─► TLS ─► SharedStream ─► hyper ─► Arrival ─► answer
//!                     HeadTimer: idle, or a head within its time ──┘
//!   at the end: a caller that is still sending is read for a while (linger), so that it gets its answer
//! ```
//!
//! A caller may close its side after its request and still gets the answer: who vanishes in the middle of
//! one is found out by the write of the answer, and every request ends by itself. Only a WebSocket is not opened for
//! a client that has closed its side by then.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::serve::Listener;
use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, debug, debug_span, field, warn};

use crate::gateway::address::Peer;
use crate::gateway::clients::transport::ws::shared_stream::SharedStream;
use crate::limits;
use crate::metrics::label::{NotAccepted, Task};
use crate::vital::Vitals;
use crate::wire::Seldom;

mod arrival;
mod handshakes;
mod head_timer;
mod linger;
mod pace;
mod places;
mod proxied;
mod refused;
mod room;
mod share;
mod stage;

use arrival::Arrival;
use handshakes::Handshakes;
use head_timer::HeadTimer;
use linger::{has_more, linger};
use pace::{Pace, Paced};
pub(crate) use places::Shares;
pub(super) use places::{ConnectionSlot, Crowded};
use places::{Places, Seat};
pub(crate) use proxied::Proxied;
use refused::RefusedUpgrade;
use stage::Stage;

/// How connections are served.
#[derive(Clone)]
pub(crate) struct Terms {
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
    /// Who says first whose connections they pass on.
    pub(crate) proxied: Proxied,
    pub(crate) shares: Shares,
    /// Counts connections that failed, and with their counts what could not be accepted.
    pub(crate) vitals: Vitals,
    /// How long a connection may be idle between two requests.
    pub(crate) keep_alive: Duration,
    /// How long requests in progress may take once the face stops.
    pub(crate) stop_timeout: Duration,
}

/// What the connections share, whichever thread they are on.
struct Server<A> {
    tls: Option<TlsAcceptor>,
    proxied: Proxied,
    handshakes: Handshakes,
    keep_alive: Duration,
    places: Arc<Places>,
    shares: Shares,
    /// Whether the log was told lately that all places are taken.
    told: Seldom,
    /// Whether it was told lately of a balancer that does not say whose connections it passes on.
    told_of_proxies: Seldom,
    answer: A,
    vitals: Vitals,
    stop_timeout: Duration,
    /// No new requests; those in progress are finished.
    stop: CancellationToken,
    /// Now.
    abort: CancellationToken,
}

/// Serves requests with `answer` until `stop` fires, then lets requests in progress end. Each listener accepts on its
/// thread, where the connections stay. Returns when all sockets are gone, or when the time for that is over.
pub(crate) async fn serve<L, A, F>(
    listeners: Vec<(L, Handle)>,
    terms: Terms,
    answer: A,
    stop: CancellationToken,
) where
    L: Listener<Addr = SocketAddr>,
    A: Fn(Request) -> F + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let server = Arc::new(Server {
        tls: terms.tls.map(TlsAcceptor::from),
        proxied: terms.proxied,
        handshakes: Handshakes::new(),
        keep_alive: terms.keep_alive,
        places: Arc::new(Places::new(terms.shares)),
        shares: terms.shares,
        told: Seldom::default(),
        told_of_proxies: Seldom::default(),
        answer,
        vitals: terms.vitals,
        stop_timeout: terms.stop_timeout,
        stop,
        abort: CancellationToken::new(),
    });
    let mut accepting = JoinSet::new();
    for (listener, thread) in listeners {
        accepting.spawn_on(Arc::clone(&server).accept(listener), &thread);
    }
    let mut deadline = Instant::now();
    while let Some(ended) = accepting.join_next().await {
        match ended {
            Ok(until) => deadline = until,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                Err(_) => return, // Its thread has ended.
            },
        }
    }
    // Whether these are answered in time is no reason to wait longer.
    let _ = timeout_at(deadline, server.places.late_gone()).await;
    debug!("the HTTP face has stopped");
    server.abort.cancel();
}

impl<A, F> Server<A>
where
    A: Fn(Request) -> F + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    /// Accepts until the stop, and whoever comes late until the last request of before has ended. Returns until when
    /// requests may take.
    async fn accept<L: Listener<Addr = SocketAddr>>(self: Arc<Self>, mut listener: L) -> Instant {
        loop {
            let (io, peer) = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.stop.cancelled() => break,
            };
            let pace = Arc::default();
            let seat = tokio::select! {
                seat = self.places.take(&pace) => seat,
                () = self.stop.cancelled() => break,
            };
            if matches!(seat, Seat::Spare(_)) {
                self.vitals.metrics().accepts_failed.with(NotAccepted::Full).increment(1);
                if self.told.due() {
                    let all = self.shares.all();
                    warn!(
                        all,
                        "every place for connections is taken; those beyond get one request each and no WebSocket"
                    );
                }
            }
            self.spawn(io, peer, pace, seat);
        }
        let deadline = Instant::now() + self.stop_timeout;
        let before = timeout_at(deadline, self.places.all_gone());
        tokio::pin!(before);
        let mut waiting = None;
        loop {
            let late = async {
                let (_, pace) = match &mut waiting {
                    Some(waiting) => waiting,
                    none => none.insert((listener.accept().await, Arc::default())),
                };
                self.places.take_late(pace).await
            };
            tokio::select! {
                _ = &mut before => break,
                seat = late => {
                    if let Some(((io, peer), pace)) = waiting.take() {
                        self.spawn(io, peer, pace, seat);
                    }
                }
            }
        }
        // Who waits in the kernel's backlog would be reset.
        while let Some(((io, peer), pace)) = waiting
            .take()
            .or_else(|| listener.accept().now_or_never().map(|accepted| (accepted, Arc::default())))
        {
            let Some(seat) = self.places.take_late(&pace).now_or_never() else { break };
            self.spawn(io, peer, pace, seat);
        }
        deadline // From here on whoever comes is refused by the kernel at once.
    }

    fn spawn<I: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        self: &Arc<Self>,
        io: I,
        peer: SocketAddr,
        pace: Arc<Pace>,
        seat: Seat,
    ) {
        let server = Arc::clone(self);
        let vitals = self.vitals.clone();
        let connection = async move {
            match seat {
                Seat::Regular(slot) => server.connection(io, peer, pace, Some(slot)).await,
                Seat::Spare(place) => tokio::select! {
                    // Nobody else gets in before it is gone.
                    _ = timeout(SPARE_TIMEOUT, server.connection(io, peer, pace, None)) => {}
                    () = place.has_to_go() => debug!("it keeps the node waiting, and others wait"),
                },
            }
        };
        let connection = connection.instrument(debug_span!("connection", %peer, client = field::Empty));
        // A panic closes the socket and frees the place, as both are the connection's own; the caller of a request
        // that was under way sees that its connection is closed without an answer.
        tokio::spawn(vitals.contained(Task::Connection, connection));
    }

    async fn connection<I: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        self: Arc<Self>,
        io: I,
        peer: SocketAddr,
        pace: Arc<Pace>,
        slot: Option<ConnectionSlot>,
    ) {
        let mut io = Paced::new(io, Arc::clone(&pace));
        let client = match self.proxied.client(&mut io, peer).await {
            Ok(client) => client,
            Err(error) => {
                self.vitals.metrics().proxy_headers_refused.increment(1);
                if self.told_of_proxies.due() {
                    warn!(%error, "a connection of a balancer is closed: it has to send the header of the PROXY protocol");
                }
                return;
            }
        };
        if client != peer {
            Span::current().record("client", field::display(client));
        }
        let peer = Peer(client.ip());
        let Some(acceptor) = &self.tls else { return self.http(io, peer, pace, slot).await };
        pace.set_stage(Stage::Hello);
        let handshake = self.handshakes.run(&pace, acceptor.accept(io));
        let handshake = tokio::select! {
            handshake = timeout(limits::TLS_HANDSHAKE_TIMEOUT, handshake) => handshake,
            () = self.stop.cancelled() => return,
        };
        match handshake {
            Ok(Some(Ok(stream))) => return self.http(stream, peer, pace, slot).await,
            Ok(Some(Err(error))) => debug!(%error, "a TLS handshake failed"),
            Ok(None) => debug!("a TLS handshake did not go on, and others wait"),
            Err(_) => debug!("a TLS handshake took too long"),
        }
        self.vitals.metrics().tls_failed.increment(1);
    }

    /// Serves one request after the other, and closes so that the last answer arrives.
    async fn http<I: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        io: I,
        peer: Peer,
        pace: Arc<Pace>,
        slot: Option<ConnectionSlot>,
    ) {
        let stream = SharedStream::new(io);
        let direct = stream.direct();
        let refused = RefusedUpgrade::default();
        let service = hyper::service::service_fn(|mut request: hyper::Request<Incoming>| {
            pace.leave_nothing();
            match &slot {
                None => _ = request.extensions_mut().insert(Crowded),
                Some(slot) if request.headers().contains_key(header::UPGRADE) => {
                    request.extensions_mut().insert(slot.clone());
                    request.extensions_mut().insert(peer);
                    request.extensions_mut().insert(Arc::clone(&direct));
                }
                Some(_) => {}
            }
            let opens = is_websocket(&request);
            let asked = RefusedUpgrade::asked(request.extensions());
            let (request, rest) = Arrival::body(request, &pace);
            let answer = (self.answer)(request);
            let (pace, direct, refused) = (&pace, &direct, &refused);
            async move {
                let mut response = if opens {
                    // A session is for a client that is there.
                    tokio::select! {
                        response = answer => response,
                        () = poll_fn(|cx| direct.poll_closed(cx)) => StatusCode::BAD_REQUEST.into_response(),
                    }
                } else {
                    answer.await
                };
                if let Some(rest) = rest
                    && rest.skim().await
                {
                    pace.leave_nothing();
                }
                pace.set_stage(Stage::Answered);
                refused.answered(asked, response.status());
                if pace.is_unread() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
                    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(response)
            }
        });
        let (idle, head) = match slot {
            None => (SPARE_HEAD_TIMEOUT, SPARE_HEAD_TIMEOUT),
            Some(_) => (self.keep_alive, limits::HTTP_HEADER_TIMEOUT),
        };
        let timer = HeadTimer { pace: Arc::clone(&pace), idle, head, places: Arc::clone(&self.places) };
        let mut connection = http1::Builder::new()
            .timer(timer)
            .keep_alive(slot.is_some())
            .header_read_timeout(limits::HTTP_HEADER_TIMEOUT)
            .half_close(true)
            .writev(false)
            .max_buf_size(limits::HTTP_BUFFER_BYTES)
            .serve_connection(TokioIo::new(stream), service)
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
        let (io, read): (TokioIo<SharedStream<I>>, _) = match connection.into_parts() {
            Some(parts) => (parts.io, parts.read_buf),
            None => match refused.socket() {
                Some(socket) => socket,
                None => return pace.release(),
            },
        };
        let mut stream = io.into_inner();
        let sending = malformed || pace.is_unread() || !read.is_empty() || has_more(&mut stream);
        if sending && !pace.is_stalled() {
            tokio::select! {
                () = linger(&mut stream) => {}
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

/// Whether a request asks for a WebSocket.
fn is_websocket<B>(request: &hyper::Request<B>) -> bool {
    request.headers().get(header::UPGRADE).is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// How long requests that are under way have to arrive when the face stops. Guess: a round trip of any sane network.
const STOP_GRACE: Duration = Duration::from_millis(300);

/// How long a connection without a place may take, its one request included. Guess: a push of the default timeout, and
/// some time for its body.
const SPARE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it may take to send its head: others wait for it.
const SPARE_HEAD_TIMEOUT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
