//! Bare payloads: a frame is a payload as pushed, so that any client works.

use super::{Dialect, Heard};
use crate::handler::SessionInfo;
use crate::push::{Message, Payload};
use crate::session::{Place, Session};
use crate::token::ResumeKey;

/// The dialect.
pub(super) struct Plain;

impl Dialect for Plain {
    fn subprotocol(&self) -> Option<&'static str> {
        None
    }

    fn welcome(&self, _: &Session, _: &SessionInfo, _: &ResumeKey) -> Option<Payload> {
        None
    }

    fn message(&self, pushed: &Message, _: Option<&Place>) -> Payload {
        pushed.payload.clone()
    }

    fn heard(&self, payload: Payload) -> Heard {
        Heard::Message(payload)
    }
}
