//! Clients that come and go at a rate that does not wait for the servers: an open loop.
//!
//! Client number k connects k/rate seconds after the start, whatever became of those before, stays
//! for a while, and says goodbye. So there are as many disconnects a second as connects.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::client::{close, open};
use crate::dial::dial;
use crate::server::Failure;

/// A running generator. Dropping it stops it; who is connected then still takes leave.
pub(crate) struct Churn {
    count: Arc<Count>,
    generator: JoinHandle<()>,
}

/// What the clients met so far.
#[derive(Debug, Default)]
struct Count {
    connected: AtomicU64,
    failed: AtomicU64,
    /// Clients that were not started, because too many were under way.
    held_back: AtomicU64,
}

/// The counts at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tally {
    at: Instant,
    connected: u64,
    /// Clients that were refused or broke.
    pub(crate) failed: u64,
    /// Clients that were due and not started: the generator did not keep its rate.
    pub(crate) held_back: u64,
}

impl Churn {
    /// Starts `rate` connects a second, spread over these nodes in turn.
    pub(crate) fn start(nodes: Vec<SocketAddr>, rate: u32) -> Self {
        let count = Arc::new(Count::default());
        let generator = tokio::spawn(generate(nodes, rate, Arc::clone(&count)));
        Self { count, generator }
    }

    /// The counts now.
    pub(crate) fn tally(&self) -> Tally {
        Tally {
            at: Instant::now(),
            connected: self.count.connected.load(Ordering::Relaxed),
            failed: self.count.failed.load(Ordering::Relaxed),
            held_back: self.count.held_back.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Churn {
    fn drop(&mut self) {
        self.generator.abort();
    }
}

impl Tally {
    /// Successful connects a second since `earlier`.
    pub(crate) fn rate_since(&self, earlier: &Self) -> f64 {
        (self.connected - earlier.connected) as f64 / self.at.duration_since(earlier.at).as_secs_f64()
    }
}

async fn generate(nodes: Vec<SocketAddr>, rate: u32, count: Arc<Count>) {
    let places = Arc::new(Semaphore::new(OPEN_MAX));
    let began = Instant::now();
    let mut number = 0_u64;
    loop {
        let due = (began.elapsed().as_secs_f64() * f64::from(rate)) as u64;
        while number < due {
            let addr = nodes[(number % nodes.len() as u64) as usize];
            match Arc::clone(&places).try_acquire_owned() {
                Ok(place) => {
                    let count = Arc::clone(&count);
                    tokio::spawn(async move {
                        let met = visit(addr, number, &count.connected).await;
                        count.failed.fetch_add(u64::from(met.is_err()), Ordering::Relaxed);
                        drop(place);
                    });
                }
                Err(_) => {
                    count.held_back.fetch_add(1, Ordering::Relaxed);
                }
            }
            number += 1;
        }
        sleep(TICK).await;
    }
}

async fn visit(addr: SocketAddr, number: u64, connected: &AtomicU64) -> Result<(), Failure> {
    let socket = open(dial(addr).await?, &format!("churn{number}"), "phone").await?;
    connected.fetch_add(1, Ordering::Relaxed);
    sleep(STAY).await;
    close(socket).await;
    Ok(())
}

/// Clients under way at once. Guess: three times what a thousand a second come to.
const OPEN_MAX: usize = 6_000;
/// How long a client stays: long enough that its connect and its disconnect are two changes.
const STAY: Duration = Duration::from_secs(2);
/// How finely the connects are spread: the resolution of tokio's timer.
const TICK: Duration = Duration::from_millis(1);
