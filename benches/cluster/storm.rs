//! A server is killed, and all its users are back at the others at once.
//!
//! Each of them is pushed to as soon as it is connected again, until a message has reached it. Meanwhile
//! messages go to all users at a fixed rate, and those that never arrive are counted.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, unfold};
use futures_util::{StreamExt, TryStreamExt};
use tokio::sync::mpsc::{Sender, channel};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::api::Api;
use crate::client;
use crate::envelope::Dialect;
use crate::load::visible;
use crate::message::{Stamp, Way};
use crate::options::Options;
use crate::server::Failure;
use crate::system::{Cluster, System};

/// What came of it.
pub(crate) struct Storm {
    /// Time from the kill until every user of the killed server had received a message.
    pub(crate) reached: Duration,
    /// Messages of the fixed rate that never arrived.
    pub(crate) lost: usize,
}

/// Runs one on a fresh cluster.
///
/// # Errors
/// Somebody is not let in, or is never reached.
pub(crate) async fn run(options: &Options, system: System, nodes: usize) -> Result<Storm, Failure> {
    let mut cluster = Cluster::start(system, options.setup(nodes)).await?;
    let addrs: Vec<_> = cluster.nodes.iter().map(|node| node.http).collect();
    let victim = nodes - 1;
    let backend = Arc::new(Backend::new(&addrs[..victim]));
    let (back, returns) = channel(options.listeners);
    // Ends when this returns.
    let mut users = JoinSet::new();
    for user in 0..options.listeners {
        users.spawn(stay(addrs.clone(), user, Arc::clone(&backend), back.clone()));
    }
    visible(&cluster, options.listeners).await?;

    cluster.nodes[victim].kill();
    let killed = Instant::now();
    let affected = (victim..options.listeners).step_by(nodes).len();
    let returns = unfold(returns, async |mut returns| Some((returns.recv().await?, returns)));
    let returns = returns.take(affected).map(Ok);
    let probes = returns.try_for_each_concurrent(PROBES_MAX, |user| backend.probe(user));
    let steady = backend.steady(options, killed);
    let (reached, sent) = tokio::join!(
        async {
            let probed = timeout(REACHED_WITHIN, probes).await;
            backend.done.store(true, Ordering::Relaxed);
            let probed = probed.map_err(|_| Failure::from("not all users were reached again"))?;
            probed.map(|()| killed.elapsed())
        },
        steady
    );
    let arrived = join_all(sent).await;
    let lost = arrived.into_iter().filter(|arrived| !matches!(arrived, Ok(Ok(true)))).count();
    Ok(Storm { reached: reached?, lost })
}

/// A user that is connected for as long as this runs: at its own server, or else at the next one.
async fn stay(addrs: Vec<SocketAddr>, user: usize, backend: Arc<Backend>, back: Sender<usize>) {
    for turn in user.. {
        let Ok(mut socket) = client::open(addrs[turn % addrs.len()], user, Dialect::Plain).await else {
            sleep(AGAIN).await;
            continue;
        };
        if turn > user {
            let _ = back.send(user).await; // Nobody asks once all are back.
        }
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Text(text) = message
                && let Some(stamp) = Stamp::parse(&text)
            {
                backend.arrived(stamp.number);
            }
        }
    }
}

/// Who pushes to users through the servers that are left.
struct Backend {
    addrs: Vec<SocketAddr>,
    /// Connections that nobody uses, by server.
    idle: Vec<Mutex<Vec<Api>>>,
    next: AtomicUsize,
    /// Who waits for a message to arrive, by its number.
    waiting: Mutex<HashMap<u64, oneshot::Sender<()>>>,
    /// Set when all are reached.
    done: AtomicBool,
}

impl Backend {
    fn new(addrs: &[SocketAddr]) -> Self {
        Self {
            addrs: addrs.to_vec(),
            idle: addrs.iter().map(|_| Mutex::default()).collect(),
            next: AtomicUsize::new(0),
            waiting: Mutex::default(),
            done: AtomicBool::new(false),
        }
    }

    /// Pushes to a user again and again until one message arrives, whatever became of those before it.
    async fn probe(&self, user: usize) -> Result<(), Failure> {
        let (mut due, mut pushes) = (interval(PROBE_EVERY), FuturesUnordered::new());
        loop {
            tokio::select! {
                _ = due.tick() => pushes.push(self.push(user, LOST_AFTER)),
                Some(arrived) = pushes.next() => if arrived? {
                    return Ok(());
                },
            }
        }
    }

    /// Pushes to all users at the fixed rate until all are reached and a second longer.
    async fn steady(
        self: &Arc<Self>,
        options: &Options,
        killed: Instant,
    ) -> Vec<tokio::task::JoinHandle<Result<bool, Failure>>> {
        let mut due = interval(Duration::from_secs(1) / options.rate);
        due.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let (mut sent, mut end) = (Vec::new(), None);
        for turn in 0.. {
            due.tick().await;
            let user = turn * STRIDE % options.listeners;
            let backend = Arc::clone(self);
            sent.push(tokio::spawn(async move { backend.push(user, LOST_AFTER).await }));
            if self.done.load(Ordering::Relaxed) && end.is_none() {
                end = Some(killed.elapsed() + Duration::from_secs(1));
            }
            if end.is_some_and(|end| killed.elapsed() > end) {
                break;
            }
        }
        sent
    }

    /// Pushes a message to a user, and says whether it arrived in that time.
    async fn push(&self, user: usize, within: Duration) -> Result<bool, Failure> {
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
        let status = api.call("POST", &path, stamp.payload(BYTES).as_bytes()).await?.status;
        self.idle[via].lock().expect(NOT_POISONED).push(api);
        let arrived = matches!(status, 200 | 202) && timeout(within, receiver).await.is_ok();
        self.waiting.lock().expect(NOT_POISONED).remove(&stamp.number);
        Ok(arrived)
    }

    fn arrived(&self, number: u64) {
        if let Some(waiting) = self.waiting.lock().expect(NOT_POISONED).remove(&number) {
            let _ = waiting.send(()); // Whoever waited may have given up.
        }
    }
}

/// Between two attempts of a user to connect, and of a probe to reach it.
const AGAIN: Duration = Duration::from_millis(10);
const PROBE_EVERY: Duration = Duration::from_millis(50);
/// Users that are probed at a time; each push in progress has a connection of its own.
const PROBES_MAX: usize = 128;
/// A message that has not arrived by then is lost.
const LOST_AFTER: Duration = Duration::from_secs(5);
const REACHED_WITHIN: Duration = Duration::from_secs(60);
/// Users follow each other by this, so that the servers are mixed. A prime.
const STRIDE: usize = 7_919;
const BYTES: usize = 128;
const NOT_POISONED: &str = "no panic happens under this lock";
