//! A message as it travels between nodes beside others: its header, and its payload behind those before it.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::id::MessageId;
use crate::push::{Message, Payload, PayloadKind};

/// A message without its payload. The order of the fields is the wire format (docs/PROTOCOL.md).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MessageHeader {
    id: MessageId,
    idempotent: bool,
    kind: PayloadKind,
    bytes: u32,
    /// How long it may still wait, in milliseconds.
    left_ms: Option<u64>,
}

impl MessageHeader {
    /// Of a message that may still wait for so long.
    pub(crate) fn of(message: &Message, left: Option<Duration>) -> Self {
        Self {
            id: message.id.clone(),
            idempotent: message.idempotent,
            kind: message.payload.kind,
            bytes: u32::try_from(message.payload.bytes.len()).expect("a payload fits a frame"),
            left_ms: left.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
        }
    }

    /// Bytes of the payload, as it says.
    pub(crate) fn payload_bytes(&self) -> usize {
        self.bytes as usize
    }

    /// The message, whose payload begins `at` that byte of what follows the headers, and how long it may still wait. `at` is behind it
    /// then.
    pub(crate) fn read(self, payload: &Bytes, at: &mut usize) -> (Message, Option<Duration>) {
        let end = at.saturating_add(self.bytes as usize).min(payload.len());
        // A copy: each goes when it is not needed any more.
        let bytes = Bytes::copy_from_slice(&payload[*at..end]);
        *at = end;
        let message = Message::new(self.id, self.idempotent, Payload { kind: self.kind, bytes });
        (message, self.left_ms.map(Duration::from_millis))
    }
}
