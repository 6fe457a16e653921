//! A server is killed, and all its users are back at the others at once.
//!
//! Each of them is pushed to as soon as it is connected again, until a message has reached it. Meanwhile
//! messages go to all users at a fixed rate, and those that never arrive are counted. Users whose sessions are kept come back with
//! what they know, and what was answered `queued` has to reach them; to them messages go before the kill as well.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::unfold;
use futures_util::{SinkExt, StreamExt, TryStreamExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{Sender, channel};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::client;
use crate::dial::dial;
use crate::envelope::Dialect;
use crate::load::visible;
use crate::message::Stamp;
use crate::options::Options;
use crate::prober::{Fate, Prober};
use crate::resuming::{Resuming, Step};
use crate::server::Failure;
use crate::system::{Cluster, Setup, System};

/// What came of it.
pub(crate) struct Storm {
    /// Time from the kill until every user of the killed server had received a message.
    pub(crate) reached: Duration,
    /// Time from the kill until every one of them had a TCP connection to another server.
    pub(crate) dialled: Duration,
    /// Messages of the fixed rate that never arrived.
    pub(crate) lost: usize,
    /// Users that came back and were told that they have everything, of a hundred.
    pub(crate) complete: f64,
}

/// Runs one on a fresh cluster, with users of that dialect.
///
/// # Errors
/// Somebody is not let in, or is never reached; or a kept session is not what the protocol says.
pub(crate) async fn run(
    options: &Options,
    system: System,
    nodes: usize,
    dialect: Dialect,
) -> Result<Storm, Failure> {
    let is_kept = dialect != Dialect::Plain;
    let copies = (nodes - 1).min(2).to_string();
    let flags = if is_kept { vec!["--copies".to_owned(), copies] } else { Vec::new() };
    let mut cluster = Cluster::start(system, Setup { flags: &flags, ..options.setup(nodes) }).await?;
    let addrs: Vec<_> = cluster.nodes.iter().map(|node| node.http).collect();
    let victim = nodes - 1;
    let prober = Arc::new(Prober::new(&addrs[..victim]));
    let (back, returns) = channel(options.listeners);
    let seen = Arc::new(Seen::default());
    // Ends when this returns.
    let mut users = JoinSet::new();
    for user in 0..options.listeners {
        let (addrs, back) = (addrs.clone(), back.clone());
        let (prober, seen) = (Arc::clone(&prober), Arc::clone(&seen));
        users.spawn(User { user, dialect, addrs, prober, back, seen }.stay());
    }
    visible(&cluster, options.listeners).await?;

    let affected = (victim..options.listeners).step_by(nodes).len();
    let returns = unfold(returns, async |mut returns| Some((returns.recv().await?, returns)));
    let returns = returns.take(affected).map(Ok);
    let probes = returns.try_for_each_concurrent(PROBES_MAX, |user| prober.probe(user));
    let (reached, sent) = tokio::join!(
        async {
            if is_kept {
                sleep(BEFORE).await;
            }
            cluster.nodes[victim].kill();
            let killed = Instant::now();
            let probed = timeout(REACHED_WITHIN, probes).await;
            prober.done.store(true, Ordering::Relaxed);
            let probed = probed.map_err(|_| Failure::from("not all users were reached again"))?;
            let dialled = seen.dialled.lock().expect(NOT_POISONED).ok_or("nobody has come back")?;
            probed.map(|()| (killed.elapsed(), dialled - killed))
        },
        prober.steady(options)
    );
    let (reached, dialled) = reached?;
    let mut lost = 0;
    for fate in join_all(sent).await {
        match fate?? {
            Fate::Arrived => {}
            Fate::Lost => lost += 1,
            Fate::Broken => return Err("what was answered queued has not arrived".into()),
        }
    }
    if is_kept {
        seen.decided(affected).await;
    }
    let violations = seen.violations.load(Ordering::Relaxed);
    if violations > 0 {
        return Err(format!("{violations} frames are against the protocol").into());
    }
    let complete = seen.complete.load(Ordering::Relaxed) as f64 * 100.0 / affected as f64;
    Ok(Storm { reached, dialled, lost, complete })
}

/// What users have seen, all together.
#[derive(Default)]
struct Seen {
    /// When the last of those who come back had a connection.
    dialled: Mutex<Option<Instant>>,
    /// Those that were told that they have everything, and that they may have not.
    complete: AtomicUsize,
    partial: AtomicUsize,
    violations: AtomicUsize,
}

impl Seen {
    /// Waits until so many were told whether they have everything, or for too long.
    async fn decided(&self, users: usize) {
        let told = || self.complete.load(Ordering::Relaxed) + self.partial.load(Ordering::Relaxed);
        let deadline = Instant::now() + DECIDED_WITHIN;
        while told() < users && Instant::now() < deadline {
            sleep(AGAIN).await;
        }
    }
}

/// A user that is connected for as long as this runs: at its own server, or else at one of the others, each in turn.
struct User {
    user: usize,
    dialect: Dialect,
    addrs: Vec<SocketAddr>,
    prober: Arc<Prober>,
    /// Who is told that it is back.
    back: Sender<usize>,
    seen: Arc<Seen>,
}

impl User {
    async fn stay(self) {
        let mut known = Resuming::default();
        for attempt in 0.. {
            let Ok(socket) = self.open(attempt, &known).await else {
                sleep(AGAIN).await;
                continue;
            };
            if attempt > 0 {
                let _ = self.back.send(self.user).await; // Nobody asks once all are back.
            }
            self.receive(socket, &mut known, attempt > 0).await;
        }
    }

    async fn open(&self, attempt: usize, known: &Resuming) -> Result<WebSocketStream<TcpStream>, Failure> {
        let servers = self.addrs.len();
        let (own, turn) = (self.user % servers, self.user / servers + attempt);
        // The users of one server are spread over the others.
        let at = if attempt == 0 { own } else { (own + 1 + turn % (servers - 1)) % servers };
        let stream = dial(self.addrs[at]).await?;
        if attempt > 0 {
            *self.seen.dialled.lock().expect(NOT_POISONED) = Some(Instant::now());
        }
        client::open_on(stream, self.user, self.dialect, &known.query()).await
    }

    /// Receives until the connection ends.
    async fn receive(&self, mut socket: WebSocketStream<TcpStream>, known: &mut Resuming, is_back: bool) {
        loop {
            let due = known.acks.due;
            let message = tokio::select! {
                message = socket.next() => message,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    if socket.send(known.acks.take()).await.is_err() {
                        return;
                    }
                    continue;
                }
            };
            let Some(Ok(message)) = message else { return };
            let Message::Text(text) = message else { continue };
            if self.dialect == Dialect::Plain {
                self.arrived(&text);
                continue;
            }
            let (step, answer) = known.read(&text);
            match step {
                Step::Take(data) => self.arrived(&data),
                Step::Resumed(Some(is_complete)) if is_back => {
                    let seen = if is_complete { &self.seen.complete } else { &self.seen.partial };
                    seen.fetch_add(1, Ordering::Relaxed);
                }
                Step::Resumed(_) | Step::Nothing => {}
                Step::Violation => drop(self.seen.violations.fetch_add(1, Ordering::Relaxed)),
            }
            if let Some(answer) = answer
                && socket.send(answer).await.is_err()
            {
                return;
            }
        }
    }

    fn arrived(&self, text: &str) {
        if let Some(stamp) = Stamp::parse(text) {
            self.prober.arrived(stamp.number);
        }
    }
}

/// How long messages go to users whose sessions are kept before the kill.
const BEFORE: Duration = Duration::from_secs(1);
/// Between two attempts of a user to connect.
const AGAIN: Duration = Duration::from_millis(10);
/// Users that are probed at a time; each push in progress has a connection of its own.
const PROBES_MAX: usize = 128;
/// Longer than a client waits until it is told that something may be missing.
const DECIDED_WITHIN: Duration = Duration::from_secs(4);
const REACHED_WITHIN: Duration = Duration::from_secs(60);
const NOT_POISONED: &str = "no panic happens under this lock";
