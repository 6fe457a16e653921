//! The handshake with a client that is not let in: completed only to close the connection with a code that says why.

use std::sync::Arc;

use axum::response::Response;
use tokio::time::timeout;

use crate::gateway::clients::admission::Refusal;
use crate::gateway::clients::dialect::Dialect;
use crate::gateway::clients::transport::ws::closing::{close_frame, linger};
use crate::gateway::clients::transport::ws::upgrade::Upgrade;
use crate::gateway::face::Face;
use crate::gateway::serve::ConnectionSlot;
use crate::limits;
use crate::metrics::label::{Refused, Task};

/// Completes the handshake and closes.
///
/// # Errors
/// The refusal itself, when as many clients are told so at the same time as may be: then the status of the answer has to say it.
pub(super) fn farewell(
    face: &Face,
    upgrade: Upgrade,
    dialect: &'static dyn Dialect,
    refusal: Refusal,
    slot: Option<ConnectionSlot>,
) -> Result<Response, Refusal> {
    let Ok(place) = Arc::clone(&face.farewells).try_acquire_owned() else { return Err(refusal) };
    let gateway = &face.gateway;
    let label = if matches!(refusal, Refusal::Full) { Refused::Full } else { refusal.label() };
    gateway.metrics.connections_refused.with(label).increment(1);
    let response = upgrade.response(dialect);
    let retry_ms = gateway.entropy.between(limits::RETRY_MS.0, limits::RETRY_MS.1);
    let message_bytes_max = gateway.config.limits.max_client_message_bytes;
    let goodbye = async move {
        if let Ok(mut socket) = upgrade.socket(message_bytes_max).await {
            let close = refusal.close(dialect, retry_ms);
            // A few bytes into an empty buffer: they fit, or the client is gone.
            let _ = socket.close(Some(close_frame(&close))).await;
            let _ = timeout(limits::CLOSE_TIMEOUT, linger(&mut socket)).await;
        }
        drop((place, slot));
    };
    tokio::spawn(gateway.vitals.contained(Task::Connection, goodbye));
    Ok(response)
}
