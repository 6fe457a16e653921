//! The envelopes of `pushmesh.v1`, as a client reads and writes them. docs/PROTOCOL.md, section 3.3.

use serde::Deserialize;
use serde_json::json;

/// What the node said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Envelope {
    /// The first frame.
    Welcome {
        user: String,
        device: String,
        node: String,
        /// The stamp.
        session: u64,
        resume: String,
    },
    /// Anything else; what is no envelope at all has the text as its type.
    Other { kind: String, id: Option<String>, data: Option<String> },
}

/// The fields of all envelopes.
#[derive(Deserialize)]
struct Frame {
    r#type: String,
    id: Option<String>,
    data: Option<String>,
    code: Option<String>,
    user: Option<String>,
    device: Option<String>,
    node: Option<String>,
    session: Option<String>,
    resume: Option<String>,
}

/// Reads a frame.
pub(crate) fn read(text: &str) -> Envelope {
    let Ok(frame) = serde_json::from_str::<Frame>(text) else {
        return Envelope::Other { kind: text.to_owned(), id: None, data: None };
    };
    let session = frame.session.and_then(|stamp| stamp.parse().ok());
    match (frame.user, frame.device, frame.node, session, frame.resume) {
        (Some(user), Some(device), Some(node), Some(session), Some(resume)) if frame.r#type == "welcome" => {
            Envelope::Welcome { user, device, node, session, resume }
        }
        _ => Envelope::Other { kind: frame.r#type, id: frame.id.or(frame.code), data: frame.data },
    }
}

/// A message for the application.
pub(super) fn message(text: &str) -> String {
    json!({ "type": "message", "data": text }).to_string()
}

/// The client has that message.
pub(super) fn ack(id: &str) -> String {
    json!({ "type": "ack", "id": id }).to_string()
}

/// The name of the subprotocol.
pub(super) const SUBPROTOCOL: &str = "pushmesh.v1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_welcome_needs_all_of_its_fields() {
        let text = r#"{"type":"welcome","user":"u","device":"d","node":"n","session":"7","resume":"x"}"#;
        assert!(matches!(read(text), Envelope::Welcome { session: 7, .. }));
        let half = text.replace(",\"resume\":\"x\"", "");
        assert!(matches!(read(&half), Envelope::Other { kind, .. } if kind == "welcome"));
    }

    #[test]
    fn what_is_no_envelope_keeps_its_text() {
        let expected = Envelope::Other { kind: "m1".to_owned(), id: None, data: None };
        assert_eq!(read("m1"), expected);
    }
}
