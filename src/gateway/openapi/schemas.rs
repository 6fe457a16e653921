//! The schemas of `openapi.json`, made of the types that are written and read.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::gateway::schema::ErrorCode;
use crate::id::{DeviceId, LoginId, MessageId, NodeName, UserId};
use crate::limits;

/// Ids are texts of a pattern.
macro_rules! ids {
    ($($id:ident, $bytes_max:expr, $description:literal, $pattern:expr;)*) => {$(
        impl PartialSchema for $id {
            fn schema() -> RefOr<Schema> {
                let text = ObjectBuilder::new().schema_type(Type::String).description(Some($description));
                let text = text.min_length(Some(1)).max_length(Some($bytes_max));
                text.pattern(Some(format!($pattern, $bytes_max))).into()
            }
        }

        impl ToSchema for $id {}
    )*};
}

ids! {
    UserId, limits::USER_BYTES_MAX, "A user, as the application calls it.", r"^[^\x00-\x1f\x7f-\x9f]{{1,{}}}$";
    DeviceId, limits::DEVICE_BYTES_MAX, "A device of a user.", r"^[^\x00-\x1f\x7f-\x9f]{{1,{}}}$";
    LoginId, limits::LOGIN_BYTES_MAX, "A login of a user.", r"^[^\x00-\x1f\x7f-\x9f]{{1,{}}}$";
    MessageId, limits::MESSAGE_ID_BYTES_MAX, "The id that a push travels with.", "^[!-~]{{1,{}}}$";
    NodeName, limits::NODE_NAME_BYTES_MAX, "A node.", "^[A-Za-z0-9._-]{{1,{}}}$";
}

impl PartialSchema for ErrorCode {
    fn schema() -> RefOr<Schema> {
        let words = ErrorCode::ALL.iter().map(|code| code.as_str());
        let text = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words));
        text.description(Some("A word for programs. A later version may have more of them.")).into()
    }
}

impl ToSchema for ErrorCode {}

/// Schemas by the names that references to them have.
#[derive(Default)]
pub(super) struct Schemas(pub(super) BTreeMap<String, Value>);

impl Schemas {
    /// Adds that of a type, and those that it refers to.
    pub(super) fn add<T: ToSchema>(&mut self, name: &str) {
        let mut schemas = vec![(name.to_owned(), T::schema())];
        T::schemas(&mut schemas);
        for (name, schema) in schemas {
            self.insert(&name, serde_json::to_value(schema).unwrap());
        }
    }

    /// Adds one. There is no other of its name.
    pub(super) fn insert(&mut self, name: &str, schema: Value) {
        let before = self.0.insert(name.to_owned(), schema.clone());
        assert!(before.is_none_or(|before| before == schema), "there are two schemas {name}");
    }

    /// Adds all of `others`.
    pub(super) fn extend(&mut self, others: Schemas) {
        others.0.iter().for_each(|(name, schema)| self.insert(name, schema.clone()));
    }

    /// Adds that of [`Refused`](crate::gateway::schema::Refused) with a `T`, and refers to it: all of the answer or
    /// nothing, which a derived schema cannot say.
    pub(super) fn add_error<T: ToSchema>(&mut self) -> Value {
        let answer = T::name();
        self.add::<T>(&answer);
        let name = format!("{}Error", answer.strip_suffix("Answer").expect("it is called an answer"));
        let told = json!({ "allOf": [reference("Error"), reference(&answer)] });
        self.insert(&name, json!({ "anyOf": [told, reference("Error")] }));
        reference(&name)
    }
}

/// A reference to the schema of that name.
pub(in crate::gateway) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}
