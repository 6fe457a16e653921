//! A backend that pushes to its own share of the users, and sees what arrives at them.

use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep_until, timeout};

use crate::api::Api;
use crate::backend::{Backend, Told, is_delivered};
use crate::client::Arrival;
use crate::envelope::Dialect;
use crate::message::{Stamp, Way, elapsed_us, now_us};
use crate::server::Failure;
use crate::system::Cluster;

/// One of the users of a worker.
#[derive(Debug)]
struct Target {
    user: usize,
    next: u64,
}

/// The backend: it has one push or one request of many in progress.
pub(crate) struct Worker {
    /// A connection to each server.
    backends: Vec<Backend>,
    targets: Vec<Target>,
    turn: usize,
    arrivals: Receiver<Arrival>,
    answers: Answers,
}

/// How single pushes were answered.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// How long each took, in microseconds.
    pub(crate) after_us: Vec<u32>,
    /// How many were answered because the client had acknowledged the message.
    pub(crate) acknowledged: usize,
}

/// When a worker at a fixed rate pushes: at `start`, and then at every `interval` until `end`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// The first push.
    pub(crate) start: Instant,
    /// Time between two.
    pub(crate) interval: Duration,
    /// None after that.
    pub(crate) end: Instant,
}

impl Worker {
    /// Connects to all servers. `users` are those whose `arrivals` it sees; user `n` is connected to
    /// server `n` modulo their number.
    ///
    /// # Errors
    /// A server does not listen.
    pub(crate) async fn connect(
        cluster: &Cluster,
        users: impl Iterator<Item = usize>,
        arrivals: Receiver<Arrival>,
        dialect: Dialect,
    ) -> Result<Self, Failure> {
        let mut backends = Vec::new();
        for node in &cluster.nodes {
            backends.push(Backend::connect(cluster.system, node, dialect).await?);
        }
        let targets = users.map(|user| Target { user, next: 0 }).collect();
        Ok(Self { backends, targets, turn: 0, arrivals, answers: Answers::default() })
    }

    /// Pushes one after the other until then: the next one when the former one was answered and has
    /// arrived. Returns how long each took to arrive, in microseconds.
    ///
    /// # Errors
    /// A push was refused or did not arrive.
    pub(crate) async fn closed(&mut self, until: Instant, bytes: usize) -> Result<Vec<u32>, Failure> {
        let mut latencies = Vec::new();
        while Instant::now() < until {
            latencies.push(self.push(bytes, now_us()).await?);
        }
        Ok(latencies)
    }

    /// Pushes at a fixed rate. A push that is late because the former one took long counts from when
    /// it was due.
    ///
    /// # Errors
    /// A push was refused or did not arrive.
    pub(crate) async fn paced(&mut self, pace: Pace, bytes: usize) -> Result<Vec<u32>, Failure> {
        let mut latencies = Vec::new();
        let mut due = pace.start;
        while due < pace.end {
            let late = Instant::now().saturating_duration_since(due);
            sleep_until(due).await;
            // What a timer wakes too late is not the server's.
            let late_us = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
            latencies.push(self.push(bytes, now_us().saturating_sub(late_us)).await?);
            due += pace.interval;
        }
        Ok(latencies)
    }

    /// Posts requests of so many pushes, as lines of JSON, until then.
    ///
    /// # Errors
    /// A push was refused or did not arrive.
    pub(crate) async fn batches(
        &mut self,
        until: Instant,
        lines: usize,
        bytes: usize,
    ) -> Result<Vec<u32>, Failure> {
        let (nodes, mut latencies) = (self.backends.len(), Vec::new());
        while Instant::now() < until {
            // Users of all servers, through each server in turn.
            let via = self.turn / lines % nodes;
            let mut body = String::new();
            for _ in 0..lines {
                let turn = self.turn % self.targets.len();
                self.turn += 1;
                let target = &mut self.targets[turn];
                let stamp = Stamp { way: Way::Push, number: target.next, sent_us: now_us() };
                target.next += 1;
                let (user, payload) = (target.user, stamp.payload(bytes));
                body += &format!("{{\"to\":{{\"user\":\"u{user}\"}},\"data\":\"{payload}\"}}\n");
            }
            let answer = self.backends[via].http()?.call("POST", "/v1/push", body.as_bytes()).await?;
            let delivered =
                answer.body.split(|byte| *byte == b'\n').filter(|line| is_delivered(line)).count();
            if delivered != lines {
                let body = String::from_utf8_lossy(answer.body);
                return Err(format!("{delivered} of {lines} lines were delivered: {body}").into());
            }
            for _ in 0..lines {
                latencies.push(self.arrival().await?.latency_us);
            }
        }
        Ok(latencies)
    }

    /// Waits until so many messages have arrived, and returns how long each took.
    ///
    /// # Errors
    /// One does not arrive.
    pub(crate) async fn drain(&mut self, messages: usize) -> Result<Vec<u32>, Failure> {
        let mut latencies = Vec::new();
        for _ in 0..messages {
            latencies.push(self.arrival().await?.latency_us);
        }
        Ok(latencies)
    }

    /// How single pushes were answered since this was asked last.
    pub(crate) fn take_answers(&mut self) -> Answers {
        std::mem::take(&mut self.answers)
    }

    /// How many servers there are.
    pub(crate) fn nodes(&self) -> usize {
        self.backends.len()
    }

    /// The HTTP connection to one of the servers.
    ///
    /// # Errors
    /// They have no HTTP API.
    pub(crate) fn api(&mut self, node: usize) -> Result<&mut Api, Failure> {
        self.backends[node].http()
    }

    async fn push(&mut self, bytes: usize, sent_us: u64) -> Result<u32, Failure> {
        let (turn, nodes, users) = (self.turn, self.backends.len(), self.targets.len());
        self.turn += 1;
        let target = &mut self.targets[turn % users];
        let (user, number) = (target.user, target.next);
        target.next += 1;
        // Through each of the servers in turn that do not have the user's session.
        let via = (user + 1 + turn % (nodes.max(2) - 1)) % nodes;
        let payload = Stamp { way: Way::Push, number, sent_us }.payload(bytes);
        let told = self.backends[via].push(user, &payload).await?;
        self.answers.after_us.push(elapsed_us(sent_us));
        self.answers.acknowledged += usize::from(told == Told::Acknowledged);
        let arrival = self.arrival().await?;
        if arrival.user != user || arrival.stamp.number != number {
            return Err(format!("instead of push {number} to user {user} came {arrival:?}").into());
        }
        Ok(arrival.latency_us)
    }

    async fn arrival(&mut self) -> Result<Arrival, Failure> {
        let arrival = timeout(ARRIVES_WITHIN, self.arrivals.recv()).await;
        Ok(arrival.map_err(|_| "a message did not arrive")?.ok_or("no client is connected any more")?)
    }
}

/// A message that takes longer is lost. Guess: far above any latency of a system that works.
const ARRIVES_WITHIN: Duration = Duration::from_secs(10);
