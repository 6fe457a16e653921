//! Bare payloads: a frame is a payload as pushed, so that any client works.

use bytes::Bytes;

use super::{Dialect, Heard};
use crate::gateway::clients::transport::ws::frames::FrameKind;
use crate::handler::SessionInfo;
use crate::id::Stamp;
use crate::push::{Message, Payload, PayloadKind};
use crate::token::ResumeKey;

/// The dialect.
pub(super) struct Plain;

impl Dialect for Plain {
    fn subprotocol(&self) -> Option<&'static str> {
        None
    }

    fn welcome(&self, _: &SessionInfo, _: Stamp, _: &ResumeKey) -> Option<(FrameKind, Bytes)> {
        None
    }

    fn message(&self, pushed: &Message) -> (FrameKind, Bytes) {
        let Payload { kind, bytes } = &pushed.payload;
        let kind = match kind {
            PayloadKind::Text => FrameKind::Text,
            PayloadKind::Binary => FrameKind::Binary,
        };
        (kind, bytes.clone())
    }

    fn heard(&self, payload: Payload) -> Heard {
        Heard::Message(payload)
    }
}
