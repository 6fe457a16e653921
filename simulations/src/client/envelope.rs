//! The envelopes of `pushmesh.v1`, as a client reads and writes them: by the types of the product, whose bytes its own tests
//! hold against docs/PROTOCOL.md, section 3.3.

use std::borrow::Cow;

use pushmesh::MessageId;
use pushmesh::internals::schema::{ClientEnvelope, Envelope, Missing};
use serde_json::value::to_raw_value;

use crate::position::{Position, Segment};

/// Reads a frame. `None`: it is no envelope, or lacks a field that its type always has.
pub(crate) fn read(text: &str) -> Option<Envelope<'_>> {
    serde_json::from_str(text).ok()
}

/// What may be missing, as a frame says it. `None`: it names no segments.
pub(super) fn missing(missing: &[Missing<'_>]) -> Option<Vec<Position>> {
    let position =
        |missing: &Missing<'_>| Some(Position { segment: Segment::new(&missing.segment)?, n: missing.after });
    missing.iter().map(position).collect()
}

/// A message for the application.
pub(super) fn message(text: &str) -> String {
    let data = to_raw_value(text).expect("a text is JSON");
    write(&ClientEnvelope { data: Some(&data), ..of("message") })
}

/// The client has that message.
pub(super) fn ack(id: MessageId) -> String {
    write(&ClientEnvelope { id: Some(id), ..of("ack") })
}

/// The client has everything up to there, in the segment of its welcome or in another one.
pub(super) fn ack_up_to(at: &Position, welcomed: Option<&Segment>) -> String {
    let n = to_raw_value(&at.n).expect("a number is JSON");
    let segment = to_raw_value(at.segment.as_str()).expect("a text is JSON");
    let named = (welcomed != Some(&at.segment)).then_some(&*segment);
    write(&ClientEnvelope { n: Some(&n), segment: named, ..of("ack") })
}

/// The client goes for good.
pub(super) fn bye() -> String {
    write(&of("bye"))
}

fn of(kind: &str) -> ClientEnvelope<'_> {
    ClientEnvelope {
        r#type: Cow::Borrowed(kind),
        id: None,
        n: None,
        segment: None,
        token: None,
        data: None,
        base64: None,
    }
}

fn write(envelope: &ClientEnvelope<'_>) -> String {
    serde_json::to_string(envelope).expect("texts are JSON")
}

/// The name of the subprotocol.
pub(super) const SUBPROTOCOL: &str = "pushmesh.v1";
