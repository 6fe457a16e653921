//! JSON objects that come from outside.
//!
//! A struct with a derived `Deserialize` takes an array as well, whose items it reads as its fields in their order:
//! `["42","phone"]` for `{"user":"42","device":"phone"}`. Nobody means that, and whoever sends it has made a mistake
//! that should be told. So everything that callers, clients and signers of tokens send as an object is read here. A
//! field that the struct knows and that is there twice is an error too, which the derived code finds.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

/// Reads the object whose text is `text`.
///
/// # Errors
/// It is not JSON, not an object, or an object with other fields than `T` has. Text that is not UTF-8 is no JSON, also
/// where it stands in a field that is ignored (RFC 8259 section 8.1).
pub(crate) fn object<'de, T: Deserialize<'de>>(text: &'de [u8]) -> serde_json::Result<T> {
    let text = str::from_utf8(text).map_err(|_| serde_json::Error::custom("it is not UTF-8"))?;
    serde_json::from_str(text).map(|Object(fields)| fields)
}

/// A value that is read from an object and from nothing else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Fields(PhantomData)).map(Self)
    }
}

struct Fields<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::value::RawValue;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Outer<'a> {
        name: &'a str,
        #[serde(borrow)]
        rest: &'a RawValue,
        inner: Option<Object<Inner>>,
    }

    #[derive(Debug, Deserialize)]
    struct Inner {
        #[serde(default)]
        number: u8,
    }

    fn refusal(text: &str) -> String {
        object::<Outer<'_>>(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn an_object_is_read_with_what_it_borrows() {
        let text = r#" {"name":"a","rest":[1, 2],"inner":{"number":7}} "#;
        let read: Outer<'_> = object(text.as_bytes()).unwrap();
        let inner = read.inner.map(|Object(inner)| inner.number);
        assert_eq!((read.name, read.rest.get(), inner), ("a", "[1, 2]", Some(7)));
    }

    #[test]
    fn an_array_is_not_an_object_at_any_level() {
        assert!(refusal(r#"["a",1,null]"#).contains("expected an object"));
        assert!(refusal(r#"{"name":"a","rest":1,"inner":[7]}"#).contains("expected an object"));
        assert!(refusal(r#"{"name":"a","rest":1,"inner":[]}"#).contains("expected an object"));
        for other in ["7", "\"a\"", "null", "true", "", "{}x"] {
            refusal(other);
        }
    }

    #[test]
    fn text_that_is_not_utf_8_is_no_json_even_in_a_field_that_is_ignored() {
        let read = |text: &[u8]| object::<Inner>(text).map_err(|error| error.to_string());
        assert!(read(br#"{"number":7,"ignored":"a"}"#).is_ok());
        for text in [&b"{\"ignored\":\"\xff\"}"[..], b"{\"ignored\":[{\"\xc3\":1}]}", b"{\"\xed\xa0\x80\":1}"]
        {
            assert!(read(text).unwrap_err().contains("not UTF-8"), "{text:?}");
        }
    }

    #[test]
    fn a_field_that_is_there_twice_is_an_error() {
        assert!(refusal(r#"{"name":"a","rest":1,"name":"b"}"#).contains("duplicate field `name`"));
        assert!(
            refusal(r#"{"name":"a","rest":1,"inner":{"number":1,"number":2}}"#).contains("duplicate field")
        );
    }
}
