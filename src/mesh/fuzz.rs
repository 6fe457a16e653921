//! What peers send, as fuzzers feed it: any bytes, into the code that reads them from the wire.
//!
//! Each function panics where a decoder does what it must not: fail in another way than by an error,
//! read one stream in two ways, or change what is right. `tests/corpus.rs` calls them with the stored
//! inputs, the targets in `fuzz/` with new ones.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::task::yield_now;

use crate::id::{ClusterName, Incarnation, NodeName};
use crate::membership::gossip::{Gossip, GossipConfig};
use crate::membership::member::{Advert, AdvertState};
use crate::mesh::codec::{Decoder, encode};
use crate::mesh::frame::Hello;
use crate::mesh::gossip::{GossipSend, GossipTransport};
use crate::mesh::handshake::checked;
use crate::mesh::identity;
use crate::metrics::label::Offence;

/// The first frame of a link.
pub(crate) fn hello(data: &[u8]) {
    let proven = name(ME);
    for (hello, _) in frames::<Hello>(data, 0) {
        let named = hello.name == proven;
        let welcome = checked(hello, &proven).is_ok();
        assert!(named || !welcome, "a peer is who its certificate says");
    }
}

/// A certificate in DER.
pub(crate) fn certificate(data: &[u8]) {
    identity::fuzz::certificate(data);
}

/// A gossip message of a member, taken in by a node's gossip, which must outlive it.
pub(crate) fn gossip(data: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a thread can have a runtime").block_on(async {
        let (inbox, messages) = mpsc::channel(1);
        let transport = GossipTransport::new(Arc::new(Nowhere), messages);
        let gossip = Gossip::start(gossiping(), &transport).await.expect("the transport opens once");
        let peer = SocketAddr::from(([127, 0, 0, 1], 2));
        // There is room for one.
        let _ = inbox.try_send((peer, Bytes::copy_from_slice(data)));
        while inbox.capacity() == 0 {
            yield_now().await;
        }
        yield_now().await;
        let _ = gossip.views().await;
        // Whoever is dead takes nothing, and leaves nothing waiting either.
        inbox.try_send((peer, Bytes::new())).expect("gossip takes the next message");
        while inbox.capacity() == 0 {
            assert!(!inbox.is_closed(), "gossip died of a message");
            yield_now().await;
        }
    });
}

/// Cuts the frames out of a stream that arrives at once and in two pieces. Both have to be the same, and each
/// frame has to survive being sent on.
pub(crate) fn frames<H>(stream: &[u8], cut: u8) -> Vec<(H, Bytes)>
where
    H: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let cut = usize::from(cut).min(stream.len());
    let (whole, halves) = (read::<H>(&[stream]), read::<H>(&[&stream[..cut], &stream[cut..]]));
    assert_eq!(whole, halves, "where a stream is cut changes what it says");
    for (header, payload) in &whole.0 {
        let mut sent = encode(header, payload.len()).to_vec();
        sent.extend_from_slice(payload);
        let (again, error) = read::<H>(&[&sent]);
        assert_eq!(error, None, "what was read can be sent");
        assert!(matches!(&again[..], [(h, p)] if h == header && p == payload), "and is the same then");
    }
    whole.0
}

/// The frames of a stream, and how it went wrong, if it did.
fn read<H: DeserializeOwned>(pieces: &[&[u8]]) -> (Vec<(H, Bytes)>, Option<Offence>) {
    let (mut decoder, mut frames) = (Decoder::default(), Vec::new());
    for piece in pieces {
        decoder.feed(piece);
        loop {
            match decoder.next() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, error.offence()),
            }
        }
    }
    (frames, (!decoder.is_empty()).then_some(Offence::Codec))
}

/// A node without peers.
fn gossiping() -> GossipConfig {
    let mesh = SocketAddr::from(([127, 0, 0, 1], 1));
    GossipConfig {
        cluster: ClusterName::new("c").expect("a letter is a name"),
        name: name(ME),
        incarnation: Incarnation(1),
        advertise: mesh,
        seeds: Vec::new(),
        advert: Advert {
            state: AdvertState::Ready,
            protocol: 1,
            mesh,
            http: String::new(),
            zone: None,
            sessions: 0,
            degraded: false,
            keeps: true,
        },
    }
}

/// Takes gossip to nobody.
struct Nowhere;

impl GossipSend for Nowhere {
    fn send(&self, _: SocketAddr, _: Bytes) {}
}

/// The name of a node.
pub(crate) fn name(text: &str) -> NodeName {
    NodeName::new(text).expect("a word is a name")
}

/// The node that reads.
pub(crate) const ME: &str = "me";
