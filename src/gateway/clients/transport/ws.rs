//! `GET /v1/ws`: from a client's request to its session.
//!
//! ```text
//!   handshake? ─► admission ─► 101 ─► connection
//!                     └─ full ─► 101 ─► close
//! ```
//!
//! Whether the client is let in is decided by [`admission`]. A node that is full completes the
//! handshake and closes with 1013, because a browser can not read the status of a refused one.

use std::pin::pin;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{Instrument, debug, debug_span};

use crate::gateway::clients::admission::{self, Admitted, Asking, Refusal};
use crate::gateway::clients::connection::{Connection, Setup};
use crate::gateway::clients::dialect::Dialect;
use crate::gateway::clients::transport::ws::closing::{close_frame, linger};
use crate::gateway::clients::transport::ws::line::DirectLine;
use crate::gateway::clients::transport::ws::upgrade::{Upgrade, offers};
use crate::gateway::error::ApiError;
use crate::gateway::face::Face;
use crate::gateway::parts::Gateway;
use crate::gateway::serve::ConnectionSlot;
use crate::handler::SessionInfo;
use crate::limits;
use crate::metrics::label::{Refused, Task};
use crate::session::{CloseReason, HeartbeatTimers, Session};

pub(in crate::gateway::clients) mod closing;
pub(in crate::gateway) mod frames;
pub(in crate::gateway) mod line;
pub(in crate::gateway::clients) mod upgrade;

/// Opens a session, or says why not.
pub(in crate::gateway) async fn open(State(face): State<Arc<Face>>, request: Request) -> Response {
    if request.method() != Method::GET {
        return ApiError::only_get().into_response();
    }
    accept(&face, request).await.unwrap_or_else(|error| admission::refuse(&face.gateway, error))
}

async fn accept(face: &Face, request: Request) -> Result<Response, ApiError> {
    let gateway = &face.gateway;
    let (mut parts, body) = request.into_parts();
    let upgrade = Upgrade::new(&mut parts, &body)?;
    // Held for as long as the socket is open, so that the server knows when it is not.
    let slot = parts.extensions.remove::<ConnectionSlot>();
    let line = parts.extensions.remove::<Arc<dyn DirectLine>>();
    let offers = |subprotocol: &str| offers(&parts.headers, subprotocol);
    let asking = Asking { uri: &parts.uri, headers: &parts.headers, offers: &offers };
    let admitted = match admission::admit(gateway, asking).await {
        Ok(admitted) => admitted,
        Err(Refusal::Full { dialect }) => return farewell(face, upgrade, dialect, slot),
        Err(refusal) => return Err(refusal.into()),
    };
    let response = upgrade.response(admitted.dialect);
    // A root of its own: the request is over long before the session.
    let span = debug_span!(parent: None, "session", key = %admitted.lease.session().names());
    let vitals = gateway.vitals.clone();
    let gateway = Arc::clone(gateway);
    let session = async move {
        run(&gateway, upgrade, line, admitted).await;
        drop(slot);
    };
    tokio::spawn(async move { vitals.contained(Task::Session, session.instrument(span)).await });
    Ok(response)
}

/// Runs the session to its end. Dropping the lease, wherever that happens, releases the key.
async fn run(gateway: &Gateway, upgrade: Upgrade, line: Option<Arc<dyn DirectLine>>, admitted: Admitted) {
    let Admitted { lease, asked, dialect, expires_unix_ms } = admitted;
    // Until the answer is out nobody watches the session; a client that does not take it must not
    // hold the key.
    let upgraded = upgrade.socket(gateway.config.limits.max_client_message_bytes);
    let upgraded = until_taken(upgraded, lease.session(), asked);
    let Ok(Ok(socket)) = timeout(limits::HTTP_HEADER_TIMEOUT, upgraded).await else {
        gateway.metrics.connections_refused.with(Refused::UpgradeFailed).increment(1);
        debug!("the client left during the handshake, or does not take the answer");
        return;
    };
    let session = Arc::clone(lease.session());
    let timers = &gateway.config.timers;
    let setup = Setup {
        info: SessionInfo { key: session.names().clone(), node: gateway.config.name.clone() },
        dialect,
        resume: Arc::clone(&gateway.resume),
        expires_unix_ms,
        timers: HeartbeatTimers {
            interval: timers.heartbeat_interval,
            timeout: timers.heartbeat_timeout,
            idle: timers.idle_timeout,
        },
        handler: Arc::clone(&gateway.handler),
        node: gateway.handle.clone(),
        clock: Arc::clone(&gateway.clock),
        metrics: Arc::clone(&gateway.metrics),
        vitals: gateway.vitals.clone(),
        line,
    };
    let mut connection = Connection::new(socket, session, setup);
    connection.run().await;
    // The client was told, as far as it listens. Its key is free before the socket is gone.
    drop(lease);
    // Boxed, so that a session has no room for its end before that.
    Box::pin(connection.end()).await;
}

/// Waits for the socket. Messages that come before it wait in the session, and whoever pushed them learns
/// that as if the socket had taken nothing.
async fn until_taken<T>(upgraded: impl Future<Output = T>, session: &Session, since: Instant) -> T {
    let mut upgraded = pin!(upgraded);
    let mut stalled = since + limits::BUFFERED_AFTER;
    loop {
        match timeout_at(stalled, &mut upgraded).await {
            Ok(socket) => return socket,
            Err(_) => session.answer_buffered(),
        }
        stalled += limits::BUFFERED_AFTER / 2;
    }
}

/// Completes the handshake only to say: come back later.
fn farewell(
    face: &Face,
    upgrade: Upgrade,
    dialect: &'static dyn Dialect,
    slot: Option<ConnectionSlot>,
) -> Result<Response, ApiError> {
    let Ok(place) = Arc::clone(&face.farewells).try_acquire_owned() else {
        return Err(Refusal::Full { dialect }.into());
    };
    let gateway = &face.gateway;
    gateway.metrics.connections_refused.with(Refused::Full).increment(1);
    let response = upgrade.response(dialect);
    let retry_ms = gateway.entropy.between(limits::RETRY_MS.0, limits::RETRY_MS.1);
    let message_bytes_max = gateway.config.limits.max_client_message_bytes;
    tokio::spawn(async move {
        if let Ok(mut socket) = upgrade.socket(message_bytes_max).await {
            let close = dialect.close(&CloseReason::TryLater { retry_ms });
            // A few bytes into an empty buffer: they fit, or the client is gone.
            let _ = socket.close(Some(close_frame(&close))).await;
            linger(&mut socket).await;
        }
        drop((place, slot));
    });
    Ok(response)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::sync::oneshot;
    use tokio::time::sleep;

    use super::*;
    use crate::id::{DeviceId, MessageId, SessionKey, Stamp, UserId};
    use crate::key::KeyHasher;
    use crate::push::{Message, Outcome, Payload};
    use crate::receipt::{Answer, gather};
    use crate::session::OutboxLimits;

    fn push(session: &Session) -> oneshot::Receiver<(Answer, Instant)> {
        let (done, answer) = oneshot::channel();
        let reply = gather(1, move |answer| drop(done.send((answer, Instant::now()))));
        let message = Message::new(MessageId::new("m").unwrap(), false, Payload::text("x"));
        session.offer(&Arc::new(message), reply.into_iter().next().unwrap());
        answer
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_waits_for_the_upgrade_is_buffered_within_the_push_timeout() {
        let names = SessionKey::new(UserId::new("u").unwrap(), DeviceId::new("d").unwrap());
        let key = KeyHasher::new(&[0; 32]).key(&names);
        let limits = OutboxLimits { messages_max: 9, bytes_max: 99 };
        let session = Session::new(names, key, Stamp::from_raw(1), None, limits);
        let claimed = Instant::now();
        // The previous owner is asked to let go.
        let first = push(&session);
        sleep(limits::TAKEOVER_TIMEOUT).await;
        let mut late = None;
        let upgraded = async {
            sleep(Duration::from_millis(800)).await;
            late = Some(push(&session));
            sleep(Duration::from_secs(3)).await;
        };
        until_taken(upgraded, &session, claimed).await;
        let late = late.expect("it was pushed meanwhile");
        let buffered = Answer::Outcomes(vec![Outcome::Buffered]);
        let after = |millis| claimed + Duration::from_millis(millis);
        assert_eq!(first.await, Ok((buffered.clone(), after(1_000))));
        assert_eq!(late.await, Ok((buffered, after(1_500))), "it came after 1.3 s");
        assert_eq!(session.waiting(), 2, "they are still to be written");
    }
}
