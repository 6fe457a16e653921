//! The composition root: makes the parts of a node, connects them, and takes them down in order.
//!
//! ```text
//!   start:  identity ─► endpoint ─► front ─► probe seeds ─► incarnation ─► links ─► gossip ─► gateway ─► ready
//!   stop:   not ready ─► drain delay ─► draining ─► close sessions ─► finish requests ─► left ─► close links
//! ```

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::config::Config;
use crate::directory::ClaimState;
use crate::directory::Counts;
use crate::gateway::{NodeStatus, Phase};
use crate::handle::NodeHandle;
use crate::id::{Incarnation, NodeName, UserId};
use crate::limits;
use crate::push::Knowledge;
use crate::replica::Replica;
use crate::trace::Exports;
pub use crate::vital::Fault;

mod advertised;
mod awake;
mod company;
mod drain;
mod faces;
mod liveness;
mod members;
mod observer;
mod owners;
mod readiness;
mod reload;
mod returned;
pub(crate) mod round;
mod seeds;
mod shared;
mod start;
mod start_error;
#[cfg(test)]
mod tests;

#[doc(hidden)]
pub use awake::Awake;
#[doc(hidden)]
pub use observer::{Inside, Observer};
pub use reload::ReloadError;
#[doc(hidden)]
pub use returned::Returned;
use shared::Shared;
pub use start_error::StartError;

/// A running node. Dropping it stops the node abruptly; [`Node::shutdown`] drains it first.
pub struct Node {
    shared: Arc<Shared>,
    http: SocketAddr,
    mesh: SocketAddr,
    api: Option<SocketAddr>,
    admin: Option<SocketAddr>,
    handle: NodeHandle,
    tasks: TaskTracker,
    /// Where the spans of pushes go.
    exports: Exports,
    /// Ends when the last request and the last socket are gone.
    http_face: Option<JoinHandle<()>>,
}

impl Node {
    /// This node's name.
    #[must_use]
    pub fn name(&self) -> &NodeName {
        &self.shared.config.name
    }

    /// This boot.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.shared.incarnation
    }

    /// Where HTTP and WebSocket clients connect.
    #[must_use]
    pub fn http_addr(&self) -> SocketAddr {
        self.http
    }

    /// Where backends call the API, if that is not where clients connect.
    #[must_use]
    pub fn api_addr(&self) -> Option<SocketAddr> {
        self.api
    }

    /// Where operators and their tools find metrics, if that is not where clients connect.
    #[must_use]
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Where peers connect: a value for their `peers`.
    #[must_use]
    pub fn mesh_addr(&self) -> SocketAddr {
        self.mesh
    }

    /// Waits until the node has copied the directory and serves clients. One that [fails](Node::failed)
    /// before never gets here.
    pub async fn ready(&self) {
        // Shared owns the sender, so that this ends only by the condition.
        let _ = self.shared.phase.subscribe().wait_for(|phase| *phase != Phase::Joining).await;
    }

    /// Waits until the node cannot go on, and says why. Call [`Node::shutdown`] then: it takes a second at
    /// most, and its clients learn that they have to go elsewhere. A node that is merely shut down never
    /// gets here. One that is superseded keeps the later incarnation in its data directory, if it has one.
    pub async fn failed(&self) -> Fault {
        let fault = self.shared.vitals.failed().await;
        if let Fault::Superseded { known } = fault {
            self.shared.remember(known);
        }
        fault
    }

    /// The configuration with which the program may start the node again in place, once this one has
    /// [failed](Node::failed); call it before [`Node::shutdown`]. There is one where a node learns soon after its
    /// start, while it joins and before it had a client, that a later boot of its name is known: the peers that it asked
    /// when it started did not remember it. The next boot takes an incarnation above that one, and the same ports, which
    /// are free soon after the shutdown. A process gets this three times at most: two of one name would raise each other
    /// for ever. One that has joined for longer than the [`join_timeout`](crate::config::TimersConfig::join_timeout) gets
    /// none: the later boot is a process that was started since.
    #[must_use]
    pub fn again(&self) -> Option<Config> {
        let Some(Fault::Superseded { known }) = self.shared.vitals.fault() else { return None };
        if self.shared.liveness.now() > self.shared.config.timers.join_timeout {
            return None;
        }
        let again = self.shared.config.again.next(known)?;
        // Only a node that is ready lets clients in, and from here on this one does not become it.
        let has_joined = !self.shared.phase.send_if_modified(|phase| {
            let joins = *phase == Phase::Joining;
            if joins {
                *phase = Phase::Draining;
            }
            joins
        });
        if has_joined {
            return None;
        }
        let incarnation = self.shared.incarnation;
        warn!(
            %incarnation, %known, times = again.times(),
            "a later boot of this name is known, and nobody said so when this node asked: it begins again above that one"
        );
        let mut config = Config::clone(&self.shared.config);
        config.again = again;
        // Of two that replace each other one gives up.
        config.replace = false;
        // The system may have chosen the ports.
        config.listen.set_port(self.http.port());
        config.mesh_listen.set_port(self.mesh.port());
        for (listen, addr) in [(&mut config.api_listen, self.api), (&mut config.admin_listen, self.admin)] {
            if let Some((listen, addr)) = listen.as_mut().zip(addr) {
                listen.set_port(addr.port());
            }
        }
        Some(config)
    }

    /// The mesh address that peers are told.
    #[cfg(feature = "cli")]
    pub(crate) fn mesh_advertised(&self) -> SocketAddr {
        self.shared.mesh_shown
    }

    /// The node, to push with; see [`NodeHandle`].
    #[must_use]
    pub fn handle(&self) -> &NodeHandle {
        &self.handle
    }

    /// Whether a session that this node does not find is nowhere. Ask it before the node: it may come to
    /// know more meanwhile.
    #[must_use]
    pub fn knowledge(&self) -> Knowledge {
        self.shared.roster.knowledge()
    }

    /// The nodes that hold the sessions of a user, one entry for each session, as this node knows
    /// without asking. It may know less than there is: see [`Node::knowledge`].
    #[must_use]
    pub fn holders_of(&self, user: &UserId) -> Vec<NodeName> {
        self.shared.replica.user(user).into_iter().map(|(_, owned)| owned.owner).collect()
    }

    /// Whether all sessions of a user that this node knows are parked: no node holds a connection, and each is kept for
    /// its client. False without any.
    #[must_use]
    pub fn is_parked(&self, user: &UserId) -> bool {
        let sessions = self.shared.replica.user(user);
        !sessions.is_empty() && sessions.iter().all(|(_, owned)| owned.state == ClaimState::Parked)
    }

    /// The directory itself, for the benches and the simulations of this repository.
    #[doc(hidden)]
    #[must_use]
    pub fn replica(&self) -> &Arc<Replica> {
        &self.shared.replica
    }

    /// Looks into the node, for the simulations of this repository.
    #[doc(hidden)]
    #[must_use]
    pub fn observer(&self) -> Observer {
        Observer(Arc::downgrade(&self.shared))
    }

    /// How many sessions the cluster has, as this node sees it; see [`Node::knowledge`].
    #[must_use]
    pub fn sessions(&self) -> u64 {
        let Counts { sessions, .. } = self.shared.replica.counts();
        sessions
    }

    /// How many members this node counts as alive, itself included.
    #[must_use]
    pub fn members_alive(&self) -> usize {
        let alive = |status: &&NodeStatus| status.state == "alive";
        self.shared.nodes().iter().filter(alive).count()
    }

    /// Serves on for the drain delay, as [`Node::shutdown`] does first; that waits no more then.
    #[cfg(feature = "cli")]
    pub(crate) async fn leave(&self) {
        drain::delay(&self.shared).await;
    }

    /// Stops the node gracefully: clients are told to come back elsewhere, spread over time, what
    /// was accepted is delivered, peers learn that it left. Before that it serves on for the
    /// [`drain_delay`](crate::config::TimersConfig::drain_delay); the rest is bounded by the drain timeout. A node that has
    /// [failed](Node::failed) tells the same, but waits for nothing that takes more than a second in all.
    pub async fn shutdown(mut self) {
        if self.shared.vitals.fault().is_none() {
            drain::delay(&self.shared).await;
        }
        let has_failed = self.shared.vitals.fault().is_some();
        let drain_timeout = self.shared.config.timers.drain_timeout;
        let bound = if has_failed { limits::FAULT_DRAIN } else { drain_timeout };
        let http_face = self.http_face.take();
        let drain =
            drain::run(&self.shared, http_face, &self.tasks, drain::Steps::new(&self.shared, has_failed));
        if timeout(bound, drain).await.is_err() {
            warn!("the time to drain is over; stopping at once");
        }
        self.exports.finish().await;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.shared.vitals.stop();
        self.shared.stop_http.cancel();
        self.shared.stop.cancel();
        // What has failed may panic when it is touched; the rest is told all the same.
        let _ = catch_unwind(AssertUnwindSafe(|| self.shared.links.close()));
        // A client must not stay connected to a node that is in no cluster any more.
        for session in self.shared.registry.all() {
            drain::send_away(&session, &self.shared.entropy);
        }
    }
}
