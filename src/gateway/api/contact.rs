//! How sure an answer about the cluster is: which members were heard when, and which were not.

use std::collections::{BTreeMap, BTreeSet};

use crate::gateway::error::ApiError;
use crate::gateway::parts::Gateway;
use crate::gateway::schema::NodeStatus;
use crate::id::NodeName;
use crate::push::Knowledge;

/// The members as they stand while an answer is made.
pub(super) struct Contacts {
    members: BTreeMap<String, NodeStatus>,
    /// Members whose sections a node that joins has yet to copy.
    awaited: BTreeSet<NodeName>,
}

impl Contacts {
    /// As they stand now.
    pub(super) fn now(gateway: &Gateway) -> Self {
        let awaited = gateway.roster.awaited().as_deref().cloned().unwrap_or_default();
        let members = (gateway.nodes)().into_iter().map(|node| (node.name.clone(), node)).collect();
        Self { members, awaited }
    }

    /// How the node that answers sees a member.
    pub(super) fn get(&self, name: &NodeName) -> Option<&NodeStatus> {
        self.members.get(name.as_str())
    }

    /// Whether what a member said last may be over by now.
    pub(super) fn in_doubt(&self, name: &NodeName) -> bool {
        self.get(name).is_none_or(|node| matches!(node.state.as_str(), "suspect" | "dead"))
    }

    /// Up to when the answer is complete, in Unix milliseconds: when the member that was heard least
    /// recently was heard, of those whose sessions count.
    pub(super) fn as_of_ms(&self) -> u64 {
        let counted = self.members.values().filter(|node| node.state != "dead");
        counted.map(|node| node.heard_ms).min().unwrap_or_default()
    }

    /// The members whose sessions cannot be known now, and those that have not answered.
    pub(super) fn silent(&self, unanswered: BTreeSet<NodeName>) -> BTreeSet<String> {
        let doubted = self.members.values().filter(|node| matches!(node.state.as_str(), "suspect" | "dead"));
        let unheard = unanswered.iter().chain(&self.awaited).map(NodeName::to_string);
        doubted.map(|node| node.name.clone()).chain(unheard).collect()
    }
}

/// Refuses to speak for a cluster that the node has not joined yet, or does not reach.
pub(super) fn informed(gateway: &Gateway) -> Result<(), ApiError> {
    match gateway.roster.knowledge() {
        Knowledge::Whole => Ok(()),
        Knowledge::Joining => Err(ApiError::joining()),
        Knowledge::Isolated => Err(ApiError::isolated()),
    }
}

/// Refuses to send a broadcast before the node has met all members: it would be called sent, and miss the
/// sessions at the others.
pub(super) fn joined(gateway: &Gateway) -> Result<(), ApiError> {
    if gateway.roster.knowledge() == Knowledge::Joining { Err(ApiError::joining()) } else { Ok(()) }
}

/// What a call says that is refused where this node is not [`informed`].
#[cfg(test)]
pub(super) fn uninformed(call: crate::gateway::openapi::call::Call) -> crate::gateway::openapi::call::Call {
    use crate::gateway::schema::ErrorCode;

    call.refuses(ErrorCode::NotReady, "this node has not joined its cluster yet, so that it does not know")
        .refuses(ErrorCode::Isolated, "this node reaches no other one, so that it cannot know")
}
