//! All sessions of the cluster, page by page.
//!
//! The order is fixed but arbitrary and the same on every node. A cursor names the last key of a
//! page, so that it stays good when sessions come and go, and at any node.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::gateway::Face;
use crate::gateway::error::ApiError;
use crate::gateway::url::Params;
use crate::id::{DeviceId, NodeName, SessionKey, UserId};
use crate::limits;

/// The parameters of the list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParams {
    limit: Option<usize>,
    cursor: Option<String>,
}

#[derive(Serialize)]
struct ListAnswer {
    sessions: Vec<SessionEntry>,
    cursor: Option<String>,
}

#[derive(Serialize)]
struct SessionEntry {
    user: UserId,
    device: DeviceId,
    node: NodeName,
    since_ms: u64,
}

/// `GET /v1/sessions`
pub(super) async fn list(
    State(face): State<Arc<Face>>,
    Params(params): Params<ListParams>,
) -> Result<Response, ApiError> {
    let limit = params.limit.unwrap_or(limits::SESSIONS_PAGE_DEFAULT);
    if !(1..=limits::SESSIONS_PAGE_MAX).contains(&limit) {
        let message = format!("limit is a number from 1 to {}", limits::SESSIONS_PAGE_MAX);
        return Err(ApiError::bad_request(message));
    }
    let after = params.cursor.as_deref().map(read_cursor).transpose()?;
    // One more than asked for says whether there is a next page.
    let mut page = face.gateway.replica.page(after.as_ref(), limit + 1);
    let more = page.len() > limit;
    page.truncate(limit);
    let cursor = page.last().filter(|_| more).map(|(key, _)| write_cursor(key));
    let sessions = page
        .into_iter()
        .map(|(SessionKey { user, device }, owned)| SessionEntry {
            user,
            device,
            node: owned.owner,
            since_ms: owned.stamp.unix_ms(),
        })
        .collect();
    Ok(Json(ListAnswer { sessions, cursor }).into_response())
}

/// No id contains a control character, so that NUL separates the two.
fn write_cursor(key: &SessionKey) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}\0{}", key.user, key.device))
}

fn read_cursor(cursor: &str) -> Result<SessionKey, ApiError> {
    let read = || {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
        let (user, device) = text.split_once('\0')?;
        Some(SessionKey::new(UserId::new(user).ok()?, DeviceId::new(device).ok()?))
    };
    read().ok_or_else(|| {
        ApiError::bad_request("the cursor is not one that this call returned: start without one")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_names_its_key_and_anything_else_is_refused() {
        let key = SessionKey::new(UserId::new("ü/4 2").unwrap(), DeviceId::new("phone").unwrap());
        assert_eq!(read_cursor(&write_cursor(&key)).unwrap(), key);
        for bad in ["", "!", "YQ", "AAAA"] {
            assert_eq!(read_cursor(bad).unwrap_err().code(), "bad_request", "{bad}");
        }
    }
}
