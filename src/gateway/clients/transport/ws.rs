//! `GET /v1/ws`: from a client's request to its session.
//!
//! ```text
//!   handshake? ─► admission ─► 101 ─► session
//!                     └─ full ─► 101 ─► close
//! ```
//!
//! Whether the client is let in is decided by [`admission`]. A node that is full completes the
//! handshake and closes with 1013, because a browser cannot read the status of a refused one.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;

use crate::gateway::clients::admission::{self, Asking, Refusal};
use crate::gateway::clients::dialect::Dialect;
use crate::gateway::clients::run;
use crate::gateway::clients::transport::ws::closing::{close_frame, linger};
use crate::gateway::clients::transport::ws::shared_stream::DirectStream;
use crate::gateway::clients::transport::ws::socket::WebSocket;
use crate::gateway::clients::transport::ws::upgrade::{Upgrade, offers};
use crate::gateway::error::ApiError;
use crate::gateway::face::Face;
use crate::gateway::serve::ConnectionSlot;
use crate::limits;
use crate::metrics::label::{Refused, Task};
use crate::session::CloseReason;

mod closing;
mod frames;
pub(in crate::gateway) mod shared_stream;
mod socket;
mod upgrade;

/// Opens a session, or says why not.
pub(in crate::gateway) async fn open(State(face): State<Arc<Face>>, request: Request) -> Response {
    if request.method() != Method::GET {
        return ApiError::only_get().into_response();
    }
    accept(&face, request).await.unwrap_or_else(|refusal| admission::refuse(&face.gateway, refusal))
}

async fn accept(face: &Face, request: Request) -> Result<Response, Refusal> {
    let gateway = &face.gateway;
    let (mut parts, body) = request.into_parts();
    let upgrade = Upgrade::new(&mut parts, &body)?;
    // Held for as long as the socket is open, so that the server knows when it is not.
    let slot = parts.extensions.remove::<ConnectionSlot>();
    let direct = parts.extensions.remove::<Arc<dyn DirectStream>>();
    let offers = |subprotocol: &str| offers(&parts.headers, subprotocol);
    let asking = Asking { uri: &parts.uri, headers: &parts.headers, offers: &offers };
    let admitted = match admission::admit(gateway, asking).await {
        Ok(admitted) => admitted,
        Err(Refusal::Full { dialect }) => return farewell(face, upgrade, dialect, slot),
        Err(refusal) => return Err(refusal),
    };
    let response = upgrade.response(admitted.dialect);
    let message_bytes_max = gateway.config.limits.max_client_message_bytes;
    let opened = async move {
        let socket = upgrade.socket(message_bytes_max).await.ok()?;
        Some(WebSocket::new(socket, direct))
    };
    run::spawn(gateway, admitted, opened, slot);
    Ok(response)
}

/// Completes the handshake only to say: come back later.
fn farewell(
    face: &Face,
    upgrade: Upgrade,
    dialect: &'static dyn Dialect,
    slot: Option<ConnectionSlot>,
) -> Result<Response, Refusal> {
    let Ok(place) = Arc::clone(&face.farewells).try_acquire_owned() else {
        return Err(Refusal::Full { dialect });
    };
    let gateway = &face.gateway;
    gateway.metrics.connections_refused.with(Refused::Full).increment(1);
    let response = upgrade.response(dialect);
    let retry_ms = gateway.entropy.between(limits::RETRY_MS.0, limits::RETRY_MS.1);
    let message_bytes_max = gateway.config.limits.max_client_message_bytes;
    let goodbye = async move {
        if let Ok(mut socket) = upgrade.socket(message_bytes_max).await {
            let close = dialect.close(&CloseReason::TryLater { retry_ms });
            // A few bytes into an empty buffer: they fit, or the client is gone.
            let _ = socket.close(Some(close_frame(&close))).await;
            let _ = timeout(limits::CLOSE_TIMEOUT, linger(&mut socket)).await;
        }
        drop((place, slot));
    };
    tokio::spawn(gateway.vitals.contained(Task::Connection, goodbye));
    Ok(response)
}

#[cfg(test)]
pub(in crate::gateway) mod described;

#[cfg(test)]
mod tests;
