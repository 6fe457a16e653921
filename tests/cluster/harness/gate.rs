//! A way to one node that can be closed for some of its peers: a UDP relay in front of its mesh port.
//!
//! ```text
//!   peer ──► gate ──► a socket for this peer ──► node
//!        ◄──      ◄──                        ◄──
//! ```
//!
//! The node advertises the gate, so that everybody comes through it. A node dials from the port that
//! it listens on: the source of a packet says which peer sent it. A closed gate drops both ways.

use std::collections::BTreeSet;
use std::collections::hash_map::{Entry, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// The gate of one node. Dropping it closes it for everybody.
pub(crate) struct Gate {
    /// Where peers send to.
    pub(crate) addr: SocketAddr,
    /// Where the node listens, once that is known.
    node: watch::Sender<Option<SocketAddr>>,
    barred: Arc<Mutex<Barred>>,
    task: AbortHandle,
}

/// Whom a gate keeps out.
#[derive(Default)]
struct Barred {
    peers: BTreeSet<SocketAddr>,
    /// Everybody who did not come before.
    strangers: bool,
}

impl Barred {
    fn keeps_out(&self, peer: SocketAddr, known: bool) -> bool {
        self.peers.contains(&peer) || self.strangers && !known
    }
}

impl Gate {
    /// A gate without a node: what arrives waits for one in the kernel's buffer.
    pub(crate) async fn open() -> Self {
        let outer = Arc::new(bind().await);
        let addr = outer.local_addr().expect("it is bound");
        let (node, known) = watch::channel(None);
        let barred = Arc::new(Mutex::default());
        let task = tokio::spawn(serve(outer, known, Arc::clone(&barred))).abort_handle();
        Self { addr, node, barred, task }
    }

    /// Everything goes to `node` from now on.
    pub(super) fn leads_to(&self, node: SocketAddr) {
        self.node.send_replace(Some(node));
    }

    /// Where the node listens, and what its own packets come from.
    fn node(&self) -> SocketAddr {
        self.node.borrow().expect("the node was started")
    }

    /// Lets nothing through between these two nodes any more, in neither direction.
    pub(super) fn cut(one: &Gate, other: &Gate) {
        for (gate, peer) in [(one, other.node()), (other, one.node())] {
            let mut barred = gate.lock();
            barred.peers.insert(peer);
            barred.strangers = false;
        }
    }

    /// Lets nothing through between these two nodes, of which `new` is not started yet, nor anything
    /// of other new nodes to `old`, until [`Gate::cut`] says it of the two alone.
    pub(super) fn keep_apart(new: &Gate, old: &Gate) {
        new.lock().peers.insert(old.node());
        old.lock().strangers = true;
    }

    fn lock(&self) -> MutexGuard<'_, Barred> {
        self.barred.lock().expect(NOT_POISONED)
    }

    /// Lets everything through between them again.
    pub(super) fn heal(one: &Gate, other: &Gate) {
        for (gate, peer) in [(one, other.node()), (other, one.node())] {
            gate.lock().peers.remove(&peer);
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Passes on what peers send.
async fn serve(
    outer: Arc<UdpSocket>,
    mut node: watch::Receiver<Option<SocketAddr>>,
    barred: Arc<Mutex<Barred>>,
) {
    let Ok(node) = node.wait_for(Option::is_some).await.map(|node| node.expect("it was waited for")) else {
        return;
    };
    let mut peers: HashMap<SocketAddr, Way> = HashMap::new();
    let mut packet = vec![0; PACKET_BYTES_MAX];
    loop {
        // A port that is closed is reported as an error, and nothing else than a lost packet.
        let Ok((length, peer)) = outer.recv_from(&mut packet).await else { continue };
        if barred.lock().expect(NOT_POISONED).keeps_out(peer, peers.contains_key(&peer)) {
            continue;
        }
        assert!(peers.len() < PEERS_MAX, "a gate serves one small cluster");
        let way = match peers.entry(peer) {
            Entry::Occupied(way) => way.into_mut(),
            Entry::Vacant(place) => {
                place.insert(Way::open(&outer, peer, node, &barred).await.expect("loopback works"))
            }
        };
        let _ = way.inner.send(&packet[..length]).await;
    }
}

/// The way of one peer.
struct Way {
    inner: Arc<UdpSocket>,
    answers: AbortHandle,
}

impl Way {
    /// Passes on what the node answers to `peer`.
    async fn open(
        outer: &Arc<UdpSocket>,
        peer: SocketAddr,
        node: SocketAddr,
        barred: &Arc<Mutex<Barred>>,
    ) -> io::Result<Self> {
        let inner = Arc::new(bind().await);
        inner.connect(node).await?;
        let (answers, outer, barred) = (Arc::clone(&inner), Arc::clone(outer), Arc::clone(barred));
        let answers = tokio::spawn(async move {
            let mut packet = vec![0; PACKET_BYTES_MAX];
            loop {
                let Ok(length) = answers.recv(&mut packet).await else { continue };
                if !barred.lock().expect(NOT_POISONED).keeps_out(peer, true) {
                    let _ = outer.send_to(&packet[..length], peer).await;
                }
            }
        });
        Ok(Self { inner, answers: answers.abort_handle() })
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.answers.abort();
    }
}

async fn bind() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").await.expect("there is a free port on loopback")
}

/// The largest payload of UDP.
const PACKET_BYTES_MAX: usize = 65_535;
/// More than any test has nodes, also after some restarts.
const PEERS_MAX: usize = 16;
const NOT_POISONED: &str = "no panic happens under this lock";
