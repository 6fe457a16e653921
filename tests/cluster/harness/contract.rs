//! What `openapi.json` promises, held against every answer that the tests get: there is no status, and no code of an
//! error, that the document does not name for the call.

use std::sync::LazyLock;

use serde_json::Value;

/// Fails unless the document names `status` for the call. Paths and methods that it does not have are not its business.
pub(crate) fn check_status(method: &str, path: &str, status: u16) {
    if let Some(call) = call(method, path) {
        assert!(response(call, status).is_some(), "{method} {path:.80} is not described to answer {status}");
    }
}

/// The same for the code of an error.
pub(crate) fn check_code(method: &str, path: &str, status: u16, code: &str) {
    let Some(call) = call(method, path) else { return };
    let description = response(call, status).and_then(|response| response["description"].as_str());
    assert!(
        description.is_some_and(|text| text.contains(&format!("`{code}`"))),
        "{method} {path:.80} is not described to answer {status} with {code}"
    );
}

/// Every call as method, path and description.
pub(crate) fn calls() -> impl Iterator<Item = (&'static str, &'static str, &'static Value)> {
    let paths = DOCUMENT["paths"].as_object().expect("the document has paths");
    paths.iter().flat_map(|(path, item)| {
        let calls = item.as_object().expect("a path has methods").iter();
        let calls = calls.filter(|(method, _)| *method != "parameters");
        calls.map(move |(method, call)| (method.as_str(), path.as_str(), call))
    })
}

fn call(method: &str, path: &str) -> Option<&'static Value> {
    let path = path.split('?').next().unwrap_or_default();
    let parts: Vec<_> = path.split('/').collect();
    let is_of = |template: &str| {
        let template: Vec<_> = template.split('/').collect();
        let same = |(part, wanted): (&&str, &&str)| wanted.starts_with('{') || part == wanted;
        template.len() == parts.len() && parts.iter().zip(&template).all(same)
    };
    let mut calls = calls();
    calls.find(|(known, path, _)| known.eq_ignore_ascii_case(method) && is_of(path)).map(|(_, _, call)| call)
}

fn response(call: &'static Value, status: u16) -> Option<&'static Value> {
    let response = call["responses"].get(status.to_string())?;
    match response["$ref"].as_str() {
        Some(reference) => DOCUMENT.pointer(reference.trim_start_matches('#')),
        None => Some(response),
    }
}

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../src/gateway/openapi.json")).expect("the document is JSON")
});
