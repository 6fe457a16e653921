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

#[cfg(test)]
pub(super) mod described {
    use axum::http::StatusCode;

    use crate::gateway::openapi::call::Call;
    use crate::gateway::schema::{ErrorCode, Forgotten, NodeStatus, Nodes};

    pub(in crate::gateway) fn list() -> Call {
        Call::backend("nodes", "cluster", "The members of the cluster, as this node sees them")
            .answers::<Nodes>(StatusCode::OK, "The members.")
            .with::<NodeStatus>("NodeStatus")
    }

    pub(in crate::gateway) fn forget() -> Call {
        let text = "Only the node that is asked forgets it. The member does not make this node isolated any more; it comes \
                    back with its first link if it lives after all, or as a later boot.";
        Call::backend("forgetNode", "cluster", "Forget a dead member for good")
            .text(text)
            .answers::<Forgotten>(StatusCode::OK, "It is forgotten.")
            .refuses(ErrorCode::NoNode, "there is no such member, or it is forgotten already")
            .refuses(ErrorCode::NotDead, "it is alive, unreachable or suspect, or it is this node")
    }
}
