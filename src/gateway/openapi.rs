//! The description of the API for programs: `openapi.json`, written by hand and tested against the
//! table of routes.

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
    use crate::gateway::{api, open};

    fn document() -> Value {
        serde_json::from_str(DOCUMENT).unwrap()
    }

    #[test]
    fn the_document_and_the_table_of_routes_name_the_same_calls() {
        let routed: BTreeSet<_> = api::guarded()
            .into_iter()
            .chain(open())
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
}
