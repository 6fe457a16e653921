//! The description of the API for programs: `openapi.json`. Its calls are written by hand and tested against the table of
//! routes; its schemas are made of the types of the answers (`schema/described.rs`).

use axum::http::header;
use axum::response::{IntoResponse, Response};

/// `GET /openapi.json`
pub(super) async fn show() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}

const DOCUMENT: &str = include_str!("openapi.json");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::gateway::{api, routes};

    fn document() -> Value {
        serde_json::from_str(DOCUMENT).unwrap()
    }

    #[test]
    fn the_document_and_the_table_of_routes_name_the_same_calls() {
        let routed: BTreeSet<_> = api::guarded()
            .into_iter()
            .chain(routes::open())
            .map(|route| (route.path.to_owned(), route.method.to_owned()))
            .collect();
        let document = document();
        let paths = document["paths"].as_object().unwrap();
        let described: BTreeSet<_> = paths
            .iter()
            .flat_map(|(path, item)| {
                item.as_object().unwrap().keys().map(move |key| (path.clone(), key.clone()))
            })
            .filter(|(_, key)| key != "parameters")
            .collect();
        assert_eq!(described, routed);
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
        let document = document();
        assert_eq!(document["openapi"], "3.1.0");
        check(&document, &document);
    }

    #[test]
    fn every_parameter_of_a_path_is_described() {
        let document = document();
        for (path, item) in document["paths"].as_object().unwrap() {
            let in_path = path.matches('{').count();
            let described = item["parameters"].as_array().map_or(0, Vec::len);
            assert_eq!(described, in_path, "{path}");
        }
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
        let document = document();
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
