//! The systems that are compared, each as a cluster of processes on loopback.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use serde::Serialize;

use crate::api::Api;
use crate::jetstream;
use crate::nats::Nats;
use crate::process::{Process, cpu_us};
use crate::redis::Redis;
use crate::server::{Failure, Server};
use crate::tuned::Tuned;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum System {
    /// The product, with receipts.
    Pushmesh,
    /// Servers that publish every message to Redis; see [`fanout`](crate::fanout).
    Redis,
    /// A cluster of `nats-server`; see [`Nats`].
    Nats,
    /// The same with a stream and an ordered consumer for each user; see [`jetstream`].
    Jetstream,
    /// The same with a stream, and users that subscribe past it.
    #[serde(rename = "jetstream-core")]
    #[value(name = "jetstream-core")]
    JetstreamCore,
}

impl System {
    /// Whether it has no publisher wait but for those whose message is stored.
    pub(crate) fn is_jetstream(self) -> bool {
        matches!(self, Self::Jetstream | Self::JetstreamCore)
    }
}

/// How the servers of a system are started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup<'a> {
    /// How many.
    pub(crate) nodes: usize,
    /// How many threads each has; as many as it takes by itself without. Redis has one.
    pub(crate) threads: Option<usize>,
    /// More flags for nodes of pushmesh.
    pub(crate) flags: &'a [String],
    /// Milliseconds after which nodes of pushmesh copy what is not acknowledged, if they are to be [`Tuned`] so.
    pub(crate) copied_after: Option<u64>,
}

/// A server of a cluster.
pub(crate) struct Node {
    process: Running,
    /// Where clients connect.
    pub(crate) http: SocketAddr,
    /// Where backends connect.
    pub(crate) backends: SocketAddr,
}

enum Running {
    Pushmesh(Server),
    Fanout(Process),
    Nats(Nats),
}

/// The processes of one system. Dropping it kills them.
pub(crate) struct Cluster {
    /// Which system it is.
    pub(crate) system: System,
    /// Its servers.
    pub(crate) nodes: Vec<Node>,
    redis: Option<Redis>,
}

impl Cluster {
    /// Starts the servers and waits until they are ready.
    ///
    /// # Errors
    /// A program is not there, or does not start.
    pub(crate) async fn start(system: System, setup: Setup<'_>) -> Result<Self, Failure> {
        let mut cluster = Self { system, nodes: Vec::new(), redis: None };
        match system {
            System::Pushmesh => cluster.start_pushmesh(setup)?,
            System::Redis => cluster.start_fanout(setup)?,
            System::Nats | System::Jetstream | System::JetstreamCore => cluster.start_nats(setup).await?,
        }
        Ok(cluster)
    }

    fn start_pushmesh(&mut self, setup: Setup<'_>) -> Result<(), Failure> {
        let Setup { nodes, threads, flags, copied_after } = setup;
        let logs = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cluster");
        fs::create_dir_all(&logs)?;
        let mut peers = Vec::new();
        for number in 0..nodes {
            let name = format!("n{number}");
            let log = Stdio::from(File::create(logs.join(format!("{name}.log")))?);
            let mut server = match copied_after {
                None => Server::start(&name, &peers, flags, threads, log)?,
                Some(after) => {
                    let mut command = Command::new(std::env::current_exe()?);
                    command.args([Tuned::COMMAND, "--copied-after", &after.to_string()]);
                    Server::start_by(&mut command, &name, &peers, flags, threads, log)?
                }
            };
            server.ready()?;
            peers.push(server.mesh);
            let http = server.http;
            self.nodes.push(Node { http, backends: http, process: Running::Pushmesh(server) });
        }
        Ok(())
    }

    fn start_fanout(&mut self, setup: Setup<'_>) -> Result<(), Failure> {
        let redis = Redis::start()?;
        for _ in 0..setup.nodes {
            let mut command = Command::new(std::env::current_exe()?);
            if let Some(threads) = setup.threads {
                command.env("TOKIO_WORKER_THREADS", threads.to_string());
            }
            let mut process = Process::start(command.args(["--fanout", &redis.addr.to_string()]))?;
            let line = process.line()?;
            let http = line
                .strip_prefix("listening http=")
                .ok_or("the server did not say where it listens")?
                .parse()?;
            self.nodes.push(Node { http, backends: http, process: Running::Fanout(process) });
        }
        self.redis = Some(redis);
        Ok(())
    }

    async fn start_nats(&mut self, setup: Setup<'_>) -> Result<(), Failure> {
        let (routes, has_jetstream) = (Nats::routes(setup.nodes)?, self.system.is_jetstream());
        for number in 0..setup.nodes {
            let server = Nats::start(number, &routes, has_jetstream, setup.threads)?;
            let (http, backends) = (server.ws, server.tcp);
            self.nodes.push(Node { http, backends, process: Running::Nats(server) });
        }
        for node in &mut self.nodes {
            node.nats_mut().ok_or("it was started above")?.joined(setup.nodes - 1).await?;
        }
        if has_jetstream {
            for node in &self.nodes {
                node.nats().ok_or("it was started above")?.is_led().await?;
            }
            jetstream::create(self.nodes[0].backends, setup.nodes).await?;
        }
        for node in &mut self.nodes {
            node.nats_mut().ok_or("it was started above")?.settle().await?;
        }
        Ok(())
    }

    /// CPU time that all its processes used so far, in microseconds.
    ///
    /// # Errors
    /// One has ended.
    pub(crate) fn cpu_us(&self) -> Result<u64, Failure> {
        let redis = self.redis.as_ref().map(Redis::pid);
        self.nodes.iter().map(Node::pid).chain(redis).map(cpu_us).sum()
    }

    /// Bytes that its servers have resident. Redis is not among them: it holds no sessions.
    ///
    /// # Errors
    /// One has ended.
    pub(crate) fn resident_bytes(&self) -> Result<u64, Failure> {
        self.nodes.iter().map(|node| resident_bytes(node.pid())).sum()
    }

    /// Threads of its servers, as the kernel counts them.
    ///
    /// # Errors
    /// One has ended.
    pub(crate) fn threads(&self) -> Result<u64, Failure> {
        self.nodes.iter().map(|node| threads(node.pid())).sum()
    }

    /// How many sessions its servers have to tell, all together, when `sessions` are connected.
    pub(crate) fn told(&self, sessions: usize) -> usize {
        match self.system {
            System::Redis => sessions,
            _ => sessions * self.nodes.len(), // Each knows all.
        }
    }
}

impl Node {
    /// Kills it at once.
    pub(crate) fn kill(&mut self) {
        match &mut self.process {
            Running::Pushmesh(server) => server.kill(),
            Running::Fanout(process) => process.kill(),
            Running::Nats(server) => server.kill(),
        }
    }

    /// How many sessions it tells.
    ///
    /// # Errors
    /// It has ended.
    pub(crate) async fn told(&self) -> Result<usize, Failure> {
        if let Some(server) = self.nats() {
            return server.users().await;
        }
        let mut api = Api::connect(self.http).await?;
        let stats: serde_json::Value = serde_json::from_slice(api.call("GET", "/v1/stats", b"").await?.body)?;
        Ok(stats["sessions"].as_u64().ok_or("the statistics have no sessions")? as usize)
    }

    fn nats(&self) -> Option<&Nats> {
        match &self.process {
            Running::Nats(server) => Some(server),
            Running::Pushmesh(_) | Running::Fanout(_) => None,
        }
    }

    fn nats_mut(&mut self) -> Option<&mut Nats> {
        match &mut self.process {
            Running::Nats(server) => Some(server),
            Running::Pushmesh(_) | Running::Fanout(_) => None,
        }
    }

    fn pid(&self) -> u32 {
        match &self.process {
            Running::Pushmesh(server) => server.pid(),
            Running::Fanout(process) => process.pid(),
            Running::Nats(server) => server.pid(),
        }
    }
}

fn resident_bytes(pid: u32) -> Result<u64, Failure> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let pages: u64 = statm.split_whitespace().nth(1).ok_or("an odd /proc/PID/statm")?.parse()?;
    Ok(pages * 4_096)
}

fn threads(pid: u32) -> Result<u64, Failure> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line =
        status.lines().find_map(|line| line.strip_prefix("Threads:")).ok_or("an odd /proc/PID/status")?;
    Ok(line.trim().parse()?)
}
