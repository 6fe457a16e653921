//! The shell of the liveness overlay: feeds it, and does what its changes ask for.
//!
//! Changes are applied under the overlay's lock, so that they take effect in the order in which
//! they were decided. What an overlay state means for the data is an [`Effect`]: Dead hides, a return
//! shows again, and what is over is forgotten. What others do about it (sessions that close, callers
//! that are answered, logs) happens when the lock is free again.

use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use crate::config::Config;
use crate::directory::Lost;
use crate::id::{Incarnation, NodeName};
use crate::membership::effect::Effect;
use crate::membership::member::{GossipView, MemberState};
use crate::membership::overlay::{Change, ForgetError, Observation, Overlay, OverlayTimers};
use crate::membership::roster::Roster;
use crate::mesh::{KnownMember, Link, Links, Peer};
use crate::node::awake::Awake;
use crate::node::readiness::{JoinTerms, Readiness, Ready};
use crate::node::returned::Returned;
use crate::node::round::{self, LinkInUse};
use crate::replica::Replica;
use crate::router::Router;

/// Who is alive, as this node sees it.
pub(crate) struct Liveness {
    started: Instant,
    state: Mutex<State>,
    roster: Arc<Roster>,
    replica: Arc<Replica>,
    /// Weak, because the links, which the router holds, lead to this.
    router: Weak<Router>,
}

struct State {
    overlay: Overlay,
    readiness: Readiness,
    /// Whether it was logged that the node waits for more members than there are.
    waits: bool,
    returned: Returned,
    awake: Awake,
    /// How many boots gossip knew at the last look, former ones included.
    gossiped: usize,
    /// How many observations the overlay had refused when that was last logged.
    refused: u64,
    /// Whether the node doubted itself when that was last logged.
    degraded: bool,
}

impl Liveness {
    /// Knows nobody yet.
    pub(crate) fn new(
        config: &Config,
        terms: JoinTerms,
        incarnation: Incarnation,
        roster: Arc<Roster>,
        replica: Arc<Replica>,
        router: Weak<Router>,
    ) -> Self {
        let timers = OverlayTimers { purge_after: config.tuning.purge_after, ..OverlayTimers::default() };
        let overlay = Overlay::new(config.name.clone(), incarnation, timers);
        roster.update(&overlay);
        let state = Mutex::new(State {
            overlay,
            readiness: Readiness::new(terms),
            waits: false,
            returned: Returned::default(),
            awake: Awake::default(),
            gossiped: 0,
            refused: 0,
            degraded: false,
        });
        Self { started: Instant::now(), state, roster, replica, router }
    }

    /// Time since the node started.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Whether a panic has left it half changed.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.state.is_poisoned()
    }

    /// Takes in one observation.
    pub(crate) fn observe(&self, observation: Observation) {
        let mut state = self.lock();
        let changes = state.overlay.observe(observation, self.now());
        self.apply(state, changes);
    }

    /// A link is up; the peer told of these members.
    pub(crate) fn link_up(&self, peer: &Peer, members: &[KnownMember], me: &NodeName) {
        let mut state = self.lock();
        let names = members.iter().map(|member| member.name.clone()).filter(|name| name != me);
        state.readiness.met(&peer.name, names);
        self.roster.awaits(state.readiness.missing());
        let (name, incarnation) = (peer.name.clone(), peer.incarnation);
        let up = Observation::LinkUp { name, incarnation, addr: peer.mesh };
        let changes = state.overlay.observe(up, self.now());
        self.apply(state, changes);
    }

    /// The copy of a member's section is complete.
    pub(crate) fn section_synced(&self, owner: &NodeName) {
        let mut state = self.lock();
        state.readiness.synced(owner);
        self.roster.awaits(state.readiness.missing());
    }

    /// Whether the node may say that it is ready.
    pub(crate) fn ready(&self) -> Option<Ready> {
        let mut state = self.lock();
        let (now, heard) = (self.now(), state.overlay.members().filter(|member| member.is_good()).count());
        let ready = state.readiness.check(now, heard);
        let in_vain = state.readiness.waits_in_vain(now, heard) && !std::mem::replace(&mut state.waits, true);
        drop(state);
        if in_vain {
            warn!(
                members = heard + 1,
                "not ready: there are fewer members than --expect; start the others, or restart this node with less"
            );
        }
        ready
    }

    /// See [`Overlay::forget`].
    pub(crate) fn forget(&self, name: &NodeName) -> Result<Incarnation, ForgetError> {
        let mut state = self.lock();
        let (incarnation, changes) = state.overlay.forget(name, self.now())?;
        self.apply(state, changes);
        info!(member = %name, %incarnation, "forgotten: an operator says that it is gone for good");
        Ok(incarnation)
    }

    /// The node is ready, and has joined for good.
    pub(crate) fn joined(&self) {
        self.lock().readiness.end();
        self.roster.joined();
    }

    /// The highest incarnation of a name that was seen.
    pub(crate) fn incarnation_of(&self, name: &NodeName) -> Option<Incarnation> {
        self.lock().overlay.highest_incarnation(name)
    }

    /// See [`Overlay::superseding`].
    pub(crate) fn superseding(&self, name: &NodeName, incarnation: Incarnation) -> Option<Incarnation> {
        self.lock().overlay.superseding(name, incarnation)
    }

    /// A later boot of this node's own name, if one was seen.
    pub(crate) fn superseded_by(&self) -> Option<Incarnation> {
        self.lock().overlay.self_superseded_by()
    }

    /// How many boots are fenced, and how many observations of boots that are over were ignored.
    pub(crate) fn fences(&self) -> (usize, u64) {
        self.lock().overlay.fences()
    }

    /// How many boots gossip knew at the last round, former ones included and this one not.
    pub(crate) fn gossiped(&self) -> usize {
        self.lock().gossiped
    }

    /// One round: what gossip and the links show now, then what time alone changes. Members without
    /// a link are dialled, because a link is how they come back, and so are those whose link is
    /// silent: QUIC takes seconds more to give it up, and the answer to a dial decides sooner. A link that QUIC
    /// does not give up in time is closed here.
    pub(crate) fn round(&self, views: Vec<GossipView>, links: &Arc<Links>) {
        let mut state = self.lock();
        state.gossiped = views.len();
        let now = self.now();
        state.awake.round(now);
        let in_use = links.all();
        let linked: Vec<_> = in_use.iter().map(|link| self.in_use(link)).collect();
        let is_silent = |link: &LinkInUse| link.last_heard.is_some_and(|heard| state.awake.gives_up(heard));
        let silent: Vec<_> = in_use.iter().zip(&linked).filter(|(_, link)| is_silent(link)).collect();
        let is_empty = |name: &NodeName| self.replica.len_of(name) == 0;
        let changes = round::judge(&mut state.overlay, views, &linked, is_empty, now);
        let due = state.returned.due(now);
        let complaints = Self::complaints(&mut state);
        let unheard: Vec<_> =
            state.overlay.unheard().map(|member| (member.addr(), member.name().clone())).collect();
        self.apply(state, changes);
        for (member, incarnation) in due {
            self.supersede(self.replica.prove(&member, incarnation));
        }
        complaints.into_iter().for_each(Complaint::tell);
        silent.into_iter().for_each(|(link, _)| link.abandon());
        for (addr, name) in unheard {
            links.dial(addr, Some(name));
        }
    }

    /// What an operator has to know, once each.
    fn complaints(state: &mut State) -> Vec<Complaint> {
        let State { overlay, refused, degraded, .. } = state;
        let mut complaints = Vec::new();
        if overlay.refused() > *refused && *refused == 0 {
            complaints.push(Complaint::TooManyMembers);
        }
        *refused = overlay.refused();
        if *degraded != overlay.degraded() {
            *degraded = overlay.degraded();
            complaints.push(Complaint::Doubt(*degraded));
        }
        complaints
    }

    fn in_use(&self, link: &Link) -> LinkInUse {
        let Peer { name, incarnation, mesh } = link.peer().clone();
        let last_heard = link.heard().saturating_duration_since(self.started);
        LinkInUse { name, incarnation, addr: mesh, last_heard: Some(last_heard) }
    }

    /// Does what the changes ask for, and lets go of the lock.
    fn apply(&self, mut state: MutexGuard<'_, State>, changes: Vec<Change>) {
        for change in &changes {
            state.returned.take_effect(change, &self.replica, self.now());
            if Effect::of(change.to) != Effect::Show {
                state.readiness.gone(&change.name);
            }
        }
        self.roster.awaits(state.readiness.missing());
        self.roster.update(&state.overlay);
        drop(state);
        if !changes.is_empty() {
            self.supersede(self.replica.adopt());
            changes.iter().filter(|change| change.forgets()).for_each(|change| self.hang_up(change));
        }
        changes.iter().for_each(|change| self.tell(change));
    }

    /// Tells of a change, when it has taken effect.
    fn tell(&self, change: &Change) {
        let Change { name, incarnation, from, to } = change;
        let before = from.map_or("unknown", MemberState::as_str);
        match to {
            MemberState::Suspect | MemberState::Dead | MemberState::Superseded => {
                warn!(member = %name, %incarnation, from = before, to = to.as_str(), "member state");
            }
            _ => info!(member = %name, %incarnation, from = before, to = to.as_str(), "member state"),
        }
        // Nobody waits for a peer that may be gone.
        if matches!(to, MemberState::Suspect | MemberState::Dead)
            && let Some(router) = self.router.upgrade()
        {
            router.give_up(name);
        }
    }

    /// Closes the sessions whose keys other nodes have claimed.
    pub(crate) fn supersede(&self, lost: Vec<Lost>) {
        // Without a router the node is gone, and its sessions with it.
        if let Some(router) = self.router.upgrade() {
            router.supersede(lost);
        }
    }

    /// Closes the link to a member that is forgotten.
    fn hang_up(&self, Change { name, incarnation, .. }: &Change) {
        if let Some(router) = self.router.upgrade() {
            router.hang_up(name, *incarnation);
        }
    }

    /// Holds the lock until that returns.
    #[cfg(test)]
    pub(crate) fn hang(&self, until: impl FnOnce()) {
        let _held = self.lock();
        until();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic happens under this lock")
    }
}

/// Something that is to be told once.
#[derive(Debug, Clone, Copy)]
enum Complaint {
    /// There are more members than a node keeps.
    TooManyMembers,
    /// This node doubts itself, or does not any more.
    Doubt(bool),
}

impl Complaint {
    fn tell(self) {
        match self {
            Self::TooManyMembers => warn!(
                members_max = crate::limits::PEERS_MAX,
                "the cluster has more members than a node keeps; some are ignored"
            ),
            Self::Doubt(true) => {
                warn!("most peers fell silent at once: this node may be cut off or starved");
            }
            Self::Doubt(false) => info!("this node trusts what it hears of its peers again"),
        }
    }
}
