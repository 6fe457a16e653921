//! One user: is it online, and where; and: let it go.

use std::collections::BTreeSet;

use axum::Json;
use axum::response::{IntoResponse, Response};
use futures_util::future::join_all;

use super::contact::{Contacts, informed};
use super::push::refusal;
use crate::attributes::{Attributes, AttributesError, Change};
use crate::directory::{ClaimState, Owned};
use crate::gateway::caller::Caller;
use crate::gateway::error::{ApiError, BadRequest};
use crate::gateway::parts::Gateway;
use crate::gateway::schema::{DisconnectAnswer, Presence, User, UserSession};
use crate::gateway::url::{FromQuery, Params, Query, SessionPath, UserPath};
use crate::id::{LoginId, NodeName, SessionKey};
use crate::push::{PushReport, Target};
use crate::router::NamesAnswer;

/// The parameters of the call.
pub(super) struct ShowParams {
    /// Whether the attributes of the sessions are asked for.
    attributes: bool,
}

impl FromQuery for ShowParams {
    const SHARED: bool = true;

    fn from_query(query: &mut Query) -> Result<Self, BadRequest> {
        let attributes = match query.take("attributes")?.as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(BadRequest::new("attributes is `true` or `false`")),
        };
        Ok(Self { attributes })
    }
}

/// `GET /v1/users/{user}`
pub(super) async fn show(
    caller: Caller,
    UserPath(user): UserPath,
    Params(params): Params<ShowParams>,
) -> Result<Response, ApiError> {
    let gateway = &caller.gateway;
    let sessions = gateway.replica.user(&user);
    let mut names =
        gateway.router.names(sessions.iter().map(|(key, owned)| (*key, owned.owner.clone()))).await;
    let sessions = sessions
        .into_iter()
        .map(|(key, owned)| (names.of(&owned.owner, key), owned))
        .filter(|(answer, _)| *answer != NamesAnswer::Gone)
        .map(|(answer, owned)| Found { names: answer.names(), owned, attributes: None })
        .collect();
    let sessions = if params.attributes {
        with_attributes(gateway, sessions, &mut names.silent).await
    } else {
        sessions
    };
    let contacts = Contacts::now(gateway);
    let sessions: Vec<_> = sessions
        .into_iter()
        .map(|Found { names, owned, attributes }| UserSession {
            device: names.map(|names| names.device),
            attributes,
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

/// A session of the user, and what its owner tells.
struct Found {
    names: Option<SessionKey>,
    owned: Owned,
    attributes: Option<Attributes>,
}

/// The same with what their owners tell of the attributes. One that is gone by now is left out.
async fn with_attributes(
    gateway: &Gateway,
    sessions: Vec<Found>,
    silent: &mut BTreeSet<NodeName>,
) -> Vec<Found> {
    let asked = sessions.into_iter().map(|found| async move {
        let attributes = match &found.names {
            Some(names) => gateway.router.attributes(names, Change::Read).await,
            None => Err(AttributesError::Unreachable),
        };
        (found, attributes)
    });
    let told = join_all(asked).await.into_iter();
    told.filter_map(|(found, attributes)| match attributes {
        Ok(attributes) => Some(Found { attributes: Some(attributes), ..found }),
        Err(AttributesError::NoSession) => None,
        Err(_) => {
            silent.insert(found.owned.owner.clone());
            Some(found)
        }
    })
    .collect()
}

/// What is known of a session.
fn presence(owned: &Owned, in_doubt: bool) -> Presence {
    match owned.state {
        ClaimState::Parked => Presence::Parked,
        _ if in_doubt => Presence::Suspect,
        _ => Presence::Online,
    }
}

/// Which sessions of a user are to be disconnected. A parameter that is not known is refused: one that is misspelt would
/// disconnect all of them.
pub(super) struct DisconnectParams {
    login: Option<LoginId>,
}

impl FromQuery for DisconnectParams {
    const SHARED: bool = false;

    fn from_query(query: &mut Query) -> Result<Self, BadRequest> {
        Ok(Self { login: query.take("sid")?.map(LoginId::new).transpose()? })
    }
}

/// `DELETE /v1/users/{user}`
pub(super) async fn disconnect(
    caller: Caller,
    UserPath(user): UserPath,
    Params(params): Params<DisconnectParams>,
) -> Result<Response, ApiError> {
    answer(&caller.gateway.router.disconnect(Target::User(user), params.login).await)
}

/// `DELETE /v1/users/{user}/devices/{device}`
pub(super) async fn disconnect_session(
    caller: Caller,
    SessionPath(key): SessionPath,
) -> Result<Response, ApiError> {
    answer(&caller.gateway.router.disconnect(Target::Session(key), None).await)
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
    use serde_json::json;

    use super::{DisconnectParams, ShowParams};
    use crate::gateway::api::contact::uninformed;
    use crate::gateway::api::push::described::unanswered;
    use crate::gateway::openapi::call::Call;
    use crate::gateway::openapi::parameter::{Described, Parameter, schema};
    use crate::gateway::schema::{DisconnectAnswer, ErrorCode, User, UserSession};
    use crate::id::LoginId;

    impl Described for ShowParams {
        fn parameters() -> Vec<Parameter> {
            let text = "Whether the attributes of each session are asked of its owner as well.";
            let boolean = json!({ "type": "boolean", "default": false });
            vec![Parameter::query("attributes", text, boolean)]
        }
    }

    impl Described for DisconnectParams {
        fn parameters() -> Vec<Parameter> {
            let text = "A login, the `sid` of client tokens: only its sessions are disconnected, and told of. A parameter that \
                        is not known is refused.";
            vec![Parameter::query("sid", text, schema::<LoginId>())]
        }
    }

    pub(in crate::gateway) fn show() -> Call {
        let sessions = "The sessions that this node sees; none is a valid answer. Their devices are asked of their owners.";
        uninformed(Call::backend("user", "sessions", "Whether a user is online, and where"))
            .query::<ShowParams>()
            .answers::<User>(StatusCode::OK, sessions)
            .with::<UserSession>("UserSession")
    }

    pub(in crate::gateway) fn disconnect() -> Call {
        closes("disconnectUser", "Disconnect all sessions of a user, or those of one login")
            .query::<DisconnectParams>()
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
    use crate::push::{Knowledge, Outcome, SessionReport, Wait};

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
            wait: Wait::Receipt,
        }
    }

    #[test]
    fn a_disconnect_succeeds_if_any_session_was_closed() {
        assert!(answer(&report(&[Outcome::Unreachable, Outcome::Delivered])).is_ok());
        assert_eq!(answer(&report(&[])).unwrap_err().code(), "no_session");
        assert_eq!(answer(&report(&[Outcome::Unreachable])).unwrap_err().code(), "unreachable");
    }
}
