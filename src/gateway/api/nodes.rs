//! The members, as this node sees them; and: let one go that is dead for good.

use axum::Json;
use axum::response::{IntoResponse, Response};

use crate::gateway::caller::Caller;
use crate::gateway::error::ApiError;
use crate::gateway::schema::{Forgotten, Nodes};
use crate::gateway::url::NodePath;
use crate::membership::overlay::ForgetError;

/// `GET /v1/nodes`
pub(super) async fn list(caller: Caller) -> Response {
    Json(Nodes { nodes: (caller.gateway.nodes)() }).into_response()
}

/// `DELETE /v1/nodes/{node}`
pub(super) async fn forget(caller: Caller, NodePath(node): NodePath) -> Result<Response, ApiError> {
    let gateway = &caller.gateway;
    let incarnation = (gateway.forget)(&node).map_err(|error| match error {
        ForgetError::Unknown => ApiError::no_node(),
        ForgetError::Myself | ForgetError::NotDead { .. } => ApiError::not_dead(&error.to_string()),
    })?;
    gateway.metrics.members_forgotten.increment(1);
    let isolated = gateway.roster.isolated();
    Ok(Json(Forgotten { node, incarnation: incarnation.0, isolated }).into_response())
}
