//! Who sees whom in the fast level: rounds of the overlay, links, dials and gossip, as the product's
//! `node/liveness` and `mesh/links` drive them.

use std::net::SocketAddr;
use std::time::Duration;

use pushmesh::NodeName;
use pushmesh::internals::{
    Advert, AdvertState, Change, GossipView, InUse, LinkInUse, Newcomer, Observation, backoff, judge,
};
use pushmesh::limits;
use rand::Rng;

use crate::id::NodeIndex;
use crate::model::boot::{Boot, Link};
use crate::model::cluster::{Cluster, index_of};
use crate::model::due::Event;
use crate::model::message::Message;
use crate::model::plan::LARGE_ABOVE;

impl Cluster {
    /// One round, as `Liveness::round`.
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
        unheard.into_iter().for_each(|peer| self.dial(boot, peer));
    }

    /// Closes the links from which nothing comes: QUIC does, or the node where QUIC waits for longer. Here a transport
    /// that is worse than QUIC waits for ever.
    fn close_silent(&mut self, boot: &mut Boot) {
        let now = self.now;
        boot.awake.round(now - boot.since);
        let quic = if self.plan.unreliable { Duration::MAX } else { limits::LINK_IDLE_TIMEOUT };
        let is_silent = |link: &Link| {
            let heard = link.heard(now);
            now.saturating_sub(heard) > quic || boot.awake.gives_up(heard.saturating_sub(boot.since))
        };
        let silent = boot.links.iter().filter(|(_, link)| is_silent(link)).map(|(peer, _)| *peer);
        let silent: Vec<_> = silent.collect();
        if self.plan.unreliable {
            self.count_all("link: given up by the node", silent.len());
        }
        silent.into_iter().for_each(|peer| self.link_down(boot, peer, false));
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

    fn observe(&mut self, boot: &mut Boot, observation: Observation) {
        let changes = boot.overlay.observe(observation, self.now - boot.since);
        self.changed(boot, changes);
    }

    /// As `Liveness::apply`.
    fn changed(&mut self, boot: &mut Boot, changes: Vec<Change>) {
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
        }
        let lost = boot.replica.adopt();
        self.supersede(boot, lost);
        if self.plan.nodes <= LARGE_ABOVE {
            self.check_views(boot);
            self.check_mirror(boot);
        }
    }

    /// Sends keep-alives. They are not messages of their own, because there are so many.
    pub(super) fn keep_alive(&mut self, boot: &mut Boot) {
        let now = self.now;
        for (peer, link) in &boot.links {
            if !self.network.is_open(boot.node, *peer) || self.network.loses() {
                continue;
            }
            let wakes = self.machines[*peer].asleep_until;
            let Some(other) = self.boots[link.peer].as_deref_mut() else { continue };
            if let Some(back) = other.links.get_mut(&boot.node).filter(|back| back.id == link.id) {
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
        unlinked.into_iter().for_each(|seed| self.dial(boot, seed));
    }

    /// Dials a node, unless that is going on or failed a moment ago.
    fn dial(&mut self, boot: &mut Boot, to: NodeIndex) {
        let now = self.now;
        let dial = boot.dials.entry(to).or_default();
        if dial.busy || now < dial.not_before || boot.left {
            return;
        }
        dial.busy = true;
        let open = self.reaches(boot.node, to);
        // The exchange of hellos takes two round trips.
        let took = if open { 4 * self.network.delay() } else { limits::DIAL_TIMEOUT };
        self.queue.put(now + took.min(limits::DIAL_TIMEOUT), Event::Dialled { boot: boot.id, to, open });
    }

    fn reaches(&self, one: NodeIndex, other: NodeIndex) -> bool {
        self.network.is_open(one, other) && self.network.is_open(other, one) && self.running(other).is_some()
    }

    /// A dial came to an end. `false`: the peer knows a later boot of this node, which has to stop.
    pub(super) fn dialled(&mut self, boot: &mut Boot, to: NodeIndex, open: bool) -> bool {
        let now = self.now;
        let reached = open && self.reaches(boot.node, to) && !boot.left;
        let fresh = |link: &Link| now.saturating_sub(link.heard(now)) <= limits::LINK_FRESH;
        let linked = boot.links.get(&to).is_some_and(fresh);
        let mut failed = !reached;
        if reached && !linked {
            let peer = self.running(to).and_then(|peer| self.boots[peer].take());
            let mut peer = peer.expect("it is reached");
            if peer.overlay.superseding(&boot.name, boot.incarnation).is_some() {
                self.count("member: an old boot refused");
                let id = peer.id;
                self.boots[id] = Some(peer);
                return false;
            }
            failed = boot.overlay.superseding(&peer.name, peer.incarnation).is_some();
            if failed {
                // The acceptor has said its hello, and has a link until this end closes it. So it hears of
                // this node, dials it in turn, and is told that it is over.
                self.links += 1;
                self.link_up(&mut peer, boot, self.links, false);
                self.link_down(&mut peer, boot.node, false);
            } else if !keeps(&peer, boot, false, now) && !keeps(boot, &peer, true, now) {
                self.establish(boot, &mut peer);
            }
            let id = peer.id;
            self.boots[id] = Some(peer);
        }
        let dial = boot.dials.entry(to).or_default();
        dial.busy = false;
        dial.failures = if failed { dial.failures.saturating_add(1) } else { 0 };
        dial.not_before = now + backoff(dial.failures);
        if failed {
            boot.seen.entry(to).or_default().dial_failed = true;
            let name = self.names[to].clone();
            self.observe(boot, Observation::DialFailed { name });
        }
        true
    }

    fn establish(&mut self, dialler: &mut Boot, acceptor: &mut Boot) {
        self.links += 1;
        let id = self.links;
        self.link_up(dialler, acceptor, id, true);
        self.link_up(acceptor, dialler, id, false);
        let incarnations = (dialler.incarnation, acceptor.incarnation);
        self.subscribe(dialler, acceptor.node, acceptor.node, incarnations.1, true);
        self.subscribe(acceptor, dialler.node, dialler.node, incarnations.0, true);
        self.ask(dialler, acceptor.node);
    }

    fn link_up(&mut self, boot: &mut Boot, peer: &Boot, id: u64, dialled: bool) {
        if let Some(old) = boot.links.remove(&peer.node) {
            self.end_streams(boot, old.id);
        }
        boot.links.insert(peer.node, Link::new(id, peer.id, peer.incarnation, dialled, self.now));
        let (name, incarnation) = (peer.name.clone(), peer.incarnation);
        self.observe(boot, Observation::LinkUp { name, incarnation, addr: addr(peer.node) });
    }

    /// A link is gone; `left`: because the peer left.
    pub(super) fn link_down(&mut self, boot: &mut Boot, peer: NodeIndex, left: bool) {
        let Some(link) = boot.links.remove(&peer) else { return };
        self.end_streams(boot, link.id);
        let (name, incarnation) = (self.names[peer].clone(), link.incarnation);
        let observation = match left {
            true => Observation::Goodbye { name, incarnation },
            false => Observation::LinkDown { name, incarnation },
        };
        self.observe(boot, observation);
    }

    fn end_streams(&mut self, boot: &mut Boot, link: u64) {
        boot.servers.retain(|_, serving| serving.link != link);
        let ended: Vec<_> = boot
            .followers
            .iter()
            .filter(|(_, taker)| taker.link == link)
            .map(|(stream, _)| *stream)
            .collect();
        ended.into_iter().for_each(|stream| self.broken(boot, stream));
    }
}

/// Whether the link in use is kept when another one to the same peer comes up.
fn keeps(boot: &Boot, peer: &Boot, dialled: bool, now: Duration) -> bool {
    let Some(held) = boot.links.get(&peer.node) else { return false };
    let in_use = InUse {
        incarnation: held.incarnation,
        closed: held.peer != peer.id,
        dialled: held.dialled,
        age: now.saturating_sub(held.since),
        silence: now.saturating_sub(held.heard(now)),
    };
    in_use.stays(Newcomer { incarnation: peer.incarnation, dialled }, boot.name < peer.name)
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
    }
}

fn addr(node: NodeIndex) -> SocketAddr {
    SocketAddr::from(([10, 0, (node / 250) as u8, (node % 250) as u8], 7_400))
}

/// In a large run all is said again in one of so many rounds.
const REPEATED_EVERY: u32 = 5;
/// Peers of a round of gossip. Source: chitchat's.
const GOSSIP_PEERS: usize = 3;
