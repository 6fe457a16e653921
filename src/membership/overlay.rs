//! One state for each member, made of what gossip says and what the direct links show. Pure: no
//! clock, no lock, no I/O; `now` is the time since this node started.
//!
//! Members, incarnations and the step over suspicion are SWIM's (Das, Gupta, Motivala 2002), but
//! the verdict is local and never gossiped: each node answers for what it reaches itself.
//!
//! ```text
//!            link down while gossip hears it / link up
//!   Alive ◄───────────────────────────────────────────► Unreachable
//!   ▲ ▲ │                                                  │ ▲ ▲
//!   │ │ │ link idle, or                       gossip lost  │ │ │
//!   │ │ │ gossip lost it                               it  │ │ │
//!   │ │ └────────────────────► Suspect ◄───────────────────┘ │ │
//!   │ └───── link up or heard ───┘│└── heartbeat and live ───┘ │
//!   │                             │ silent for dead_after      │
//!   │                             ▼ and a dial failed          │
//!   └──────── link up ────────── Dead ── heartbeat and live ───┘
//!                                 │ purge_after
//!                                 ▼
//!                               Purged
//!
//!   from any of the four ── higher incarnation ──► Superseded
//!                        ── left and empty ──────► Left
//! ```
//!
//! A member starts as what its first observation makes of it. The rules, from the evidence:
//!
//! - **Link up, heard within `idle_suspect`**: Alive, unless gossip *lost* it, that is, heard it
//!   before and does not any more. A link younger than `idle_suspect` outweighs even that: its
//!   handshake is proof of life, and chitchat needs a second to agree. A member that only the link
//!   has shown is therefore Alive.
//! - **Link up and idle**: Suspect.
//! - **No link**: Unreachable if gossip hears it, otherwise Suspect. "Hears it" takes a heartbeat
//!   within `idle_suspect`, or that the link was lost only so long ago: chitchat's verdict lags by
//!   seconds. For a member that is Suspect or Dead already the heartbeat has to be newer than that
//!   state: the same old `live` must not acquit a member whose link died.
//! - A heartbeat during a suspicion starts the way to Dead over, time and failed dial. It does not
//!   end the suspicion by itself: one alone may be an old one that a third node still repeats.
//!
//! Purged, Superseded and Left members are no longer listed; the [`Change`] is their last sign. A
//! *fence* keeps the highest incarnation of a name that is gone. What is said about a lower one is
//! ignored. The same incarnation may come back after Purged, with proof of life (a link, or live in
//! gossip), because a partition can be long; after Left it may not, since it said so itself.
//!
//! Deliberately not here: self-doubt when most peers turn Suspect together, and relays.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::hash;
use crate::id::{Incarnation, NodeName};
use crate::limits;
use crate::membership::member::{Advert, AdvertState, GossipView, MemberState};

#[cfg(test)]
mod tests;

/// The members of the cluster as seen from this node, itself excluded.
#[derive(Debug)]
pub(crate) struct Overlay {
    self_name: NodeName,
    self_incarnation: Incarnation,
    self_superseded_by: Option<Incarnation>,
    timers: OverlayTimers,
    now: Duration,
    members: BTreeMap<NodeName, Member>,
    fences: BTreeMap<NodeName, Fence>,
    refused: u64,
}

/// How long each doubt may last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OverlayTimers {
    /// A link that was silent for longer makes its peer Suspect.
    pub(crate) idle_suspect: Duration,
    /// How long a suspicion must last, without a heartbeat, before the member can be Dead.
    pub(crate) dead_after: Duration,
    /// How long a Dead member stays listed.
    pub(crate) purge_after: Duration,
}

impl Default for OverlayTimers {
    fn default() -> Self {
        Self {
            idle_suspect: limits::LINK_IDLE_SUSPECT,
            dead_after: limits::DEAD_AFTER,
            purge_after: limits::PURGE_AFTER,
        }
    }
}

/// Something that was seen of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Observation {
    /// What gossip shows of it now; reported at each tick.
    Gossip(GossipView),
    /// A link to it is up, in either direction, and it proved its name.
    LinkUp {
        /// Its name.
        name: NodeName,
        /// Its boot, from the exchange of hellos.
        incarnation: Incarnation,
        /// The address at the other end; used until gossip tells the advertised one.
        addr: SocketAddr,
    },
    /// When the last packet arrived on its link; reported at each tick while the link is up.
    LinkHeard {
        /// Its name.
        name: NodeName,
        /// Its boot.
        incarnation: Incarnation,
        /// Time since this node started.
        last_heard: Duration,
    },
    /// The last link to it is gone. Not reported for the loser of two simultaneous links.
    LinkDown {
        /// Its name.
        name: NodeName,
        /// Its boot.
        incarnation: Incarnation,
    },
    /// A dial of its address failed. Counts only against a Suspect member without a link.
    DialFailed {
        /// Its name.
        name: NodeName,
    },
    /// It closed its link saying that it left. It does so after it released every session, and
    /// closing is its last word, so its section counts as empty even if the releases were lost.
    Goodbye {
        /// Its name.
        name: NodeName,
        /// Its boot.
        incarnation: Incarnation,
    },
    /// The copy of its section is empty. Means something only once its advert says `left`, when no
    /// claim can follow, so it is reported at each tick while it holds.
    SectionEmpty {
        /// Its name.
        name: NodeName,
        /// Its boot.
        incarnation: Incarnation,
    },
}

/// A member changed its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// The member.
    pub(crate) name: NodeName,
    /// The boot that this is about.
    pub(crate) incarnation: Incarnation,
    /// The state before; `None` for one that was not listed.
    pub(crate) from: Option<MemberState>,
    /// The state now.
    pub(crate) to: MemberState,
}

impl Overlay {
    /// The empty overlay of this node.
    #[must_use]
    pub(crate) fn new(self_name: NodeName, self_incarnation: Incarnation, timers: OverlayTimers) -> Self {
        Self {
            self_name,
            self_incarnation,
            self_superseded_by: None,
            timers,
            now: Duration::ZERO,
            members: BTreeMap::new(),
            fences: BTreeMap::new(),
            refused: 0,
        }
    }

    /// Takes in one observation, made at `now`, and returns what changed by it. A `now` that is
    /// earlier than one given before counts as that one.
    pub(crate) fn observe(&mut self, observation: Observation, now: Duration) -> Vec<Change> {
        self.now = self.now.max(now);
        let now = self.now;
        let mut changes = Vec::new();
        let taken = match &observation {
            Observation::Gossip(GossipView { name, incarnation, addr, live, .. }) => {
                self.take_or_admit(name, *incarnation, *addr, *live, &mut changes)
            }
            Observation::LinkUp { name, incarnation, addr } => {
                self.take_or_admit(name, *incarnation, *addr, true, &mut changes)
            }
            Observation::LinkHeard { name, incarnation, .. }
            | Observation::LinkDown { name, incarnation }
            | Observation::Goodbye { name, incarnation }
            | Observation::SectionEmpty { name, incarnation } => self.take(name, Some(*incarnation)),
            Observation::DialFailed { name } => self.take(name, None),
        };
        if let Some((mut member, from)) = taken {
            member.learn(observation, now);
            self.settle(member, from, &mut changes);
        }
        changes
    }

    /// Lets time pass until `now` and returns what changed by it alone.
    pub(crate) fn tick(&mut self, now: Duration) -> Vec<Change> {
        self.now = self.now.max(now);
        let due: Vec<NodeName> = (self.members.values())
            .filter(|member| member.assess(&self.timers, self.now) != member.state)
            .map(|member| member.name.clone())
            .collect();
        let mut changes = Vec::new();
        for name in due {
            if let Some((member, from)) = self.take(&name, None) {
                self.settle(member, from, &mut changes);
            }
        }
        let now = self.now;
        self.fences.retain(|_, fence| now.saturating_sub(fence.since) < FENCE_KEPT);
        changes
    }

    /// Every listed member, ordered by name.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// The listed member of this name.
    #[cfg(test)]
    pub(crate) fn get(&self, name: &NodeName) -> Option<&Member> {
        self.members.get(name)
    }

    /// The names of the Alive members and of this node, ordered by a fixed hash: the same order on
    /// every node that sees the same members. Draining members are in it.
    #[cfg_attr(not(test), expect(dead_code, reason = "anti-entropy will choose its partners by it"))]
    #[must_use]
    pub(crate) fn ring(&self) -> Vec<NodeName> {
        let alive = self.members.values().filter(|member| member.state == MemberState::Alive);
        let mut ring: Vec<NodeName> = alive.map(|member| member.name.clone()).collect();
        ring.push(self.self_name.clone());
        // Names with the same hash are ordered too, by themselves.
        ring.sort_by_cached_key(|name| (ring_hash(name), name.clone()));
        ring
    }

    /// The highest incarnation of a node that is remembered, listed or fenced; of this node's own
    /// name, at least the present one.
    #[must_use]
    pub(crate) fn highest_incarnation(&self, name: &NodeName) -> Option<Incarnation> {
        if *name == self.self_name {
            return self.self_superseded_by.max(Some(self.self_incarnation));
        }
        let listed = self.members.get(name).map(|member| member.incarnation);
        listed.max(self.fences.get(name).map(|fence| fence.incarnation))
    }

    /// A later boot of this very node, if one was seen: then this process must stop.
    #[must_use]
    pub(crate) fn self_superseded_by(&self) -> Option<Incarnation> {
        self.self_superseded_by
    }

    /// How many observations of unknown members were ignored because [`limits::PEERS_MAX`] members
    /// are listed.
    #[must_use]
    pub(crate) fn refused(&self) -> u64 {
        self.refused
    }

    /// Takes the member out of the table, for [`Overlay::settle`] to put it back. `None` when it is
    /// not listed, or not with this incarnation.
    fn take(
        &mut self,
        name: &NodeName,
        incarnation: Option<Incarnation>,
    ) -> Option<(Member, Option<MemberState>)> {
        let member = self.members.get(name)?;
        if incarnation.is_some_and(|incarnation| incarnation != member.incarnation) {
            return None;
        }
        let member = self.members.remove(name)?;
        let from = Some(member.state);
        Some((member, from))
    }

    /// As [`Overlay::take`], but makes a member that is new, and supersedes a former incarnation.
    /// `proof` says that the observation proves life now.
    fn take_or_admit(
        &mut self,
        name: &NodeName,
        incarnation: Incarnation,
        addr: SocketAddr,
        proof: bool,
        changes: &mut Vec<Change>,
    ) -> Option<(Member, Option<MemberState>)> {
        if *name == self.self_name {
            if incarnation > self.self_incarnation {
                self.self_superseded_by = self.self_superseded_by.max(Some(incarnation));
            }
            return None;
        }
        if let Some(known) = self.members.get(name) {
            if incarnation <= known.incarnation {
                return self.take(name, Some(incarnation));
            }
            changes.push(known.change(Some(known.state), MemberState::Superseded));
            self.members.remove(name);
        } else if !self.fences.get(name).is_none_or(|fence| fence.admits(incarnation, proof)) {
            return None;
        } else if self.members.len() >= limits::PEERS_MAX {
            self.refused = self.refused.saturating_add(1);
            return None;
        }
        // From here on the member itself remembers the highest incarnation.
        self.fences.remove(name);
        Some((Member::new(name.clone(), incarnation, addr, self.now), None))
    }

    /// Puts a member back with the state that its evidence asks for, or fences it if that is final.
    fn settle(&mut self, mut member: Member, from: Option<MemberState>, changes: &mut Vec<Change>) {
        let to = member.assess(&self.timers, self.now);
        assert!(to != MemberState::Superseded, "only a later incarnation supersedes");
        if from != Some(to) {
            changes.push(member.change(from, to));
            member.enter(to, self.now);
        }
        if to.is_final() {
            self.fence(member);
        } else {
            self.members.insert(member.name.clone(), member);
        }
        debug_assert!(self.members.len() <= limits::PEERS_MAX, "the table keeps its bound");
    }

    fn fence(&mut self, member: Member) {
        let left = member.state == MemberState::Left;
        let fence = Fence { incarnation: member.incarnation, left, since: self.now };
        self.fences.insert(member.name, fence);
        if self.fences.len() > limits::PEERS_MAX {
            let oldest =
                self.fences.iter().min_by_key(|(_, fence)| fence.since).map(|(name, _)| name.clone());
            oldest.and_then(|name| self.fences.remove(&name));
        }
    }
}

/// What is remembered of a name that is no longer listed.
#[derive(Debug)]
struct Fence {
    incarnation: Incarnation,
    left: bool,
    since: Duration,
}

impl Fence {
    fn admits(&self, incarnation: Incarnation, proof: bool) -> bool {
        incarnation > self.incarnation || (incarnation == self.incarnation && proof && !self.left)
    }
}

/// How long a fence is kept. Source: design; far longer than chitchat repeats a former incarnation.
/// At most [`limits::PEERS_MAX`] are kept; the oldest goes first.
const FENCE_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// One incarnation of a peer, and the evidence of its life.
#[derive(Debug)]
pub(crate) struct Member {
    name: NodeName,
    incarnation: Incarnation,
    state: MemberState,
    since: Duration,
    addr: SocketAddr,
    advert: Option<Advert>,
    gossip: Hearing,
    heartbeat: u64,
    link: Option<Link>,
    /// It said that it left, and its section is empty.
    left: bool,
    /// The start of the present suspicion, or the last heartbeat in it.
    silent_since: Duration,
    /// A dial failed in the present suspicion, and since its last heartbeat.
    dial_failed: bool,
    /// The last heartbeat since the present state began.
    sign_at: Option<Duration>,
}

/// What gossip has said about a member so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hearing {
    /// Nothing: only the link has shown it.
    Untold,
    /// It exists, and was not live yet.
    Pending,
    /// It is live.
    Live,
    /// It was live, and is not any more.
    Lost,
}

#[derive(Debug, Clone, Copy)]
struct Link {
    up_since: Duration,
    last_heard: Duration,
}

impl Member {
    /// Starts in doubt; the observation that showed it decides at once.
    fn new(name: NodeName, incarnation: Incarnation, addr: SocketAddr, now: Duration) -> Self {
        Self {
            name,
            incarnation,
            state: MemberState::Suspect,
            since: now,
            addr,
            advert: None,
            gossip: Hearing::Untold,
            heartbeat: 0,
            link: None,
            left: false,
            silent_since: now,
            dial_failed: false,
            sign_at: None,
        }
    }

    /// Its name.
    #[must_use]
    pub(crate) fn name(&self) -> &NodeName {
        &self.name
    }

    /// Its boot.
    #[must_use]
    pub(crate) fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Its state, as of the last observation or tick.
    #[must_use]
    pub(crate) fn state(&self) -> MemberState {
        self.state
    }

    /// When it entered that state, as time since this node started.
    #[must_use]
    pub(crate) fn since(&self) -> Duration {
        self.since
    }

    /// Its mesh address: the advertised one, or that of its link until gossip told of it.
    #[must_use]
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What it said of itself last; `None` until that arrived.
    #[must_use]
    pub(crate) fn advert(&self) -> Option<&Advert> {
        self.advert.as_ref()
    }

    /// Whether a link to it is up, as far as that was reported.
    #[must_use]
    pub(crate) fn is_linked(&self) -> bool {
        self.link.is_some()
    }

    fn learn(&mut self, observation: Observation, now: Duration) {
        match observation {
            Observation::Gossip(view) => self.learn_gossip(view, now),
            Observation::LinkUp { addr, .. } => {
                if self.gossip == Hearing::Untold {
                    self.addr = addr;
                }
                self.link = Some(Link { up_since: now, last_heard: now });
            }
            Observation::LinkHeard { last_heard, .. } => {
                // Without a link this is a late report about one that is gone.
                if let Some(link) = &mut self.link {
                    link.last_heard = link.last_heard.max(last_heard.min(now));
                }
            }
            Observation::LinkDown { .. } => self.link = None,
            // What failed before a suspicion is forgotten when the suspicion begins.
            Observation::DialFailed { .. } => self.dial_failed |= self.link.is_none(),
            Observation::Goodbye { .. } => self.left = true,
            Observation::SectionEmpty { .. } => {
                self.left |= self.advert.as_ref().is_some_and(|advert| advert.state == AdvertState::Left);
            }
        }
    }

    fn learn_gossip(&mut self, view: GossipView, now: Duration) {
        let revived = view.live && self.gossip != Hearing::Live;
        if view.heartbeat > self.heartbeat || revived {
            self.sign_at = Some(now);
            self.silent_since = now;
            self.dial_failed = false;
        }
        self.gossip = match self.gossip {
            _ if view.live => Hearing::Live,
            Hearing::Live | Hearing::Lost => Hearing::Lost,
            Hearing::Untold | Hearing::Pending => Hearing::Pending,
        };
        self.heartbeat = self.heartbeat.max(view.heartbeat);
        self.addr = view.addr;
        // An advert that can not be read does not unsay the one before.
        self.advert = view.advert.or(self.advert.take());
    }

    /// The state that the evidence asks for now.
    fn assess(&self, timers: &OverlayTimers, now: Duration) -> MemberState {
        if self.left {
            return MemberState::Left;
        }
        if let Some(proven) = self.proven(timers, now) {
            return proven;
        }
        match self.state {
            MemberState::Suspect
                if self.dial_failed && now.saturating_sub(self.silent_since) >= timers.dead_after =>
            {
                MemberState::Dead
            }
            MemberState::Dead if now.saturating_sub(self.since) >= timers.purge_after => MemberState::Purged,
            MemberState::Dead => MemberState::Dead,
            _ => MemberState::Suspect,
        }
    }

    /// Alive or Unreachable, if the evidence is good enough for either.
    fn proven(&self, timers: &OverlayTimers, now: Duration) -> Option<MemberState> {
        let within = |at: Duration| now.saturating_sub(at) <= timers.idle_suspect;
        if let Some(link) = self.link {
            let believed = self.gossip != Hearing::Lost || within(link.up_since);
            return (within(link.last_heard) && believed).then_some(MemberState::Alive);
        }
        // chitchat's own verdict lags by seconds, so that a member which is not doubted has a
        // grace of its own from where it entered its state, and then needs heartbeats like others.
        let doubted = matches!(self.state, MemberState::Suspect | MemberState::Dead);
        let sign = self.sign_at.or((!doubted).then_some(self.since));
        let heard = self.gossip == Hearing::Live && sign.is_some_and(within);
        heard.then_some(MemberState::Unreachable)
    }

    fn enter(&mut self, state: MemberState, now: Duration) {
        self.state = state;
        self.since = now;
        self.silent_since = now;
        self.dial_failed = false;
        self.sign_at = None;
    }

    fn change(&self, from: Option<MemberState>, to: MemberState) -> Change {
        Change { name: self.name.clone(), incarnation: self.incarnation, from, to }
    }
}

/// FNV-1a over the name, then the finaliser of MurmurHash3, because FNV alone hardly spreads names
/// that differ in their last character. Written out: it is the same on every node and in every
/// version, which a hasher of the standard library does not promise.
fn ring_hash(name: &NodeName) -> u64 {
    let fnv = hash::fnv1a(name.as_str().as_bytes());
    let mixed = (fnv ^ (fnv >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ (mixed >> 33)
}
