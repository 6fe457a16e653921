//! One user: is it online, and where; and: let it go.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

use super::push::refusal;
use crate::gateway::Face;
use crate::gateway::error::ApiError;
use crate::gateway::url::{SessionPath, UserPath};
use crate::id::{DeviceId, NodeName, UserId};
use crate::push::{Outcome, PushReport, Target};

#[derive(Serialize)]
struct UserAnswer {
    user: UserId,
    online: bool,
    sessions: Vec<SessionEntry>,
}

#[derive(Serialize)]
struct SessionEntry {
    device: DeviceId,
    node: NodeName,
    since_ms: u64,
}

/// `GET /v1/users/{user}`
pub(super) async fn show(State(face): State<Arc<Face>>, UserPath(user): UserPath) -> Response {
    let sessions: Vec<_> = face
        .gateway
        .replica
        .user(&user)
        .into_iter()
        .map(|(device, owned)| SessionEntry { device, node: owned.owner, since_ms: owned.stamp.unix_ms() })
        .collect();
    Json(UserAnswer { user, online: !sessions.is_empty(), sessions }).into_response()
}

/// `DELETE /v1/users/{user}`
pub(super) async fn disconnect(
    State(face): State<Arc<Face>>,
    UserPath(user): UserPath,
) -> Result<Response, ApiError> {
    answer(&face.gateway.router.disconnect(Target::User(user)).await)
}

/// `DELETE /v1/users/{user}/devices/{device}`
pub(super) async fn disconnect_session(
    State(face): State<Arc<Face>>,
    SessionPath(key): SessionPath,
) -> Result<Response, ApiError> {
    answer(&face.gateway.router.disconnect(Target::Session(key)).await)
}

fn answer(report: &PushReport) -> Result<Response, ApiError> {
    let sessions: Vec<_> = report
        .sessions
        .iter()
        .map(|session| {
            let outcome = match &session.outcome {
                Outcome::Delivered => "disconnected",
                other => other.as_str(),
            };
            json!({ "device": session.device, "node": session.node, "outcome": outcome })
        })
        .collect();
    let details = json!({ "disconnected": report.delivered(), "sessions": sessions });
    match refusal(&report.best()) {
        None => Ok(Json(details).into_response()),
        Some(error) => Err(error.with_details(details.as_object().cloned().unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::MessageId;
    use crate::push::SessionReport;

    fn report(outcomes: &[Outcome]) -> PushReport {
        let session = |outcome: &Outcome| SessionReport {
            device: DeviceId::new("d").unwrap(),
            node: None,
            outcome: outcome.clone(),
        };
        PushReport { id: MessageId::new("m").unwrap(), sessions: outcomes.iter().map(session).collect() }
    }

    #[test]
    fn a_disconnect_succeeds_if_any_session_was_closed() {
        assert!(answer(&report(&[Outcome::Unreachable, Outcome::Delivered])).is_ok());
        assert_eq!(answer(&report(&[])).unwrap_err().code(), "no_session");
        assert_eq!(answer(&report(&[Outcome::Unreachable])).unwrap_err().code(), "unreachable");
    }
}
