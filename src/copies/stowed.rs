//! A message as this node holds it for another one: in one piece of memory, so that many cost little beside their payloads.
//!
//! ```text
//!   flags: 1   keep: 4   [expires: 8]   length of the id: 1   id   payload
//! ```
//!
//! It never leaves the process. When it expires is said in nanoseconds since the process began to hold messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::id::MessageId;
use crate::push::{Message, Payload, PayloadKind};
use crate::session::{Copied, Room, cost};

/// A message that this node holds for another one.
#[derive(Debug)]
pub(super) struct Stowed {
    bytes: Box<[u8]>,
    /// What counts the room that it takes until it is dropped, if that was found.
    room: Option<Arc<AtomicUsize>>,
}

/// What stands before the payload.
struct Head<'a> {
    is_idempotent: bool,
    kind: PayloadKind,
    keep: u32,
    /// Since the process began to hold messages.
    expires: Option<Duration>,
    id: &'a [u8],
    /// Where the payload begins.
    payload: usize,
}

impl Stowed {
    /// That message, in a process that began to hold messages at `begin`.
    pub(super) fn new(copied: Copied, begin: Instant) -> Self {
        let Copied { message, expires, keep, room } = copied;
        let (id, payload) = (message.id.as_str().as_bytes(), &message.payload);
        let expires = expires.map(|at| at.saturating_duration_since(begin).as_nanos());
        let expires = expires.map(|nanos| u64::try_from(nanos).unwrap_or(u64::MAX).to_be_bytes());
        let flag = |is_set: bool, flag| if is_set { flag } else { 0 };
        let flags = flag(message.idempotent, IDEMPOTENT)
            | flag(payload.kind == PayloadKind::Binary, BINARY)
            | flag(expires.is_some(), EXPIRES);
        let id_bytes = u8::try_from(id.len()).expect("an id has at most 64 bytes");
        let parts: [&[u8]; 6] = [
            &[flags],
            &keep.to_be_bytes(),
            expires.as_ref().map_or(&[], |at| at),
            &[id_bytes],
            id,
            &payload.bytes,
        ];
        Self { bytes: parts.concat().into(), room: room.map(Room::counter) }
    }

    /// For how long its session is kept, in seconds.
    pub(super) fn keep(&self) -> u32 {
        self.head().keep
    }

    /// Bytes of its payload.
    pub(super) fn payload_bytes(&self) -> usize {
        self.bytes.len() - self.head().payload
    }

    /// The message, in the same process.
    pub(super) fn unstow(mut self, begin: Instant) -> Copied {
        let (room, payload_bytes) = (self.room.take(), self.payload_bytes());
        let bytes = Bytes::from(std::mem::take(&mut self.bytes));
        let Head { is_idempotent, kind, keep, expires, id, payload } = Head::of(&bytes);
        let id = std::str::from_utf8(id).ok().and_then(|id| MessageId::new(id).ok()).expect(WRITTEN_HERE);
        let payload = Payload { kind, bytes: bytes.slice(payload..) };
        Copied {
            message: Arc::new(Message::new(id, is_idempotent, payload)),
            expires: expires.and_then(|since| begin.checked_add(since)),
            keep,
            room: room.map(|counter| Room::counted(counter, payload_bytes)),
        }
    }

    fn head(&self) -> Head<'_> {
        Head::of(&self.bytes)
    }
}

impl<'a> Head<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        let (flags, rest) = bytes.split_first().expect(WRITTEN_HERE);
        let (keep, rest) = rest.split_first_chunk().expect(WRITTEN_HERE);
        let (expires, rest) = match flags & EXPIRES {
            0 => (None, rest),
            _ => rest.split_first_chunk().map(|(at, rest)| (Some(*at), rest)).expect(WRITTEN_HERE),
        };
        let (id_bytes, rest) = rest.split_first().expect(WRITTEN_HERE);
        let (id, payload) = rest.split_at(usize::from(*id_bytes));
        Self {
            is_idempotent: flags & IDEMPOTENT != 0,
            kind: if flags & BINARY == 0 { PayloadKind::Text } else { PayloadKind::Binary },
            keep: u32::from_be_bytes(*keep),
            expires: expires.map(|at| Duration::from_nanos(u64::from_be_bytes(at))),
            id,
            payload: bytes.len() - payload.len(),
        }
    }
}

impl Clone for Stowed {
    /// Takes as much room again.
    fn clone(&self) -> Self {
        let room = self.room.clone();
        if let Some(counter) = &room {
            counter.fetch_add(cost(self.payload_bytes()), Ordering::Relaxed);
        }
        Self { bytes: self.bytes.clone(), room }
    }
}

impl Drop for Stowed {
    fn drop(&mut self) {
        if let Some(counter) = self.room.take() {
            counter.fetch_sub(cost(self.payload_bytes()), Ordering::Relaxed);
        }
    }
}

const IDEMPOTENT: u8 = 1;
const BINARY: u8 = 2;
const EXPIRES: u8 = 4;
const WRITTEN_HERE: &str = "it was written here";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use crate::metrics::label::Origin;
    use crate::session::{Store, StoreBounds};

    fn copied(payload: Payload, idempotent: bool, expires: Option<Instant>) -> Copied {
        let message = Message::new(MessageId::new("61603f91688fb310-f5").unwrap(), idempotent, payload);
        Copied { message: Arc::new(message), expires, keep: 120, room: None }
    }

    #[test]
    fn a_message_comes_out_as_it_was_put_in() {
        let begin = Instant::now();
        let later = begin + Duration::new(7, 123_456_789);
        for payload in [Payload::text(""), Payload::text("grüße"), Payload::binary(vec![0xff; 300])] {
            for (idempotent, expires) in [(true, None), (false, Some(later)), (true, Some(begin))] {
                let before = copied(payload.clone(), idempotent, expires);
                let stowed = Stowed::new(before.clone(), begin);
                assert_eq!((stowed.keep(), stowed.payload_bytes()), (120, payload.bytes.len()));
                let after = stowed.unstow(begin);
                assert_eq!((&after.message, after.expires, after.keep), (&before.message, expires, 120));
            }
        }
    }

    #[test]
    fn room_is_taken_for_as_long_as_it_is_held() {
        let bounds = StoreBounds { messages_max: 1, bytes_max: 1, node_bytes_max: 10_000 };
        let store = Store::new(bounds, Arc::new(Metrics::new()));
        let begin = Instant::now();
        let used = || store.used(Origin::Elsewhere);
        let of = cost(5);
        let copied = Copied { room: store.room(5), ..copied(Payload::text("hello"), true, None) };
        assert_eq!(used(), of);
        let shared = copied.clone();
        let stowed = Stowed::new(copied, begin);
        assert_eq!(used(), 2 * of, "somebody else has it as well");
        drop(shared);
        assert_eq!(used(), of);
        let taken = stowed.clone().unstow(begin);
        assert!(taken.has_room());
        assert_eq!(used(), 2 * of, "whoever takes it over has it as well");
        drop(stowed);
        assert_eq!(used(), of);
        let again = Stowed::new(taken, begin);
        assert_eq!(used(), of);
        drop(again);
        assert_eq!(used(), 0);
    }

    #[test]
    fn little_is_held_beside_the_payload() {
        let stowed = Stowed::new(copied(Payload::text("x".repeat(128)), true, None), Instant::now());
        assert_eq!((size_of::<Stowed>(), stowed.bytes.len() - 128), (24, 25));
    }
}
