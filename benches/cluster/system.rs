//! The systems that are compared, each as a cluster of processes on loopback.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use serde::Serialize;

use crate::process::{Process, cpu_us};
use crate::redis::Redis;
use crate::server::{Failure, Server};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum System {
    /// The product, with receipts.
    Pushmesh,
    /// Servers that publish every message to Redis; see [`fanout`](crate::fanout).
    Redis,
}

/// A server of a cluster.
pub(crate) struct Node {
    process: Running,
    /// Where clients and backends connect.
    pub(crate) http: SocketAddr,
}

enum Running {
    Pushmesh(Server),
    Fanout(Process),
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
    /// Starts so many servers and blocks until they are ready. `flags` are for nodes of pushmesh.
    ///
    /// # Errors
    /// A program is not there, or does not start.
    pub(crate) fn start(system: System, nodes: usize, flags: &[String]) -> Result<Self, Failure> {
        let mut cluster = Self { system, nodes: Vec::new(), redis: None };
        match system {
            System::Pushmesh => cluster.start_pushmesh(nodes, flags)?,
            System::Redis => cluster.start_fanout(nodes)?,
        }
        Ok(cluster)
    }

    fn start_pushmesh(&mut self, nodes: usize, flags: &[String]) -> Result<(), Failure> {
        let logs = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cluster");
        fs::create_dir_all(&logs)?;
        let mut peers = Vec::new();
        for number in 0..nodes {
            let name = format!("n{number}");
            let log = Stdio::from(File::create(logs.join(format!("{name}.log")))?);
            let mut server = Server::start(&name, &peers, flags, log)?;
            server.ready()?;
            peers.push(server.mesh);
            self.nodes.push(Node { http: server.http, process: Running::Pushmesh(server) });
        }
        Ok(())
    }

    fn start_fanout(&mut self, nodes: usize) -> Result<(), Failure> {
        let redis = Redis::start()?;
        for _ in 0..nodes {
            let mut command = Command::new(std::env::current_exe()?);
            let mut process = Process::start(command.args(["--fanout", &redis.addr.to_string()]))?;
            let line = process.line()?;
            let http =
                line.strip_prefix("listening http=").ok_or("the server did not say where it listens")?;
            self.nodes.push(Node { http: http.parse()?, process: Running::Fanout(process) });
        }
        self.redis = Some(redis);
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

    /// How many sessions its servers have to tell, all together, when `sessions` are connected.
    pub(crate) fn told(&self, sessions: usize) -> usize {
        match self.system {
            System::Pushmesh => sessions * self.nodes.len(), // Each knows all.
            System::Redis => sessions,
        }
    }
}

impl Node {
    /// Kills it at once.
    pub(crate) fn kill(&mut self) {
        match &mut self.process {
            Running::Pushmesh(server) => server.kill(),
            Running::Fanout(process) => process.kill(),
        }
    }

    fn pid(&self) -> u32 {
        match &self.process {
            Running::Pushmesh(server) => server.pid(),
            Running::Fanout(process) => process.pid(),
        }
    }
}

fn resident_bytes(pid: u32) -> Result<u64, Failure> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let pages: u64 = statm.split_whitespace().nth(1).ok_or("an odd /proc/PID/statm")?.parse()?;
    Ok(pages * 4_096)
}
