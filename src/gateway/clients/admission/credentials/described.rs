//! What `openapi.json` says of the parameters that clients connect with.

use serde_json::json;

use super::ConnectParams;
use crate::gateway::openapi::parameter::{Described, Parameter, schema};
use crate::id::{DeviceId, UserId};
use crate::limits::POSITIONS_MAX;
use crate::token::RESUME_TOKEN_BYTES_MAX;

impl Described for ConnectParams {
    fn parameters() -> Vec<Parameter> {
        let device = "The device; the session of a user and a device is exclusive. Without it the token's device, else that \
                      of the resume token, else a random one.";
        let resume = "The `resume` of the last welcome of `pushmesh.v1`, when the client connects again: the session is the \
                      same, and its new connection replaces the old one whatever the clocks of the nodes say.";
        let token = "The client's token, for browsers, which cannot set headers.";
        let keep = "With `pushmesh.v1`: for how many seconds the session is kept while the client is away, at most as many as the \
                    nodes and the token allow.";
        let after = "With `keep` and `resume`: the positions up to which the client has everything, with commas between.";
        let errors = "How the client is told that it may not connect: `close` completes the handshake and closes with 4000 plus the \
                      status, which a browser can read; `status` answers it. Default: `close` with `pushmesh.v1`, else `status`.";
        let (position, more) = ("[0-9a-f]{24}\\.[0-9]+", POSITIONS_MAX - 1);
        let bytes_max = RESUME_TOKEN_BYTES_MAX;
        let resume_token = json!({
            "type": "string",
            "maxLength": bytes_max,
            "pattern": format!("^[A-Za-z0-9_-]{{1,{bytes_max}}}$"),
        });
        vec![
            Parameter::query("token", token, json!({ "type": "string" })),
            Parameter::query("user", "With --dev only: the user, without a token.", schema::<UserId>()),
            Parameter::query("device", device, schema::<DeviceId>()),
            Parameter::query("resume", resume, resume_token),
            Parameter::query("keep", keep, json!({ "type": "integer", "minimum": 0 })),
            Parameter::query(
                "after",
                after,
                json!({ "type": "string", "pattern": format!("^{position}(,{position}){{0,{more}}}$") }),
            ),
            Parameter::query("errors", errors, json!({ "type": "string", "enum": ["close", "status"] })),
        ]
    }
}
