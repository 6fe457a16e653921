//! What to run.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::jetstream::REPLICAS;
use crate::server::Failure;
use crate::system::{Setup, System};

/// A part of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// Pushes in closed loop, on every number of nodes.
    Closed,
    /// Pushes at a fixed rate, on every number of nodes.
    Paced,
    /// Pushes in closed loop with many in progress, on every number of nodes.
    Many,
    /// Pushes of 10 and 100 KiB in closed loop.
    Payload,
    /// Requests of many pushes.
    Batch,
    /// Messages to everybody.
    Broadcast,
    /// Pushes to clients whose sessions are kept, and to such whose are not.
    Kept,
    /// Pushes to clients whose sessions are kept, without copies, and with copies of what is not acknowledged in time.
    Copies,
    /// Pushes at a fixed rate whose publisher waits until they are stored, beside JetStream.
    Stored,
    /// A node that is killed, and all its users at once at the others.
    Storm,
    /// Memory of clients over TLS.
    Tls,
}

/// Compares pushmesh with servers that fan out over Redis and with NATS, side by side on this machine
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "cluster")]
pub(crate) struct Options {
    /// Numbers of servers; the parts that need one number take the first
    #[arg(long, value_delimiter = ',', default_value = "3,6,9")]
    pub(crate) nodes: Vec<usize>,
    /// How often everything is measured, the systems in turn
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: usize,
    /// Seconds of each measurement
    #[arg(long, value_parser = seconds, default_value = "5")]
    pub(crate) seconds: Duration,
    /// Users that are pushed to
    #[arg(long, default_value_t = 3_000)]
    pub(crate) clients: usize,
    /// Users that receive broadcasts
    #[arg(long, default_value_t = 5_000)]
    pub(crate) listeners: usize,
    /// Pushes in progress in closed loop
    #[arg(long, default_value_t = 32)]
    pub(crate) workers: usize,
    /// Pushes in progress in closed loop, in the part with many
    #[arg(long, default_value_t = 256)]
    pub(crate) many: usize,
    /// Threads of each server; without it each system takes what it takes by itself. Redis has one
    #[arg(long)]
    pub(crate) threads: Option<usize>,
    /// Pushes a second at a fixed rate
    #[arg(long, default_value_t = 1_500)]
    pub(crate) rate: u32,
    /// Bytes of a payload
    #[arg(long, default_value_t = 128)]
    pub(crate) bytes: usize,
    /// Pushes of a request of many
    #[arg(long, default_value_t = 100)]
    pub(crate) lines: usize,
    /// Milliseconds that a client has to acknowledge what is not copied then, each a row in the part with copies
    #[arg(long, value_delimiter = ',', default_value = "0,5,20,50")]
    pub(crate) copied_after: Vec<u64>,
    /// Which parts
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "closed,paced,many,payload,batch,broadcast,kept,copies,stored,storm,tls"
    )]
    pub(crate) parts: Vec<Part>,
    /// Which systems
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "pushmesh,redis,nats,jetstream,jetstream-core"
    )]
    pub(crate) systems: Vec<System>,
    /// Where cluster.txt, cluster.json and cluster.svg are written
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) out: Option<PathBuf>,
    /// Be a server of the fan-out over this Redis instead; the bench starts itself so
    #[arg(long, hide = true)]
    pub(crate) fanout: Option<SocketAddr>,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    /// Says what cannot be measured.
    ///
    /// # Errors
    /// Something cannot.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let problem = match self {
            Self { nodes, .. } if nodes.contains(&0) => "--nodes: a cluster has at least one",
            Self { rate: 0, .. } | Self { rounds: 0, .. } | Self { lines: 0, .. } => {
                "--rate, --rounds and --lines are at least 1"
            }
            Self { threads: Some(0), .. } => "--threads: a server has at least one",
            Self { workers, many, clients, .. } if *workers.min(many) == 0 || clients < workers.max(many) => {
                "--clients: each of the --workers, or of the --many, one at least, pushes to clients of its own"
            }
            Self { listeners, clients, .. } if listeners < clients => {
                "--listeners: the clients listen as well, so that there are no fewer than --clients"
            }
            _ if self.has(Part::Storm) && self.nodes[0] == 1 => {
                "--parts: a storm needs two nodes at least, and takes the first of --nodes"
            }
            _ if self.has(Part::Stored) && self.nodes[0] < REPLICAS => {
                "--parts: messages are stored by three servers, and the part takes the first of --nodes"
            }
            _ => return Ok(()),
        };
        Err(problem.into())
    }

    /// How a cluster of so many servers is started.
    pub(crate) fn setup(&self, nodes: usize) -> Setup<'static> {
        Setup { nodes, threads: self.threads, flags: &[], copied_after: None }
    }

    /// Whether a part is to be run.
    pub(crate) fn has(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds is expected".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
