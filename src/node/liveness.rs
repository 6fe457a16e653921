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
use crate::membership::member::{AdvertState, GossipView, MemberState};
use crate::membership::overlay::{Change, ForgetError, Observation, Overlay, OverlayTimers};
use crate::membership::roster::Roster;
use crate::mesh::{KnownMember, Links, Peer};
use crate::node::readiness::{JoinTerms, Readiness, Ready};
use crate::node::returned::Returned;
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
    /// silent: QUIC takes seconds more to give it up, and the answer to a dial decides sooner.
    pub(crate) fn round(&self, views: Vec<GossipView>, links: &Arc<Links>) {
        let mut state = self.lock();
        state.gossiped = views.len();
        let now = self.now();
        let linked = links.all();
        let peers: Vec<_> = linked.iter().map(|link| link.peer().clone()).collect();
        let heard = linked.iter().map(|link| Observation::LinkHeard {
            name: link.peer().name.clone(),
            incarnation: link.peer().incarnation,
            last_heard: link.heard().saturating_duration_since(self.started),
        });
        let observations: Vec<_> = views
            .into_iter()
            .map(Observation::Gossip)
            .chain(missed(&state.overlay, &peers))
            .chain(heard)
            .collect();
        let mut changes = Vec::new();
        for observation in observations {
            changes.extend(state.overlay.observe(observation, now));
        }
        for empty in self.left_and_empty(&state.overlay) {
            changes.extend(state.overlay.observe(empty, now));
        }
        changes.extend(state.overlay.tick(now));
        let due = state.returned.due(now);
        let complaints = Self::complaints(&mut state);
        let unheard: Vec<_> =
            state.overlay.unheard().map(|member| (member.addr(), member.name().clone())).collect();
        self.apply(state, changes);
        for (member, incarnation) in due {
            self.supersede(self.replica.prove(&member, incarnation));
        }
        complaints.into_iter().for_each(Complaint::tell);
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

    /// Members that said `left` and whose claims are all gone.
    fn left_and_empty(&self, overlay: &Overlay) -> Vec<Observation> {
        let said_left = overlay
            .members()
            .filter(|member| member.advert().is_some_and(|advert| advert.state == AdvertState::Left))
            .filter(|member| self.replica.len_of(member.name()) == 0);
        said_left
            .map(|member| Observation::SectionEmpty {
                name: member.name().clone(),
                incarnation: member.incarnation(),
            })
            .collect()
    }

    /// Does what the changes ask for, and lets go of the lock.
    fn apply(&self, mut state: MutexGuard<'_, State>, changes: Vec<Change>) {
        for Change { name, incarnation, to, .. } in &changes {
            let (name, incarnation) = (name, *incarnation);
            match Effect::of(*to) {
                Effect::Show => {
                    if self.replica.set_hidden(name, incarnation, false) {
                        state.returned.shown(name, incarnation, self.now());
                    }
                }
                Effect::Hide => {
                    self.replica.set_hidden(name, incarnation, true);
                    state.returned.hidden(name);
                    state.readiness.gone(name);
                }
                Effect::Forget { over } => {
                    self.replica.discard(name, incarnation, over);
                    state.returned.hidden(name);
                    state.readiness.gone(name);
                }
            }
        }
        self.roster.awaits(state.readiness.missing());
        self.roster.update(&state.overlay);
        drop(state);
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

/// Where the overlay and the links in use differ. Reports of links that come and go travel on
/// several tasks, so that the end of an old one may be told after the beginning of a new one; the
/// links themselves are what is true.
fn missed(overlay: &Overlay, linked: &[Peer]) -> Vec<Observation> {
    let mut missed = Vec::new();
    for member in overlay.members() {
        let (name, incarnation) = (member.name(), member.incarnation());
        let peer = linked.iter().find(|peer| peer.name == *name && peer.incarnation == incarnation);
        match peer {
            Some(peer) if !member.is_linked() => {
                missed.push(Observation::LinkUp { name: name.clone(), incarnation, addr: peer.mesh });
            }
            None if member.is_linked() => {
                missed.push(Observation::LinkDown { name: name.clone(), incarnation })
            }
            _ => {}
        }
    }
    missed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer() -> Peer {
        let mesh = "127.0.0.1:7400".parse().unwrap();
        Peer { name: NodeName::new("peer").unwrap(), incarnation: Incarnation(1), mesh }
    }

    fn up() -> Observation {
        Observation::LinkUp { name: peer().name, incarnation: peer().incarnation, addr: peer().mesh }
    }

    fn down() -> Observation {
        Observation::LinkDown { name: peer().name, incarnation: peer().incarnation }
    }

    fn after(reports: impl IntoIterator<Item = Observation>) -> Overlay {
        let me = NodeName::new("me").unwrap();
        let mut overlay = Overlay::new(me, Incarnation(1), OverlayTimers::default());
        for report in reports {
            overlay.observe(report, Duration::ZERO);
        }
        overlay
    }

    #[test]
    fn the_end_of_an_old_link_that_is_told_late_does_not_hide_the_new_one() {
        let mut overlay = after([up(), up(), down()]);
        assert_ne!(overlay.get(&peer().name).unwrap().state(), MemberState::Alive, "so it was told");
        for report in missed(&overlay, &[peer()]) {
            overlay.observe(report, Duration::ZERO);
        }
        assert_eq!(overlay.get(&peer().name).unwrap().state(), MemberState::Alive);
        assert_eq!(missed(&overlay, &[peer()]), []);
    }

    #[test]
    fn the_beginning_of_a_link_that_is_told_after_its_end_is_taken_back() {
        let overlay = after([up()]);
        assert_eq!(missed(&overlay, &[]), [down()]);
        let next_boot = Peer { incarnation: Incarnation(2), ..peer() };
        assert_eq!(missed(&overlay, &[next_boot]), [down()], "the link of a later boot is not this one's");
    }
}
