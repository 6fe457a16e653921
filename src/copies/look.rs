//! Who the members of this node's groups are to be, looked at again and again.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::copies::Copies;
use crate::copies::absent::Absent;
use crate::copies::choice::{Candidate, choose};
use crate::copies::gone::{is_there, listed};
use crate::copies::group::GROUPS;
use crate::id::NodeName;
use crate::limits;
use crate::membership::member::{Advert, AdvertState, MemberState};
use crate::membership::roster::RosterEntry;
use crate::position::Segment;
use crate::quorum::Boot;

impl Copies {
    /// Keeps the members those that they are to be, and copies what is due, until `stop`.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut look = Instant::now();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.changed.notified() => {}
                () = sleep_until(look) => {}
                sessions = self.due.next() => {
                    for (key, claim) in sessions {
                        if self.session(key, claim).is_some_and(|session| session.copy_due()) {
                            self.due.add(key, claim);
                        }
                    }
                    continue;
                }
            }
            self.tell_untold();
            self.look(Instant::now());
            look = Instant::now() + limits::OVERLAY_TICK;
        }
    }

    /// Replaces members that are lost, and forgets what is held for nobody.
    pub(super) fn look(&self, now: Instant) {
        let members = self.parts.roster.members();
        let is_there = |boot: &Boot| is_there(&members, boot);
        self.holding.tidy(now, is_there);
        let candidates = self.candidates(now);
        let mut short = 0;
        for group in 0..GROUPS {
            self.act_in(group, |of| of.tidy(now, |key| self.parts.registry.get(key).is_some()));
            let (listed, latest) = {
                let of = self.group(group);
                let owner = &of.owner;
                let listed: Vec<_> =
                    owner.config().members.iter().chain(&owner.latest().members).cloned().collect();
                (listed, owner.latest().members.clone())
            };
            for boot in listed.iter().filter(|boot| self.is_over(boot)) {
                self.act(group, |owner| owner.over(boot));
            }
            if let Some(members) = choose(&self.parts.me, group, &latest, &candidates, self.parts.wants) {
                self.act(group, |owner| owner.change(members));
            }
            short += u32::from(self.is_short(group, &members));
        }
        self.parts.metrics.copies_groups_short.set(f64::from(short));
        self.configs.tidy(now, |boot| *boot == self.parts.me || is_there(boot));
    }

    /// Groups of this node that fewer other nodes hold copies for now than they are to. `None`: it makes no copies.
    pub(crate) fn groups_short(&self) -> Option<u32> {
        let members = self.parts.roster.members();
        self.are_made().then(|| (0..GROUPS).map(|group| u32::from(self.is_short(group, &members))).sum())
    }

    /// Whether fewer members of a group are there than it is to have, or others are about to be.
    fn is_short(&self, group: u8, members: &BTreeMap<NodeName, RosterEntry>) -> bool {
        let of = self.group(group);
        let there = of.owner.config().members.iter().filter(|boot| is_there(members, boot)).count();
        there < self.wanted(members) || of.owner.is_changing()
    }

    /// How many members a group is to have: where there are not that many other nodes, dead ones among them, all of those.
    fn wanted(&self, members: &BTreeMap<NodeName, RosterEntry>) -> usize {
        let others = members.keys().filter(|name| **name != self.parts.me.name);
        self.parts.wants.min(others.count())
    }

    /// Who may be a member of this node's groups.
    fn candidates(&self, now: Instant) -> Vec<Candidate> {
        let members = self.parts.roster.members();
        let candidate = |boot: Boot| {
            let entry = listed(&members, &boot).filter(|entry| may_hold(entry))?;
            Some(Candidate { near: self.is_near(entry), boot })
        };
        self.peers.well(now).into_iter().filter_map(candidate).collect()
    }

    /// Whether others hold what this node is going to accept, as many as there are.
    pub(crate) fn have_members(&self) -> bool {
        let there = self.candidates(Instant::now()).len().min(self.parts.wants);
        (0..GROUPS).all(|group| self.group(group).owner.config().members.len() >= there)
    }

    /// Waits until no other node counts on what this one holds for it any more: it stops, and is replaced where there is somebody else.
    /// Cancel-safe.
    pub(crate) async fn until_replaced(&self) {
        loop {
            let members = self.parts.roster.members();
            let others =
                members.iter().filter(|(name, entry)| **name != self.parts.me.name && may_hold(entry));
            let is_there = |boot: &Boot| listed(&members, boot).is_some_and(may_hold);
            if others.count() < REPLACEABLE_FROM || !self.holding.serves(is_there) {
                return;
            }
            sleep(limits::OVERLAY_TICK / 4).await;
        }
    }

    /// The clients that are away of owners that are gone, as this node holds it. One that hears nobody is to keep none of their sessions on:
    /// nobody would find them here.
    pub(crate) fn absent(&self) -> Vec<Absent> {
        if self.parts.roster.isolated() {
            return Vec::new();
        }
        let members = self.parts.roster.members();
        let may_keep = |boot: &Boot| *boot == self.parts.me || listed(&members, boot).is_some_and(may_hold);
        self.holding.absent(|boot| is_there(&members, boot), may_keep)
    }

    /// A client that was away is elsewhere, or was since: its session is not to be kept on any more.
    pub(crate) fn is_back(&self, absent: &Absent) {
        self.holding.is_back(absent);
    }

    /// Whether a boot is over: a later one of its node is known, or it is not listed any more: it has left, or has been dead for so
    /// long that nobody waits for it.
    pub(super) fn is_over(&self, boot: &Boot) -> bool {
        let members = self.parts.roster.members();
        *boot != self.parts.me && members.get(&boot.name).is_none_or(|of| of.incarnation > boot.incarnation)
    }

    /// The boot that has numbered a segment, as far as it is known.
    pub(crate) fn boot_of(&self, segment: Segment) -> Option<Boot> {
        let members = self.parts.roster.members();
        let listed =
            members.iter().map(|(name, of)| Boot { name: name.clone(), incarnation: of.incarnation });
        let mut known = listed.chain([self.parts.me.clone()]);
        known.find(|boot| boot.numbers(segment)).or_else(|| self.configs.owner(|boot| boot.numbers(segment)))
    }

    fn is_near(&self, entry: &RosterEntry) -> bool {
        let zone = entry.advert.as_ref().and_then(|advert| advert.zone.as_ref());
        zone.is_some() && zone == self.parts.zone.as_ref()
    }
}

/// An owner finds somebody else only where there are so many others: itself, and one more.
const REPLACEABLE_FROM: usize = 2;

/// Whether a member may hold something for others: it is well, and does not stop.
fn may_hold(entry: &RosterEntry) -> bool {
    let stops = |advert: &Advert| matches!(advert.state, AdvertState::Draining | AdvertState::Left);
    entry.state == MemberState::Alive && !entry.advert.as_ref().is_some_and(stops)
}
