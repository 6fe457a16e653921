//! The schemas of `openapi.json`, made of the types: `UPDATE_OPENAPI=1 cargo test --lib schema` writes them there.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use super::*;
use crate::id::{DeviceId, MessageId, NodeName, UserId};
use crate::limits;

/// Ids are texts of a pattern.
macro_rules! ids {
    ($($id:ident, $bytes_max:expr, $description:literal, $pattern:expr;)*) => {$(
        impl PartialSchema for $id {
            fn schema() -> RefOr<Schema> {
                let text = ObjectBuilder::new().schema_type(Type::String).description(Some($description));
                text.max_length(Some($bytes_max)).pattern(Some(format!($pattern, $bytes_max))).into()
            }
        }

        impl ToSchema for $id {}
    )*};
}

ids! {
    UserId, limits::USER_BYTES_MAX, "A user, as the application calls it.", r"^[^\x00-\x1f\x7f-\x9f]{{1,{}}}$";
    DeviceId, limits::DEVICE_BYTES_MAX, "A device of a user.", r"^[^\x00-\x1f\x7f-\x9f]{{1,{}}}$";
    MessageId, limits::MESSAGE_ID_BYTES_MAX, "The id that a push travels with.", "^[!-~]{{1,{}}}$";
    NodeName, limits::NODE_NAME_BYTES_MAX, "A node.", "^[A-Za-z0-9._-]{{1,{}}}$";
}

/// Every answer under the name that the calls of the document refer to, and what it refers to itself.
fn schemas() -> BTreeMap<String, Value> {
    fn add<T: ToSchema>(name: &str, schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((name.to_owned(), T::schema()));
        T::schemas(schemas);
    }
    let mut schemas = Vec::new();
    let all = &mut schemas;
    add::<ErrorBody>("ErrorBody", all);
    add::<Accepted>("Accepted", all);
    add::<PushAnswer>("PushAnswer", all);
    add::<BroadcastAnswer>("BroadcastAnswer", all);
    add::<LineAnswer<PushAnswer>>("PushLineAnswer", all);
    add::<LineAnswer<BroadcastAnswer>>("BroadcastLineAnswer", all);
    add::<LineRefused>("PushLineError", all);
    add::<User>("User", all);
    add::<UserSession>("UserSession", all);
    add::<Explanation>("Explanation", all);
    add::<DisconnectAnswer>("DisconnectAnswer", all);
    add::<SessionPage>("SessionPage", all);
    add::<Session>("Session", all);
    add::<Stats>("Stats", all);
    add::<Nodes>("Nodes", all);
    add::<NodeStatus>("NodeStatus", all);
    add::<Forgotten>("Forgotten", all);
    add::<Ready>("Ready", all);
    let made = schemas.into_iter().map(|(name, schema)| (name, serde_json::to_value(schema).unwrap()));
    made.chain(errors().map(|(name, schema)| (name.to_owned(), schema))).collect()
}

/// [`Refused`], of each call that tells more than the error: all of it or nothing, which a derived schema cannot say.
fn errors() -> impl Iterator<Item = (&'static str, Value)> {
    let to = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    let error =
        json!({ "type": "object", "properties": { "error": to("ErrorBody") }, "required": ["error"] });
    let with = [
        ("PushError", "PushAnswer"),
        ("BroadcastError", "BroadcastAnswer"),
        ("DisconnectError", "DisconnectAnswer"),
    ];
    let with = with.map(|(name, answer)| {
        (name, json!({ "anyOf": [{ "allOf": [to("Error"), to(answer)] }, to("Error")] }))
    });
    std::iter::once(("Error", error)).chain(with)
}

#[test]
fn the_document_describes_the_types_of_the_answers() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/gateway/openapi.json");
    let text = fs::read_to_string(path).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    let described = document["components"]["schemas"].as_object().unwrap();
    let mut made = schemas();
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        for name in BY_HAND {
            made.insert(name.to_owned(), described[name].clone());
        }
        // The schemas are the last part of the document; the others are left as they are.
        let (before, _) = text.split_once(BEGIN).unwrap();
        let schemas = serde_json::to_string_pretty(&made).unwrap().replace('\n', "\n    ");
        return fs::write(path, format!("{before}{BEGIN}{schemas}\n  }}\n}}\n")).unwrap();
    }
    let by_hand: Vec<_> = described.keys().filter(|name| !made.contains_key(*name)).collect();
    assert_eq!(by_hand, BY_HAND, "they are described, and made of no type");
    for (name, schema) in &made {
        assert_eq!(Some(schema), described.get(name), "{name}: write it anew with UPDATE_OPENAPI=1");
    }
}

/// What callers send, which is read without a type that could be described.
const BY_HAND: [&str; 2] = ["PushLine", "Target"];
/// Before the schemas of the document.
const BEGIN: &str = "    \"schemas\": ";
