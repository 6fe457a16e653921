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

use crate::config::{Takeover, Tuning};
use crate::directory::SnapshotFrame;
use crate::id::{ClusterName, DeviceId, Incarnation, NodeName, SessionKey, UserId};
use crate::key::KeyHasher;
use crate::membership::gossip::{Gossip, GossipConfig};
use crate::membership::member::{Advert, AdvertState};
use crate::mesh::codec::{Decoder, encode};
use crate::mesh::frame::{
    Digests, Hello, HelloAnswer, Probe, ProbeAnswer, Receipts, Request, SectionFrame, Subscribe,
};
use crate::mesh::gossip::{GossipSend, GossipTransport};
use crate::mesh::handshake::checked;
use crate::mesh::identity;
use crate::metrics::label::Offence;
use crate::replica::{Arriving, Replica};

/// A stream of frames. The first byte says of which, the second where it is cut in two.
pub(crate) fn codec(data: &[u8]) {
    let [kind, cut, stream @ ..] = data else { return };
    match kind % 8 {
        0 => {
            for (request, _) in frames::<Request>(stream, *cut) {
                // What a link answers is bounded by this.
                let _ = request.recipients.check();
            }
        }
        1 => _ = frames::<Receipts>(stream, *cut),
        2 => _ = frames::<Subscribe>(stream, *cut),
        3 => _ = frames::<Digests>(stream, *cut),
        4 => _ = frames::<SectionFrame>(stream, *cut),
        5 => _ = frames::<HelloAnswer>(stream, *cut),
        6 => _ = frames::<Probe>(stream, *cut),
        _ => _ = frames::<ProbeAnswer>(stream, *cut),
    }
}

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

/// The frames of one subscription, merged into a directory. The first byte says under which policy.
pub(crate) fn section(data: &[u8]) {
    let [policy, stream @ ..] = data else { return };
    let takeover = match policy % 4 {
        0 => Takeover::ExclusiveDevice,
        1 => Takeover::RejectNewer,
        2 => Takeover::OnePerUser,
        _ => Takeover::MaxPerUser(2),
    };
    let (owner, hasher) = (name("peer"), KeyHasher::new(&[0; 32]));
    let names = SessionKey::new(
        UserId::new("u").expect("a letter is a user"),
        DeviceId::new("d").expect("a letter is a device"),
    );
    let key = hasher.key(&names);
    let replica = Replica::new(name(ME), Incarnation(1), hasher, takeover, Tuning::default());
    let _ = replica.claim(key, 5, None, None, |_| {});
    let mut arriving: Option<Arriving<'_>> = None;
    for (frame, _) in frames::<SectionFrame>(stream, 0) {
        let merged = match frame {
            SectionFrame::Head(_) => Ok(Vec::new()),
            SectionFrame::Delta(delta) => match &mut arriving {
                Some(arriving) => arriving.mend(&delta).map(|()| Vec::new()),
                None => replica.merge_delta(&owner, delta),
            },
            SectionFrame::Snapshot(SnapshotFrame::Begin(position)) => {
                arriving = None;
                replica.begin(&owner, position).map(|begun| {
                    arriving = begun;
                    Vec::new()
                })
            }
            SectionFrame::Snapshot(SnapshotFrame::Chunk(entries)) => {
                if let Some(arriving) = &mut arriving {
                    arriving.fill(&entries.0);
                }
                Ok(Vec::new())
            }
            SectionFrame::Snapshot(SnapshotFrame::End { digest, count }) => {
                arriving.take().map_or(Ok(Vec::new()), |arriving| arriving.end(digest, count))
            }
        };
        // A subscription ends with its first error.
        if merged.is_err() {
            break;
        }
    }
    assert_eq!(replica.own_len(), 1, "nobody writes this node's section but itself");
    let _ = (replica.counts(), replica.audit(), replica.page(None, 9));
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
fn frames<H>(stream: &[u8], cut: u8) -> Vec<(H, Bytes)>
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
        },
    }
}

/// Takes gossip to nobody.
struct Nowhere;

impl GossipSend for Nowhere {
    fn send(&self, _: SocketAddr, _: Bytes) {}
}

fn name(text: &str) -> NodeName {
    NodeName::new(text).expect("a word is a name")
}

/// The node that reads.
const ME: &str = "me";
