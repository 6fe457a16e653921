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
//!   │                             ▼ more, and a dial failed    │
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
//! - The clock of the way to Dead starts where the evidence ran out, and evidence during a suspicion
//!   moves it on; `overlay/member.rs` tells the timeline. A heartbeat does not end the suspicion by
//!   itself: one alone may be an old one that a third node still repeats.
//! - When most peers turn Suspect together this node doubts itself, and the way to Dead takes longer:
//!   `overlay/doubt.rs`. An isolated node, which hears nobody, is told apart by [`Overlay::isolated`].
//!
//! Purged, Superseded and Left members are no longer listed; the [`Change`] is their last sign. A
//! *fence* keeps the highest incarnation of a name that is gone: `overlay/fence.rs`.
//!
//! Deliberately not here: what a state means for sessions and pushes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::id::{Incarnation, NodeName};
use crate::limits;
use crate::membership::member::{GossipView, MemberState};

mod change;
mod doubt;
mod fence;
mod member;
mod observation;
pub(crate) mod ring;
#[cfg(test)]
mod tests;
mod timers;

pub use change::Change;
use doubt::{Census, Doubt};
use fence::{Fences, Proof};
pub use member::Member;
pub use observation::Observation;
pub use timers::OverlayTimers;

/// The members of the cluster as seen from this node, itself excluded.
#[derive(Debug)]
pub struct Overlay {
    self_name: NodeName,
    self_incarnation: Incarnation,
    self_superseded_by: Option<Incarnation>,
    timers: OverlayTimers,
    now: Duration,
    members: BTreeMap<NodeName, Member>,
    fences: Fences,
    doubt: Doubt,
    refused: u64,
    fenced: u64,
}

/// Why a member is not forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ForgetError {
    /// It is this node.
    #[error("it is this node itself")]
    Myself,
    /// It is not dead for this node.
    #[error("it is {}", state.as_str())]
    NotDead {
        /// What it is.
        state: MemberState,
    },
    /// It is not listed, nor was it purged within the last day without having left.
    #[error("there is no such member")]
    Unknown,
}

impl Overlay {
    /// The empty overlay of this node.
    #[must_use]
    pub fn new(self_name: NodeName, self_incarnation: Incarnation, timers: OverlayTimers) -> Self {
        Self {
            self_name,
            self_incarnation,
            self_superseded_by: None,
            timers,
            now: Duration::ZERO,
            members: BTreeMap::new(),
            fences: Fences::default(),
            doubt: Doubt::default(),
            refused: 0,
            fenced: 0,
        }
    }

    /// Takes in one observation, made at `now`, and returns what changed by it. A `now` that is
    /// earlier than one given before counts as that one.
    pub fn observe(&mut self, observation: Observation, now: Duration) -> Vec<Change> {
        self.now = self.now.max(now);
        let now = self.now;
        let mut changes = Vec::new();
        let taken = match &observation {
            Observation::Gossip(GossipView { name, incarnation, addr, live, heartbeat, .. }) => {
                let proof = if *live { Proof::Live { heartbeat: *heartbeat } } else { Proof::None };
                self.take_or_admit(name, *incarnation, *addr, proof, &mut changes)
            }
            Observation::LinkUp { name, incarnation, addr } => {
                self.take_or_admit(name, *incarnation, *addr, Proof::Link, &mut changes)
            }
            Observation::LinkHeard { name, incarnation, .. }
            | Observation::LinkDown { name, incarnation }
            | Observation::Goodbye { name, incarnation }
            | Observation::SectionEmpty { name, incarnation } => self.take(name, Some(*incarnation)),
            Observation::DialFailed { name } => self.take(name, None),
        };
        if let Some((mut member, from)) = taken {
            member.learn(observation, &self.timers(), now);
            self.put_back(member, from, &mut changes);
        }
        if !changes.is_empty() {
            self.review();
        }
        changes
    }

    /// Lets time pass until `now` and returns what changed by it alone.
    pub fn tick(&mut self, now: Duration) -> Vec<Change> {
        self.now = self.now.max(now);
        let timers = self.timers();
        let due: Vec<NodeName> = (self.members.values())
            .filter(|member| member.assess(&timers, self.now) != member.state())
            .map(|member| member.name().clone())
            .collect();
        let mut changes = Vec::new();
        for name in due {
            if let Some((member, from)) = self.take(&name, None) {
                self.put_back(member, from, &mut changes);
            }
        }
        self.review();
        self.fences.expire(self.now);
        changes
    }

    /// Forgets a member that is dead, or was until it was purged, because an operator says that it is gone for
    /// good: it does not make this node isolated any more. It comes back as a later boot, or with a link if it
    /// lives after all. Returns its incarnation, and what changed.
    ///
    /// # Errors
    /// See [`ForgetError`]; nothing has changed.
    pub fn forget(
        &mut self,
        name: &NodeName,
        now: Duration,
    ) -> Result<(Incarnation, Vec<Change>), ForgetError> {
        self.now = self.now.max(now);
        if *name == self.self_name {
            return Err(ForgetError::Myself);
        }
        let Some(member) = self.members.get(name) else {
            let forgotten = self.fences.forget(name).ok_or(ForgetError::Unknown)?;
            return Ok((forgotten, Vec::new()));
        };
        if member.state() != MemberState::Dead {
            return Err(ForgetError::NotDead { state: member.state() });
        }
        let incarnation = member.incarnation();
        let changes = vec![member.change(Some(MemberState::Dead), MemberState::Purged)];
        self.members.remove(name);
        self.fences.put_forgotten(name.clone(), incarnation, self.now);
        self.review();
        Ok((incarnation, changes))
    }

    /// Every listed member, ordered by name.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// The listed member of this name.
    #[cfg(test)]
    pub fn get(&self, name: &NodeName) -> Option<&Member> {
        self.members.get(name)
    }

    /// The names of the Alive members and of this node, ordered by a fixed hash: the same order on
    /// every node that sees the same members. Draining members are in it.
    #[must_use]
    pub fn ring(&self) -> Vec<NodeName> {
        let alive = self.members.values().filter(|member| member.state() == MemberState::Alive);
        let mut ring: Vec<NodeName> = alive.map(|member| member.name().clone()).collect();
        ring.push(self.self_name.clone());
        ring::arrange(&mut ring);
        ring
    }

    /// The highest incarnation of a node that is remembered, listed or fenced; of this node's own
    /// name, at least the present one.
    #[must_use]
    pub fn highest_incarnation(&self, name: &NodeName) -> Option<Incarnation> {
        if *name == self.self_name {
            return self.self_superseded_by.max(Some(self.self_incarnation));
        }
        let listed = self.members.get(name).map(Member::incarnation);
        listed.max(self.fences.incarnation(name))
    }

    /// The incarnation that is known of a node, if that means that `incarnation` of it is over: it is a
    /// later one, or that very one has said that it left. A clock that was set back lets a boot start over
    /// under the incarnation of one that left; nobody would list it, so that it must take a higher one.
    #[must_use]
    pub fn superseding(&self, name: &NodeName, incarnation: Incarnation) -> Option<Incarnation> {
        let left = self.fences.has_left(name);
        self.highest_incarnation(name).filter(|known| *known > incarnation || left && *known == incarnation)
    }

    /// A later boot of this very node, if one was seen: then this process must stop.
    #[must_use]
    pub fn self_superseded_by(&self) -> Option<Incarnation> {
        self.self_superseded_by
    }

    /// Members that a dial may help: those without a link, or with one that is silent for too long.
    pub fn unheard(&self) -> impl Iterator<Item = &Member> {
        self.members.values().filter(|member| member.is_unheard(&self.timers, self.now))
    }

    /// Whether this node doubts itself, because most peers fell silent together.
    #[must_use]
    pub fn degraded(&self) -> bool {
        self.doubt.is_on()
    }

    /// Whether this node is alone with others known: at least two peers are listed, or were purged and
    /// are still fenced, and none is Alive or Unreachable. One peer that is gone may as well be the one
    /// that is cut off.
    #[must_use]
    pub fn isolated(&self) -> bool {
        self.members.len() + self.fences.lost() >= 2 && !self.members.values().any(Member::is_good)
    }

    /// Whether this node may be isolated and not know it yet: a peer is hidden, because it is Dead or was
    /// purged, and for longer than [`limits::LINK_FRESH`] no link brought a packet. Then what is hidden may
    /// be well, and whoever came from there be connected where nobody is heard.
    #[must_use]
    pub fn is_deaf(&self) -> bool {
        let hidden = self.members.values().any(|member| member.state() == MemberState::Dead);
        let heard = |member: &Member| member.is_heard_within(limits::LINK_FRESH, self.now);
        (hidden || self.fences.lost() > 0)
            && self.members.len() + self.fences.lost() >= 2
            && !self.members.values().any(heard)
    }

    /// How many observations of unknown members were ignored because [`limits::PEERS_MAX`] members
    /// are listed.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// How many boots of names that are gone are fenced, and how many observations of boots that are
    /// over were ignored.
    #[must_use]
    pub(crate) fn fences(&self) -> (usize, u64) {
        (self.fences.len(), self.fenced)
    }

    /// Takes the member out of the table, for [`Overlay::put_back`]. `None` when it is
    /// not listed, or not with this incarnation.
    fn take(
        &mut self,
        name: &NodeName,
        incarnation: Option<Incarnation>,
    ) -> Option<(Member, Option<MemberState>)> {
        let member = self.members.get(name)?;
        if incarnation.is_some_and(|incarnation| incarnation != member.incarnation()) {
            return None;
        }
        let member = self.members.remove(name)?;
        let from = Some(member.state());
        Some((member, from))
    }

    /// As [`Overlay::take`], but makes a member that is new, and supersedes a former incarnation.
    /// `proof` is what the observation says of its life.
    fn take_or_admit(
        &mut self,
        name: &NodeName,
        incarnation: Incarnation,
        addr: SocketAddr,
        proof: Proof,
        changes: &mut Vec<Change>,
    ) -> Option<(Member, Option<MemberState>)> {
        if *name == self.self_name {
            if incarnation > self.self_incarnation {
                self.self_superseded_by = self.self_superseded_by.max(Some(incarnation));
            }
            return None;
        }
        if let Some(known) = self.members.get(name) {
            if incarnation <= known.incarnation() {
                self.fenced += u64::from(incarnation < known.incarnation());
                return self.take(name, Some(incarnation));
            }
            changes.push(known.change(Some(known.state()), MemberState::Superseded));
            self.members.remove(name);
        } else if !self.fences.admits(name, incarnation, proof) {
            self.fenced += 1;
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
    fn put_back(&mut self, mut member: Member, from: Option<MemberState>, changes: &mut Vec<Change>) {
        let timers = self.timers();
        let to = member.assess(&timers, self.now);
        assert!(to != MemberState::Superseded, "only a later incarnation supersedes");
        if from != Some(to) {
            changes.push(member.change(from, to));
            member.enter(to, &timers, self.now);
        }
        if to.is_final() {
            let left = to == MemberState::Left;
            self.fences.put(&member, left, self.now);
        } else {
            self.members.insert(member.name().clone(), member);
        }
        debug_assert!(self.members.len() <= limits::PEERS_MAX, "the table keeps its bound");
    }

    /// Lets the doubt begin or end. Members that are Suspect when it ends start their way over, also
    /// those that never were good: otherwise the shorter time would condemn them at once.
    fn review(&mut self) {
        let mut census = Census::default();
        for member in self.members.values() {
            let lately = self.now.saturating_sub(member.since()) <= limits::SELF_DOUBT_WINDOW;
            census.good += usize::from(member.is_good());
            census.fallen += usize::from(member.is_fallen());
            census.fallen_lately += usize::from(member.is_fallen() && lately);
        }
        if self.doubt.review(census) {
            let suspects = self.members.values_mut().filter(|member| member.state() == MemberState::Suspect);
            suspects.for_each(|member| member.start_over(self.now));
        }
    }

    /// The timers as they hold now.
    fn timers(&self) -> OverlayTimers {
        OverlayTimers { dead_after: self.doubt.stretch(self.timers.dead_after), ..self.timers }
    }
}
