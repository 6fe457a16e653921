//! The subprotocol `pushmesh.v1`: JSON objects with a `type` instead of bare payloads.
//!
//! Each message has its id, the client can acknowledge and can ask whether the server is there. Every
//! frame is text. Fields that are not known are ignored, so that later versions can add some.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::{Dialect, Heard};
use crate::gateway::data;
use crate::gateway::schema::{ClientEnvelope, Envelope};
use crate::handler::SessionInfo;
use crate::id::Stamp;
use crate::json;
use crate::metrics::label::{ClientError, Label as _};
use crate::push::{Encoding, Message, Payload, PayloadKind};
use crate::token::ResumeKey;

/// The dialect.
pub(super) struct V1;

impl Dialect for V1 {
    fn subprotocol(&self) -> Option<&'static str> {
        Some("pushmesh.v1")
    }

    fn welcome(&self, info: &SessionInfo, stamp: Stamp, resume: &ResumeKey) -> Option<Payload> {
        Some(text(welcome(info, stamp, &resume.sign(&info.key, stamp))))
    }

    fn message(&self, pushed: &Message) -> Payload {
        text(pushed.encoded(Encoding::EnvelopeV1, message))
    }

    fn heard(&self, payload: Payload) -> Heard {
        if payload.kind == PayloadKind::Binary {
            let (code, reason) = (ClientError::Binary, "pushmesh.v1 has text frames only");
            return Heard::Refused { code, reason };
        }
        match parse(&payload.bytes) {
            Ok(Inbound::Message(payload)) => Heard::Message(payload),
            Ok(Inbound::Ack) => Heard::Ack,
            Ok(Inbound::Ping) => Heard::Question { answer: text(encode(&Envelope::Pong)) },
            Err(bad) => Heard::Nonsense { code: bad.code, answer: text(error(&bad)) },
        }
    }
}

/// A frame: all of them are text.
fn text(bytes: Bytes) -> Payload {
    Payload { kind: PayloadKind::Text, bytes }
}

fn encode(envelope: &Envelope<'_>) -> Bytes {
    serde_json::to_vec(envelope).expect("texts always serialise").into()
}

/// The first frame of a session. `resume` is its resume token.
fn welcome(info: &SessionInfo, stamp: Stamp, resume: &str) -> Bytes {
    encode(&Envelope::Welcome {
        user: Cow::Borrowed(&info.key.user),
        device: Cow::Borrowed(&info.key.device),
        node: Cow::Borrowed(&info.node),
        session: stamp.raw(),
        resume: Some(resume.into()),
    })
}

/// A pushed message.
pub(in crate::gateway) fn message(message: &Message) -> Bytes {
    let bytes = &message.payload.bytes;
    let text = match message.payload.kind {
        PayloadKind::Text => std::str::from_utf8(bytes).ok(),
        PayloadKind::Binary => None,
    };
    // A text that is not UTF-8 was not checked where it entered: it goes out as what it is.
    let base64 = text.is_none().then(|| STANDARD.encode(bytes).into());
    encode(&Envelope::Message { id: Cow::Borrowed(&message.id), data: text.map(Cow::Borrowed), base64 })
}

/// What is wrong with a client's frame.
fn error(bad: &BadFrame) -> Bytes {
    encode(&Envelope::Error { code: bad.code.as_str().into(), message: bad.message.into() })
}

/// What a client says.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::gateway) enum Inbound {
    /// Something for the application.
    Message(Payload),
    /// It has a message.
    Ack,
    /// Are you there?
    Ping,
}

/// A frame that is not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) struct BadFrame {
    code: ClientError,
    message: &'static str,
}

/// Reads a text frame of a client.
pub(in crate::gateway) fn parse(text: &Bytes) -> Result<Inbound, BadFrame> {
    let Ok(frame) = json::object::<ClientEnvelope<'_>>(text) else {
        return Err(bad_message("a frame is a JSON object with a `type` that is a string"));
    };
    match &*frame.r#type {
        "message" => data::payload(text, frame.data, frame.base64)
            .map(Inbound::Message)
            .map_err(|_| bad_message("a message has either `data` or `base64` with standard base64")),
        "ack" if frame.id.is_some() => Ok(Inbound::Ack),
        "ack" => Err(bad_message("an ack names the `id` of a message")),
        "ping" => Ok(Inbound::Ping),
        _ => Err(BadFrame {
            code: ClientError::UnknownType,
            message: "the types are `message`, `ack` and `ping`",
        }),
    }
}

fn bad_message(message: &'static str) -> BadFrame {
    BadFrame { code: ClientError::BadMessage, message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{DeviceId, MessageId, NodeName, SessionKey, UserId};

    fn read(bytes: &Bytes) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    fn parse_text(text: &str) -> Result<Inbound, &'static str> {
        parse(&Bytes::copy_from_slice(text.as_bytes())).map_err(|bad| bad.code.as_str())
    }

    #[test]
    fn a_text_is_escaped_and_a_binary_is_base64() {
        let id = MessageId::new("m1").unwrap();
        let text = Message::new(id.clone(), false, Payload::text("a\"\n\u{1}ü"));
        assert_eq!(read(&message(&text)), r#"{"type":"message","id":"m1","data":"a\"\n\u0001ü"}"#);
        let binary = Message::new(id, false, Payload::binary(vec![0, 255]));
        assert_eq!(read(&message(&binary)), r#"{"type":"message","id":"m1","base64":"AP8="}"#);
    }

    #[test]
    fn the_welcome_names_the_session_its_stamp_as_text_and_its_resume_token() {
        let info = SessionInfo {
            key: SessionKey::new(UserId::new("42").unwrap(), DeviceId::new("phone").unwrap()),
            node: NodeName::new("n1").unwrap(),
        };
        let expected = concat!(
            r#"{"type":"welcome","user":"42","device":"phone","node":"n1","session":"18446744073709551615","#,
            r#""resume":"token"}"#
        );
        assert_eq!(read(&welcome(&info, Stamp::from_raw(u64::MAX), "token")), expected);
    }

    #[test]
    fn each_type_of_client_frame_is_read() {
        let payload = Payload::text(r#"{"a":1}"#);
        assert_eq!(parse_text(r#"{"type":"message","data":{"a":1},"x":0}"#), Ok(Inbound::Message(payload)));
        let payload = Payload::binary(vec![0, 255]);
        assert_eq!(parse_text(r#"{"type":"message","base64":"AP8="}"#), Ok(Inbound::Message(payload)));
        assert_eq!(parse_text(r#"{"type":"ack","id":"m1"}"#), Ok(Inbound::Ack));
        assert_eq!(parse_text(r#"{"type":"ping"}"#), Ok(Inbound::Ping));
    }

    #[test]
    fn what_is_not_understood_has_a_code() {
        let bad = [
            "",
            "[]",
            "7",
            "{}",
            r#"{"type":1}"#,
            r#"{"type":"message"}"#,
            r#"{"type":"ack"}"#,
            "\u{1}",
            r#"["ping"]"#,
            r#"["ack","m1"]"#,
            r#"["message",null,"hi",null]"#,
            r#"{"type":["ping"]}"#,
            r#"{"type":"ping","type":"ping"}"#,
        ];
        for bad in bad {
            assert_eq!(parse_text(bad), Err("bad_message"), "{bad}");
        }
        assert_eq!(parse_text(r#"{"type":"subscribe"}"#), Err("unknown_type"));
        assert_eq!(read(&error(&bad_message("x"))), r#"{"type":"error","code":"bad_message","message":"x"}"#);
    }
}
