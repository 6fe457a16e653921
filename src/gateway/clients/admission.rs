//! Whether a client is let in, whatever it is connected by.
//!
//! ```text
//!   ready? ─► rate ─► origin, token, device ─► rate ─► policy ─► fight ─► node's limit ─► claim ─► still ready? ─► Admitted
//! ```
//!
//! A transport asks [`admit`] with what the client said, and gets all that it needs to serve the client, or
//! what to tell it. The key is claimed before the client is told that it is connected: a push that
//! follows the client's own knowledge finds it. Whether a request is one of a transport at all is that
//! transport's business. How the client learns that it is not let in is in `telling.rs`.

use std::net::IpAddr;

use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;

use crate::gateway::clients::dialect::{self, Dialect};
use crate::gateway::error::ApiError;
use crate::gateway::parts::Gateway;
use crate::gateway::url;
use crate::router::{Claimant, HeldByAnother, Lease};

pub(in crate::gateway) mod credentials;
mod refusal;
mod takeover;
mod telling;

use credentials::Client;
pub(super) use refusal::Refusal;
pub(super) use telling::Telling;

/// What a client says that wants to be let in.
pub(super) struct Asking<'a> {
    /// Who it is stands in the query.
    pub(super) uri: &'a Uri,
    /// Or here.
    pub(super) headers: &'a HeaderMap,
    /// Whether the client speaks the dialect of that name.
    pub(super) offers: &'a (dyn Fn(&str) -> bool + Sync),
    /// Where it is, if that is known.
    pub(super) address: Option<IpAddr>,
}

/// A client that is let in.
pub(super) struct Admitted {
    /// Its right to be its key's session, with a place among the connections of the node. Dropped when
    /// the connection is over.
    pub(super) lease: Lease,
    /// Since when it may have been pushed to.
    pub(super) asked: Instant,
    /// What it speaks.
    pub(super) dialect: &'static dyn Dialect,
    /// When its token expires.
    pub(super) expires_unix_ms: Option<u64>,
}

/// Lets a client in, or says why not.
///
/// # Errors
/// What to tell the client, which has no session.
pub(super) async fn admit(gateway: &Gateway, asking: Asking<'_>) -> Result<Admitted, Refusal> {
    ready(gateway)?;
    let often = |wait| Refusal::TooManyRequests { wait };
    if let Some(address) = asking.address {
        gateway.connects.at_address(address).map_err(often)?;
    }
    let dialect = dialect::offered(asking.offers);
    let params = url::params(asking.uri)?;
    let client = credentials::client(gateway, asking.headers, params, dialect.keeps()).await?;
    gateway.connects.for_user(&client.key.user).map_err(often)?;
    takeover::admit(gateway, &client.key, client.resumed)?;
    contended(gateway, &client)?;
    let Ok(permit) = gateway.registry.permit() else { return Err(Refusal::Full) };
    let asked = Instant::now();
    let claimant = Claimant { resumed: client.resumed, kept: client.kept, login: client.login, away: false };
    let opened = gateway.router.open(client.key, claimant, Some(permit)).await;
    let lease = opened.map_err(|HeldByAnother| Refusal::SessionExists)?;
    // Whoever drains sets the phase first and then closes what is registered. The session is
    // registered now: either it is found there, or the phase is found here.
    ready(gateway)?;
    Ok(Admitted { lease, asked, dialect, expires_unix_ms: client.expires_unix_ms })
}

/// Has a client wait that comes to a session for which two fight. Nobody waits where nobody is connected, and whoever shows the token
/// of the session that there is takes it from itself.
fn contended(gateway: &Gateway, client: &Client) -> Result<(), Refusal> {
    let waits = gateway.connections.fights.admit(&client.key);
    let owned = waits.is_err().then(|| gateway.replica.lookup_named(&client.key)).flatten();
    let is_taken = owned.is_some_and(|owned| owned.is_connected() && client.resumed != Some(owned.stamp));
    if is_taken { waits.map_err(|wait| Refusal::Contended { wait }) } else { Ok(()) }
}

/// Counts a client that is not let in, and says why.
pub(super) fn refuse(gateway: &Gateway, refusal: Refusal) -> Response {
    gateway.metrics.connections_refused.with(refusal.label()).increment(1);
    ApiError::from(refusal).into_response()
}

fn ready(gateway: &Gateway) -> Result<(), Refusal> {
    let phase = *gateway.phase.borrow();
    if phase.serves() { Ok(()) } else { Err(Refusal::NotReady(phase)) }
}
