//! What the mesh asks and tells the membership of this node.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use crate::id::{Incarnation, NodeName};
use crate::membership::overlay::Observation;
use crate::membership::roster::Roster;
use crate::mesh::meeting;
use crate::mesh::{KnownMember, Links, Members, Peer};
use crate::node::liveness::Liveness;
use crate::vital::{Fault, Vitals};

/// The members, as the mesh of this node sees them.
pub(crate) struct NodeMembers {
    pub(crate) me: NodeName,
    pub(crate) liveness: Arc<Liveness>,
    pub(crate) roster: Arc<Roster>,
    /// Weak, because the links hold this.
    pub(crate) links: Weak<Links>,
    pub(crate) vitals: Vitals,
}

impl Members for NodeMembers {
    fn members(&self) -> Vec<KnownMember> {
        let members = self.roster.members();
        let told = members.iter().filter(|(_, entry)| entry.state.is_told());
        told.map(|(name, entry)| KnownMember {
            name: name.clone(),
            incarnation: entry.incarnation,
            mesh: entry.mesh,
        })
        .collect()
    }

    fn incarnation_of(&self, name: &NodeName) -> Option<Incarnation> {
        self.liveness.incarnation_of(name)
    }

    fn superseding(&self, name: &NodeName, incarnation: Incarnation) -> Option<Incarnation> {
        self.liveness.superseding(name, incarnation)
    }

    fn link_up(&self, peer: &Peer, members: Vec<KnownMember>) {
        self.liveness.link_up(peer, &members, &self.me);
        if let Some(links) = self.links.upgrade() {
            let is_linked = |name: &NodeName| links.get(name).is_some();
            for member in meeting::unlinked_members(members, |member| &member.name, &self.me, is_linked) {
                links.dial(member.mesh, Some(member.name));
            }
        }
    }

    fn link_down(&self, peer: &Peer, left: bool) {
        let (name, incarnation) = (peer.name.clone(), peer.incarnation);
        self.liveness.observe(if left {
            Observation::Goodbye { name, incarnation }
        } else {
            Observation::LinkDown { name, incarnation }
        });
    }

    fn dial_ended(&self, addr: SocketAddr, expected: Option<&NodeName>, reached: Option<&NodeName>) {
        let members = self.roster.members();
        let there = members.iter().filter(|(_, entry)| entry.mesh == addr).map(|(name, _)| name);
        for name in meeting::missed(there, expected, reached) {
            self.liveness.observe(Observation::DialFailed { name: name.clone() });
        }
    }

    fn superseded(&self, known: Incarnation) {
        self.vitals.fail(Fault::Superseded { known });
    }
}
