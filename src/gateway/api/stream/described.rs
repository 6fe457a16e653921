//! What `openapi.json` says of the stream of pushes, and of its lines.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::ANSWER_CHUNKS_MAX;
use crate::gateway::body::STALL_MAX;
use crate::gateway::openapi::call::Call;
use crate::gateway::openapi::schemas::reference;
use crate::gateway::schema::{BroadcastAnswer, ErrorCode, LineAnswer, LineRefused, PushAnswer};
use crate::id::{DeviceId, MessageId, UserId};
use crate::limits;

pub(in crate::gateway) fn push() -> Call {
    let line = json!({ "application/x-ndjson": { "schema": reference("PushLine") } });
    let answers = ["PushLineAnswer", "BroadcastLineAnswer", "PushLineError"].map(reference);
    Call::backend("pushStream", "push", "Many pushes over one request, as lines of JSON in both directions")
        .text(text())
        .body(json!({ "required": true, "content": line }))
        .answers_as(
            StatusCode::OK,
            "One line for each line.",
            json!({ "application/x-ndjson": { "schema": { "oneOf": answers } } }),
        )
        .refuses(
            ErrorCode::Overloaded,
            "this node works on as many requests, or has as many connections, as it may",
        )
        .refuses(ErrorCode::NotReady, "this node drains, or has just started")
        .refuses(
            ErrorCode::BadRequest,
            "there is a parameter, a TTL or an Idempotency-Key: lines say these for themselves",
        )
        .with::<LineAnswer<PushAnswer>>("PushLineAnswer")
        .with::<LineAnswer<BroadcastAnswer>>("BroadcastLineAnswer")
        .with::<LineRefused>("PushLineError")
        .with::<UserId>("UserId")
        .with::<DeviceId>("DeviceId")
        .with::<MessageId>("MessageId")
        .with_schema("PushLine", line_schema())
        .with_schema("Target", target_schema())
}

fn text() -> String {
    format!(
        "One answer for each line that is not blank, in order, streamed while the body is still being sent. A line that \
         is not understood is answered with an error and does not end the stream. A line has at most twice the bytes of \
         the largest payload and {} KiB. A caller that reads only after it has sent everything is served up to {} MiB of \
         answers. The node ends a stream that says nothing for {} s, that breaks off, or that is open when it drains: the \
         last line is an error with the number of the first line that was not taken.",
        limits::NDJSON_LINE_OVERHEAD_BYTES >> 10,
        (ANSWER_CHUNKS_MAX * super::CHUNK_BYTES) >> 20,
        STALL_MAX.as_secs(),
    )
}

/// A line, which is read by [`parse`](super::line::parse).
fn line_schema() -> Value {
    let line = |name: &str, payload: Value| {
        let mut id = reference("MessageId");
        id["description"] = json!("The id that the push travels with.");
        let ttl = json!({
            "type": "integer",
            "minimum": 0,
            "maximum": u32::MAX,
            "description": "How long the message may wait for a client that is away, in seconds; 0: not at all.",
        });
        let wait = json!({
            "enum": ["receipt", "stored", "acked"],
            "description":
                "`stored`: the line is answered once another node holds the message in memory, or a client has acknowledged it; \
                 `acked`: once the clients have acknowledged it; both if that happens in time. Left out: what `--wait-default` \
                 of the node says.",
        });
        json!({
            "type": "object",
            "properties": { "to": reference("Target"), "id": id, "ttl": ttl, "wait": wait, name: payload },
            "required": ["to", name],
            "additionalProperties": false,
        })
    };
    let data =
        json!({ "description": "A string is sent as its text, anything else as its exact JSON text." });
    let base64 = json!({ "type": "string", "contentEncoding": "base64", "description": "A binary payload." });
    json!({ "oneOf": [line("data", data), line("base64", base64)] })
}

fn target_schema() -> Value {
    let of_user = json!({
        "type": "object",
        "properties": { "user": reference("UserId"), "device": reference("DeviceId") },
        "required": ["user"],
        "additionalProperties": false,
    });
    json!({ "oneOf": [{ "const": "all" }, of_user] })
}
