//! One user: is it online, and where; and: let it go.

use axum::Json;
use axum::response::{IntoResponse, Response};

use super::contact::{Contacts, informed};
use super::push::refusal;
use crate::directory::{ClaimState, Owned};
use crate::gateway::caller::Caller;
use crate::gateway::error::ApiError;
use crate::gateway::schema::{DisconnectAnswer, Presence, User, UserSession};
use crate::gateway::url::{SessionPath, UserPath};
use crate::push::{PushReport, Target};
use crate::router::NamesAnswer;

/// `GET /v1/users/{user}`
pub(super) async fn show(caller: Caller, UserPath(user): UserPath) -> Result<Response, ApiError> {
    let gateway = &caller.gateway;
    let sessions = gateway.replica.user(&user);
    let names = gateway.router.names(sessions.iter().map(|(key, owned)| (*key, owned.owner.clone()))).await;
    let contacts = Contacts::now(gateway);
    let sessions: Vec<_> = sessions
        .into_iter()
        .map(|(key, owned)| (names.of(&owned.owner, key), owned))
        .filter(|(answer, _)| *answer != NamesAnswer::Gone)
        .map(|(answer, owned)| UserSession {
            device: answer.names().map(|names| names.device),
            state: presence(&owned, contacts.in_doubt(&owned.owner)).into(),
            as_of_ms: contacts.get(&owned.owner).map_or(owned.stamp.unix_ms(), |node| node.heard_ms),
            node: owned.owner,
            incarnation: owned.incarnation.0,
            since_ms: owned.stamp.unix_ms(),
        })
        .collect();
    if sessions.is_empty() {
        informed(gateway)?;
    }
    let state = sessions.iter().filter_map(|session| session.state.known()).min().copied();
    let answer = User {
        user,
        online: matches!(state, Some(Presence::Online | Presence::Suspect)),
        state: state.unwrap_or(Presence::Offline).into(),
        as_of_ms: contacts.as_of_ms(),
        sessions,
        silent: contacts.silent(names.silent),
    };
    Ok(Json(answer).into_response())
}

/// What is known of a session.
fn presence(owned: &Owned, in_doubt: bool) -> Presence {
    match owned.state {
        ClaimState::Parked => Presence::Parked,
        _ if in_doubt => Presence::Suspect,
        _ => Presence::Online,
    }
}

/// `DELETE /v1/users/{user}`
pub(super) async fn disconnect(caller: Caller, UserPath(user): UserPath) -> Result<Response, ApiError> {
    answer(&caller.gateway.router.disconnect(Target::User(user)).await)
}

/// `DELETE /v1/users/{user}/devices/{device}`
pub(super) async fn disconnect_session(
    caller: Caller,
    SessionPath(key): SessionPath,
) -> Result<Response, ApiError> {
    answer(&caller.gateway.router.disconnect(Target::Session(key)).await)
}

fn answer(report: &PushReport) -> Result<Response, ApiError> {
    let answer = DisconnectAnswer::from(report);
    match refusal(&report.best()) {
        None => Ok(Json(answer).into_response()),
        Some(error) => Err(error.with_details(&answer)),
    }
}

#[cfg(test)]
pub(super) mod described {
    use axum::http::StatusCode;

    use crate::gateway::api::contact::uninformed;
    use crate::gateway::api::push::described::unanswered;
    use crate::gateway::openapi::call::Call;
    use crate::gateway::schema::{DisconnectAnswer, ErrorCode, User, UserSession};

    pub(in crate::gateway) fn show() -> Call {
        let sessions = "The sessions that this node sees; none is a valid answer. Their devices are asked of their owners.";
        uninformed(Call::backend("user", "sessions", "Whether a user is online, and where"))
            .answers::<User>(StatusCode::OK, sessions)
            .with::<UserSession>("UserSession")
    }

    pub(in crate::gateway) fn disconnect() -> Call {
        closes("disconnectUser", "Disconnect all sessions of a user")
    }

    pub(in crate::gateway) fn disconnect_session() -> Call {
        closes("disconnectSession", "Disconnect one session")
    }

    fn closes(id: &'static str, summary: &'static str) -> Call {
        let call = Call::backend(id, "sessions", summary)
            .answers::<DisconnectAnswer>(StatusCode::OK, "At least one session was closed, with 4002.")
            .fails::<DisconnectAnswer>(ErrorCode::NoSession, "there is none")
            .fails::<DisconnectAnswer>(ErrorCode::Interrupted, "the connection broke before it was closed");
        unanswered::<DisconnectAnswer>(call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{DeviceId, MessageId};
    use crate::push::{Knowledge, Outcome, SessionReport};

    fn report(outcomes: &[Outcome]) -> PushReport {
        let session = |outcome: &Outcome| SessionReport {
            device: Some(DeviceId::new("d").unwrap()),
            node: None,
            outcome: outcome.clone(),
        };
        PushReport {
            id: MessageId::new("m").unwrap(),
            sessions: outcomes.iter().map(session).collect(),
            knowledge: Knowledge::Whole,
        }
    }

    #[test]
    fn a_disconnect_succeeds_if_any_session_was_closed() {
        assert!(answer(&report(&[Outcome::Unreachable, Outcome::Delivered])).is_ok());
        assert_eq!(answer(&report(&[])).unwrap_err().code(), "no_session");
        assert_eq!(answer(&report(&[Outcome::Unreachable])).unwrap_err().code(), "unreachable");
    }
}
