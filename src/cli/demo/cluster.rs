//! The nodes of the demo, each on a runtime of its own.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, sleep};

use super::patience::PATIENCE;
use crate::config::Config;
use crate::id::{Incarnation, NodeName, UserId};
use crate::limits;
use crate::node::Node;
use crate::push::{Payload, PushReport, Target};
use crate::wire::Wire;

/// All nodes of the demo.
pub(super) struct Cluster {
    port: u16,
    slots: Vec<Slot>,
}

struct Slot {
    name: String,
    http: SocketAddr,
    running: Option<Running>,
    incarnation: Incarnation,
}

struct Running {
    node: Node,
    runtime: Background,
}

/// A runtime that ends without waiting for its tasks, which is all that an async context allows.
struct Background(Option<Runtime>);

impl Background {
    fn start() -> anyhow::Result<Self> {
        Ok(Self(Some(Builder::new_multi_thread().worker_threads(1).enable_all().build()?)))
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> anyhow::Result<T> {
        let runtime = self.0.as_ref().context("the runtime has ended")?;
        runtime.spawn(work).await.context("a task of the demo panicked")
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// A push and how long its receipt took.
pub(super) struct Pushed {
    pub(super) report: PushReport,
    pub(super) took: Duration,
}

impl Cluster {
    /// No nodes yet; the first one will take `port`, or any free ones for port 0.
    pub(super) fn new(port: u16) -> Self {
        Self { port, slots: Vec::new() }
    }

    /// Starts one more node and waits until it is ready.
    pub(super) async fn add(&mut self) -> anyhow::Result<()> {
        let index = self.slots.len();
        let name = format!("n{}", index + 1);
        let offset = u16::try_from(index).context("a demo has few nodes")?;
        let port = match self.port {
            0 => 0,
            first => first
                .checked_add(offset)
                .context("the ports after --port end at 65535: choose a lower one")?,
        };
        let running = self.start(&name, SocketAddr::from(([127, 0, 0, 1], port))).await?;
        let (http, incarnation) = (running.node.http_addr(), running.node.incarnation());
        self.slots.push(Slot { name, http, running: Some(running), incarnation });
        Ok(())
    }

    async fn start(&self, name: &str, http: SocketAddr) -> anyhow::Result<Running> {
        let mut config = Config::dev(NodeName::new(name)?);
        config.listen = http;
        config.limits.copies = limits::COPIES_MAX;
        config.peers = self.running().iter().map(|node| node.mesh_addr().to_string()).collect();
        let runtime = Background::start()?;
        let starting = async move {
            let wire = Wire::bind(config.listen, config.mesh_listen).await.context(
                "the demo needs this port; choose others with --port, or --port 0 for any free ones",
            )?;
            let node = Node::start(config, wire).await?;
            node.ready().await;
            anyhow::Ok(node)
        };
        let node = runtime.run(starting).await??;
        Ok(Running { node, runtime })
    }

    /// How many nodes there are, killed ones included.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The name of a node.
    pub(super) fn name(&self, index: usize) -> String {
        self.slots[index].name.clone()
    }

    /// A running node.
    pub(super) fn node(&self, index: usize) -> anyhow::Result<&Node> {
        self.slots[index].running.as_ref().map(|running| &running.node).context("that node is not running")
    }

    /// The running nodes.
    pub(super) fn running(&self) -> Vec<&Node> {
        self.slots.iter().filter_map(|slot| slot.running.as_ref()).map(|running| &running.node).collect()
    }

    /// Ends a node as `kill -9` ends a process: its tasks and sockets vanish.
    pub(super) fn kill(&mut self, index: usize) {
        if let Some(Running { node, runtime }) = self.slots[index].running.take() {
            // The tasks go first, so that nobody is left who could send a farewell.
            drop(runtime);
            drop(node);
        }
    }

    /// Starts a killed node again, at its old address and under its name. Gives the incarnations
    /// before and after.
    pub(super) async fn restart(&mut self, index: usize) -> anyhow::Result<(Incarnation, Incarnation)> {
        let (name, http, before) =
            (self.slots[index].name.clone(), self.slots[index].http, self.slots[index].incarnation);
        let running = self.start(&name, http).await?;
        let after = running.node.incarnation();
        ensure!(after > before, "incarnation {after} does not exceed {before}");
        self.slots[index].incarnation = after;
        self.slots[index].running = Some(running);
        Ok((before, after))
    }

    /// Pushes text to a user through a node.
    pub(super) async fn push(&self, via: usize, user: &str, text: &str) -> anyhow::Result<Pushed> {
        let (node, user) = (self.node(via)?, UserId::new(user)?);
        let began = Instant::now();
        let report = node.handle().push(Target::User(user), Payload::text(text), None).await?;
        Ok(Pushed { report, took: began.elapsed() })
    }

    /// Waits until every running node counts this many members as alive.
    pub(super) async fn all_alive(&self, count: usize) -> anyhow::Result<()> {
        self.until("the nodes to know each other", |node| node.members_alive() == count).await
    }

    /// Waits until every running node knows that the user is connected to this node.
    pub(super) async fn visible(&self, user: &str, home: usize) -> anyhow::Result<()> {
        let (user, home) = (UserId::new(user)?, self.name(home));
        self.until("a connect to be known everywhere", |node| {
            node.holders_of(&user).iter().any(|node| node.as_str() == home)
        })
        .await
    }

    /// Waits until every running node knows that the user is away, and its session kept.
    pub(super) async fn parked(&self, user: &str) -> anyhow::Result<()> {
        let user = UserId::new(user)?;
        self.until("a client's absence to be known everywhere", |node| node.is_parked(&user)).await
    }

    /// Waits until no running node knows the user as connected to this node.
    pub(super) async fn invisible(&self, user: &str, home: usize) -> anyhow::Result<()> {
        let (user, home) = (UserId::new(user)?, self.name(home));
        self.until("a dead node's sessions to go", |node| {
            node.holders_of(&user).iter().all(|node| node.as_str() != home)
        })
        .await
    }

    async fn until(&self, what: &str, holds: impl Fn(&Node) -> bool) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !self.running().into_iter().all(&holds) {
            if Instant::now() > deadline {
                bail!("waited {} s for {what}", PATIENCE.as_secs());
            }
            sleep(POLL).await;
        }
        Ok(())
    }

    /// Stops all nodes gracefully.
    pub(super) async fn shutdown(self) {
        for Running { node, runtime } in self.slots.into_iter().filter_map(|slot| slot.running) {
            // A node stops on its own runtime, where its tasks are; one that panics has stopped too.
            let _ = runtime.run(node.shutdown()).await;
        }
    }
}

/// How often a condition is looked at: well below anything that the story shows.
const POLL: Duration = Duration::from_millis(1);
