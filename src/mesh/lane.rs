//! The bounded queue of the requests of one ordered stream to a peer.
//!
//! Any task may queue; one task writes, see [`outbound`](crate::mesh::outbound).

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;

use crate::limits;

/// The queue of one stream. It takes no memory while nothing waits.
pub(crate) struct Lane(Mutex<State>);

#[derive(Default)]
struct State {
    queue: VecDeque<Queued>,
    bytes: usize,
}

struct Queued {
    header: Bytes,
    payload: Bytes,
}

impl Lane {
    /// An empty lane.
    pub(crate) fn new() -> Self {
        Self(Mutex::default())
    }

    /// Queues an encoded frame. `false`: there is no room, nothing was queued.
    #[must_use]
    pub(crate) fn push(&self, header: Bytes, payload: Bytes) -> bool {
        let len = header.len() + payload.len();
        let mut state = self.lock();
        let fits =
            state.bytes + len <= limits::LANE_BYTES_MAX && state.queue.len() < limits::LANE_REQUESTS_MAX;
        if fits {
            state.bytes += len;
            state.queue.push_back(Queued { header, payload });
        }
        fits
    }

    /// Takes requests to be written now, and returns how many bytes they are. They count until they are
    /// [released](Self::release).
    pub(crate) fn take(&self, chunks: &mut Vec<Bytes>) -> usize {
        let mut len = 0;
        let mut state = self.lock();
        while chunks.len() < CHUNKS_MAX
            && let Some(Queued { header, payload }) = state.queue.pop_front()
        {
            len += header.len() + payload.len();
            chunks.push(header);
            if !payload.is_empty() {
                chunks.push(payload);
            }
        }
        give_back(&mut state.queue);
        len
    }

    /// So many bytes are written.
    pub(crate) fn release(&self, bytes: usize) {
        if bytes > 0 {
            self.lock().bytes -= bytes;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic happens under this lock")
    }
}

/// Gives the memory of a burst back once a queue is empty.
pub(crate) fn give_back<T>(queue: &mut VecDeque<T>) {
    if queue.is_empty() && queue.capacity() > KEPT_MAX {
        *queue = VecDeque::new();
    }
}

/// Room that an empty queue keeps. Guess: what waits together in a link that is in use; some kilobytes.
const KEPT_MAX: usize = 64;
/// Frames written at once. Guess.
const CHUNKS_MAX: usize = 256;

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
        assert_eq!(lane.lock().bytes, limits::LANE_BYTES_MAX);
        for _ in fits..limits::LANE_REQUESTS_MAX {
            assert!(lane.push(Bytes::new(), Bytes::new()));
        }
        assert!(!lane.push(Bytes::new(), Bytes::new()), "the places are used up");
        let mut taken = Vec::new();
        lane.take(&mut taken);
        assert!(lane.push(Bytes::new(), Bytes::new()), "some are free again");
        while !taken.is_empty() {
            taken.clear();
            lane.take(&mut taken);
        }
        assert!(lane.lock().queue.capacity() <= KEPT_MAX, "an empty lane keeps no memory");
    }

    #[test]
    fn what_is_taken_counts_until_it_is_written() {
        let lane = Lane::new();
        assert!(lane.push(Bytes::from_static(b"head"), Bytes::from_static(b"payload")));
        assert!(lane.push(Bytes::from_static(b"no payload"), Bytes::new()));
        let mut chunks = Vec::new();
        let bytes = || lane.lock().bytes;
        assert_eq!((lane.take(&mut chunks), bytes()), (21, 21));
        assert_eq!(chunks, [&b"head"[..], b"payload", b"no payload"]);
        lane.release(21);
        assert_eq!((bytes(), lane.take(&mut Vec::new())), (0, 0));
    }
}
