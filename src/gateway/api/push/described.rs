//! What `openapi.json` says of the calls that push one message.

use axum::http::StatusCode;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::PushParams;
use crate::gateway::openapi::call::Call;
use crate::gateway::openapi::parameter::{Described, Parameter, schema};
use crate::gateway::schema::{Accepted, BroadcastAnswer, ErrorCode, PushAnswer};
use crate::id::MessageId;

impl Described for PushParams {
    fn parameters() -> Vec<Parameter> {
        let text = "`none`: answer 202 at once. `receipt`: wait for the owners' receipts. `stored`: before that wait until \
                    another node holds the message in memory, or the client has acknowledged it, for up to a second. `acked`: \
                    wait for the clients that acknowledge, for up to a second. Left out: what `--wait-default` of the node says.";
        vec![Parameter::query("wait", text, json!({ "enum": ["none", "receipt", "stored", "acked"] }))]
    }
}

pub(in crate::gateway) fn user() -> Call {
    push("pushToUser", "Push to all sessions of a user")
}

pub(in crate::gateway) fn session() -> Call {
    push("pushToSession", "Push to one session")
}

pub(in crate::gateway) fn broadcast() -> Call {
    message("broadcast", "Push to every session of the cluster")
        .answers::<BroadcastAnswer>(StatusCode::OK, "What happened, by node.")
        .fails::<BroadcastAnswer>(
            ErrorCode::IdReused,
            "no session has it, and some have, or had, another message with the same Idempotency-Key",
        )
        .refuses(
            ErrorCode::NotReady,
            "this node has not joined its cluster yet and may not know all nodes; nothing was sent",
        )
}

fn push(id: &'static str, summary: &'static str) -> Call {
    let call = message(id, summary)
        .answers::<PushAnswer>(StatusCode::OK, "At least one session has it, or holds it in its outbox.")
        .fails::<PushAnswer>(ErrorCode::NoSession, "nobody to deliver to")
        .fails::<PushAnswer>(
            ErrorCode::IdReused,
            "another message was pushed to every session that could be asked with the same Idempotency-Key",
        )
        .fails::<PushAnswer>(ErrorCode::Interrupted, "the connection broke during the write")
        .fails::<PushAnswer>(
            ErrorCode::NotStored,
            "`wait=stored`: no client has acknowledged it and no other node is known to hold it",
        );
    unanswered::<PushAnswer>(call)
}

/// A call whose body is a message.
fn message(id: &'static str, summary: &'static str) -> Call {
    let key = "The id of the push; a repetition with the same is delivered once, within the owner's window, and another \
               message with it is refused with 409 `id_reused`.";
    let ttl = "Seconds that the message may wait for a client that is away and whose session is kept; 0: not at all. Without it \
               the message waits for as long as the session is kept.";
    Call::backend(id, "push", summary)
        .query::<PushParams>()
        .header("Idempotency-Key", key, schema::<MessageId>())
        .header("TTL", ttl, json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX }))
        .body(payload())
        .answers::<Accepted>(StatusCode::ACCEPTED, "`wait=none`: on its way, nobody waited.")
        .refuses_as_usual(ErrorCode::PayloadTooLarge)
}

fn payload() -> Value {
    json!({
        "description":
            "The payload. `application/octet-stream` becomes a binary frame, every other type a text frame.",
        "content": {
            "text/plain": { "schema": { "type": "string" } },
            "application/json": { "schema": {} },
            "application/octet-stream": { "schema": { "type": "string", "format": "binary" } },
        },
    })
}

/// What a call says that asks owners and may hear nothing of them.
pub(in crate::gateway::api) fn unanswered<T: ToSchema>(call: Call) -> Call {
    call.fails::<T>(
        ErrorCode::Overloaded,
        "a queue on the way is full, or this node works on as many requests as it may",
    )
    .fails::<T>(ErrorCode::NotReady, "this node has not joined its cluster yet, and knows of no session")
    .fails::<T>(ErrorCode::Isolated, "this node reaches no other one, and knows of no session")
    .fails::<T>(
        ErrorCode::Unreachable,
        "the owner did not answer in time, or is not reached, neither directly nor over another node",
    )
}
