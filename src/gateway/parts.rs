//! The parts of a node that its face works with.

use std::sync::Arc;

use tokio::sync::watch;

use crate::config::{Config, Rate};
use crate::current::Current;
use crate::gateway::access::Access;
use crate::gateway::connects::Connects;
use crate::gateway::fights::Fights;
use crate::gateway::login_keys::LoginKeys;
use crate::gateway::phase::Phase;
use crate::gateway::schema::NodeStatus;
use crate::handle::NodeHandle;
use crate::handler::{Handler, SessionInfo};
use crate::id::{Incarnation, NodeName};
use crate::membership::overlay::ForgetError;
use crate::membership::roster::Roster;
use crate::metrics::Metrics;
use crate::replica::Replica;
use crate::router::Router;
use crate::session::{HeartbeatTimers, Registry, Session};
use crate::token::ResumeKey;
use crate::vital::Vitals;
use crate::wire::{Clock, Entropy, Threads};

/// What the face of a node works with.
pub(crate) struct Gateway {
    pub(crate) config: Arc<Config>,
    pub(crate) threads: Threads,
    pub(crate) router: Arc<Router>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) replica: Arc<Replica>,
    pub(crate) roster: Arc<Roster>,
    pub(crate) metrics: Arc<Metrics>,
    /// Whom it lets in.
    pub(crate) access: Arc<Current<Access>>,
    /// The keys of an identity provider, where they are fetched.
    pub(crate) login_keys: Option<Arc<LoginKeys>>,
    /// What its connections share.
    pub(crate) connections: Arc<ConnectionParts>,
    pub(crate) entropy: Arc<Entropy>,
    /// How often clients connect.
    pub(crate) connects: Connects,
    /// Where the node is in its life.
    pub(crate) phase: watch::Receiver<Phase>,
    /// Whether the node works.
    pub(crate) vitals: Vitals,
    /// The members, this node included.
    pub(crate) nodes: Box<dyn Fn() -> Vec<NodeStatus> + Send + Sync>,
    /// Forgets a dead member for good; returns which boot of it that was.
    pub(crate) forget: Box<Forget>,
}

/// The parts that every connection of a client works with.
pub(crate) struct ConnectionParts {
    /// Signs what a client comes back with, if its dialect has that. The same on all nodes.
    pub(crate) resume: ResumeKey,
    pub(crate) timers: HeartbeatTimers,
    /// How often a client may say something.
    pub(crate) message_rate: Option<Rate>,
    pub(crate) handler: Arc<dyn Handler>,
    /// For the handler.
    pub(crate) handle: NodeHandle,
    pub(crate) clock: Arc<dyn Clock>,
    /// Whom the node lets in.
    pub(crate) access: Arc<Current<Access>>,
    /// The keys of an identity provider, where they are fetched.
    pub(crate) login_keys: Option<Arc<LoginKeys>>,
    /// Clients that take a session from each other.
    pub(crate) fights: Fights,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) vitals: Vitals,
    /// They stay for as long as a connection has work on them: a handler that is running is never cancelled, also when
    /// its node is gone.
    pub(crate) _threads: Threads,
}

impl ConnectionParts {
    /// A session as the handler sees it.
    pub(crate) fn info(&self, session: &Session) -> SessionInfo {
        SessionInfo { key: session.names().clone(), node: self.handle.name().clone() }
    }
}

/// Forgets the member of that name.
type Forget = dyn Fn(&NodeName) -> Result<Incarnation, ForgetError> + Send + Sync;
