//! Exact counts of what this node sees.

use std::collections::BTreeSet;

use axum::Json;
use axum::response::{IntoResponse, Response};

use super::contact::{Contacts, informed};
use crate::gateway::caller::Caller;
use crate::gateway::error::ApiError;
use crate::gateway::schema::{NodeSessions, Stats};
use crate::id::NodeName;

/// `GET /v1/stats`
pub(super) async fn show(caller: Caller) -> Result<Response, ApiError> {
    let gateway = &caller.gateway;
    informed(gateway)?;
    let own = gateway.config.name.clone();
    let mut counts = gateway.replica.counts();
    // A member without sessions is listed with 0, so that every node gives the same list.
    let present = (gateway.nodes)().into_iter().filter(|node| node.state != "dead");
    for name in present.filter_map(|node| NodeName::new(node.name).ok()) {
        counts.by_node.entry(name).or_default();
    }
    let contacts = Contacts::now(gateway);
    let nodes = counts.by_node.into_iter().map(|(node, sessions)| NodeSessions { node, sessions }).collect();
    let answer = Stats {
        sessions: counts.sessions,
        parked: counts.parked,
        users: counts.users,
        nodes,
        as_of_ms: contacts.as_of_ms(),
        silent: contacts.silent(BTreeSet::new()),
        own,
    };
    Ok(Json(answer).into_response())
}

#[cfg(test)]
pub(super) mod described {
    use axum::http::StatusCode;

    use crate::gateway::api::contact::uninformed;
    use crate::gateway::openapi::call::Call;
    use crate::gateway::schema::Stats;

    pub(in crate::gateway) fn show() -> Call {
        let call = Call::backend("stats", "cluster", "Exact counts of what this node sees");
        uninformed(call).answers::<Stats>(StatusCode::OK, "The counts.")
    }
}
