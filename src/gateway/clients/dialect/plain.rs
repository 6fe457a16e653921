//! Bare payloads: a frame is a payload as pushed, so that any client works.

use super::{Dialect, Heard};
use crate::handler::SessionInfo;
use crate::id::Stamp;
use crate::push::{Message, Payload};
use crate::token::ResumeKey;

/// The dialect.
pub(super) struct Plain;

impl Dialect for Plain {
    fn subprotocol(&self) -> Option<&'static str> {
        None
    }

    fn welcome(&self, _: &SessionInfo, _: Stamp, _: &ResumeKey) -> Option<Payload> {
        None
    }

    fn message(&self, pushed: &Message) -> Payload {
        pushed.payload.clone()
    }

    fn heard(&self, payload: Payload) -> Heard {
        Heard::Message(payload)
    }
}
