//! `GET /v1/ws`: from a client's request to its session.
//!
//! ```text
//!   handshake? ─► admission ─► 101 ─► session
//!                     └─ not let in ─► its status, or 101 ─► close
//! ```
//!
//! Whether the client is let in, and how it learns that it is not, is decided by [`admission`].

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use tracing::{debug, field};

use crate::gateway::address;
use crate::gateway::clients::admission::{self, Asking, Refusal, Telling};
use crate::gateway::clients::dialect;
use crate::gateway::clients::run;
use crate::gateway::clients::transport::ws::farewell::farewell;
use crate::gateway::clients::transport::ws::shared_stream::DirectStream;
use crate::gateway::clients::transport::ws::socket::WebSocket;
use crate::gateway::clients::transport::ws::upgrade::{Upgrade, offers};
use crate::gateway::error::ApiError;
use crate::gateway::face::Face;
use crate::gateway::serve::ConnectionSlot;

mod closing;
mod farewell;
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
    let trusted = &gateway.config.trusted_proxies;
    let address = parts.extensions.get().map(|peer| address::client(*peer, &parts.headers, trusted));
    debug!(client = address.map(field::display), "a client asks to be let in");
    let asking = Asking { uri: &parts.uri, headers: &parts.headers, offers: &offers, address };
    let admitted = match admission::admit(gateway, asking).await {
        Ok(admitted) => admitted,
        Err(refusal) => {
            let dialect = dialect::offered(offers);
            return match Telling::of(&parts.uri, dialect, &refusal) {
                Telling::Status => Err(refusal),
                Telling::Close => farewell(face, upgrade, dialect, refusal, slot),
            };
        }
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

#[cfg(test)]
pub(in crate::gateway) mod described;

#[cfg(test)]
mod tests;
