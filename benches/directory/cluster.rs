//! A cluster of real processes for one part of the bench.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::block_in_place;
use tokio::time::{Instant, sleep};

use crate::http::Http;
use crate::log::{LOG_FLAGS, Log, Story};
use crate::process::cpu_us;
use crate::server::{Failure, Server};

/// One node.
pub(crate) struct Node {
    /// Its name.
    pub(crate) name: String,
    /// Its process.
    pub(crate) server: Server,
    /// What it writes down.
    pub(crate) log: Log,
}

/// Nodes of one cluster.
pub(crate) struct Cluster {
    /// In the order in which they were started.
    pub(crate) nodes: Vec<Node>,
}

impl Node {
    /// Starts a node and waits until it listens. `log` names its log.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn start(
        name: &str,
        log: &str,
        peers: &[SocketAddr],
        flags: &[String],
    ) -> Result<Self, Failure> {
        let (log, sink) = Log::create(log)?;
        let flags = [&LOG_FLAGS.map(str::to_owned), flags].concat();
        let server = block_in_place(|| Server::start(name, peers, &flags, None, sink))?;
        Ok(Self { name: name.to_owned(), server, log })
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// It ends before.
    pub(crate) fn ready(&mut self) -> Result<(), Failure> {
        block_in_place(|| self.server.ready())
    }
}

impl Cluster {
    /// Starts three nodes for this part and waits until they are ready.
    ///
    /// # Errors
    /// One of them does not start.
    pub(crate) async fn start(part: &str) -> Result<Self, Failure> {
        let mut cluster = Self { nodes: Vec::new() };
        for name in NAMES {
            let peers: Vec<_> = cluster.nodes.iter().map(|node| node.server.mesh).collect();
            let mut node = Node::start(name, &format!("{part}-{name}"), &peers, &[])?;
            node.ready()?;
            cluster.nodes.push(node);
        }
        cluster.all_visible(0).await?;
        Ok(cluster)
    }

    /// Waits until every node is alive for every other, and counts `sessions` sessions.
    ///
    /// # Errors
    /// It takes longer than [`AGREED_WITHIN`].
    pub(crate) async fn all_visible(&self, sessions: u64) -> Result<(), Failure> {
        let deadline = Instant::now() + AGREED_WITHIN;
        for node in &self.nodes {
            let mut http = Http::open(node.server.http).await?;
            loop {
                let seen = http.get("/v1/stats").await?["sessions"].as_u64();
                let members = http.get("/v1/nodes").await?;
                let members = members["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
                let alive = members.iter().filter(|member| member["state"] == "alive").count();
                if seen == Some(sessions) && alive == self.nodes.len() {
                    break;
                }
                if Instant::now() > deadline {
                    let (name, nodes) = (&node.name, self.nodes.len());
                    return Err(format!(
                        "{name} sees {seen:?} of {sessions} sessions, {alive} of {nodes} nodes alive"
                    )
                    .into());
                }
                sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }

    /// What each node wrote down so far, in their order.
    ///
    /// # Errors
    /// A log cannot be read.
    pub(crate) fn stories(&self) -> Result<Vec<Story>, Failure> {
        self.nodes.iter().map(|node| node.log.read()).collect()
    }

    /// CPU time that the nodes used so far, in microseconds.
    ///
    /// # Errors
    /// One of them has ended.
    pub(crate) fn cpu_us(&self) -> Result<u64, Failure> {
        self.nodes.iter().map(|node| cpu_us(node.server.pid())).sum()
    }
}

/// The names of the nodes, in the order in which they start.
pub(crate) const NAMES: [&str; 3] = ["n1", "n2", "n3"];

/// How long a cluster may take to agree after a change. Far beyond any goal: who is later is stuck.
pub(crate) const AGREED_WITHIN: Duration = Duration::from_secs(30);
