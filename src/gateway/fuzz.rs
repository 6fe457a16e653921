//! What clients and backends send, as fuzzers feed it: any bytes, into the code that reads them.
//!
//! Each function panics where a decoder does what it must not: fail in another way than by an error,
//! or change what is right. `tests/corpus.rs` calls them with the stored inputs, the targets in `fuzz/`
//! with new ones.

use std::fmt::Write;

use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, Uri};
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::FutureExt;
use serde_json::Value;
use tower::ServiceExt;

use crate::gateway::api::{self, ListParams};
use crate::gateway::clients::admission::credentials::ConnectParams;
use crate::gateway::clients::dialect::v1::{self, Inbound};
use crate::gateway::url::{Params, SessionPath, UserPath};
use crate::id::{DeviceId, MessageId, UserId};
use crate::push::{Message, PayloadKind};

/// A text frame of a client that speaks `pushmesh.v1`.
pub(crate) fn envelope(data: &[u8]) {
    let text = Bytes::copy_from_slice(data);
    // What it carries is the same when it is pushed on.
    if let Ok(Inbound::Message(payload)) = v1::parse(&text) {
        let (kind, bytes) = (payload.kind, payload.bytes.clone());
        let id = MessageId::new("m").expect("a letter is an id");
        let pushed = v1::message(&Message::new(id, false, payload));
        let value: Value = serde_json::from_slice(&pushed).expect("an envelope is JSON");
        let carried = match kind {
            PayloadKind::Text => value["data"].as_str().map(|text| text.as_bytes().to_vec()),
            PayloadKind::Binary => value["base64"].as_str().and_then(|text| STANDARD.decode(text).ok()),
        };
        assert_eq!(carried.as_deref(), Some(&bytes[..]), "{value}");
    }
}

/// The body of `POST /v1/push`.
pub(crate) fn ndjson(data: &[u8]) {
    api::ndjson(data);
}

/// The target of a request: ids in the path, parameters in the query.
pub(crate) fn url(data: &[u8]) {
    let Ok(uri) = Uri::try_from(data) else { return };
    let Some((status, ids)) = asked(uri) else { return };
    assert!(
        matches!(status, StatusCode::OK | StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND),
        "{status} for {data:?}"
    );
    let Some((user, device)) = ids else { return };
    // The ids of which all characters are escaped are the same.
    let again = match &device {
        Some(device) => format!("/v1/users/{}/devices/{}", escaped(user.as_str()), escaped(device.as_str())),
        None => format!("/v1/users/{}", escaped(user.as_str())),
    };
    let again = Uri::try_from(again).expect("it is made of characters of URLs");
    assert_eq!(asked(again), Some((StatusCode::OK, Some((user, device)))), "{data:?}");
}

/// The ids that a path says.
type Ids = Option<(UserId, Option<DeviceId>)>;

/// How a request is answered that only reads its URL, and the ids that were read.
fn asked(uri: Uri) -> Option<(StatusCode, Ids)> {
    let routes = Router::<()>::new()
        .route("/v1/users/{user}", get(user))
        .route("/v1/users/{user}/devices/{device}", get(session))
        .route("/v1/sessions", get(sessions))
        .route("/v1/ws", get(connect));
    let request = Request::builder().uri(uri).body(axum::body::Body::empty()).ok()?;
    let response = routes.oneshot(request).now_or_never().expect("nothing waits").ok()?;
    Some((response.status(), response.extensions().get::<Ids>().cloned().flatten()))
}

async fn user(UserPath(user): UserPath) -> axum::Extension<Ids> {
    axum::Extension(Some((user, None)))
}

async fn session(SessionPath(key): SessionPath) -> axum::Extension<Ids> {
    axum::Extension(Some((key.user, Some(key.device))))
}

async fn sessions(Params(_): Params<ListParams>) {}

async fn connect(Params(_): Params<ConnectParams>) {}

fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        write!(escaped, "%{byte:02X}").expect("a text takes all");
        escaped
    })
}
