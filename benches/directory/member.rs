//! A real node in this process, with a runtime of its own, whose directory the bench may fill.
//!
//! Its sessions are claims without sockets: nothing else of the node knows of them. Threads carry the
//! node's name, so that its CPU time can be told from the others'.

use std::sync::Arc;
use std::time::Duration;

use pushmesh::id::ClusterName;
use pushmesh::internals::Replica;
use pushmesh::{Config, Node, Wire};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, sleep};

use crate::meter::{Meter, Sent};
use crate::population::{claim, name};
use crate::proc::cpu_of_threads;
use crate::server::Failure;

/// One node. Dropping it ends the node at once.
pub(crate) struct Member {
    /// The node.
    pub(crate) node: Node,
    meter: Arc<Meter>,
    runtime: Runtime,
}

impl Member {
    /// Starts a node that joins these.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn start(node: &str, peers: &[&Self]) -> Result<Self, Failure> {
        let runtime =
            Builder::new_multi_thread().worker_threads(WORKERS).thread_name(node).enable_all().build()?;
        let mut config = Config::dev(name(node));
        // As the processes that a bench starts.
        config.cluster = ClusterName::new("bench").expect("a literal that is valid");
        config.peers = peers.iter().map(|peer| peer.node.mesh_addr().to_string()).collect();
        let (node, meter) = runtime.block_on(async {
            let mut wire = Wire::bind(config.listen, config.mesh_listen).await?;
            let meter = Arc::new(Meter::new(Arc::clone(&wire.udp)));
            wire.udp = Arc::clone(&meter) as _;
            Ok::<_, Failure>((Node::start(config, wire).await?, meter))
        })?;
        Ok(Self { node, meter, runtime })
    }

    /// Its directory.
    pub(crate) fn replica(&self) -> &Replica {
        self.node.replica()
    }

    /// Claims these sessions.
    pub(crate) fn claim(&self, numbers: std::ops::Range<u64>) {
        numbers.for_each(|number| claim(self.replica(), number));
    }

    /// Waits until it says that it is ready.
    pub(crate) fn ready(&self) {
        self.runtime.block_on(self.node.ready());
    }

    /// Waits until it holds this many claims of `peer`, exactly as the peer does.
    ///
    /// # Errors
    /// It takes longer than [`COPIED_WITHIN`].
    pub(crate) fn copied(&self, peer: &Self) -> Result<(), Failure> {
        let owner = peer.node.name();
        let deadline = Instant::now() + COPIED_WITHIN;
        self.runtime.block_on(async {
            while self.replica().head(owner) != peer.replica().head(owner) {
                if Instant::now() > deadline {
                    return Err(format!("{} has no copy of {owner}", self.node.name()).into());
                }
                sleep(POLL).await;
            }
            Ok(())
        })
    }

    /// Runs this beside the node, in its runtime.
    pub(crate) fn run<T>(&self, task: impl Future<Output = T>) -> T {
        self.runtime.block_on(task)
    }

    /// Lets time pass.
    pub(crate) fn rest(&self, time: Duration) {
        self.runtime.block_on(async { sleep(time).await });
    }

    /// What it has sent to its peers so far.
    pub(crate) fn sent(&self) -> Sent {
        self.meter.sent()
    }

    /// CPU time of its threads so far.
    pub(crate) fn cpu(&self) -> Duration {
        cpu_of_threads(self.node.name().as_str())
    }

    /// Ends it, and waits until its tasks are over.
    pub(crate) fn end(self) {
        let Self { node, runtime, .. } = self;
        drop(node);
        runtime.shutdown_timeout(COPIED_WITHIN);
    }
}

/// As many as the smallest machine has that anybody would run this on.
const WORKERS: usize = 2;
/// How exactly the end of a copy is seen.
const POLL: Duration = Duration::from_millis(1);
/// Far beyond any goal: a copy that takes longer is stuck.
const COPIED_WITHIN: Duration = Duration::from_secs(60);
