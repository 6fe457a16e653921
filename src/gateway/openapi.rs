//! The description of the API for programs: `openapi.json`. The document is made of the table of routes, of the calls
//! that stand beside the handlers, and of the types of the answers: `UPDATE_OPENAPI=1 cargo test --lib openapi` writes it.

use axum::http::header;
use axum::response::{IntoResponse, Response};

#[cfg(test)]
pub(super) mod call;
#[cfg(test)]
mod document;
#[cfg(test)]
pub(super) mod parameter;
#[cfg(test)]
pub(super) mod schemas;

/// `GET /openapi.json`
pub(super) async fn show() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}

const DOCUMENT: &str = include_str!("openapi.json");

#[cfg(test)]
pub(super) mod described {
    use axum::http::StatusCode;
    use serde_json::json;

    use super::call::Call;

    pub(in crate::gateway) fn show() -> Call {
        let object = json!({ "application/json": { "schema": { "type": "object" } } });
        Call::open("openapi", "This document").answers_as(StatusCode::OK, "This document.", object)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::gateway::{api, routes};

    fn document() -> Value {
        serde_json::from_str(DOCUMENT).unwrap()
    }

    /// What the document has to be.
    fn made() -> Value {
        document::document(api::guarded().into_iter().chain(routes::open()).collect())
    }

    #[test]
    fn the_document_is_made_of_the_routes_and_what_stands_beside_them() {
        let made = made();
        if std::env::var_os("UPDATE_OPENAPI").is_some() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/gateway/openapi.json");
            let text = serde_json::to_string_pretty(&made).unwrap();
            return std::fs::write(path, text + "\n").unwrap();
        }
        assert_same("", &made, &document());
    }

    /// Panics with the place of the first difference.
    fn assert_same(place: &str, made: &Value, written: &Value) {
        if let (Value::Object(made), Value::Object(written)) = (made, written) {
            let names: BTreeSet<_> = made.keys().chain(written.keys()).collect();
            for name in names {
                let of = |fields: &serde_json::Map<_, _>| fields.get(name).cloned().unwrap_or_default();
                assert_same(&format!("{place}/{name}"), &of(made), &of(written));
            }
            return;
        }
        assert_eq!(made, written, "{place} is made so: write it anew with UPDATE_OPENAPI=1");
    }

    #[test]
    fn every_reference_in_the_document_leads_somewhere() {
        fn check(root: &Value, value: &Value) {
            match value {
                Value::Object(fields) => {
                    if let Some(Value::String(reference)) = fields.get("$ref") {
                        let pointer = reference.strip_prefix('#').unwrap();
                        assert!(root.pointer(pointer).is_some(), "{reference} leads nowhere");
                    }
                    fields.values().for_each(|field| check(root, field));
                }
                Value::Array(items) => items.iter().for_each(|item| check(root, item)),
                _ => {}
            }
        }
        let document = made();
        assert_eq!(document["openapi"], "3.1.0");
        check(&document, &document);
    }

    #[test]
    fn ids_have_the_patterns_of_their_rules() {
        use crate::id::{DeviceId, MessageId, NodeName, UserId};
        use crate::limits;

        let printable = |max: usize| format!(r"^[^\x00-\x1f\x7f-\x9f]{{1,{max}}}$");
        let user = printable(limits::USER_BYTES_MAX);
        let device = printable(limits::DEVICE_BYTES_MAX);
        let message = format!("^[!-~]{{1,{}}}$", limits::MESSAGE_ID_BYTES_MAX);
        let node = format!("^[A-Za-z0-9._-]{{1,{}}}$", limits::NODE_NAME_BYTES_MAX);
        // The classes in these patterns are what the types take.
        for c in (0..=0x10_ffff).filter_map(char::from_u32) {
            let text = c.to_string();
            let printable = !('\0'..='\x1f').contains(&c) && !('\x7f'..='\u{9f}').contains(&c);
            assert_eq!(UserId::new(&text).is_ok(), printable, "{c:?}");
            assert_eq!(DeviceId::new(&text).is_ok(), printable, "{c:?}");
            assert_eq!(MessageId::new(&text).is_ok(), ('!'..='~').contains(&c), "{c:?}");
            let of_name = c.is_ascii_alphanumeric() || "._-".contains(c);
            assert_eq!(NodeName::new(&text).is_ok(), of_name, "{c:?}");
        }
        fn check(value: &Value, patterns: &[(&str, &str)]) {
            if let Some(properties) = value["properties"].as_object() {
                for (name, pattern) in patterns {
                    let schema = &properties.get(*name).unwrap_or(&Value::Null);
                    let is_text = schema["type"] == "string" || schema["type"][0] == "string";
                    assert!(!is_text || schema["pattern"] == *pattern, "{name}: {schema}");
                }
            }
            // A parameter names itself.
            let named = patterns.iter().find(|(name, _)| value["name"] == *name && value["in"].is_string());
            if let Some((name, pattern)) = named {
                assert_eq!(value["schema"]["pattern"], *pattern, "{name}");
            }
            match value {
                Value::Object(fields) => fields.values().for_each(|field| check(field, patterns)),
                Value::Array(items) => items.iter().for_each(|item| check(item, patterns)),
                _ => {}
            }
        }
        let document = made();
        let ids = [
            ("user", user.as_str()),
            ("device", device.as_str()),
            ("id", message.as_str()),
            ("Idempotency-Key", message.as_str()),
            ("node", node.as_str()),
        ];
        check(&document, &ids);
        let types = [("UserId", user), ("DeviceId", device), ("MessageId", message), ("NodeName", node)];
        for (name, pattern) in &types {
            assert_eq!(document["components"]["schemas"][name]["pattern"], *pattern, "{name}");
        }
    }
}
