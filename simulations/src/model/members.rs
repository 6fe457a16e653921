//! What a node of the fast level notices of its members, and how their states take effect on what it holds.

use std::net::SocketAddr;

use pushmesh::internals::{Change, Observation};

use crate::id::NodeIndex;
use crate::model::boot::Boot;
use crate::model::cluster::{Cluster, index_of};
use crate::model::due::Event;
use crate::model::plan::LARGE_ABOVE;

impl Cluster {
    /// The overlay is told of something.
    pub(super) fn observe(&mut self, boot: &mut Boot, observation: Observation) {
        let changes = boot.overlay.observe(observation, self.now - boot.since);
        self.changed(boot, changes);
    }

    /// Members have changed their state.
    pub(super) fn changed(&mut self, boot: &mut Boot, changes: Vec<Change>) {
        if changes.is_empty() {
            return;
        }
        boot.roster_is_fresh.set(false);
        for change in changes {
            self.tell(|_| {
                format!("{} sees {} {}: {:?}", boot.name, change.name, change.incarnation, change.to)
            });
            self.check_change(boot, &change);
            if boot.returned.take_effect(&change, &boot.replica, self.now - boot.since) {
                self.count("directory: a member is back, its claims unproven");
            }
            let peer = index_of(&change.name);
            let link = boot.links.get(&peer).filter(|link| link.incarnation == change.incarnation);
            if let Some(link) = link.filter(|_| change.forgets()).map(|link| link.id) {
                self.queue.put(self.now, Event::HangUp { boot: boot.id, peer, link });
            }
        }
        let lost = boot.replica.adopt();
        self.supersede(boot, lost);
        if self.plan.nodes <= LARGE_ABOVE {
            self.check_views(boot);
            self.check_mirror(boot);
        }
    }
}

/// Where a node is reached.
pub(super) fn addr(node: NodeIndex) -> SocketAddr {
    SocketAddr::from(([10, 0, (node / 250) as u8, (node % 250) as u8], 7_400))
}
