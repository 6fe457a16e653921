//! What replication asks and tells this node about the owners of sections.

use std::sync::Arc;

use crate::directory::Lost;
use crate::id::{Incarnation, NodeName};
use crate::membership::member::MemberState;
use crate::membership::roster::Roster;
use crate::node::liveness::Liveness;
use crate::replication::Owners;

/// The owners of sections, as replication sees them.
pub(crate) struct NodeOwners {
    pub(crate) liveness: Arc<Liveness>,
    pub(crate) roster: Arc<Roster>,
}

impl Owners for NodeOwners {
    fn peers(&self) -> usize {
        let members = self.roster.members();
        members.iter().filter(|(_, entry)| entry.state == MemberState::Alive).count()
    }

    fn section_synced(&self, owner: &NodeName) {
        self.liveness.section_synced(owner);
    }

    fn is_stale(&self, owner: &NodeName) -> bool {
        self.roster.stale(owner, self.liveness.now())
    }

    fn admits(&self, owner: &NodeName, incarnation: Incarnation) -> bool {
        self.roster.admits(owner, incarnation)
    }

    fn lost(&self, lost: Vec<Lost>) {
        self.liveness.supersede(lost);
    }
}
