//! The members, as this node sees them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::gateway::Face;

/// `GET /v1/nodes`
pub(super) async fn list(State(face): State<Arc<Face>>) -> Response {
    Json(json!({ "nodes": (face.gateway.nodes)() })).into_response()
}
