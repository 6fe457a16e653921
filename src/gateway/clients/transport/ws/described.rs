//! What `openapi.json` says of opening a WebSocket.

use axum::http::StatusCode;
use serde_json::json;

use crate::gateway::clients::admission::credentials::ConnectParams;
use crate::gateway::openapi::call::Call;
use crate::gateway::schema::ErrorCode;

pub(in crate::gateway) fn open() -> Call {
    Call::client("connect", "clients", "Open a WebSocket")
        .text(TEXT)
        .security(json!([{ "clientToken": [] }, { "clientTokenInQuery": [] }, {}]))
        .query::<ConnectParams>()
        .header("Sec-WebSocket-Protocol", "`pushmesh.v1` for envelopes.", json!({ "type": "string" }))
        .answers_empty(StatusCode::SWITCHING_PROTOCOLS, "The session is open.")
        .refuses(
            ErrorCode::BadResume,
            "the resume token is not one of this user and this cluster, connect without it",
        )
        .refuses_as_usual(ErrorCode::Unauthorized)
        .refuses(
            ErrorCode::Forbidden,
            "the origin is not allowed, or the token or the resume token is bound to another user or device",
        )
        .refuses(
            ErrorCode::SessionExists,
            "with --takeover reject-newer the device is connected already, and the resume token of that session was not \
             shown",
        )
        .refuses(ErrorCode::UpgradeRequired, "not a WebSocket handshake")
        .refuses(
            ErrorCode::TooManySessions,
            "the user has as many as it may have. Not with --takeover one-per-user or max-per-user=N, where the oldest \
             makes room",
        )
        .refuses(
            ErrorCode::TooManyRequests,
            "clients connect more often from this address, or for this user, than --connects-per-address and \
             --connects-per-user allow, or two clients take this session from each other; has Retry-After",
        )
        .refuses(ErrorCode::Overloaded, "this node is full")
        .refuses(ErrorCode::NotReady, "this node is joining or draining")
}

const TEXT: &str = "Without subprotocol each frame is a payload as pushed. With `pushmesh.v1` frames are JSON: the server \
    sends `welcome`, `message`, `expiring`, `renewed`, `pong` and `error`, the client `message`, `ack`, `token` and `ping`. Close codes: 1000 bye or idle, \
    1002 protocol error, 1007 text that is not UTF-8, 1008 policy, 1009 message too big, 1011 internal error, 1012 \
    restarting, 1013 try later, 4001 superseded, 4002 kicked, 4003 token expired, 4004 slow consumer. With 1012, 1013 and 4003 \
    the reason is `{\"retry_ms\":n}`. A client that may not connect is told so by the status, or, with `pushmesh.v1` or \
    `?errors=close`, by a close code after the handshake: 4400, 4401, 4403, 4409 or 4429, whose reason begins with the code of \
    the error, or 1013.";
