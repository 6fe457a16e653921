//! Several nodes that have found each other.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::gate::Gate;
use super::node::{Launch, Node};
use super::wait::{eventually, same};

/// Nodes `n1`, `n2` … in `--dev`; dropping it kills them.
pub(crate) struct Cluster {
    name: String,
    flags: Vec<String>,
    gated: bool,
    nodes: Vec<Node>,
}

/// A name that no other cluster on this machine has.
pub(crate) fn unique() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("t{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Cluster {
    /// `nodes` nodes that are ready and see each other.
    pub(crate) async fn start(nodes: usize) -> Self {
        Self::start_with(nodes, &[]).await
    }

    /// The same with these flags on every node.
    pub(crate) async fn start_with(nodes: usize, flags: &[&str]) -> Self {
        Self::launch_all(nodes, flags, false).await
    }

    /// The same with a gate before each node, so that [`Cluster::cut`] works.
    pub(crate) async fn start_gated(nodes: usize, flags: &[&str]) -> Self {
        Self::launch_all(nodes, flags, true).await
    }

    async fn launch_all(nodes: usize, flags: &[&str], gated: bool) -> Self {
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let mut cluster = Self { name: unique(), flags, gated, nodes: Vec::new() };
        for _ in 0..nodes {
            cluster.add().await;
        }
        for node in &cluster.nodes {
            node.ready().await;
        }
        cluster.all_alive().await;
        cluster
    }

    /// Starts one more node, which is not ready yet, and gives its index.
    pub(crate) async fn add(&mut self) -> usize {
        let name = format!("n{}", self.nodes.len() + 1);
        let node = self.launch(&name).await.peers(&self.nodes).start().await;
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// The same behind a cut from one of the nodes: the two never meet.
    pub(crate) async fn add_apart_from(&mut self, other: usize) -> usize {
        let gate = Gate::open().await;
        Gate::keep_apart(&gate, self.gate(other));
        let name = format!("n{}", self.nodes.len() + 1);
        let launch = Launch::dev(&self.name, &name).flags(self.flags.iter().cloned()).behind(gate);
        let node = launch.peers(&self.nodes).start().await;
        self.nodes.push(node);
        self.cut(self.nodes.len() - 1, other);
        self.nodes.len() - 1
    }

    /// Starts a node that was killed again, under its name and with new ports.
    pub(crate) async fn restart(&mut self, index: usize) {
        let name = self.nodes[index].name.clone();
        let others = self.nodes.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, node)| node);
        self.nodes[index] = self.launch(&name).await.peers(others).start().await;
    }

    /// A node of this cluster that is not started yet.
    pub(crate) async fn launch(&self, name: &str) -> Launch {
        let launch = Launch::dev(&self.name, name).flags(self.flags.iter().cloned());
        if self.gated { launch.behind(Gate::open().await) } else { launch }
    }

    /// Lets no packet through between two nodes, in neither direction.
    pub(crate) fn cut(&self, one: usize, other: usize) {
        Gate::cut(self.gate(one), self.gate(other));
    }

    /// Lets all packets through between them again.
    pub(crate) fn heal(&self, one: usize, other: usize) {
        Gate::heal(self.gate(one), self.gate(other));
    }

    fn gate(&self, index: usize) -> &Gate {
        self.nodes[index].gate.as_ref().expect("the cluster was started with gates")
    }

    /// Node `index`, from 0.
    pub(crate) fn node(&self, index: usize) -> &Node {
        &self.nodes[index]
    }

    /// All nodes.
    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Waits until every node sees every other in its present boot as alive.
    pub(crate) async fn all_alive(&self) {
        for node in &self.nodes {
            for other in &self.nodes {
                eventually(&format!("{} sees {}", node.name, other.name), async || {
                    let seen = node.sees(&other.name).await;
                    same(
                        (seen["state"].as_str(), seen["incarnation"].as_u64()),
                        (Some("alive"), Some(other.incarnation)),
                    )
                    .map(|_| ())
                })
                .await;
            }
        }
    }

    /// Waits until every node shows exactly these devices of a user, each with its node.
    pub(crate) async fn shows(&self, user: &str, sessions: &[(&str, &str)]) {
        for node in &self.nodes {
            node.shows(user, sessions).await;
        }
    }

    /// Waits until every node counts so many sessions.
    pub(crate) async fn counts(&self, sessions: u64) {
        for node in &self.nodes {
            node.counts(sessions).await;
        }
    }
}

impl Node {
    /// Waits until this node sees a member in this state.
    pub(crate) async fn sees_as(&self, name: &str, state: &str) {
        eventually(&format!("{name} at {}", self.name), async || {
            same(self.sees(name).await["state"].as_str(), Some(state)).map(|_| ())
        })
        .await;
    }

    /// Waits until this node shows exactly these devices of a user, each with its node.
    pub(crate) async fn shows(&self, user: &str, sessions: &[(&str, &str)]) {
        let expected: Vec<_> = sessions.iter().map(|(d, n)| ((*d).to_owned(), (*n).to_owned())).collect();
        eventually(&format!("{} at {}", user, self.name), async || {
            same(self.sessions_of(user).await, expected.clone()).map(|_| ())
        })
        .await;
    }

    /// Waits until this node counts so many sessions in the cluster.
    pub(crate) async fn counts(&self, sessions: u64) {
        eventually(&format!("count of {}", self.name), async || {
            same(self.stats().await["sessions"].as_u64(), Some(sessions)).map(|_| ())
        })
        .await;
    }
}
