//! Looks into a running node, for the simulations of this repository: how much it holds, whom it sees,
//! what it has counted. Nothing here changes the node, and nothing here keeps it alive.

use std::collections::BTreeMap;
use std::sync::Weak;

use crate::id::{Incarnation, NodeName};
use crate::membership::roster::RosterEntry;
use crate::metrics::label::{Label, Origin};
use crate::node::shared::Shared;
use crate::push::Knowledge;

/// A view into a node, empty once the node is gone.
#[derive(Clone, Default)]
pub struct Observer(pub(super) Weak<Shared>);

/// How much a node holds at one moment, and whom it sees.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inside {
    /// Members with their boots and the names of their states, this node excluded.
    pub members: BTreeMap<NodeName, (Incarnation, &'static str)>,
    /// Boots that are over and that this node would not admit again.
    pub fences: usize,
    /// Observations of such boots, refused since the node started.
    pub fenced: u64,
    /// This node doubts itself.
    pub degraded: bool,
    /// This node hears none of those that it knows.
    pub isolated: bool,
    /// Connections open now.
    pub connections: usize,
    /// Sessions that this node claims.
    pub claims: u64,
    /// Messages that wait for a client, of the session for which most do.
    pub outbox: usize,
    /// Bytes of messages that clients of kept sessions have not acknowledged, wherever they were accepted.
    pub kept_bytes: usize,
    /// How many messages are held for each other node.
    pub copies: BTreeMap<NodeName, usize>,
    /// Boots that gossip knew when it was last asked, this one excluded and former ones included.
    pub gossiped: usize,
    /// Peers with a link.
    pub links: usize,
    /// Requests to peers that wait for a receipt.
    pub pending: usize,
    /// Addresses that were dialled.
    pub addresses: usize,
    /// Addresses with a mailbox for gossip.
    pub mailboxes: usize,
    /// Copies of sections that the directory has a place for.
    pub slots: usize,
}

impl Observer {
    /// What the node holds now; `None` once it is gone.
    #[must_use]
    pub fn inside(&self) -> Option<Inside> {
        let shared = self.0.upgrade()?;
        let (fences, fenced) = shared.liveness.fences();
        let members = shared.roster.members();
        let state = |entry: &RosterEntry| (entry.incarnation, entry.state.as_str());
        let links = shared.links.all();
        Some(Inside {
            members: members.iter().map(|(name, entry)| (name.clone(), state(entry))).collect(),
            fences,
            fenced,
            degraded: shared.roster.degraded(),
            isolated: shared.roster.isolated(),
            connections: shared.registry.len(),
            claims: shared.replica.own_len(),
            outbox: shared.registry.all().iter().map(|session| session.waiting()).max().unwrap_or_default(),
            kept_bytes: Origin::ALL.iter().map(|origin| shared.router.store().used(*origin)).sum(),
            copies: shared.copies.held().into_iter().map(|(owner, of)| (owner, of.messages)).collect(),
            gossiped: shared.liveness.gossiped(),
            links: links.len(),
            pending: links.iter().map(|link| link.pending()).sum(),
            addresses: shared.links.addresses(),
            mailboxes: shared.links.mailboxes(),
            slots: shared.replica.slots(),
        })
    }

    /// How much of its cluster the node knows now; `None` once it is gone.
    #[must_use]
    pub fn knowledge(&self) -> Option<Knowledge> {
        Some(self.0.upgrade()?.roster.knowledge())
    }

    /// Whether there is a link to a peer.
    #[must_use]
    pub fn is_linked(&self, peer: &NodeName) -> bool {
        self.0.upgrade().is_some_and(|shared| shared.links.get(peer).is_some())
    }

    /// What the node has counted, in Prometheus' text format; `None` once it is gone.
    #[must_use]
    pub fn metrics(&self) -> Option<String> {
        Some(self.0.upgrade()?.metrics.render())
    }
}
