//! How QUIC behaves between nodes: timers, windows and the key of stateless resets.
//!
//! A link carries many small messages between machines that are up for months, so it is tuned to
//! notice a dead peer within seconds and to keep memory bounded, not for one big transfer. Nothing
//! here decides who may connect. Source: RFC 9000, RFC 9002 and the pages of quinn's configs.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use quinn::{
    AckFrequencyConfig, ConnectionId, ConnectionIdGenerator, EndpointConfig, IdleTimeout, TimeSource,
    TransportConfig, VarInt,
};
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use ring::{digest, hmac};
use tokio::time::Instant;

use super::cluster_key::DERIVED_BYTES;
use crate::limits;

/// Timers and windows of a link; both ends use the same.
pub(super) fn transport_config() -> Arc<TransportConfig> {
    let idle = IdleTimeout::try_from(limits::LINK_IDLE_TIMEOUT).expect("a few seconds fit the timer");
    let mut acks = AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(VarInt::from_u32(ACK_AFTER_PACKETS));
    let mut config = TransportConfig::default();
    config
        .ack_frequency_config(Some(acks))
        .keep_alive_interval(Some(limits::LINK_KEEP_ALIVE))
        .max_idle_timeout(Some(idle))
        .initial_rtt(INITIAL_RTT)
        .max_concurrent_uni_streams(VarInt::from_u32(UNI_STREAMS_MAX))
        .max_concurrent_bidi_streams(VarInt::from_u32(BIDI_STREAMS_MAX))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(LINK_WINDOW_BYTES))
        .send_window(u64::from(LINK_WINDOW_BYTES))
        .datagram_receive_buffer_size(Some(DATAGRAM_BUFFER_BYTES))
        .datagram_send_buffer_size(DATAGRAM_BUFFER_BYTES);
    Arc::new(config)
}

/// What all links of an endpoint share. `reset_key` is the same after a restart of the node, so
/// that it can answer a packet of a connection that it no longer knows with a reset that the peer
/// believes: the peer notices the restart with its next packet instead of after
/// [`limits::LINK_IDLE_TIMEOUT`]. `seed` decides all random choices; each boot needs a new one,
/// because repeated connection ids would hide that restart.
pub(super) fn endpoint_config(reset_key: &[u8; DERIVED_BYTES], seed: [u8; 32]) -> EndpointConfig {
    let reset_key = hmac::Key::new(hmac::HMAC_SHA256, reset_key);
    let mut config = EndpointConfig::new(Arc::new(reset_key));
    config
        .rng_seed(Some(seed))
        .cid_generator(move || Box::new(SeededConnectionIds::new(seed)))
        .min_reset_interval(RESET_INTERVAL_MIN)
        .supported_versions(vec![QUIC_VERSION]);
    config
}

/// The time in tokens that validate an address: it counts from the boot, whatever the machine's clock does. A
/// token of a former boot is good for as long as one of this boot would be.
#[derive(Debug)]
pub(super) struct SinceBoot(Instant);

impl Default for SinceBoot {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl TimeSource for SinceBoot {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + self.0.elapsed()
    }
}

/// Connection ids that a seed decides. quinn's own generator draws from the thread, and checks ids
/// with a random key that would make a restarted node drop the packets that it has to answer.
struct SeededConnectionIds(StdRng);

impl SeededConnectionIds {
    fn new(seed: [u8; 32]) -> Self {
        // Not the seed itself: quinn's own stream starts from it, and packets show these ids.
        let mut labelled = digest::Context::new(&digest::SHA256);
        labelled.update(b"pushmesh connection ids");
        labelled.update(&seed);
        let seed = labelled.finish().as_ref().try_into().expect("SHA-256 has 32 bytes");
        Self(StdRng::from_seed(seed))
    }
}

impl ConnectionIdGenerator for SeededConnectionIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut bytes = [0; CONNECTION_ID_BYTES];
        self.0.fill_bytes(&mut bytes);
        ConnectionId::new(&bytes)
    }

    fn cid_len(&self) -> usize {
        CONNECTION_ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// Round trip that is assumed before the first one is measured; three of them pass before a lost
/// first packet is sent again. 100 ms makes that 300 ms, which is just above the longest round trip
/// on Earth and gives two more attempts within [`limits::DIAL_TIMEOUT`] (at 0.3 and 0.9 s). The 333
/// ms of RFC 9002 would give one, at 1 s.
const INITIAL_RTT: Duration = Duration::from_millis(100);

/// Packets that a node may leave without an acknowledgement of their own for at most 25 ms: mostly one
/// goes along with the next receipt or request. Fewer than the ten packets with which a link starts,
/// so that its first burst is not held up.
const ACK_AFTER_PACKETS: u32 = 8;

/// Streams in one direction that a peer may have open: gossip messages too large for a datagram,
/// deltas and snapshots. Guess: a round of gossip from a large cluster, many times over.
const UNI_STREAMS_MAX: u32 = 256;

/// Streams in both directions that a peer may have open: the lanes of pushes and a request each
/// for what is asked rarely. Guess.
const BIDI_STREAMS_MAX: u32 = 64;

/// Bytes that a peer may send on one stream before they are read: 1 Gbit/s over 32 ms.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;

/// Bytes that a peer may send on one link before they are read, and that may wait for its
/// acknowledgement. Bounds the memory of a link; large enough for every lane to fill its window.
const LINK_WINDOW_BYTES: u32 = 32 << 20;

/// Bytes of datagrams (gossip) waiting on one link; the oldest is dropped. Source: 16 messages of
/// [`limits::GOSSIP_BYTES_MAX`], far more than fit datagrams in a round.
const DATAGRAM_BUFFER_BYTES: usize = 1 << 20;

/// Least time between two stateless resets of a node: an answer for every one of
/// [`limits::PEERS_MAX`] peers in about a second after a restart. A reset is smaller than the packet
/// that asked for it, so that it cannot amplify.
const RESET_INTERVAL_MIN: Duration = Duration::from_millis(1);

/// Bytes of a connection id. Source: quinn's default; 64 random bits do not collide.
const CONNECTION_ID_BYTES: usize = 8;

/// QUIC version 1 (RFC 9000). quinn also offers drafts, which no pushmesh ever spoke.
const QUIC_VERSION: u32 = 1;

const _: () = {
    assert!(BIDI_STREAMS_MAX as usize > limits::LANES);
    assert!(LINK_WINDOW_BYTES as usize > limits::LANES * STREAM_WINDOW_BYTES as usize);
    assert!(INITIAL_RTT.as_millis() * 9 < limits::DIAL_TIMEOUT.as_millis());
    assert!(DATAGRAM_BUFFER_BYTES >= limits::GOSSIP_BYTES_MAX);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_the_connection_ids_and_another_seed_decides_others() {
        let ids = |seed| {
            let mut generator = SeededConnectionIds::new(seed);
            [generator.generate_cid(), generator.generate_cid()]
        };
        let first = ids([1; 32]);
        assert_ne!(first[0], first[1]);
        assert_eq!(ids([1; 32]), first);
        assert!(ids([2; 32]).iter().all(|id| !first.contains(id)));
        assert_eq!(first[0].len(), SeededConnectionIds::new([1; 32]).cid_len());
    }
}
