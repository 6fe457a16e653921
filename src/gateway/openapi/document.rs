//! `openapi.json` as a whole, made of the routes and of the calls beside them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::http::{HeaderName, header};
use serde_json::{Value, json};

use super::call::{Call, Refusal};
use super::parameter::{Parameter, of_path};
use super::schemas::{Schemas, reference};
use crate::gateway::error::headers;
use crate::gateway::route::Route;
use crate::gateway::schema::{ErrorBody, ErrorCode};
use crate::limits;

/// The document of these routes.
pub(super) fn document(routes: Vec<Route>) -> Value {
    let mut paths = BTreeMap::<&str, Value>::new();
    let mut schemas = Schemas::default();
    schemas.add::<ErrorBody>("ErrorBody");
    let error =
        json!({ "type": "object", "properties": { "error": reference("ErrorBody") }, "required": ["error"] });
    schemas.insert("Error", error);
    for Route { method, path, call, .. } in routes {
        let item = paths.entry(path).or_insert_with(|| item(path));
        assert!(item.get(method).is_none(), "{method} {path} is there twice");
        item[method] = operation(&call);
        schemas.extend(call.schemas);
    }
    let responses: BTreeMap<_, _> =
        SHARED.into_iter().map(|code| (format!("{code:?}"), response(&[&Refusal::usual(code)]))).collect();
    let tags = ["push", "sessions", "cluster", "clients", "operations"].map(|name| json!({ "name": name }));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "pushmesh",
            "version": "1",
            "license": { "name": "MIT OR Apache-2.0" },
            "description": ABOUT,
        },
        "security": [{ "apiKey": [] }],
        "tags": tags,
        "paths": paths,
        "components": {
            "securitySchemes": security_schemes(),
            "responses": responses,
            "schemas": schemas.0,
        },
    })
}

/// What all methods of a path have in common.
fn item(path: &str) -> Value {
    let parameters = of_path(path);
    if parameters.is_empty() { json!({}) } else { json!({ "parameters": values(&parameters) }) }
}

fn operation(call: &Call) -> Value {
    let mut operation = json!({ "operationId": call.id, "summary": call.summary, "tags": [call.tag], "responses": responses(call) });
    let optional = [
        ("description", call.description.as_ref().map(|text| json!(text))),
        ("security", call.security.clone()),
        ("parameters", (!call.parameters.is_empty()).then(|| values(&call.parameters))),
        ("requestBody", call.body.clone()),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            operation[name] = value;
        }
    }
    operation
}

fn values(parameters: &[Parameter]) -> Value {
    parameters.iter().map(Parameter::value).collect()
}

/// The answers of a call by their status.
fn responses(call: &Call) -> BTreeMap<String, Value> {
    let mut by_status = BTreeMap::<_, Vec<&Refusal>>::new();
    for refusal in &call.refusals {
        by_status.entry(refusal.code.status()).or_default().push(refusal);
    }
    let refusals = by_status.into_iter().map(|(status, mut refusals)| {
        refusals.sort_by_key(|refusal| refusal.code);
        let value = match refusals[..] {
            [Refusal { code, text: None, .. }] if SHARED.contains(code) => {
                json!({ "$ref": format!("#/components/responses/{code:?}") })
            }
            _ => response(&refusals),
        };
        (status, value)
    });
    let all = call.answers.iter().cloned().chain(refusals);
    all.map(|(status, response)| (status.as_str().to_owned(), response)).collect()
}

/// The answer with one status, which has one code of several.
fn response(refusals: &[&Refusal]) -> Value {
    let texts: Vec<_> = refusals
        .iter()
        .map(|Refusal { code, text, .. }| {
            let text = text.clone().unwrap_or_else(|| usual_text(*code));
            format!("`{}`: {text}.", code.as_str())
        })
        .collect();
    let schema = refusals.iter().find_map(|refusal| refusal.schema.clone());
    let schema = schema.unwrap_or_else(|| reference("Error"));
    let mut response = json!({
        "description": texts.join(" "),
        "content": { "application/json": { "schema": schema } },
    });
    for Refusal { code, .. } in refusals {
        let allow = (*code == ErrorCode::MethodNotAllowed).then_some((header::ALLOW, ""));
        for (name, value) in headers(*code).into_iter().chain(allow) {
            response["headers"][spelled(&name)] = described(&name, value);
        }
    }
    response
}

/// When any call is refused with that code.
fn usual_text(code: ErrorCode) -> Cow<'static, str> {
    let bounded = |what, bytes_max| Cow::Owned(format!("{what} at most {} KiB", bytes_max >> 10));
    let text = match code {
        ErrorCode::BadRequest => "the request is not understood",
        ErrorCode::Unauthorized => "credentials are missing or wrong",
        ErrorCode::MethodNotAllowed => "the path has other methods",
        ErrorCode::PayloadTooLarge => "more bytes than a payload may have",
        ErrorCode::UriTooLong => return bounded("path and query have", limits::URL_BYTES_MAX),
        ErrorCode::UnsupportedEncoding => "the body has a Content-Encoding other than identity",
        ErrorCode::HeadersTooLarge => return bounded("all headers together have", limits::HEADER_BYTES_MAX),
        ErrorCode::UnsupportedTransferEncoding => "the body has a transfer coding beside chunked",
        ErrorCode::Overloaded => "this node works on as many requests as it may",
        ErrorCode::NotReady => "this node has just started and answers probes only",
        _ => panic!("{code:?} is explained by the calls that are refused with it"),
    };
    Cow::Borrowed(text)
}

/// A header of an answer, which has one value or one meaning.
fn described(name: &HeaderName, value: &str) -> Value {
    match *name {
        header::RETRY_AFTER => json!({ "description": "Seconds to wait.", "schema": { "type": "integer" } }),
        header::ALLOW => {
            json!({ "description": "The methods of this path.", "schema": { "type": "string" } })
        }
        _ => json!({ "schema": { "const": value } }),
    }
}

/// The name of a header as people write it.
fn spelled(name: &HeaderName) -> String {
    if *name == header::WWW_AUTHENTICATE {
        return "WWW-Authenticate".to_owned();
    }
    let parts = name.as_str().split('-').map(|part| match part {
        "websocket" => "WebSocket".to_owned(),
        part => part[..1].to_ascii_uppercase() + &part[1..],
    });
    parts.collect::<Vec<_>>().join("-")
}

fn security_schemes() -> Value {
    json!({
        "apiKey": {
            "type": "http",
            "scheme": "bearer",
            "description": "An API key. Not needed with --dev.",
        },
        "clientToken": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description":
                "HS256, RS256, ES256 or EdDSA; `sub` is the user, `device` optional, `exp` required and honoured while connected.",
        },
        "clientTokenInQuery": { "type": "apiKey", "in": "query", "name": "token" },
    })
}

const ABOUT: &str = "Push to WebSocket clients through any node of a cluster. Every answer carries `x-request-id`: the \
    caller's own if it sent one of 1 to 64 printable ASCII characters, else a new one. Every error has the same body. A \
    path answers a method that it does not have with 405 `method_not_allowed` (the response `MethodNotAllowed`). A head \
    that is not understood, such as one without a Host, or with an escape in path or query that is none, is 400 \
    `bad_request` everywhere. While a node is joining, calls answer from what it knows so far.";

/// Refusals that calls have in common.
const SHARED: [ErrorCode; 9] = [
    ErrorCode::BadRequest,
    ErrorCode::Unauthorized,
    ErrorCode::MethodNotAllowed,
    ErrorCode::PayloadTooLarge,
    ErrorCode::UriTooLong,
    ErrorCode::UnsupportedEncoding,
    ErrorCode::HeadersTooLarge,
    ErrorCode::UnsupportedTransferEncoding,
    ErrorCode::NotReady,
];
