//! What the mesh asks of this node, passed on to the part that knows.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;

use crate::directory::Lost;
use crate::id::{Incarnation, NodeName};
use crate::membership::member::MemberState;
use crate::membership::overlay::Observation;
use crate::membership::roster::Roster;
use crate::mesh::{KnownMember, Link, Links, Peer, Request, Service};
use crate::metrics::Metrics;
use crate::metrics::label::Direction;
use crate::node::liveness::Liveness;
use crate::router::{Errand, Owner, relay};
use crate::vital::{Fault, Vitals};

/// The node, as its mesh sees it.
pub(crate) struct NodeService {
    pub(crate) me: NodeName,
    pub(crate) liveness: Arc<Liveness>,
    pub(crate) roster: Arc<Roster>,
    pub(crate) owner: Arc<Owner>,
    /// Weak, because the links hold this service.
    pub(crate) links: Weak<Links>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) push_timeout: Duration,
    pub(crate) vitals: Vitals,
}

impl Service for NodeService {
    fn members(&self) -> Vec<KnownMember> {
        let members = self.roster.members();
        let alive = members.iter().filter(|(_, entry)| entry.state == MemberState::Alive);
        alive
            .map(|(name, entry)| KnownMember {
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
            for member in members.into_iter().filter(|member| member.name != self.me) {
                if links.get(&member.name).is_none() {
                    links.dial(member.mesh, Some(member.name));
                }
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
        // It speaks about all who were to be there: an address may have had several names.
        let members = self.roster.members();
        let there = members.iter().filter(|(_, entry)| entry.mesh == addr).map(|(name, _)| name);
        let missing: BTreeSet<_> = there.chain(expected).filter(|name| reached != Some(*name)).collect();
        for name in missing {
            self.liveness.observe(Observation::DialFailed { name: name.clone() });
        }
    }

    fn superseded(&self, known: Incarnation) {
        self.vitals.fail(Fault::Superseded { known });
    }

    fn request(&self, link: &Arc<Link>, request: Request, payload: Bytes) {
        self.metrics.mesh_requests.with(Direction::Received).increment(1);
        if let Some(to) = request.relay_to.clone().filter(|to| *to != self.me) {
            let Some(links) = self.links.upgrade() else { return };
            return relay(&links, &self.metrics, self.push_timeout, link, &to, request, payload);
        }
        let (link, seq) = (Arc::clone(link), request.seq);
        let errand = Errand::received(request.action, payload);
        self.owner.execute(&request.recipients, &errand, move |answer| link.answer(seq, answer));
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
