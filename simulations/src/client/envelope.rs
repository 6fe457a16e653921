//! The envelopes of `pushmesh.v1`, as a client reads and writes them: by the types of the product, whose bytes its own tests
//! hold against docs/PROTOCOL.md, section 3.3.

use pushmesh::MessageId;
use pushmesh::internals::schema::{ClientEnvelope, Envelope};
use serde_json::value::to_raw_value;

/// Reads a frame. `None`: it is no envelope, or lacks a field that its type always has.
pub(crate) fn read(text: &str) -> Option<Envelope<'_>> {
    serde_json::from_str(text).ok()
}

/// A message for the application.
pub(super) fn message(text: &str) -> String {
    let data = to_raw_value(text).expect("a text is JSON");
    write(&ClientEnvelope {
        r#type: "message".into(),
        id: None,
        n: None,
        segment: None,
        data: Some(&data),
        base64: None,
    })
}

/// The client has that message.
pub(super) fn ack(id: MessageId) -> String {
    write(&ClientEnvelope {
        r#type: "ack".into(),
        id: Some(id),
        n: None,
        segment: None,
        data: None,
        base64: None,
    })
}

fn write(envelope: &ClientEnvelope<'_>) -> String {
    serde_json::to_string(envelope).expect("texts are JSON")
}

/// The name of the subprotocol.
pub(super) const SUBPROTOCOL: &str = "pushmesh.v1";
