//! What the rest of the node reads of the overlay: a snapshot that is replaced whole.
//!
//! The overlay has one writer; pushes, anti-entropy and the API only ever want to know how the
//! members stand now. All of it is worked out when the snapshot is made, so that a reader pays for
//! a lock that is held for a lookup or for the copy of a pointer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, RwLock, RwLockReadGuard};
use std::time::Duration;

use crate::hash;
use crate::id::{Incarnation, NodeName};
use crate::key::Key;
use crate::limits;
use crate::membership::member::{Advert, AdvertState, MemberState};
use crate::membership::overlay::{Overlay, ring};
use crate::push::Knowledge;

/// The cluster at one moment, as this node sees it.
#[derive(Default)]
pub struct Roster {
    view: RwLock<RosterView>,
    /// The members whose sections are not here yet; `None` once this node has joined.
    awaited: RwLock<Option<Arc<BTreeSet<NodeName>>>>,
}

/// One snapshot.
#[derive(Default)]
struct RosterView {
    /// The members by name; this node is not among them.
    members: Arc<BTreeMap<NodeName, RosterEntry>>,
    /// Alive members and this node.
    ring: Arc<[NodeName]>,
    isolated: bool,
    deaf: bool,
    degraded: bool,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RosterEntry {
    /// Its boot.
    pub incarnation: Incarnation,
    /// How it stands.
    pub state: MemberState,
    /// Since when, as time since this node started.
    pub since: Duration,
    /// Since when it is not Alive, whatever it was since; `None` while it is.
    pub not_alive_since: Option<Duration>,
    /// Where peers reach it.
    pub mesh: SocketAddr,
    /// What it says of itself, if that was heard.
    pub advert: Option<Advert>,
}

impl Roster {
    /// Of a node that has yet to join its cluster.
    pub(crate) fn joining() -> Self {
        Self { awaited: RwLock::new(Some(Arc::default())), ..Self::default() }
    }

    /// While this node joins: the sections of these members are not here yet.
    pub(crate) fn awaits(&self, members: &BTreeSet<NodeName>) {
        if let Some(awaited) = &mut *self.awaited.write().expect(NOT_POISONED) {
            *awaited = Arc::new(members.clone());
        }
    }

    /// This node has joined, for good.
    pub(crate) fn joined(&self) {
        *self.awaited.write().expect(NOT_POISONED) = None;
    }

    /// The members whose sections are not here yet; `None` of a node that has joined.
    pub(crate) fn awaited(&self) -> Option<Arc<BTreeSet<NodeName>>> {
        self.awaited.read().expect(NOT_POISONED).clone()
    }

    /// Whether a session that is not found here is nowhere.
    pub(crate) fn knowledge(&self) -> Knowledge {
        match self.awaited() {
            Some(_) => Knowledge::Joining,
            None if self.is_cut_off() => Knowledge::Isolated,
            None => Knowledge::Whole,
        }
    }

    /// Whether this node is isolated, or may be and does not know it yet.
    fn is_cut_off(&self) -> bool {
        let view = self.view();
        view.isolated || view.deaf
    }

    /// Replaces the snapshot.
    pub fn update(&self, overlay: &Overlay) {
        let members = overlay.members().map(|member| {
            let entry = RosterEntry {
                incarnation: member.incarnation(),
                state: member.state(),
                since: member.since(),
                not_alive_since: member.not_alive_since(),
                mesh: member.addr(),
                advert: member.advert().cloned(),
            };
            (member.name().clone(), entry)
        });
        let view = RosterView {
            members: Arc::new(members.collect()),
            ring: overlay.ring().into(),
            isolated: overlay.isolated(),
            deaf: overlay.is_deaf(),
            degraded: overlay.degraded(),
        };
        *self.view.write().expect(NOT_POISONED) = view;
    }

    /// Whether a panic has left it half changed.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.view.is_poisoned() || self.awaited.is_poisoned()
    }

    /// All members.
    pub fn members(&self) -> Arc<BTreeMap<NodeName, RosterEntry>> {
        Arc::clone(&self.view().members)
    }

    /// How a member stands.
    pub fn state(&self, name: &NodeName) -> Option<MemberState> {
        self.view().members.get(name).map(|entry| entry.state)
    }

    /// The names of the Alive members and of this node, in an order that all nodes share. Empty
    /// before the first snapshot.
    #[cfg(test)]
    pub fn ring(&self) -> Arc<[NodeName]> {
        Arc::clone(&self.view().ring)
    }

    /// Who may reach `owner` when this node does not: up to [`limits::RELAYS_MAX`] Alive members,
    /// the next after the place of `owner` on the ring. `owner` need not be a member.
    pub fn relays(&self, owner: &NodeName) -> Vec<NodeName> {
        let view = self.view();
        let next = view.ring.partition_point(|name| ring::place(name) <= ring::place(owner));
        let (before, after) = view.ring.split_at(next);
        let others = after.iter().chain(before).filter(|name| *name != owner);
        // Only members are in the map: this node itself is no relay.
        others.filter(|name| view.members.contains_key(*name)).take(limits::RELAYS_MAX).cloned().collect()
    }

    /// Whether all members that are not dead keep messages for clients that are away. One that says nothing of itself yet does.
    pub fn all_keep(&self) -> bool {
        let members = self.members();
        let there = members.values().filter(|entry| entry.state != MemberState::Dead);
        let mut adverts = there.filter_map(|entry| entry.advert.as_ref());
        adverts.all(|advert| advert.keeps)
    }

    /// The members that may keep a session of this key when its owner stops, the next one first: alive ones that do not stop
    /// themselves, in an order that spreads the sessions. Those that are not known to be ready yet come last.
    pub fn keepers(&self, key: Key) -> Vec<NodeName> {
        let members = self.members();
        let rank = |entry: &RosterEntry| match &entry.advert {
            Some(advert) if !advert.keeps => None,
            Some(advert) if advert.state == AdvertState::Ready => Some(0),
            Some(advert) if advert.state != AdvertState::Joining => None,
            Some(_) | None => Some(1),
        };
        let alive = members.iter().filter(|(_, entry)| entry.state == MemberState::Alive);
        let mut keepers: Vec<_> = alive.filter_map(|(name, entry)| Some((rank(entry)?, name))).collect();
        let place = |name| hash::mix(ring::place(name).0 ^ key.user.low ^ key.device.0);
        keepers.sort_by_key(|(rank, name)| (*rank, place(name)));
        keepers.into_iter().map(|(_, name)| name.clone()).collect()
    }

    /// Whether this very boot of `owner` is listed.
    pub fn admits(&self, owner: &NodeName, incarnation: Incarnation) -> bool {
        self.view().members.get(owner).is_some_and(|entry| entry.incarnation == incarnation)
    }

    /// Whether `owner` is listed and was not Alive for longer than [`limits::RELAY_AFTER`] at `now`,
    /// a time since this node started.
    pub fn stale(&self, owner: &NodeName, now: Duration) -> bool {
        let since = self.view().members.get(owner).and_then(|entry| entry.not_alive_since);
        since.is_some_and(|since| now.saturating_sub(since) > limits::RELAY_AFTER)
    }

    /// Whether others are known and none of them is heard; see [`Overlay::isolated`].
    pub fn isolated(&self) -> bool {
        self.view().isolated
    }

    /// Whether this node doubts itself; see [`Overlay::degraded`].
    pub fn degraded(&self) -> bool {
        self.view().degraded
    }

    fn view(&self) -> RwLockReadGuard<'_, RosterView> {
        self.view.read().expect(NOT_POISONED)
    }
}

const NOT_POISONED: &str = "no panic happens under this lock";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::membership::overlay::{Observation, OverlayTimers};

    const SECOND: Duration = Duration::from_secs(1);

    fn name(text: &str) -> NodeName {
        NodeName::new(text).unwrap()
    }

    fn up(text: &str) -> Observation {
        let addr = SocketAddr::from(([127, 0, 0, 1], 1));
        Observation::LinkUp { name: name(text), incarnation: Incarnation(7), addr }
    }

    fn down(text: &str) -> Observation {
        Observation::LinkDown { name: name(text), incarnation: Incarnation(7) }
    }

    /// The roster of `me`, which is linked to the others.
    fn linked(me: &str, others: &[&str]) -> (Overlay, Roster) {
        let mut overlay = Overlay::new(name(me), Incarnation(1), OverlayTimers::default());
        for other in others {
            overlay.observe(up(other), SECOND);
        }
        let roster = Roster::default();
        roster.update(&overlay);
        (overlay, roster)
    }

    #[test]
    fn relays_follow_the_owner_on_the_ring_and_are_neither_it_nor_this_node() {
        let names = ["a", "b", "c", "d", "e"];
        let (_, roster) = linked("a", &names[1..]);
        let ring = roster.ring();
        assert_eq!(ring.len(), names.len());
        for (at, owner) in ring.iter().enumerate() {
            let following = (1..ring.len()).map(|step| ring[(at + step) % ring.len()].clone());
            let expected: Vec<_> = following.filter(|other| *other != name("a")).take(2).collect();
            assert_eq!(roster.relays(owner), expected, "of {owner}");
        }
    }

    #[test]
    fn an_owner_that_is_not_alive_keeps_its_place_for_its_relays() {
        let (mut overlay, roster) = linked("a", &["b", "c", "d", "e"]);
        let before = roster.relays(&name("c"));
        overlay.observe(down("c"), 2 * SECOND);
        roster.update(&overlay);
        assert!(!roster.ring().contains(&name("c")));
        assert_eq!(roster.relays(&name("c")), before);
    }

    #[test]
    fn there_is_no_relay_where_nobody_else_is_alive() {
        let (_, roster) = linked("a", &["b"]);
        assert_eq!(roster.relays(&name("b")), []);
        assert_eq!(Roster::default().relays(&name("b")), []);
    }

    #[test]
    fn only_the_boot_that_is_listed_is_admitted() {
        let (_, roster) = linked("a", &["b"]);
        assert!(roster.admits(&name("b"), Incarnation(7)));
        for (owner, incarnation) in [("b", 6), ("b", 8), ("a", 1), ("c", 7)] {
            assert!(!roster.admits(&name(owner), Incarnation(incarnation)), "{owner} {incarnation}");
        }
    }

    #[test]
    fn a_member_is_stale_after_a_while_without_being_alive_whatever_it_was_since() {
        let (mut overlay, roster) = linked("a", &["b"]);
        let (owner, lost_at) = (name("b"), 2 * SECOND);
        assert!(!roster.stale(&owner, 1_000 * SECOND), "it is alive");
        overlay.observe(down("b"), lost_at);
        let dead_at = lost_at + limits::DEAD_AFTER;
        overlay.observe(Observation::DialFailed { name: owner.clone() }, dead_at);
        roster.update(&overlay);
        assert_eq!(roster.state(&owner), Some(MemberState::Dead));
        assert!(!roster.stale(&owner, lost_at + limits::RELAY_AFTER));
        assert!(roster.stale(&owner, lost_at + limits::RELAY_AFTER + Duration::from_millis(1)));
        assert!(!roster.stale(&name("c"), 1_000 * SECOND), "nobody is listed by this name");
        overlay.observe(up("b"), dead_at + SECOND);
        roster.update(&overlay);
        assert!(!roster.stale(&owner, 1_000 * SECOND));
    }

    #[test]
    fn a_node_knows_its_cluster_from_when_it_has_joined_and_while_it_hears_somebody() {
        let roster = Roster::joining();
        let (mut overlay, _) = linked("a", &["b", "c"]);
        overlay.observe(down("b"), 2 * SECOND);
        roster.update(&overlay);
        let awaited = BTreeSet::from([name("b"), name("c")]);
        roster.awaits(&awaited);
        assert_eq!(roster.awaited().as_deref(), Some(&awaited));
        assert_eq!(roster.knowledge(), Knowledge::Joining);
        roster.joined();
        roster.awaits(&awaited);
        assert_eq!((roster.awaited(), roster.knowledge()), (None, Knowledge::Whole), "for good");
        overlay.observe(down("c"), 3 * SECOND);
        roster.update(&overlay);
        assert_eq!(roster.knowledge(), Knowledge::Isolated);
        assert_eq!(Roster::default().knowledge(), Knowledge::Whole);
    }

    #[test]
    fn readers_learn_of_isolation_and_of_doubt() {
        let (mut overlay, roster) = linked("a", &["b", "c"]);
        assert!(!roster.isolated() && !roster.degraded());
        overlay.observe(down("b"), 2 * SECOND);
        overlay.observe(down("c"), 2 * SECOND);
        assert!(!roster.isolated() && !roster.degraded(), "a snapshot does not change by itself");
        roster.update(&overlay);
        assert!(roster.isolated() && roster.degraded());
    }
}
