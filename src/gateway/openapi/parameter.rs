//! The parameters of calls: those in the path by their names, those in the query by the type that reads them.

use serde_json::{Value, json};
use utoipa::PartialSchema;

use crate::gateway::url::{FromQuery, Query};
use crate::id::{DeviceId, NodeName, UserId};
use crate::limits;

/// One parameter of a call.
pub(in crate::gateway) struct Parameter {
    name: &'static str,
    place: &'static str,
    text: String,
    schema: Value,
}

impl Parameter {
    /// One in the query.
    pub(in crate::gateway) fn query(name: &'static str, text: &str, schema: Value) -> Self {
        Self { name, place: "query", text: text.to_owned(), schema }
    }

    /// A header.
    pub(super) fn header(name: &'static str, text: &str, schema: Value) -> Self {
        Self { name, place: "header", text: text.to_owned(), schema }
    }

    /// One in the path.
    fn path(name: &str) -> Self {
        let rule = |bytes_max| {
            format!("1 to {bytes_max} bytes of UTF-8 without control characters, percent-encoded.")
        };
        let (name, text, schema) = match name {
            "user" => ("user", rule(limits::USER_BYTES_MAX), schema::<UserId>()),
            "device" => ("device", rule(limits::DEVICE_BYTES_MAX), schema::<DeviceId>()),
            "node" => {
                let bytes_max = limits::NODE_NAME_BYTES_MAX;
                let text = format!("The name of a node: 1 to {bytes_max} letters, digits, `.`, `_`, `-`.");
                ("node", text, schema::<NodeName>())
            }
            _ => panic!("nothing is known of a {name} in a path"),
        };
        Self { name, place: "path", text, schema }
    }

    /// As the document has it.
    pub(super) fn value(&self) -> Value {
        let mut value = json!({
            "name": self.name, "in": self.place, "description": self.text, "schema": self.schema,
        });
        if self.place == "path" {
            value["required"] = json!(true);
        }
        value
    }
}

/// Parameters in the query that are described beside the code that reads them.
pub(in crate::gateway) trait Described: FromQuery {
    /// In the order of [`FromQuery::from_query`].
    fn parameters() -> Vec<Parameter>;

    /// The parameters, which are those that are read.
    fn checked_parameters() -> Vec<Parameter> {
        let parameters = Self::parameters();
        let described: Vec<_> = parameters.iter().map(|parameter| parameter.name).collect();
        let mut query = Query::default();
        Self::from_query(&mut query).expect("no parameter has to be there");
        assert_eq!(query.names_taken(), described, "what is read and what is described");
        parameters
    }
}

/// The parameters in a path, in their order.
pub(super) fn of_path(path: &str) -> Vec<Parameter> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names.map(Parameter::path).collect()
}

/// The schema of an id where it stands by itself.
pub(in crate::gateway) fn schema<T: PartialSchema>() -> Value {
    serde_json::to_value(T::schema()).unwrap()
}
