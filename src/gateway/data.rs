//! Payloads inside JSON: `data` for text, `base64` for binary.
//!
//! A string in `data` is sent as its text, anything else as its exact JSON text. The bytes are
//! slices of what was read wherever that does not pin much more memory than it saves.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::push::{Payload, PayloadKind};

/// Why there is no payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum DataError {
    #[error("there is nothing to send: give `data` (text or JSON) or `base64` (binary)")]
    Missing,
    #[error("`data` and `base64` exclude each other: give one of them")]
    Both,
    #[error("`base64` is not a string of standard base64 with padding")]
    Base64,
    #[error("`data` holds a character that is not valid Unicode, such as a lone surrogate")]
    Text,
}

/// The payload of an object whose text is `whole`, which both values borrow from.
pub(super) fn payload(
    whole: &Bytes,
    data: Option<&RawValue>,
    base64: Option<&RawValue>,
) -> Result<Payload, DataError> {
    match (data, base64) {
        (None, None) => Err(DataError::Missing),
        (Some(_), Some(_)) => Err(DataError::Both),
        (Some(data), None) => {
            let text = if data.get().starts_with('"') {
                string(data).ok_or(DataError::Text)?
            } else {
                Cow::Borrowed(data.get())
            };
            let bytes = match text {
                Cow::Borrowed(text) => compact(whole.slice_ref(text.as_bytes())),
                Cow::Owned(text) => Bytes::from(text),
            };
            Ok(Payload { kind: PayloadKind::Text, bytes })
        }
        (None, Some(base64)) => {
            let text = string(base64).ok_or(DataError::Base64)?;
            let bytes = STANDARD.decode(text.as_bytes()).map_err(|_| DataError::Base64)?;
            Ok(Payload::binary(bytes))
        }
    }
}

/// The text of a JSON string; borrowed where it has no escapes.
fn string(value: &RawValue) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    serde_json::from_str::<Text<'_>>(value.get()).ok().map(|text| text.0)
}

/// For optional fields where `null` is a value and not an absence.
pub(super) fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

/// A short slice is copied: it would keep the whole buffer of its connection alive for as long as
/// it waits in an outbox, where only its own length is counted.
pub(super) fn compact(bytes: Bytes) -> Bytes {
    if bytes.len() <= COPY_BYTES_MAX { Bytes::copy_from_slice(&bytes) } else { bytes }
}

/// Guess: a page. The buffers that slices come from have at most 16 of them.
const COPY_BYTES_MAX: usize = 4 << 10;
const _: () = assert!(crate::limits::HTTP_BUFFER_BYTES <= 16 * COPY_BYTES_MAX);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Deserialize)]
    struct Object<'a> {
        #[serde(default, borrow, deserialize_with = "present")]
        data: Option<&'a RawValue>,
        #[serde(default, borrow, deserialize_with = "present")]
        base64: Option<&'a RawValue>,
    }

    fn parse(text: &str) -> Result<Payload, DataError> {
        let whole = Bytes::copy_from_slice(text.as_bytes());
        let object: Object<'_> = serde_json::from_slice(&whole).unwrap();
        payload(&whole, object.data, object.base64)
    }

    #[test]
    fn a_string_is_sent_as_its_text_and_anything_else_as_its_json() {
        let cases = [
            (r#"{"data":"hi"}"#, "hi"),
            (r#"{"data":"a\"b\nü\u00e9"}"#, "a\"b\nüé"),
            (r#"{"data":""}"#, ""),
            (r#"{"data": {"b":1, "a":[1.50,null]} }"#, r#"{"b":1, "a":[1.50,null]}"#),
            (r#"{"data":null}"#, "null"),
            (r#"{"data":12345678901234567890123}"#, "12345678901234567890123"),
        ];
        for (text, sent) in cases {
            assert_eq!(parse(text), Ok(Payload::text(sent)), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_payload_is_told_apart() {
        assert_eq!(parse(r#"{"base64":"AP8="}"#), Ok(Payload::binary(vec![0, 255])));
        assert_eq!(parse("{}"), Err(DataError::Missing));
        assert_eq!(parse(r#"{"data":1,"base64":""}"#), Err(DataError::Both));
        assert_eq!(parse(r#"{"base64":"AP8"}"#), Err(DataError::Base64));
        assert_eq!(parse(r#"{"base64":7}"#), Err(DataError::Base64));
        assert_eq!(parse(r#"{"data":"\ud800"}"#), Err(DataError::Text));
    }

    #[test]
    fn a_long_text_is_a_slice_of_what_was_read() {
        let whole = Bytes::from(format!(r#"{{"data":"{}"}}"#, "x".repeat(COPY_BYTES_MAX + 1)));
        let object: Object<'_> = serde_json::from_slice(&whole).unwrap();
        let payload = payload(&whole, object.data, None).unwrap();
        assert_eq!(payload.bytes.as_ptr(), whole[9..].as_ptr());
    }

    proptest! {
        #[test]
        fn any_text_survives_the_way_through_json(text in any::<String>()) {
            let json = serde_json::json!({ "data": text }).to_string();
            prop_assert_eq!(parse(&json), Ok(Payload::text(text)));
        }
    }
}
