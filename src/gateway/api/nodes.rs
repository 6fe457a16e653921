//! The members, as this node sees them.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::gateway::caller::Caller;

/// `GET /v1/nodes`
pub(super) async fn list(caller: Caller) -> Response {
    Json(json!({ "nodes": (caller.gateway.nodes)() })).into_response()
}
