//! One line of `POST /v1/push`.
//!
//! `{"to":{"user":"42"},"data":"hi"}`, also `{"user":"42","device":"phone"}` or `"all"` as `to`,
//! `base64` instead of `data` for binary, and an `id` that makes a retry safe. A field that is not
//! known is an error: it would be a mistake that nobody sees.

use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::gateway::data;
use crate::gateway::error::ApiError;
use crate::id::{DeviceId, MessageId, SessionKey, UserId};
use crate::json;
use crate::push::{Payload, Target, Terms, Wait};

/// A push.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) to: Recipients,
    pub(super) payload: Payload,
    pub(super) id: Option<MessageId>,
    pub(super) terms: Terms,
}

/// Whom a line is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Recipients {
    /// Every session of the cluster.
    All,
    Of(Target),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields<'a> {
    #[serde(borrow)]
    to: &'a RawValue,
    #[serde(default)]
    id: Option<MessageId>,
    #[serde(default, borrow, deserialize_with = "data::present")]
    ttl: Option<&'a RawValue>,
    #[serde(default, borrow, deserialize_with = "data::present")]
    wait: Option<&'a RawValue>,
    #[serde(default, borrow, deserialize_with = "data::present")]
    data: Option<&'a RawValue>,
    #[serde(default, borrow, deserialize_with = "data::present")]
    base64: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct To {
    user: UserId,
    /// Absent means all of the user. `null` is refused: it is what answers say of a device whose name they do not
    /// know, and whoever sends that back does not mean all of them.
    #[serde(default, deserialize_with = "named")]
    device: Option<DeviceId>,
}

fn named<'de, D: Deserializer<'de>>(from: D) -> Result<Option<DeviceId>, D::Error> {
    DeviceId::deserialize(from).map(Some)
}

/// Reads a line.
pub(super) fn parse(line: &Bytes, payload_bytes_max: usize, wait_default: Wait) -> Result<Line, ApiError> {
    let fields: Fields<'_> = json::object(line).map_err(|error| bad("the line", &error))?;
    let to = recipients(fields.to)?;
    let payload = data::payload(line, fields.data, fields.base64)
        .map_err(|error| ApiError::bad_request(error.to_string()))?;
    if payload.bytes.len() > payload_bytes_max {
        return Err(ApiError::payload_too_large(payload_bytes_max));
    }
    let terms = Terms { ttl: ttl(fields.ttl)?, wait: wait(fields.wait)?.unwrap_or(wait_default) };
    Ok(Line { to, payload, id: fields.id, terms })
}

fn recipients(to: &RawValue) -> Result<Recipients, ApiError> {
    if to.get() == r#""all""# {
        return Ok(Recipients::All);
    }
    if !to.get().starts_with('{') {
        return Err(ApiError::bad_request(r#"`to` is {"user":…}, {"user":…,"device":…} or "all""#));
    }
    let To { user, device } = json::object(to.get().as_bytes()).map_err(|error| bad("`to`", &error))?;
    Ok(Recipients::Of(match device {
        Some(device) => Target::Session(SessionKey::new(user, device)),
        None => Target::User(user),
    }))
}

/// How long the message may wait, in seconds. `null` is refused, here and in `wait`: it would be a mistake that nobody sees.
fn ttl(ttl: Option<&RawValue>) -> Result<Option<u32>, ApiError> {
    let message = "`ttl` is a whole number of seconds, 0 to 4294967295: how long the message may wait for a client that is away";
    let seconds = ttl.map(|ttl| ttl.get().parse::<u32>().map_err(|_| ApiError::bad_request(message)));
    seconds.transpose()
}

/// What the answer waits for, if the line says so.
fn wait(wait: Option<&RawValue>) -> Result<Option<Wait>, ApiError> {
    let message = "`wait` is \"receipt\", \"stored\" or \"acked\": a line is always answered";
    let word = |wait: &RawValue| wait.get().strip_prefix('"')?.strip_suffix('"')?.parse().ok();
    wait.map(|wait| word(wait).ok_or_else(|| ApiError::bad_request(message))).transpose()
}

fn bad(what: &str, error: &serde_json::Error) -> ApiError {
    ApiError::bad_request(format!("{what} is not understood: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_text(text: &str) -> Result<Line, String> {
        let line = Bytes::copy_from_slice(text.as_bytes());
        parse(&line, 8, Wait::Receipt).map_err(|error| serde_json::to_string(&error.body()).unwrap())
    }

    fn user(text: &str) -> UserId {
        UserId::new(text).unwrap()
    }

    #[test]
    fn each_kind_of_target_is_read() {
        let to = |text: &str| parse_text(&format!(r#"{{"to":{text},"data":"x"}}"#)).unwrap().to;
        assert_eq!(to(r#""all""#), Recipients::All);
        assert_eq!(to(r#"{"user":"42"}"#), Recipients::Of(Target::User(user("42"))));
        let key = SessionKey::new(user("42"), DeviceId::new("phone").unwrap());
        assert_eq!(to(r#"{"device":"phone", "user":"42"}"#), Recipients::Of(Target::Session(key)));
    }

    #[test]
    fn an_id_and_a_payload_of_either_kind_are_read() {
        let line = parse_text(r#" {"id":"m1","to":"all","data":{"a":1}} "#).unwrap();
        assert_eq!(line.id, Some(MessageId::new("m1").unwrap()));
        assert_eq!(line.payload, Payload::text(r#"{"a":1}"#));
        assert_eq!(
            parse_text(r#"{"to":"all","base64":"AP8="}"#).unwrap().payload,
            Payload::binary(vec![0, 255])
        );
    }

    #[test]
    fn a_line_waits_for_what_it_says_or_for_what_the_node_is_told() {
        let wait = |said: &str, wait_default| {
            let line = Bytes::from(format!(r#"{{"to":"all","data":"x"{said}}}"#));
            parse(&line, 8, wait_default).unwrap().terms.wait
        };
        for level in [Wait::Receipt, Wait::Stored, Wait::Acked] {
            assert_eq!(wait("", level), level);
            assert_eq!(wait(&format!(r#","wait":"{level}""#), Wait::Acked), level);
        }
    }

    #[test]
    fn each_mistake_is_told() {
        let cases = [
            ("x", "the line is not understood"),
            ("[]", "expected an object"),
            (r#"[{"user":"42"},"m1","hello"]"#, "expected an object"),
            (r#"["all",null,"hello",null]"#, "expected an object"),
            (r#"{"to":["42"],"data":"x"}"#, "`to` is "),
            (r#"{"to":["42","phone"],"data":"x"}"#, "`to` is "),
            (r#"{"to":{"user":["42"]},"data":"x"}"#, "`to` is not understood"),
            (r#"{"to":"all","data":"x","id":["m1"]}"#, "the line is not understood"),
            (r#"{"to":"all","data":"x","data":"y"}"#, "duplicate field `data`"),
            (r#"{"to":{"user":"42","user":"43"},"data":"x"}"#, "duplicate field `user`"),
            (r#"{"data":"x"}"#, "missing field `to`"),
            (r#"{"to":"all","data":"x","tll":1}"#, "unknown field `tll`"),
            (r#"{"to":"all","data":"x","ttl":-1}"#, "`ttl` is a whole number"),
            (r#"{"to":"all","data":"x","ttl":1.5}"#, "`ttl` is a whole number"),
            (r#"{"to":"all","data":"x","ttl":null}"#, "`ttl` is a whole number"),
            (r#"{"to":"all","data":"x","ttl":"9"}"#, "`ttl` is a whole number"),
            (r#"{"to":"all","data":"x","ttl":4294967296}"#, "`ttl` is a whole number"),
            (r#"{"to":"all","data":"x","wait":"none"}"#, "`wait` is "),
            (r#"{"to":"all","data":"x","wait":null}"#, "`wait` is "),
            (r#"{"to":"all","data":"x","wait":"held"}"#, "`wait` is "),
            (r#"{"to":"all","data":"x","wait":stored}"#, "the line is not understood"),
            (r#"{"to":"everybody","data":"x"}"#, "`to` is "),
            (r#"{"to":{"users":"42"},"data":"x"}"#, "unknown field `users`"),
            (r#"{"to":{"user":""},"data":"x"}"#, "a user must not be empty"),
            (r#"{"to":{"user":42},"data":"x"}"#, "`to` is not understood"),
            (r#"{"to":{"user":"42","device":null},"data":"x"}"#, "invalid type: null"),
            (r#"{"to":{"user":"42","device":""},"data":"x"}"#, "a device must not be empty"),
            (r#"{"to":"all","data":"x","id":"a b"}"#, "a message id is made of"),
            (r#"{"to":"all"}"#, "nothing to send"),
            (r#"{"to":"all","data":"123456789"}"#, "payload_too_large"),
        ];
        for (text, expected) in cases {
            let error = parse_text(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
