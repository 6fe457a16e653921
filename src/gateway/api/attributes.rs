//! The attributes of a session: read, replaced whole, or merged with a patch.
//!
//! The answer has them as they are from then on, with the login of the session among them.

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};

use crate::attributes::{Attributes, BadAttributes, Change, MergePatch};
use crate::gateway::body;
use crate::gateway::caller::Caller;
use crate::gateway::error::ApiError;
use crate::gateway::url::SessionPath;
use crate::id::SessionKey;
use crate::limits;

/// `GET /v1/users/{user}/devices/{device}/attributes`
pub(super) async fn show(caller: Caller, SessionPath(key): SessionPath) -> Result<Response, ApiError> {
    answer(&caller, &key, Change::Read).await
}

/// `PUT /v1/users/{user}/devices/{device}/attributes`
pub(super) async fn replace(
    caller: Caller,
    SessionPath(key): SessionPath,
    request: Request,
) -> Result<Response, ApiError> {
    let attributes = read(request, JSON, Attributes::parse).await?;
    answer(&caller, &key, Change::Replace(attributes)).await
}

/// `PATCH /v1/users/{user}/devices/{device}/attributes`
pub(super) async fn merge(
    caller: Caller,
    SessionPath(key): SessionPath,
    request: Request,
) -> Result<Response, ApiError> {
    let patch = read(request, MERGE_PATCH, MergePatch::parse).await?;
    answer(&caller, &key, Change::Merge(patch)).await
}

async fn answer(caller: &Caller, key: &SessionKey, change: Change) -> Result<Response, ApiError> {
    let attributes = caller.gateway.router.attributes(key, change).await.map_err(ApiError::attributes)?;
    Ok(([(header::CONTENT_TYPE, JSON)], attributes.as_json().to_owned()).into_response())
}

/// Reads a body of that type.
async fn read<T>(
    request: Request,
    media_type: &'static str,
    parse: fn(&str) -> Result<T, BadAttributes>,
) -> Result<T, ApiError> {
    let (parts, body) = request.into_parts();
    if !is_of(&parts.headers, media_type) {
        return Err(ApiError::unsupported_media_type(media_type));
    }
    let too_large = |len| ApiError::bad_attributes(&BadAttributes::TooLarge { len });
    let bytes = body::read_bounded(body, limits::ATTRIBUTES_BYTES_MAX, too_large).await?;
    let text = str::from_utf8(&bytes)
        .map_err(|_| BadAttributes::NotUnderstood { problem: "it is not UTF-8".to_owned() });
    text.and_then(parse).map_err(|error| ApiError::bad_attributes(&error))
}

/// Whether a body is of that type, with whatever parameters.
fn is_of(headers: &HeaderMap, media_type: &str) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case(media_type))
}

const JSON: &str = "application/json";

/// Source: RFC 7396 section 4.
const MERGE_PATCH: &str = "application/merge-patch+json";

#[cfg(test)]
pub(super) mod described {
    use axum::http::StatusCode;
    use serde_json::{Value, json};

    use super::{JSON, MERGE_PATCH};
    use crate::gateway::openapi::call::Call;
    use crate::gateway::schema::ErrorCode;
    use crate::limits::ATTRIBUTES_BYTES_MAX;

    pub(in crate::gateway) fn show() -> Call {
        call("sessionAttributes", "What the application keeps with a session")
    }

    pub(in crate::gateway) fn replace() -> Call {
        let text = "The object takes the place of the one before, whole. `sid` stays.";
        changes(call("replaceSessionAttributes", "Replace what the application keeps with a session"), JSON)
            .text(text)
    }

    pub(in crate::gateway) fn merge() -> Call {
        let text = "A JSON Merge Patch (RFC 7396): `null` removes a name, an object goes into the one before, every other value \
                    replaces it.";
        changes(
            call("mergeSessionAttributes", "Change what the application keeps with a session"),
            MERGE_PATCH,
        )
        .text(text)
    }

    fn call(id: &'static str, summary: &'static str) -> Call {
        Call::backend(id, "sessions", summary)
            .answers_as(
                StatusCode::OK,
                "The attributes, with the login of the session as `sid`.",
                content(JSON),
            )
            .refuses(ErrorCode::NoSession, "there is no such session, connected or kept")
            .refuses(
                ErrorCode::Overloaded,
                "a queue on the way is full, or this node works on as many requests as it may",
            )
            .refuses(
                ErrorCode::NotReady,
                "this node has not joined its cluster yet, and knows of no such session",
            )
            .refuses(ErrorCode::Isolated, "this node reaches no other one, and knows of no such session")
            .refuses(ErrorCode::NotSupported, "the node that holds the session is of an earlier version")
            .refuses(
                ErrorCode::Unreachable,
                "the owner did not answer in time, or is not reached; a change may or may not be made",
            )
    }

    fn changes(call: Call, media_type: &str) -> Call {
        call.body(json!({ "required": true, "content": content(media_type) }))
            .refuses(
                ErrorCode::BadAttributes,
                "the body is no JSON object with each name once, or has too many levels",
            )
            .refuses(ErrorCode::UnsupportedMediaType, "the body is of another type")
            .refuses(
                ErrorCode::AttributesTooLarge,
                format!(
                    "the body, or what it makes of the attributes, has more than {ATTRIBUTES_BYTES_MAX} bytes"
                ),
            )
            .refuses(ErrorCode::ReservedAttribute, "it has another `sid` than the session, or removes it")
    }

    fn content(media_type: &str) -> Value {
        json!({ media_type: { "schema": { "type": "object" } } })
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    async fn put(content_type: Option<&str>, body: &'static [u8]) -> Result<Attributes, &'static str> {
        let request = Request::builder();
        let request = content_type.into_iter().fold(request, |r, of| r.header(header::CONTENT_TYPE, of));
        let request = request.body(Body::from(body)).unwrap();
        read(request, JSON, Attributes::parse).await.map_err(|error| error.code())
    }

    #[tokio::test]
    async fn a_body_is_of_its_type_and_an_object() {
        let good = Attributes::parse(r#"{"a":1}"#).unwrap();
        for content_type in ["application/json", "Application/JSON ; charset=utf-8"] {
            assert_eq!(put(Some(content_type), b" {\"a\": 1} ").await, Ok(good.clone()), "{content_type}");
        }
        for content_type in [None, Some("text/plain"), Some("application/merge-patch+json"), Some("")] {
            assert_eq!(put(content_type, b"{}").await, Err("unsupported_media_type"), "{content_type:?}");
        }
        for body in [&b""[..], b"[]", b"{", b"{\"a\":\"\xff\"}", b"{\"a\":1,\"a\":2}"] {
            assert_eq!(put(Some(JSON), body).await, Err("bad_attributes"), "{body:?}");
        }
        let long = [b' '; limits::ATTRIBUTES_BYTES_MAX + 1];
        assert_eq!(put(Some(JSON), long.to_vec().leak()).await, Err("attributes_too_large"));
    }
}
