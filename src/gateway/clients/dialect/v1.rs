//! The subprotocol `pushmesh.v1`: JSON objects with a `type` instead of bare payloads.
//!
//! Each message has its id, the client can acknowledge and can ask whether the server is there. Every
//! frame is text. Fields that are not known are ignored, so that later versions can add some.

use std::borrow::Cow;
use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::value::RawValue;

use super::{Acked, Dialect, Heard};
use crate::attributes::Attributes;
use crate::gateway::data;
use crate::gateway::schema::{ClientEnvelope, Envelope, Missing};
use crate::handler::SessionInfo;
use crate::id::Stamp;
use crate::json;
use crate::limits;
use crate::metrics::label::{ClientError, Label as _};
use crate::position::Position;
use crate::push::{Encoding, Message, Payload, PayloadKind};
use crate::session::{Notice, Place, Resumed, Session, Welcome};
use crate::token::ResumeKey;

/// The dialect.
pub(super) struct V1;

impl Dialect for V1 {
    fn subprotocol(&self) -> Option<&'static str> {
        Some("pushmesh.v1")
    }

    fn welcome(&self, session: &Session, info: &SessionInfo, resume: &ResumeKey) -> Option<Payload> {
        let (stamp, kept) = (session.stamp(), session.welcome());
        let writer = kept.as_ref().map(|kept| kept.segment.writer);
        let resume = resume.sign(&info.key, stamp, writer);
        Some(text(welcome(info, stamp, &resume, kept.as_ref(), session.attributes())))
    }

    fn keeps(&self) -> bool {
        true
    }

    fn message(&self, pushed: &Message, place: Option<&Place>) -> Payload {
        let envelope = pushed.encoded(Encoding::EnvelopeV1, message);
        text(place.map_or(envelope.clone(), |place| numbered(pushed, &envelope, place)))
    }

    fn notice(&self, notice: &Notice) -> Option<Payload> {
        Some(text(self::notice(notice)))
    }

    fn expiring(&self, in_ms: u64) -> Option<Payload> {
        Some(text(encode(&Envelope::Expiring { in_ms })))
    }

    fn renewed(&self, in_ms: u64) -> Option<Payload> {
        Some(text(encode(&Envelope::Renewed { in_ms })))
    }

    fn bad_token(&self, why: &str) -> Option<Payload> {
        Some(text(error(ClientError::BadToken, why)))
    }

    fn ack_ahead(&self) -> Option<Payload> {
        let message =
            "an ack names a number that was sent: acknowledge the `n` of messages, in their `segment`";
        Some(text(error(ClientError::AckAhead, message)))
    }

    fn heard(&self, payload: Payload) -> Heard {
        if payload.kind == PayloadKind::Binary {
            let (code, reason) = (ClientError::Binary, "pushmesh.v1 has text frames only");
            return Heard::Refused { code, reason };
        }
        match parse(&payload.bytes) {
            Ok(Inbound::Message(payload)) => Heard::Message(payload),
            Ok(Inbound::Ack(acked)) => Heard::Ack(acked),
            Ok(Inbound::Token(token)) => Heard::Token(token),
            Ok(Inbound::Bye) => Heard::Bye,
            Ok(Inbound::Ping) => Heard::Question { answer: text(encode(&Envelope::Pong)) },
            Err(bad) => Heard::Nonsense { code: bad.code, answer: text(error(bad.code, bad.message)) },
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
fn welcome(
    info: &SessionInfo,
    stamp: Stamp,
    resume: &str,
    kept: Option<&Welcome>,
    attributes: Option<Attributes>,
) -> Bytes {
    let resumed = kept.map(|kept| &kept.resumed);
    encode(&Envelope::Welcome {
        user: Cow::Borrowed(&info.key.user),
        device: Cow::Borrowed(&info.key.device),
        node: Cow::Borrowed(&info.node),
        session: stamp.raw(),
        resume: Some(resume.into()),
        keep: kept.map(|kept| kept.keep),
        window: kept.map(|_| limits::WINDOW as u64),
        segment: kept.map(|kept| kept.segment.to_string().into()),
        n: kept.map(|_| 0),
        resumed: resumed.map(|resumed| resumed.state.as_str().into()),
        missing: resumed.map(missing).unwrap_or_default(),
        attributes,
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
    let (id, data) = (Cow::Borrowed(&message.id), text.map(Cow::Borrowed));
    encode(&Envelope::Message { id, n: None, segment: None, ack: false, data, base64 })
}

/// The envelope of a message with its place: put in behind the id, so that the payload is encoded once for all sessions.
fn numbered(message: &Message, envelope: &Bytes, place: &Place) -> Bytes {
    let id = message.id.as_str();
    let escapes = id.bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count();
    let (head, rest) = envelope.split_at(ENVELOPE_HEAD.len() + id.len() + escapes + 1);
    let mut numbered = Vec::with_capacity(envelope.len() + PLACE_BYTES_MAX);
    numbered.extend_from_slice(head);
    write!(numbered, ",\"n\":{}", place.number).expect(VEC);
    if place.is_older {
        write!(numbered, ",\"segment\":\"{}\"", place.segment).expect(VEC);
    }
    if message.terms().waits_for_client() {
        numbered.extend_from_slice(b",\"ack\":true");
    }
    numbered.extend_from_slice(rest);
    numbered.into()
}

/// What a client is told between its messages.
fn notice(notice: &Notice) -> Bytes {
    encode(&match notice {
        Notice::Gap { segment, from, to, why } => Envelope::Gap {
            segment: segment.to_string().into(),
            from: *from,
            to: *to,
            why: why.as_str().into(),
        },
        Notice::Closed(Position { segment, number }) => {
            Envelope::Closed { segment: segment.to_string().into(), n: *number }
        }
        Notice::Resumed(resumed) => {
            Envelope::Resumed { resumed: resumed.state.as_str().into(), missing: missing(resumed) }
        }
    })
}

/// What may be missing.
fn missing(resumed: &Resumed) -> Vec<Missing<'static>> {
    let missing = |Position { segment, number }: &Position| Missing {
        segment: segment.to_string().into(),
        after: *number,
        why: "replicas_gone".into(),
    };
    resumed.missing.iter().map(missing).collect()
}

/// How the envelope of a message begins, up to its id.
const ENVELOPE_HEAD: &str = r#"{"type":"message","id":""#;

/// What a place adds to an envelope at most.
const PLACE_BYTES_MAX: usize = 96;

const VEC: &str = "a vector takes all that is written";

/// What is wrong with a client's frame.
fn error(code: ClientError, message: &str) -> Bytes {
    encode(&Envelope::Error { code: code.as_str().into(), message: message.into() })
}

/// What a client says.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::gateway) enum Inbound {
    /// Something for the application.
    Message(Payload),
    /// It has a message; with a number, all up to that one.
    Ack(Option<Acked>),
    /// A token in place of the one that it has shown.
    Token(String),
    /// It goes for good.
    Bye,
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
        return Err(bad_message(
            "a frame is a JSON object whose `type` is a string, as is its `id` if it has one, and in which no field is there twice",
        ));
    };
    match &*frame.r#type {
        "message" => data::payload(text, frame.data, frame.base64)
            .map(Inbound::Message)
            .map_err(|_| bad_message("a message has either `data` or `base64` with standard base64")),
        "ack" => ack(frame.n, frame.segment, frame.id.is_some()).map(Inbound::Ack),
        "token" => token(frame.token).map(Inbound::Token),
        "bye" => Ok(Inbound::Bye),
        "ping" => Ok(Inbound::Ping),
        _ => Err(BadFrame {
            code: ClientError::UnknownType,
            message: "the types are `message`, `ack`, `token`, `ping` and `bye`",
        }),
    }
}

/// Reads an acknowledgement: by number, or else by the id of a message.
fn ack(
    number: Option<&RawValue>,
    segment: Option<&RawValue>,
    has_id: bool,
) -> Result<Option<Acked>, BadFrame> {
    const WRONG: BadFrame = bad_message(
        "an ack has the `n` of a message, a whole number below 2^64, and its `segment` where the message has one, as it was \
         written; or the `id` of a message",
    );
    let Some(number) = number else { return if has_id { Ok(None) } else { Err(WRONG) } };
    let number = serde_json::from_str(number.get()).map_err(|_| WRONG)?;
    let segment = segment.map(|segment| serde_json::from_str::<Cow<'_, str>>(segment.get()));
    let segment = segment.transpose().map_err(|_| WRONG)?;
    let segment = segment.map(|segment| segment.parse()).transpose().map_err(|_| WRONG)?;
    Ok(Some(Acked { segment, number }))
}

/// Reads a token, of which nothing is known yet.
fn token(token: Option<&RawValue>) -> Result<String, BadFrame> {
    const WRONG: BadFrame = bad_message("a token frame has the client's new token as text: `token`");
    serde_json::from_str(token.ok_or(WRONG)?.get()).map_err(|_| WRONG)
}

const fn bad_message(message: &'static str) -> BadFrame {
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
        let said = |attributes| welcome(&info, Stamp::from_raw(u64::MAX), "token", None, attributes);
        assert_eq!(read(&said(None)), expected);
        let attributes = Attributes::parse(r#"{"n": 1.50}"#).unwrap();
        let expected = expected.replace('}', r#","attributes":{"n":1.50}}"#);
        assert_eq!(read(&said(Some(attributes))), expected);
    }

    #[test]
    fn each_type_of_client_frame_is_read() {
        let payload = Payload::text(r#"{"a":1}"#);
        assert_eq!(parse_text(r#"{"type":"message","data":{"a":1},"x":0}"#), Ok(Inbound::Message(payload)));
        let payload = Payload::binary(vec![0, 255]);
        assert_eq!(parse_text(r#"{"type":"message","base64":"AP8="}"#), Ok(Inbound::Message(payload)));
        assert_eq!(parse_text(r#"{"type":"ack","id":"m1"}"#), Ok(Inbound::Ack(None)));
        assert_eq!(parse_text(r#"{"type":"ping"}"#), Ok(Inbound::Ping));
        let renewing = Ok(Inbound::Token("a.b.c\"".to_owned()));
        assert_eq!(parse_text(r#"{"type":"token","token":"a.b.c\u0022"}"#), renewing);
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
            r#"{"type":"token"}"#,
            r#"{"type":"token","token":null}"#,
            r#"{"type":"token","token":7}"#,
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
        assert_eq!(
            read(&error(ClientError::BadMessage, "x")),
            r#"{"type":"error","code":"bad_message","message":"x"}"#
        );
    }
}
