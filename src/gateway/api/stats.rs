//! Exact counts of what this node sees.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::gateway::Face;
use crate::id::NodeName;

#[derive(Serialize)]
struct StatsAnswer {
    sessions: u64,
    users: u64,
    nodes: Vec<NodeCount>,
    /// The node that answers.
    #[serde(rename = "self")]
    own: NodeName,
}

#[derive(Serialize)]
struct NodeCount {
    node: NodeName,
    sessions: u64,
}

/// `GET /v1/stats`
pub(super) async fn show(State(face): State<Arc<Face>>) -> Response {
    let own = face.gateway.config.name.clone();
    let mut counts = face.gateway.replica.counts();
    // A member without sessions is listed with 0, so that every node gives the same list.
    let present = (face.gateway.nodes)().into_iter().filter(|node| node.state != "dead");
    for name in present.filter_map(|node| NodeName::new(node.name).ok()) {
        counts.by_node.entry(name).or_default();
    }
    let nodes = counts.by_node.into_iter().map(|(node, sessions)| NodeCount { node, sessions }).collect();
    Json(StatsAnswer { sessions: counts.sessions, users: counts.users, nodes, own }).into_response()
}
