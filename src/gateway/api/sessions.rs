//! All sessions of the cluster, page by page.
//!
//! The order is that of the hashed keys: arbitrary, and the same on every node. A cursor names the
//! last key of a page, so that it stays good when sessions come and go, and at any node. The names are
//! asked of the owners.

use axum::Json;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::contact::{Contacts, informed};
use crate::directory::ClaimState;
use crate::gateway::caller::Caller;
use crate::gateway::error::{ApiError, BadRequest};
use crate::gateway::schema::{Session, SessionPage};
use crate::gateway::url::{FromQuery, Params, Query};
use crate::key::Key;
use crate::limits;
use crate::router::NamesAnswer;

/// The parameters of the list.
pub(in crate::gateway) struct ListParams {
    limit: usize,
    /// The key to begin after.
    after: Option<Key>,
}

impl FromQuery for ListParams {
    const SHARED: bool = false;

    fn from_query(query: &mut Query) -> Result<Self, BadRequest> {
        let limit = match query.take("limit")? {
            None => limits::SESSIONS_PAGE_DEFAULT,
            Some(text) => read_limit(&text)?,
        };
        let after = query.take("cursor")?.as_deref().map(read_cursor).transpose()?;
        Ok(Self { limit, after })
    }
}

/// `GET /v1/sessions`
pub(super) async fn list(caller: Caller, Params(params): Params<ListParams>) -> Result<Response, ApiError> {
    let ListParams { limit, after } = params;
    let gateway = &caller.gateway;
    informed(gateway)?;
    // One more than asked for says whether there is a next page.
    let mut page = gateway.replica.page(after, limit + 1);
    let more = page.len() > limit;
    page.truncate(limit);
    let cursor = page.last().filter(|_| more).map(|(key, _)| write_cursor(*key));
    let names = gateway.router.names(page.iter().map(|(key, owned)| (*key, owned.owner.clone()))).await;
    let sessions = page
        .into_iter()
        .map(|(key, owned)| (names.of(&owned.owner, key), owned))
        .filter(|(answer, _)| *answer != NamesAnswer::Gone)
        .map(|(answer, owned)| {
            let (user, device) = answer.names().map(|names| (names.user, names.device)).unzip();
            let (since_ms, parked) = (owned.stamp.unix_ms(), owned.state == ClaimState::Parked);
            Session { user, device, node: owned.owner, since_ms, parked }
        })
        .collect();
    let silent = Contacts::now(gateway).silent(names.silent);
    Ok(Json(SessionPage { sessions, cursor, silent }).into_response())
}

fn read_limit(text: &str) -> Result<usize, BadRequest> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let limit = text.parse().ok().filter(|limit| digits && (1..=limits::SESSIONS_PAGE_MAX).contains(limit));
    let message = || format!("limit is a number from 1 to {}", limits::SESSIONS_PAGE_MAX);
    limit.ok_or_else(|| BadRequest::new(message()))
}

fn write_cursor(key: Key) -> String {
    URL_SAFE_NO_PAD.encode(key.to_bytes())
}

fn read_cursor(cursor: &str) -> Result<Key, BadRequest> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| bytes.try_into().ok());
    bytes
        .map(|bytes| Key::from_bytes(&bytes))
        .ok_or_else(|| BadRequest::new("the cursor is not one that this call returned: start without one"))
}

#[cfg(test)]
pub(super) mod described {
    use axum::http::StatusCode;
    use serde_json::json;

    use super::ListParams;
    use crate::gateway::api::contact::uninformed;
    use crate::gateway::openapi::call::Call;
    use crate::gateway::openapi::parameter::{Described, Parameter};
    use crate::gateway::schema::{Session, SessionPage};
    use crate::limits::{SESSIONS_PAGE_DEFAULT, SESSIONS_PAGE_MAX};

    impl Described for ListParams {
        fn parameters() -> Vec<Parameter> {
            let limit = json!({
                "type": "integer", "minimum": 1, "maximum": SESSIONS_PAGE_MAX, "default": SESSIONS_PAGE_DEFAULT,
            });
            vec![
                Parameter::query("limit", "Entries of the page.", limit),
                Parameter::query("cursor", "The cursor of the page before.", json!({ "type": "string" })),
            ]
        }
    }

    pub(in crate::gateway) fn list() -> Call {
        let page = "A page; the order is fixed but arbitrary, and the same at every node. Names are asked of the owners; \
                    sessions that are gone by then are left out, so that a page may be shorter than its limit.";
        uninformed(Call::backend("sessions", "sessions", "All sessions, page by page"))
            .query::<ListParams>()
            .answers::<SessionPage>(StatusCode::OK, page)
            .with::<Session>("Session")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{DeviceHash, UserHash};

    #[test]
    fn a_limit_is_digits_within_its_bounds() {
        assert_eq!(read_limit("1").unwrap(), 1);
        assert_eq!(read_limit("1000").unwrap(), 1_000);
        for bad in ["", "0", "1001", "-1", "+1", " 1", "1.0", "1e2", "99999999999999999999"] {
            assert!(read_limit(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_cursor_names_its_key_and_anything_else_is_refused() {
        let key = Key { user: UserHash { high: 1, low: u64::MAX }, device: DeviceHash(3) };
        assert_eq!(read_cursor(&write_cursor(key)).unwrap(), key);
        for bad in ["", "!", "YQ", "AAAA"] {
            assert!(read_cursor(bad).is_err(), "{bad}");
        }
    }
}
