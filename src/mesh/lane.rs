//! One ordered stream of requests to a peer, and the bounded queue before it.
//!
//! Any task may queue; one task writes. It takes all that waits at once, so that a burst costs one
//! wake-up and few packets.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use crossbeam::queue::ArrayQueue;
use quinn::{Connection, SendStream};
use tokio::sync::Notify;

use crate::limits;
use crate::mesh::codec::StreamKind;

/// The queue of one stream.
pub(crate) struct Lane {
    queue: ArrayQueue<Queued>,
    bytes: AtomicUsize,
    wake: Notify,
}

struct Queued {
    header: Bytes,
    payload: Bytes,
}

impl Lane {
    /// An empty lane.
    pub(crate) fn new() -> Self {
        Self {
            queue: ArrayQueue::new(limits::LANE_REQUESTS_MAX),
            bytes: AtomicUsize::new(0),
            wake: Notify::new(),
        }
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
        if self.queue.push(Queued { header, payload }).is_err() {
            self.bytes.fetch_sub(len, Ordering::AcqRel);
            return false;
        }
        self.wake.notify_one();
        true
    }

    /// Writes what is queued until the link breaks.
    pub(crate) async fn run(&self, connection: &Connection) {
        if let Ok(mut stream) = open_stream(connection, StreamKind::Lane, PUSH_PRIORITY).await {
            let mut chunks = Vec::new();
            loop {
                let mut len = 0;
                while chunks.len() < CHUNKS_MAX
                    && let Some(queued) = self.queue.pop()
                {
                    len += queued.header.len() + queued.payload.len();
                    chunks.push(queued.header);
                    if !queued.payload.is_empty() {
                        chunks.push(queued.payload);
                    }
                }
                if chunks.is_empty() {
                    self.wake.notified().await;
                    continue;
                }
                let written = stream.write_all_chunks(&mut chunks).await;
                self.bytes.fetch_sub(len, Ordering::AcqRel);
                chunks.clear();
                if written.is_err() {
                    return;
                }
            }
        }
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
    }
}
