//! How sure an answer about the cluster is: which members were heard when, and which were not.

use std::collections::{BTreeMap, BTreeSet};

use crate::gateway::error::ApiError;
use crate::gateway::{Gateway, NodeStatus};
use crate::id::NodeName;

/// The members as they stand while an answer is made.
pub(super) struct Contacts(BTreeMap<String, NodeStatus>);

impl Contacts {
    /// As they stand now.
    pub(super) fn now(gateway: &Gateway) -> Self {
        Self((gateway.nodes)().into_iter().map(|node| (node.name.clone(), node)).collect())
    }

    /// How the node that answers sees a member.
    pub(super) fn get(&self, name: &NodeName) -> Option<&NodeStatus> {
        self.0.get(name.as_str())
    }

    /// Whether what a member said last may be over by now.
    pub(super) fn in_doubt(&self, name: &NodeName) -> bool {
        self.get(name).is_none_or(|node| matches!(node.state.as_str(), "suspect" | "dead"))
    }

    /// Up to when the answer is complete, in Unix milliseconds: when the member that was heard least
    /// recently was heard, of those whose sessions count.
    pub(super) fn as_of_ms(&self) -> u64 {
        let counted = self.0.values().filter(|node| node.state != "dead");
        counted.map(|node| node.heard_ms).min().unwrap_or_default()
    }

    /// The members whose sessions can not be known now, and those that `silent` names.
    pub(super) fn unasked(&self, silent: BTreeSet<NodeName>) -> BTreeSet<String> {
        let doubted = self.0.values().filter(|node| matches!(node.state.as_str(), "suspect" | "dead"));
        doubted.map(|node| node.name.clone()).chain(silent.iter().map(NodeName::to_string)).collect()
    }
}

/// Refuses to speak for a cluster that the node does not reach.
pub(super) fn connected(gateway: &Gateway) -> Result<(), ApiError> {
    if gateway.roster.isolated() { Err(ApiError::isolated()) } else { Ok(()) }
}
