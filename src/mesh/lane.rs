//! The bounded queue of the requests of one ordered stream to a peer.
//!
//! Any task may queue; one task writes, see [`outbound`](crate::mesh::outbound).

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use crossbeam::queue::SegQueue;
use quinn::{Connection, SendStream};

use crate::limits;
use crate::mesh::codec::StreamKind;

/// The queue of one stream.
pub(crate) struct Lane {
    /// Takes no memory while nothing waits.
    queue: SegQueue<Queued>,
    requests: AtomicUsize,
    bytes: AtomicUsize,
}

struct Queued {
    header: Bytes,
    payload: Bytes,
}

impl Lane {
    /// An empty lane.
    pub(crate) fn new() -> Self {
        Self { queue: SegQueue::new(), requests: AtomicUsize::new(0), bytes: AtomicUsize::new(0) }
    }

    /// Queues an encoded frame. `false`: there is no room, nothing was queued.
    #[must_use]
    pub(crate) fn push(&self, header: Bytes, payload: Bytes) -> bool {
        let len = header.len() + payload.len();
        // Reserve first: two callers must not both see the last free byte.
        if self.bytes.fetch_add(len, Ordering::AcqRel) + len > limits::LANE_BYTES_MAX {
            self.bytes.fetch_sub(len, Ordering::AcqRel);
            return false;
        }
        if self.requests.fetch_add(1, Ordering::AcqRel) >= limits::LANE_REQUESTS_MAX {
            self.requests.fetch_sub(1, Ordering::AcqRel);
            self.bytes.fetch_sub(len, Ordering::AcqRel);
            return false;
        }
        self.queue.push(Queued { header, payload });
        true
    }

    /// Takes requests to be written now, and returns how many bytes they are. They count until they are
    /// [released](Self::release).
    pub(crate) fn take(&self, chunks: &mut Vec<Bytes>) -> usize {
        let (mut len, mut taken) = (0, 0);
        while chunks.len() < CHUNKS_MAX
            && let Some(Queued { header, payload }) = self.queue.pop()
        {
            len += header.len() + payload.len();
            taken += 1;
            chunks.push(header);
            if !payload.is_empty() {
                chunks.push(payload);
            }
        }
        self.requests.fetch_sub(taken, Ordering::AcqRel);
        len
    }

    /// So many bytes are written.
    pub(crate) fn release(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
    }
}

/// Opens a stream of this kind for writing.
///
/// # Errors
/// The link is gone.
pub(crate) async fn open_stream(
    connection: &Connection,
    kind: StreamKind,
    priority: i32,
) -> Result<SendStream, quinn::WriteError> {
    let mut stream = connection.open_uni().await?;
    let _ = stream.set_priority(priority); // Fails on a closed stream only, and then so does the write.
    stream.write_all(&kind.preface()).await?;
    Ok(stream)
}

/// Frames written at once. Guess.
const CHUNKS_MAX: usize = 256;
/// Gossip over directory over pushes over snapshots.
pub(crate) const GOSSIP_PRIORITY: i32 = 30;
/// See [`GOSSIP_PRIORITY`].
pub(crate) const DIRECTORY_PRIORITY: i32 = 20;
/// See [`GOSSIP_PRIORITY`].
pub(crate) const PUSH_PRIORITY: i32 = 10;
/// See [`GOSSIP_PRIORITY`].
pub(crate) const SNAPSHOT_PRIORITY: i32 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_lane_refuses_and_keeps_its_count() {
        let lane = Lane::new();
        let payload = Bytes::from(vec![0; limits::FRAME_PAYLOAD_BYTES_MAX]);
        let fits = limits::LANE_BYTES_MAX / payload.len();
        for _ in 0..fits {
            assert!(lane.push(Bytes::new(), payload.clone()));
        }
        assert!(!lane.push(Bytes::new(), payload), "the bytes are used up");
        assert_eq!(lane.bytes.load(Ordering::Relaxed), limits::LANE_BYTES_MAX);
        for _ in fits..limits::LANE_REQUESTS_MAX {
            assert!(lane.push(Bytes::new(), Bytes::new()));
        }
        assert!(!lane.push(Bytes::new(), Bytes::new()), "the places are used up");
        let mut taken = Vec::new();
        lane.take(&mut taken);
        assert!(lane.push(Bytes::new(), Bytes::new()), "some are free again");
    }

    #[test]
    fn what_is_taken_counts_until_it_is_written() {
        let lane = Lane::new();
        assert!(lane.push(Bytes::from_static(b"head"), Bytes::from_static(b"payload")));
        assert!(lane.push(Bytes::from_static(b"no payload"), Bytes::new()));
        let mut chunks = Vec::new();
        let bytes = || lane.bytes.load(Ordering::Relaxed);
        assert_eq!((lane.take(&mut chunks), bytes()), (21, 21));
        assert_eq!(chunks, [&b"head"[..], b"payload", b"no payload"]);
        lane.release(21);
        assert_eq!((bytes(), lane.take(&mut Vec::new())), (0, 0));
    }
}
