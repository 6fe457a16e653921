//! For those who operate a node: is it alive, is it ready, what are its numbers.
//!
//! These calls need no key, so that a probe or a scraper needs no secret. They show counts and
//! nothing of any user; who may not see those keeps the port away.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::gateway::error::ApiError;
use crate::gateway::face::Face;
use crate::gateway::parts::Gateway;
use crate::gateway::phase::Phase;
use crate::gateway::schema::{Ready, ReadyPhase};
use crate::limits;
use crate::metrics::label::Label as _;

/// `GET /livez`: the node works. Takes no lock of the node, because it is asked when something hangs.
pub(super) async fn live(State(face): State<Arc<Face>>) -> Result<&'static str, ApiError> {
    let vitals = &face.gateway.vitals;
    match vitals.fault() {
        Some(fault) => Err(ApiError::not_alive(fault.to_string())),
        None if !vitals.is_watched() => Err(ApiError::not_alive(format!(
            "the watch over the members has not run for {} s: restart this node, and report this defect",
            limits::WATCH_SILENCE_MAX.as_secs()
        ))),
        None => Ok("ok"),
    }
}

/// `GET /readyz`: clients may be sent here.
pub(super) async fn ready(State(face): State<Arc<Face>>) -> Result<Response, ApiError> {
    let (shown, ready) = readiness(&face.gateway);
    let answer = Ready { phase: shown.into() };
    if ready {
        return Ok(Json(answer).into_response());
    }
    Err(ApiError::not_ready(&answer.phase.to_string()).with_details(&answer))
}

/// Where the node is in its life, and whether clients may be sent here.
fn readiness(gateway: &Gateway) -> (ReadyPhase, bool) {
    let (phase, isolated) = (*gateway.phase.borrow(), gateway.roster.isolated());
    match phase {
        // A survivor has to go on serving, and nobody can tell it from a node that is cut off.
        Phase::Ready if isolated => (ReadyPhase::Isolated, !gateway.config.isolated_not_ready),
        _ => (ReadyPhase::from(phase), phase == Phase::Ready),
    }
}

/// `GET /metrics`: the text format of Prometheus.
pub(super) async fn metrics(State(face): State<Arc<Face>>) -> Response {
    let gateway = &face.gateway;
    let metrics = &gateway.metrics;
    metrics.ready.set(f64::from(u8::from(readiness(gateway).1)));
    metrics.connections_max.set(gateway.registry.connections_max() as f64);
    metrics.kept_bytes_max.set(gateway.config.limits.kept_bytes_total as f64);
    metrics.connections.set(gateway.registry.len() as f64);
    metrics.degraded.set(f64::from(u8::from(gateway.roster.degraded())));
    metrics.isolated.set(f64::from(u8::from(gateway.roster.isolated())));
    metrics.sessions_owned.set(gateway.replica.own_len() as f64);
    metrics.parked.set(gateway.registry.parked() as f64);
    let held = gateway.router.copies().held();
    metrics.copies_held.set(held.values().map(|of| of.messages).sum::<usize>() as f64);
    metrics.copies_held_bytes.set(held.values().map(|of| of.bytes).sum::<usize>() as f64);
    metrics.kept_bytes.set_each(|origin| gateway.router.store().used(origin));
    let nodes = (gateway.nodes)();
    metrics.members.set_each(|state| nodes.iter().filter(|node| node.state == state.as_str()).count());
    metrics.mesh_links.set(nodes.iter().filter(|node| node.rtt_us.is_some()).count() as f64);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render()).into_response()
}

#[cfg(test)]
pub(super) mod described {
    use axum::http::StatusCode;
    use serde_json::json;

    use crate::gateway::openapi::call::Call;
    use crate::gateway::schema::{ErrorCode, Ready};
    use crate::limits;

    pub(in crate::gateway) fn live() -> Call {
        Call::open("live", "The node works")
            .answers_as(StatusCode::OK, "It does.", json!({ "text/plain": { "schema": { "const": "ok" } } }))
            .refuses(
                ErrorCode::NotAlive,
                format!(
                    "it has failed, or its watch over the members has not run for {} s. It has to be restarted",
                    limits::WATCH_SILENCE_MAX.as_secs()
                ),
            )
            .never(ErrorCode::NotReady)
    }

    pub(in crate::gateway) fn ready() -> Call {
        Call::open("ready", "Clients may be sent here")
            .answers::<Ready>(StatusCode::OK, "They may.")
            .tells::<Ready>(ErrorCode::NotReady, "they may not, and in which phase the node is")
    }

    pub(in crate::gateway) fn metrics() -> Call {
        let text = json!({ "text/plain": { "schema": { "type": "string" } } });
        Call::open("metrics", "Metrics in the text format of Prometheus").answers_as(
            StatusCode::OK,
            "The metrics.",
            text,
        )
    }
}
