//! Who sees whom in the fast level: rounds of the overlay, and what they are told by gossip and by links.
//!
//! The model's own: chitchat's gossip, and the packets that keep links alive.

use std::time::Duration;

use pushmesh::NodeName;
use pushmesh::internals::{Advert, AdvertState, GossipView, LinkInUse, judge};
use rand::Rng;

use crate::id::NodeIndex;
use crate::model::boot::{Boot, Link};
use crate::model::cluster::{Cluster, index_of};
use crate::model::members::addr;
use crate::model::message::Message;
use crate::model::plan::LARGE_ABOVE;

impl Cluster {
    /// One round of judging the members.
    pub(super) fn round(&mut self, boot: &mut Boot) {
        let now = self.now;
        self.close_silent(boot);
        let mut gossip = Vec::new();
        let bounds = &self.plan.bounds;
        let times = (bounds.gossip_lost_after, bounds.gossip_kept);
        // To say the same again changes nothing; in a large cluster it is most of the work.
        boot.rounds += 1;
        let all = self.plan.nodes <= LARGE_ABOVE || boot.rounds.is_multiple_of(REPEATED_EVERY);
        for shown in boot.heard.shown(now, boot.gossip_id, times, all) {
            let (node, incarnation) = self.identities[shown.id];
            let name = self.names[node].clone();
            if boot.seen.get(&node).is_some_and(|seen| incarnation < seen.highest)
                && !boot.overlay.members().any(|member| *member.name() == name)
            {
                self.count("member: fence refused");
            }
            let advert = shown.left.then(|| left(node));
            let (live, heartbeat) = (shown.live, shown.heartbeat);
            gossip.push(GossipView { name, incarnation, addr: addr(node), live, heartbeat, advert });
        }
        let links: Vec<_> =
            boot.links.iter_mut().map(|(peer, link)| self.in_use(*peer, link, boot.since, all)).collect();
        let since_start = now - boot.since;
        let is_empty = |name: &NodeName| boot.replica.len_of(name) == 0;
        let changes = judge(&mut boot.overlay, gossip, &links, is_empty, since_start);
        let due = boot.returned.due(since_start);
        self.changed(boot, changes);
        for (member, incarnation) in due {
            let lost = boot.replica.prove(&member, incarnation);
            self.supersede(boot, lost);
        }
        let unheard: Vec<_> = boot.overlay.unheard().map(|member| index_of(member.name())).collect();
        unheard.into_iter().for_each(|peer| self.dial(boot, peer, true));
    }

    /// A link, as the overlay is told of it; `all`: also what it was told in the last round.
    fn in_use(&self, peer: NodeIndex, link: &mut Link, since: Duration, all: bool) -> LinkInUse {
        let heard = link.heard(self.now);
        let is_new = std::mem::replace(&mut link.told, heard) != heard || all;
        // Before the node started there was nothing to hear.
        let last_heard = is_new.then(|| heard.saturating_sub(since));
        let (name, incarnation) = (self.names[peer].clone(), link.incarnation);
        LinkInUse { name, incarnation, addr: addr(peer), last_heard }
    }

    /// Sends keep-alives. They are not messages of their own, because there are so many.
    pub(super) fn keep_alive(&mut self, boot: &mut Boot) {
        let now = self.now;
        let retired = boot.retired.values().map(|(peer, link)| (peer, link));
        for (peer, link) in boot.links.iter().chain(retired) {
            if !self.network.is_open(boot.node, *peer) || self.network.loses() {
                continue;
            }
            let wakes = self.machines[*peer].asleep_until;
            let Some(other) = self.boots[link.peer].as_deref_mut() else { continue };
            if let Some(back) = other.link_mut(boot.node, link.id) {
                back.hear(wakes.max(now + self.plan.latency), now);
            }
        }
    }

    /// A round of gossip: with some peers, and with a seed if it has no link.
    pub(super) fn gossip(&mut self, boot: &mut Boot) {
        boot.heard.beat(self.now, boot.gossip_id, boot.left);
        let table = boot.heard.table();
        let mut linked: Vec<_> = boot.links.keys().copied().collect();
        for _ in 0..GOSSIP_PEERS.min(linked.len()) {
            let peer = linked.swap_remove(self.choice.random_range(0..linked.len()));
            self.send(boot, peer, Message::Gossip(table.clone()));
        }
        let unlinked = self.seeds(boot.node).filter(|seed| !boot.links.contains_key(seed));
        let unlinked: Vec<_> = unlinked.collect();
        unlinked.into_iter().for_each(|seed| self.dial(boot, seed, false));
    }
}

/// The advert of a node that left; what others say is never looked at.
fn left(node: NodeIndex) -> Advert {
    Advert {
        state: AdvertState::Left,
        protocol: 2,
        mesh: addr(node),
        http: String::new(),
        zone: None,
        sessions: 0,
        degraded: false,
        keeps: true,
    }
}

/// In a large run all is said again in one of so many rounds.
const REPEATED_EVERY: u32 = 5;
/// Peers of a round of gossip. Source: chitchat's.
const GOSSIP_PEERS: usize = 3;
