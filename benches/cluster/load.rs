//! Users and backends of one cluster, and what they do together.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::mpsc::{Sender, channel};
use tokio::time::{Instant, sleep};

use crate::client::{Arrival, Client, Faults};
use crate::envelope::Dialect;
use crate::message::{Stamp, Way, now_us};
use crate::server::Failure;
use crate::system::{Cluster, System};
use crate::worker::{Answers, Pace, Worker};

/// The load.
pub(crate) struct Load {
    workers: Vec<Worker>,
    /// Where the arrivals of each worker's users go.
    arrivals: Vec<Sender<Arrival>>,
    faults: Arc<Faults>,
    dialect: Dialect,
    users: usize,
    /// Subscriptions of backends, which their servers count as those of users.
    inboxes: usize,
    broadcasts: u64,
}

/// What the servers used while something was done.
#[derive(Debug, Clone)]
pub(crate) struct Used {
    /// CPU time in microseconds.
    pub(crate) cpu_us: f64,
    /// How long it took.
    pub(crate) seconds: f64,
    /// How long each message took to arrive, in microseconds, in ascending order.
    pub(crate) latencies_us: Vec<u32>,
}

impl Used {
    /// Messages that arrived.
    pub(crate) fn messages(&self) -> f64 {
        self.latencies_us.len() as f64
    }
}

impl Load {
    /// Connects so many users, spread over the servers, and the workers that push to them.
    ///
    /// # Errors
    /// Somebody is not let in, or is not found by a server.
    pub(crate) async fn connect(
        cluster: &Cluster,
        users: usize,
        workers: usize,
        dialect: Dialect,
    ) -> Result<Self, Failure> {
        let mut load = Self {
            workers: Vec::new(),
            arrivals: Vec::new(),
            faults: Arc::default(),
            dialect,
            users: 0,
            inboxes: if cluster.system == System::JetstreamCore { workers * cluster.nodes.len() } else { 0 },
            broadcasts: 0,
        };
        for number in 0..workers {
            let (sender, receiver) = channel(ARRIVALS_MAX);
            load.arrivals.push(sender);
            let users = (number..users).step_by(workers);
            load.workers.push(Worker::connect(cluster, users, receiver, dialect).await?);
        }
        load.join(cluster, users).await?;
        Ok(load)
    }

    /// Connects users until there are so many. Those who come later only receive broadcasts.
    ///
    /// # Errors
    /// Somebody is not let in, or is not found by a server.
    pub(crate) async fn join(&mut self, cluster: &Cluster, users: usize) -> Result<(), Failure> {
        let connects = (self.users..users).map(|user| {
            let arrivals = self.arrivals[user % self.arrivals.len()].clone();
            let (system, addr) = (cluster.system, cluster.nodes[user % cluster.nodes.len()].http);
            let (dialect, faults) = (self.dialect, Arc::clone(&self.faults));
            Client { user, dialect, arrivals, faults }.connect(system, addr)
        });
        let connected: Vec<_> = futures_util::stream::iter(connects).buffer_unordered(64).collect().await;
        connected.into_iter().collect::<Result<Vec<_>, _>>()?;
        self.users = users;
        // A consumer misses nothing that comes before all servers know of it, and has subscriptions of its own.
        if cluster.system == System::Jetstream {
            Ok(())
        } else {
            visible(cluster, users + self.inboxes).await
        }
    }

    /// Every worker pushes one message after the other for so long.
    ///
    /// # Errors
    /// A message was lost.
    pub(crate) async fn closed(&mut self, time: Duration, bytes: usize) -> Result<Vec<u32>, Failure> {
        let until = Instant::now() + time;
        self.each(move |_, worker| worker.closed(until, bytes).boxed()).await
    }

    /// All workers together push so many messages a second for so long.
    ///
    /// # Errors
    /// A message was lost.
    pub(crate) async fn paced(
        &mut self,
        rate: u32,
        time: Duration,
        bytes: usize,
    ) -> Result<Vec<u32>, Failure> {
        let (interval, workers) = (Duration::from_secs(1) / rate, self.workers.len() as u32);
        let begin = Instant::now();
        self.each(move |number, worker| {
            let start = begin + interval * number as u32;
            let pace = Pace { start, interval: interval * workers, end: begin + time };
            worker.paced(pace, bytes).boxed()
        })
        .await
    }

    /// Every worker posts requests of so many lines, one after the other, for so long.
    ///
    /// # Errors
    /// A message was lost.
    pub(crate) async fn batches(
        &mut self,
        time: Duration,
        lines: usize,
        bytes: usize,
    ) -> Result<Vec<u32>, Failure> {
        let until = Instant::now() + time;
        self.each(move |_, worker| worker.batches(until, lines, bytes).boxed()).await
    }

    /// Pushes so many messages to everybody, each when the former one has arrived everywhere. Returns
    /// how long each took to reach each user.
    ///
    /// # Errors
    /// A message was lost.
    pub(crate) async fn broadcasts(&mut self, times: usize, bytes: usize) -> Result<Vec<u32>, Failure> {
        let (users, workers) = (self.users, self.workers.len());
        let mut latencies = Vec::new();
        for turn in 0..times {
            let stamp = Stamp { way: Way::Broadcast, number: self.broadcasts, sent_us: now_us() };
            self.broadcasts += 1;
            let first = &mut self.workers[0];
            let nodes = first.nodes();
            let payload = stamp.payload(bytes);
            let answer = first.api(turn % nodes)?.call("POST", "/v1/broadcast", payload.as_bytes()).await?;
            if !matches!(answer.status, 200 | 202) {
                return Err(format!("a broadcast was answered with {}", answer.status).into());
            }
            let listeners = move |number| (number..users).step_by(workers).len();
            let arrived = self.each(move |number, worker| worker.drain(listeners(number)).boxed());
            latencies.extend(arrived.await?);
        }
        Ok(latencies)
    }

    /// How the single pushes of all workers were answered since this was asked last.
    pub(crate) fn take_answers(&mut self) -> Answers {
        let mut all = Answers::default();
        for Answers { after_us, acknowledged } in self.workers.iter_mut().map(Worker::take_answers) {
            all.after_us.extend(after_us);
            all.acknowledged += acknowledged;
        }
        all.after_us.sort_unstable();
        all
    }

    /// Lets every worker do its job in a task of its own, and gathers what they measured.
    async fn each<F>(&mut self, job: F) -> Result<Vec<u32>, Failure>
    where
        F: for<'a> Fn(usize, &'a mut Worker) -> BoxFuture<'a, Result<Vec<u32>, Failure>>,
        F: Copy + Send + 'static,
    {
        let workers = std::mem::take(&mut self.workers).into_iter().enumerate();
        let tasks = workers.map(|(number, mut worker)| {
            tokio::spawn(async move {
                let measured = job(number, &mut worker).await;
                (worker, measured)
            })
        });
        let tasks: Vec<_> = tasks.collect();
        let mut latencies = Vec::new();
        for task in tasks {
            let (worker, result) = task.await?;
            self.workers.push(worker);
            latencies.extend(result?);
        }
        Ok(latencies)
    }

    /// Says whether a client saw what must not happen.
    ///
    /// # Errors
    /// That is the case.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let Faults { disordered, foreign, ended } = &*self.faults;
        let faults = [disordered, foreign, ended].map(|fault| fault.load(Ordering::Relaxed));
        if faults == [0; 3] {
            return Ok(());
        }
        let [disordered, foreign, ended] = faults;
        let disordered = format!("{disordered} messages were missing, doubled or out of order");
        Err(format!("{disordered}, {foreign} were not sent, {ended} connections ended").into())
    }
}

/// Runs `work`, and says what the servers used for it. What they do afterwards, such as late
/// acknowledgements, counts as well.
///
/// # Errors
/// Those of the work, or a server has ended.
pub(crate) async fn used(
    cluster: &Cluster,
    work: impl Future<Output = Result<Vec<u32>, Failure>>,
) -> Result<Used, Failure> {
    let (before_us, began) = (cluster.cpu_us()?, Instant::now());
    let mut latencies_us = work.await?;
    let seconds = began.elapsed().as_secs_f64();
    sleep(AFTERWORK).await;
    let cpu_us = (cluster.cpu_us()? - before_us) as f64;
    latencies_us.sort_unstable();
    Ok(Used { cpu_us, seconds, latencies_us })
}

/// Waits until the servers say that so many are connected.
///
/// # Errors
/// They do not.
pub(crate) async fn visible(cluster: &Cluster, users: usize) -> Result<(), Failure> {
    let deadline = Instant::now() + VISIBLE_WITHIN;
    loop {
        let mut told = 0;
        for node in &cluster.nodes {
            told += node.told().await?;
        }
        if told == cluster.told(users) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("the servers tell {told} of {} sessions", cluster.told(users)).into());
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Arrivals that a worker has not seen yet. Beyond them its users read more slowly.
const ARRIVALS_MAX: usize = 4_096;
/// Guess: far above what it takes on a slow machine.
const VISIBLE_WITHIN: Duration = Duration::from_secs(60);
/// Until the last timers of a load have run. Source: delays of acknowledgements are below 25 ms.
const AFTERWORK: Duration = Duration::from_millis(100);
