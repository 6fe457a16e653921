//! What a member may do to another one on their link, and what ends the link.
//!
//! A member has the cluster's key, and may still be broken, or taken over. It can say what it likes of itself; it
//! must not be able to exhaust the nodes that it is linked to. Each of its queues has a bound; here are those of the
//! mesh that are rates and counts. What a handler serves is bounded by the handler, which keeps its counts for a link
//! [attached](crate::mesh::attached) to it. What no working node does is a [`Breach`]: it is counted, and the link is closed.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::limits;
use crate::mesh::bucket::Bucket;
use crate::mesh::codec::CodecError;
use crate::metrics::label::Offence;

/// Why a link is closed by the end that did nothing wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Breach {
    /// Its bytes are no frames.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// It sent a receipt for a request that this node has not sent, or that was answered before.
    #[error("it sent a receipt for a request that is not waiting for one")]
    Unasked,
    /// It sent a receipt of the wrong kind or length.
    #[error("it sent a receipt of the wrong kind for its request")]
    Answer,
    /// It sent more than any node does.
    #[error("it sent more {0} than a node may send")]
    Flood(&'static str),
    /// It opened a stream and left it at that.
    #[error("it opened a stream and sent nothing on it for {} s", limits::STREAM_SILENCE_MAX.as_secs())]
    Silent,
    /// It does not read.
    #[error("it has read nothing from the link for {} s, while frames wait", limits::LINK_STALL_MAX.as_secs())]
    Stalled,
    /// It reads and does not answer.
    #[error("it has answered no request for {} s, while requests wait", limits::ANSWER_SILENCE_MAX.as_secs())]
    Mute,
}

impl Breach {
    /// What metrics call it; `None` for a stream that broke with its link, which is no offence of the peer's.
    pub(crate) fn offence(&self) -> Option<Offence> {
        match self {
            Self::Codec(error) => error.offence(),
            Self::Unasked => Some(Offence::Unasked),
            Self::Answer => Some(Offence::Answer),
            Self::Flood(_) => Some(Offence::Flood),
            Self::Silent => Some(Offence::Silent),
            Self::Stalled | Self::Mute => Some(Offence::Stalled),
        }
    }
}

/// What a stream has to bring soon after its opening.
///
/// # Errors
/// [`Breach::Silent`], and what the reading itself found.
pub(crate) async fn soon<T>(reading: impl Future<Output = Result<T, CodecError>>) -> Result<T, Breach> {
    Ok(timeout(limits::STREAM_SILENCE_MAX, reading).await.map_err(|_| Breach::Silent)??)
}

/// What the peer at the other end of one link has done lately.
#[derive(Debug)]
pub(crate) struct Conduct(Mutex<State>);

#[derive(Debug)]
struct State {
    gossip: Bucket,
    /// Gossip that was above the rate since the peer last kept within it.
    gossip_dropped: u32,
    streams: Bucket,
    lanes: usize,
    receipts: bool,
}

impl Conduct {
    /// Of a new link.
    pub(crate) fn new() -> Self {
        Self(Mutex::new(State {
            gossip: Bucket::new(limits::GOSSIP_PER_SECOND, 2 * limits::GOSSIP_PER_SECOND),
            gossip_dropped: 0,
            streams: Bucket::new(limits::STREAMS_PER_SECOND, 2 * limits::STREAMS_PER_SECOND),
            lanes: 0,
            receipts: false,
        }))
    }

    /// A gossip message arrived. `false`: there were too many, it is to be dropped.
    ///
    /// # Errors
    /// [`Breach::Flood`].
    pub(crate) fn gossip(&self, now: Instant) -> Result<bool, Breach> {
        let mut state = self.lock();
        if state.gossip.is_full(now) {
            state.gossip_dropped = 0;
        }
        let within = state.gossip.take(now);
        state.gossip_dropped += u32::from(!within);
        if state.gossip_dropped > limits::GOSSIP_DROPPED_MAX {
            Err(Breach::Flood("gossip"))
        } else {
            Ok(within)
        }
    }

    /// A stream was accepted. Returns how long to wait before the next one is.
    pub(crate) fn stream(&self, now: Instant) -> Duration {
        let mut state = self.lock();
        state.streams.take(now);
        state.streams.wait(now)
    }

    /// The stream is a lane of requests.
    ///
    /// # Errors
    /// [`Breach::Flood`].
    pub(crate) fn lane(&self) -> Result<(), Breach> {
        let mut state = self.lock();
        state.lanes += 1;
        if state.lanes > limits::LANES { Err(Breach::Flood("lanes")) } else { Ok(()) }
    }

    /// The stream carries receipts.
    ///
    /// # Errors
    /// [`Breach::Flood`].
    pub(crate) fn receipts(&self) -> Result<(), Breach> {
        let another = std::mem::replace(&mut self.lock().receipts, true);
        if another { Err(Breach::Flood("streams of receipts")) } else { Ok(()) }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().expect("no panic happens under this lock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gossip_above_its_rate_is_dropped_and_without_end_it_ends_the_link() {
        let (conduct, now) = (Conduct::new(), Instant::now());
        let arrive =
            |count: u32, at: Instant| (0..count).map(|_| conduct.gossip(at)).collect::<Result<Vec<_>, _>>();
        let taken = |arrived: Vec<bool>| arrived.into_iter().filter(|taken| *taken).count();
        let burst = 2 * limits::GOSSIP_PER_SECOND;
        assert_eq!(taken(arrive(burst + limits::GOSSIP_DROPPED_MAX, now).unwrap()), burst as usize);
        let later = now + Duration::from_secs(60);
        assert_eq!(taken(arrive(burst, later).unwrap()), burst as usize, "it has calmed down");
        assert!(matches!(arrive(limits::GOSSIP_DROPPED_MAX + 1, later), Err(Breach::Flood("gossip"))));
    }

    #[test]
    fn streams_come_at_a_rate_and_those_that_last_are_counted() {
        let (conduct, now) = (Conduct::new(), Instant::now());
        let waits: Vec<_> = (0..1_000).map(|_| conduct.stream(now)).collect();
        assert!(waits[..limits::STREAMS_PER_SECOND as usize].iter().all(Duration::is_zero));
        assert!(waits.last().is_some_and(|wait| !wait.is_zero()));
        assert!((0..limits::LANES).all(|_| conduct.lane().is_ok()) && conduct.lane().is_err());
        assert!(conduct.receipts().is_ok() && conduct.receipts().is_err());
    }

    #[test]
    fn a_stream_that_broke_with_its_link_is_no_offence() {
        assert!(Breach::Codec(CodecError::Broken(String::new())).offence().is_none());
        assert!(
            Breach::Codec(CodecError::Truncated).offence().is_some() && Breach::Unasked.offence().is_some()
        );
    }
}
