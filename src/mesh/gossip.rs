//! Gossip over the mesh: chitchat's transport, made of the links that exist anyway.
//!
//! chitchat's loop awaits `send` for one peer after another and runs `recv` in between, and an
//! error of `recv` ends it for good. So the two are made such that the loop can neither hang nor
//! die here:
//!
//! - `send` encodes, hands the bytes to [`GossipSend`], which never blocks, and returns. It reports
//!   no failure: a message that is lost is repeated by the next round, and whether a peer can be
//!   reached is the mesh's knowledge and not gossip's.
//! - `recv` skips what cannot be decoded or would do harm, and counts it. When the inbox is closed, because the mesh
//!   stops, it waits for ever instead of failing: the end of gossip is decided by the node alone.
//!   It is cancel-safe, since the loop drops it each time that something else happens first.
//!
//! ```text
//!   chitchat ── send ──► GossipSend ──► Mailbox of the peer ──► link
//!   chitchat ◄─ recv ─── inbox ◄──────────────────────────────  link
//! ```
//!
//! Dialing, mailboxes and the choice between datagram and stream are not here. Pinned to chitchat
//! 0.11, the last version whose messages an outside transport can encode.

use std::future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use chitchat::transport::{Socket, Transport};
use chitchat::{ChitchatMessage, Deserializable, Serializable};
use tokio::sync::mpsc;
use tracing::debug;

use crate::limits;

pub(crate) mod carrier;
mod contents;

/// Takes gossip messages to peers.
pub(crate) trait GossipSend: Send + Sync + 'static {
    /// Sends `message` to the node at `to`, now or as soon as there is a link, or drops it. Must not
    /// block, not even for a moment: every peer's gossip waits for it.
    fn send(&self, to: SocketAddr, message: Bytes);
}

/// chitchat's way to the mesh. Can be opened once, because there is one inbox.
pub(crate) struct GossipTransport {
    sender: Arc<dyn GossipSend>,
    inbox: Mutex<Option<Inbox>>,
    rejected: Arc<AtomicU64>,
}

/// Gossip that arrived: the mesh address of the sender, and the bytes.
type Inbox = mpsc::Receiver<(SocketAddr, Bytes)>;

impl GossipTransport {
    /// Sends with `sender` and receives what is put into `inbox`.
    #[must_use]
    pub(crate) fn new(sender: Arc<dyn GossipSend>, inbox: Inbox) -> Self {
        Self { sender, inbox: Mutex::new(Some(inbox)), rejected: Arc::default() }
    }

    /// How many received messages were dropped because they could not be decoded. Shared: it keeps
    /// counting after the transport itself is gone.
    #[must_use]
    pub(crate) fn rejected(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.rejected)
    }
}

#[async_trait]
impl Transport for GossipTransport {
    /// The address is not used: the mesh is bound already.
    async fn open(&self, _listen_addr: SocketAddr) -> anyhow::Result<Box<dyn Socket>> {
        let inbox = self.inbox.lock().expect("no panic happens under this lock").take();
        let inbox =
            inbox.ok_or_else(|| anyhow::anyhow!("the mesh carries one gossip, and it is open already"))?;
        let (sender, rejected) = (Arc::clone(&self.sender), Arc::clone(&self.rejected));
        Ok(Box::new(GossipSocket { sender, inbox, rejected }))
    }
}

struct GossipSocket {
    sender: Arc<dyn GossipSend>,
    inbox: Inbox,
    rejected: Arc<AtomicU64>,
}

#[async_trait]
impl Socket for GossipSocket {
    async fn send(&mut self, to: SocketAddr, message: ChitchatMessage) -> anyhow::Result<()> {
        self.sender.send(to, Bytes::from(message.serialize_to_vec()));
        Ok(())
    }

    async fn recv(&mut self) -> anyhow::Result<(SocketAddr, ChitchatMessage)> {
        // Taking a message is the only await, and nothing is held across it.
        while let Some((from, bytes)) = self.inbox.recv().await {
            match decode(&bytes) {
                Ok(message) => return Ok((from, message)),
                Err(error) => {
                    self.rejected.fetch_add(1, Ordering::Relaxed);
                    debug!(peer = %from, bytes = bytes.len(), %error, "a gossip message is dropped");
                }
            }
        }
        future::pending().await
    }
}

fn decode(bytes: &[u8]) -> anyhow::Result<ChitchatMessage> {
    anyhow::ensure!(
        bytes.len() <= limits::GOSSIP_BYTES_MAX,
        "it has more than {} bytes",
        limits::GOSSIP_BYTES_MAX
    );
    contents::check(bytes)?;
    let mut rest = bytes;
    let message = ChitchatMessage::deserialize(&mut rest)?;
    anyhow::ensure!(rest.is_empty(), "{} bytes follow its end", rest.len());
    Ok(message)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    use super::*;
    use crate::id::{ClusterName, Incarnation, NodeName};
    use crate::membership::gossip::{Gossip, GossipConfig};
    use crate::membership::member::{Advert, AdvertState, GossipView};

    /// Puts what one node sends into the inboxes of the others, as coming from it.
    struct Wires {
        from: SocketAddr,
        inboxes: BTreeMap<SocketAddr, mpsc::Sender<(SocketAddr, Bytes)>>,
    }

    impl GossipSend for Wires {
        fn send(&self, to: SocketAddr, message: Bytes) {
            if let Some(inbox) = self.inboxes.get(&to) {
                // A full inbox drops, as the mesh does.
                let _ = inbox.try_send((self.from, message));
            }
        }
    }

    struct Node {
        gossip: Gossip,
        rejected: Arc<AtomicU64>,
        inbox: mpsc::Sender<(SocketAddr, Bytes)>,
    }

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn advert(port: u16, state: AdvertState) -> Advert {
        let (mesh, http) = (addr(port), format!("127.0.0.1:{}", port + 1_000));
        Advert { state, protocol: 1, mesh, http, zone: None, sessions: 0, degraded: false, keeps: true }
    }

    async fn start(port: u16, cluster: &str, transport: &GossipTransport) -> Gossip {
        let config = GossipConfig {
            cluster: ClusterName::new(cluster).unwrap(),
            name: NodeName::new(format!("n{port}")).unwrap(),
            incarnation: Incarnation(u64::from(port) * 10),
            advertise: addr(port),
            seeds: vec![addr(1)],
            advert: advert(port, AdvertState::Ready),
        };
        Gossip::start(config, transport).await.unwrap()
    }

    /// Nodes at the ports 1, 2, …, one in each of `clusters`; port 1 is everybody's seed.
    async fn nodes(clusters: &[&str]) -> Vec<Node> {
        let (mut senders, mut receivers) = (BTreeMap::new(), Vec::new());
        for (port, cluster) in (1..).zip(clusters) {
            let (sender, receiver) = mpsc::channel(limits::GOSSIP_INBOX);
            senders.insert(addr(port), sender);
            receivers.push((port, cluster, receiver));
        }
        let mut nodes = Vec::new();
        for (port, cluster, receiver) in receivers {
            let wires = Wires { from: addr(port), inboxes: senders.clone() };
            let transport = GossipTransport::new(Arc::new(wires), receiver);
            let gossip = start(port, cluster, &transport).await;
            nodes.push(Node { gossip, rejected: transport.rejected(), inbox: senders[&addr(port)].clone() });
        }
        nodes
    }

    /// Looks at `gossip` every tenth of a (virtual) second until `holds`, for at most a minute.
    async fn until(gossip: &Gossip, holds: impl Fn(&[GossipView]) -> bool) {
        let mut looks = tokio::time::interval(Duration::from_millis(100));
        let wait = async {
            while !holds(&gossip.views().await) {
                looks.tick().await;
            }
        };
        let seen = tokio::time::timeout(Duration::from_secs(60), wait).await;
        assert!(seen.is_ok(), "not within a minute; gossip shows {:?}", gossip.views().await);
    }

    #[tokio::test(start_paused = true)]
    async fn two_nodes_see_each_other_live_with_their_adverts() {
        let nodes = nodes(&["c", "c"]).await;
        for (node, peer) in [(&nodes[0], 2), (&nodes[1], 1)] {
            let incarnation = Incarnation(u64::from(peer) * 10);
            until(&node.gossip, |views| {
                matches!(views, [view] if view.live && view.heartbeat > 0 && view.incarnation == incarnation
                    && view.addr == addr(peer) && view.advert == Some(advert(peer, AdvertState::Ready)))
            })
            .await;
        }
        nodes[1].gossip.advertise(&advert(2, AdvertState::Draining)).await;
        until(&nodes[0].gossip, |views| views[0].advert == Some(advert(2, AdvertState::Draining))).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_stops_is_no_longer_live() {
        let mut nodes = nodes(&["c", "c"]).await;
        until(&nodes[0].gossip, |views| matches!(views, [view] if view.live)).await;
        nodes.pop().expect("two were started").gossip.shutdown().await;
        until(&nodes[0].gossip, |views| matches!(views, [view] if !view.live)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn garbage_does_not_stop_gossip_and_is_counted() {
        let nodes = nodes(&["c", "c"]).await;
        let long = vec![0; limits::GOSSIP_BYTES_MAX + 1];
        let bad_cluster = ChitchatMessage::BadCluster.serialize_to_vec();
        let trailing = [&bad_cluster[..], b"!"].concat();
        let garbage: [&[u8]; 5] = [b"", b"junk", &bad_cluster[..3], &trailing, &long];
        for bytes in garbage {
            nodes[0].inbox.send((addr(2), Bytes::copy_from_slice(bytes))).await.unwrap();
        }
        until(&nodes[0].gossip, |views| matches!(views, [view] if view.live)).await;
        assert_eq!(nodes[0].rejected.load(Ordering::Relaxed), garbage.len() as u64);
    }

    #[tokio::test(start_paused = true)]
    async fn another_cluster_stays_invisible() {
        let nodes = nodes(&["c", "c", "other"]).await;
        until(&nodes[0].gossip, |views| matches!(views, [view] if view.live)).await;
        assert_eq!(nodes[2].gossip.views().await, Vec::new());
        assert!(nodes[0].gossip.views().await.iter().all(|view| view.addr == addr(2)));
    }

    #[tokio::test]
    async fn a_transport_opens_once_and_a_closed_inbox_never_fails_recv() {
        let (inbox, receiver) = mpsc::channel(1);
        let wires = Wires { from: addr(1), inboxes: BTreeMap::new() };
        let transport = GossipTransport::new(Arc::new(wires), receiver);
        let mut socket = transport.open(addr(1)).await.unwrap();
        assert!(transport.open(addr(1)).await.is_err());

        let mut context = Context::from_waker(Waker::noop());
        // A recv that is dropped while it waits takes nothing with it.
        assert!(pin!(socket.recv()).poll(&mut context).is_pending());
        let message = Bytes::from(ChitchatMessage::BadCluster.serialize_to_vec());
        inbox.send((addr(2), message)).await.unwrap();
        assert_eq!(socket.recv().await.unwrap(), (addr(2), ChitchatMessage::BadCluster));

        socket.send(addr(9), ChitchatMessage::BadCluster).await.expect("an unknown peer is no error");
        drop(inbox);
        assert!(matches!(pin!(socket.recv()).poll(&mut context), Poll::Pending));
    }
}
