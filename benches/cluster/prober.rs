//! Who pushes during a storm: to those who are back, until they are reached, and to everybody at a fixed rate.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::api::Api;
use crate::backend::has;
use crate::message::{Stamp, Way};
use crate::options::Options;
use crate::server::Failure;

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The user has it.
    Arrived,
    /// It has not, and nobody has promised that it would.
    Lost,
    /// It has not, although the answer was that the message was held for it.
    Broken,
}

/// Who pushes to users through the servers that are left.
pub(crate) struct Prober {
    addrs: Vec<SocketAddr>,
    /// Connections that nobody uses, by server.
    idle: Vec<Mutex<Vec<Api>>>,
    next: AtomicUsize,
    /// Who waits for a message to arrive, by its number.
    waiting: Mutex<HashMap<u64, oneshot::Sender<()>>>,
    /// Set when all are reached.
    pub(crate) done: AtomicBool,
}

impl Prober {
    /// Through these servers.
    pub(crate) fn new(addrs: &[SocketAddr]) -> Self {
        Self {
            addrs: addrs.to_vec(),
            idle: addrs.iter().map(|_| Mutex::default()).collect(),
            next: AtomicUsize::new(0),
            waiting: Mutex::default(),
            done: AtomicBool::new(false),
        }
    }

    /// Pushes to a user again and again until one message arrives, whatever became of those before it.
    ///
    /// # Errors
    /// A server does not answer.
    pub(crate) async fn probe(&self, user: usize) -> Result<(), Failure> {
        let (mut due, mut pushes) = (interval(PROBE_EVERY), FuturesUnordered::new());
        loop {
            tokio::select! {
                _ = due.tick() => pushes.push(self.push(user, LOST_AFTER)),
                Some(fate) = pushes.next() => if fate? == Fate::Arrived {
                    return Ok(());
                },
            }
        }
    }

    /// Pushes to all users at the fixed rate until all are reached and a second longer.
    pub(crate) async fn steady(
        self: &Arc<Self>,
        options: &Options,
    ) -> Vec<JoinHandle<Result<Fate, Failure>>> {
        let mut due = interval(Duration::from_secs(1) / options.rate);
        due.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let (mut sent, mut end) = (Vec::new(), None);
        for turn in 0.. {
            due.tick().await;
            let user = turn * STRIDE % options.listeners;
            let backend = Arc::clone(self);
            sent.push(tokio::spawn(async move { backend.push(user, LOST_AFTER).await }));
            if self.done.load(Ordering::Relaxed) && end.is_none() {
                end = Some(Instant::now() + Duration::from_secs(1));
            }
            if end.is_some_and(|end| Instant::now() > end) {
                break;
            }
        }
        sent
    }

    /// Pushes a message to a user, and says what became of it in that time.
    async fn push(&self, user: usize, within: Duration) -> Result<Fate, Failure> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let via = number % self.addrs.len();
        let (sender, receiver) = oneshot::channel();
        let stamp = Stamp { way: Way::Push, number: number as u64, sent_us: 0 };
        self.waiting.lock().expect(NOT_POISONED).insert(stamp.number, sender);
        let idle = self.idle[via].lock().expect(NOT_POISONED).pop();
        let mut api = match idle {
            Some(api) => api,
            None => Api::connect(self.addrs[via]).await?,
        };
        let path = format!("/v1/users/u{user}/push");
        let answer = api.call("POST", &path, stamp.payload(BYTES).as_bytes()).await?;
        let (is_taken, is_held) = (matches!(answer.status, 200 | 202), has(answer.body, b"\"queued\""));
        self.idle[via].lock().expect(NOT_POISONED).push(api);
        let arrived = is_taken && timeout(within, receiver).await.is_ok();
        self.waiting.lock().expect(NOT_POISONED).remove(&stamp.number);
        Ok(match (arrived, is_held) {
            (true, _) => Fate::Arrived,
            (false, true) => Fate::Broken,
            (false, false) => Fate::Lost,
        })
    }

    /// A message has arrived at its user.
    pub(crate) fn arrived(&self, number: u64) {
        if let Some(waiting) = self.waiting.lock().expect(NOT_POISONED).remove(&number) {
            let _ = waiting.send(()); // Whoever waited may have given up.
        }
    }
}

/// Between two pushes of a probe.
const PROBE_EVERY: Duration = Duration::from_millis(50);
/// A message that has not arrived by then is lost.
const LOST_AFTER: Duration = Duration::from_secs(5);
/// Users follow each other by this, so that the servers are mixed. A prime.
const STRIDE: usize = 7_919;
const BYTES: usize = 128;
const NOT_POISONED: &str = "no panic happens under this lock";
