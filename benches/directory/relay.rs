//! A lossy path to one node: a UDP relay that drops a share of the datagrams in each direction.
//!
//! ```text
//!   peer A ─────► relay of B ── a socket for A ─────► node B
//!          ◄─────            ◄────────────────
//! ```
//!
//! It works like a NAT in front of B: each address that sends to the relay gets a socket of its own
//! towards B, and keeps it. B therefore sees A at an address of the relay, which is no matter to the
//! mesh: nodes know each other by certificate, and tell the address where they are reached. Nothing
//! is delayed, reordered or changed.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::server::Failure;

/// A running relay. Dropping it cuts the path.
pub(crate) struct Relay {
    /// Where peers send to.
    pub(crate) addr: SocketAddr,
    target: watch::Sender<Option<SocketAddr>>,
    carried: Arc<Carried>,
    task: JoinHandle<()>,
}

/// What passed, in both directions.
#[derive(Debug, Default)]
struct Carried {
    passed: AtomicU64,
    dropped: AtomicU64,
}

/// Decides about the datagrams of one direction.
struct Dice {
    random: StdRng,
    loss: f64,
    carried: Arc<Carried>,
}

impl Relay {
    /// Opens a relay on loopback that drops this share of the datagrams. It drops all of them until
    /// it is [aimed](Relay::aim).
    ///
    /// # Errors
    /// Those of the socket.
    pub(crate) async fn open(loss: f64, seed: u64) -> Result<Self, Failure> {
        let front = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
        let addr = front.local_addr()?;
        let carried = Arc::new(Carried::default());
        let (target, aimed) = watch::channel(None);
        let dice = Dice { random: StdRng::seed_from_u64(seed), loss, carried: Arc::clone(&carried) };
        let task = tokio::spawn(forward(front, aimed, dice));
        Ok(Self { addr, target, carried, task })
    }

    /// Sends what arrives to this node from now on.
    pub(crate) fn aim(&self, node: SocketAddr) {
        self.target.send_replace(Some(node));
    }

    /// How many datagrams passed and how many were dropped so far.
    pub(crate) fn carried(&self) -> (u64, u64) {
        (self.carried.passed.load(Ordering::Relaxed), self.carried.dropped.load(Ordering::Relaxed))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Dice {
    /// Whether the next datagram passes.
    fn passes(&mut self) -> bool {
        let passes = !self.random.random_bool(self.loss);
        let count = if passes { &self.carried.passed } else { &self.carried.dropped };
        count.fetch_add(1, Ordering::Relaxed);
        passes
    }

    /// Dice for another direction, which follow from these.
    fn fork(&mut self) -> Self {
        let random = StdRng::seed_from_u64(self.random.random());
        Self { random, loss: self.loss, carried: Arc::clone(&self.carried) }
    }
}

/// Carries what peers send, and starts the way back for each of them.
async fn forward(front: Arc<UdpSocket>, target: watch::Receiver<Option<SocketAddr>>, mut dice: Dice) {
    let mut backs: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    // Ends with this task, and so with the relay.
    let mut answers = JoinSet::new();
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        // An error is that of a datagram sent before, to a node that has ended.
        let Ok((length, peer)) = front.recv_from(&mut buffer).await else { continue };
        let Some(node) = *target.borrow() else { continue };
        if !backs.contains_key(&peer) {
            if backs.len() >= PEERS_MAX {
                continue;
            }
            let Ok(back) = connect(node).await else { continue };
            answers.spawn(answer(Arc::clone(&front), Arc::clone(&back), peer, dice.fork()));
            backs.insert(peer, back);
        }
        if dice.passes() {
            let _ = backs[&peer].send(&buffer[..length]).await; // A loss more.
        }
    }
}

/// Carries what the node sends to one peer.
async fn answer(front: Arc<UdpSocket>, back: Arc<UdpSocket>, peer: SocketAddr, mut dice: Dice) {
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let Ok(length) = back.recv(&mut buffer).await else { continue };
        if dice.passes() {
            let _ = front.send_to(&buffer[..length], peer).await; // A loss more.
        }
    }
}

async fn connect(node: SocketAddr) -> std::io::Result<Arc<UdpSocket>> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    socket.connect(node).await?;
    Ok(Arc::new(socket))
}

/// The largest payload of a UDP datagram.
const DATAGRAM_BYTES_MAX: usize = 65_507;
/// Addresses that a relay remembers; more are not carried. The bench has two peers a node.
const PEERS_MAX: usize = 64;
