//! The envelopes of `pushmesh.v1`: what a node and a client say to each other. docs/PROTOCOL.md, section 3.3.
//!
//! The dialect writes what a node says and reads what a client says; `pushmesh listen` and the clients of the simulations
//! do it the other way round.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::attributes::Attributes;
use crate::gateway::data;
use crate::id::{DeviceId, MessageId, NodeName, UserId};

/// What a node says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Envelope<'a> {
    /// The first of a connection.
    Welcome {
        /// Whose session it is.
        user: Cow<'a, UserId>,
        /// Of which device.
        device: Cow<'a, DeviceId>,
        /// The node that holds it.
        node: Cow<'a, NodeName>,
        /// The stamp of the session. Text, because a JavaScript number has only 53 bits.
        #[serde(with = "text")]
        session: u64,
        /// What the client comes back with. Absent from a node that knows of no resuming.
        #[serde(skip_serializing_if = "Option::is_none")]
        resume: Option<Cow<'a, str>>,
        /// How long the client may be away, in seconds. Absent, as are the next ones, of a session that is not kept.
        #[serde(skip_serializing_if = "Option::is_none")]
        keep: Option<u32>,
        /// Messages on their way that the client has not acknowledged, at most.
        #[serde(skip_serializing_if = "Option::is_none")]
        window: Option<u64>,
        /// The segment that the session numbers.
        #[serde(skip_serializing_if = "Option::is_none")]
        segment: Option<Cow<'a, str>>,
        /// The number before the first message.
        #[serde(skip_serializing_if = "Option::is_none")]
        n: Option<u64>,
        /// What became of what the client missed: `complete`, `pending`, `partial` or `none`.
        #[serde(skip_serializing_if = "Option::is_none")]
        resumed: Option<Cow<'a, str>>,
        /// With `partial`: what may be missing.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        missing: Vec<Missing<'a>>,
        /// What the application keeps with the session, and its login. Absent where there is nothing.
        #[serde(skip_serializing_if = "Option::is_none")]
        attributes: Option<Attributes>,
    },
    /// A pushed message, which has one of `data` and `base64`.
    Message {
        /// The id that the push travels with.
        id: Cow<'a, MessageId>,
        /// The number of the message in its segment. Absent, as are the next two, of a session that is not kept.
        #[serde(skip_serializing_if = "Option::is_none")]
        n: Option<u64>,
        /// Its segment, where that is not the one of the welcome.
        #[serde(skip_serializing_if = "Option::is_none")]
        segment: Option<Cow<'a, str>>,
        /// Whether the publisher waits for the acknowledgement.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        ack: bool,
        /// A text.
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<Cow<'a, str>>,
        /// A binary payload, in standard base64.
        #[serde(skip_serializing_if = "Option::is_none")]
        base64: Option<Cow<'a, str>>,
    },
    /// Numbers of a segment that will never come.
    Gap {
        /// In which segment.
        segment: Cow<'a, str>,
        /// The first of them.
        from: u64,
        /// The last of them.
        to: u64,
        /// Why, in a word: `expired`, `acknowledged`.
        why: Cow<'a, str>,
    },
    /// An older segment ends with that number: its position is of no use any more.
    Closed {
        /// Which segment.
        segment: Cow<'a, str>,
        /// Its last number.
        n: u64,
    },
    /// What became of what the client missed, after `pending` or `partial`.
    Resumed {
        /// `complete` or `partial`.
        resumed: Cow<'a, str>,
        /// With `partial`: what may be missing.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        missing: Vec<Missing<'a>>,
    },
    /// The answer to a `ping`.
    Pong,
    /// The token of the client expires soon: it may send another one.
    Expiring {
        /// In so many milliseconds.
        in_ms: u64,
    },
    /// The token that the client has sent has taken the place of the one before.
    Renewed {
        /// It expires in so many milliseconds.
        in_ms: u64,
    },
    /// The client has said what is not understood.
    Error {
        /// A word for programs.
        code: Cow<'a, str>,
        /// What is wrong, for people.
        message: Cow<'a, str>,
    },
    /// One of a later version, which a client passes over.
    #[serde(other, skip_serializing)]
    Other,
}

/// What may be missing of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing<'a> {
    /// Which segment.
    pub segment: Cow<'a, str>,
    /// Everything up to this number is not missing.
    pub after: u64,
    /// Why, in a word: `replicas_gone`.
    pub why: Cow<'a, str>,
}

/// What a client says. The fields that a `type` has none of are ignored, and so are those that are not known.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClientEnvelope<'a> {
    /// `message`, `ack`, `token`, `ping` or `bye`.
    #[serde(borrow)]
    pub r#type: Cow<'a, str>,
    /// Of an `ack`: which message the client has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<MessageId>,
    /// Of an `ack`: up to which number of a segment the client has all.
    #[serde(default, borrow, deserialize_with = "data::present", skip_serializing_if = "Option::is_none")]
    pub n: Option<&'a RawValue>,
    /// Of an `ack` with a number: of which segment, where that is not the one of the welcome.
    #[serde(default, borrow, deserialize_with = "data::present", skip_serializing_if = "Option::is_none")]
    pub segment: Option<&'a RawValue>,
    /// Of a `token`: the client's new token.
    #[serde(default, borrow, deserialize_with = "data::present", skip_serializing_if = "Option::is_none")]
    pub token: Option<&'a RawValue>,
    /// Of a `message`: a string for its text, anything else for its exact JSON text.
    #[serde(default, borrow, deserialize_with = "data::present", skip_serializing_if = "Option::is_none")]
    pub data: Option<&'a RawValue>,
    /// Of a `message` instead of `data`: a string of standard base64.
    #[serde(default, borrow, deserialize_with = "data::present", skip_serializing_if = "Option::is_none")]
    pub base64: Option<&'a RawValue>,
}

/// A number as the text of its digits.
mod text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(number: &u64, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(number)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> serde_json::Result<Envelope<'_>> {
        serde_json::from_str(text)
    }

    #[test]
    fn an_envelope_is_read_as_it_was_written() {
        let texts = [
            r#"{"type":"welcome","user":"42","device":"d","node":"n1","session":"18446744073709551615","resume":"t"}"#,
            r#"{"type":"welcome","user":"42","device":"d","node":"n1","session":"7","attributes":{"a":[1,{}]}}"#,
            r#"{"type":"message","id":"m1","data":"a\"ü"}"#,
            r#"{"type":"message","id":"m1","base64":"AP8="}"#,
            r#"{"type":"pong"}"#,
            r#"{"type":"error","code":"bad_message","message":"x"}"#,
        ];
        for text in texts {
            assert_eq!(serde_json::to_string(&read(text).unwrap()).unwrap(), text);
        }
        let texts =
            [r#"{"type":"message","data":{"a": 1}}"#, r#"{"type":"ack","id":"m1"}"#, r#"{"type":"ping"}"#];
        for text in texts {
            let said: ClientEnvelope<'_> = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&said).unwrap(), text);
        }
    }

    #[test]
    fn what_a_later_version_adds_is_passed_over() {
        assert_eq!(read(r#"{"type":"later","id":7}"#).unwrap(), Envelope::Other);
        assert_eq!(read(r#"{"type":"pong","at":7}"#).unwrap(), Envelope::Pong);
        let welcome = r#"{"type":"welcome","user":"42","device":"d","node":"n1","session":"7"}"#;
        assert!(matches!(read(welcome), Ok(Envelope::Welcome { session: 7, resume: None, .. })));
        assert!(read(&welcome.replace("\"7\"", "7")).is_err(), "a session is a text");
        assert!(read(&welcome.replace(r#","node":"n1""#, "")).is_err(), "a welcome names the node");
    }
}
