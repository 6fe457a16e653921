//! What must be true in every run of the fast level. Checks only look.
//!
//! While faults go on: what the laws of the directory promise of every copy and every view, and what the
//! overlay promises of names and of the living. After them: that all agree, within a bound, and that
//! then only digests flow.

mod claims;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pushmesh::config::Takeover;
use pushmesh::id::{Incarnation, Stamp};
use pushmesh::internals::{
    Change, ClaimState, Heard, Key, Known, Lost, MemberState, Position, Rival, Standing,
};
use pushmesh::limits;

use crate::id::NodeIndex;
use crate::model::boot::Boot;
use crate::model::client::user_hash;
use crate::model::cluster::{Cluster, index_of, is_alive};
use crate::model::history::Rows;
use crate::model::plan::LARGE_ABOVE;
use crate::model::stream::Follower;

impl Cluster {
    /// A new claim is above all that its node knows of the key, hidden and half-arrived rows included.
    pub(super) fn check_claim(&mut self, boot: &Boot, key: Key, stamp: Stamp, known: &[Known]) {
        let of_user = matches!(self.plan.takeover, Takeover::OnePerUser | Takeover::MaxPerUser(_));
        let above = |known: &&Known| (of_user || known.key == key) && known.claim.stamp >= stamp;
        self.count("checked: stamps");
        if let Some(above) = known.iter().find(above) {
            let what = format!("{} claims {key:?} with {stamp:?} and knows {above:?}", boot.name);
            self.fail("a claim is above all that its node knows", what);
        }
    }

    /// A section says what its owner did.
    pub(super) fn check_own(&mut self, boot: &Boot) {
        let own = boot.replica.head(&boot.name).expect("a node has its own section");
        let (version, rows) = (self.history.version(boot.id), self.history.now(boot.id));
        if own.digest.position.version != version || own.len != rows.len() as u64 {
            let what = format!("{} is at {own:?}, and has written {version} times: {rows:?}", boot.name);
            self.fail("a section is what its owner wrote", what);
        }
    }

    /// Who loses a session loses it to a claim that was made, that wins, and that is known to be of today.
    pub(super) fn check_lost(&mut self, boot: &Boot, lost: &Lost) {
        self.count("checked: lost sessions");
        let winner = index_of(&lost.winner);
        let made = self.history.was_claimed(lost.key, winner, lost.winner_stamp, lost.rival);
        let (mine, theirs) = ((lost.stamp, &boot.name), (lost.winner_stamp, &lost.winner));
        let wins = match self.plan.takeover {
            _ if lost.rival == Rival::OtherDevice => lost.winner_stamp >= lost.stamp,
            // One that has yielded loses against every other one.
            Takeover::RejectNewer => theirs < mine || self.has_yielded(boot, lost),
            _ => theirs > mine,
        };
        if !made || !wins {
            let what = format!("{} lost {lost:?}; that claim was made: {made}", boot.name);
            self.fail("a session is lost only to a claim that wins", what);
        }
        let known = boot.replica.known(lost.key.user);
        // The very claim may be gone by now: later writes of the same delta have replaced it.
        let mut of_winner = known.iter().filter(|known| known.holder.owner == lost.winner);
        if of_winner.any(|known| known.holder.standing == Standing::Unproven) {
            let what = format!("{} lost {lost:?}, and holds {known:?}", boot.name);
            self.fail("a session is lost only to a claim that is proven", what);
        }
    }

    fn has_yielded(&self, boot: &Boot, lost: &Lost) -> bool {
        let known = boot.replica.known(lost.key.user);
        let own = known.iter().find(|known| known.key == lost.key && known.holder.owner == boot.name);
        own.is_some_and(|own| own.claim.state == ClaimState::Yielded)
    }

    /// A copy has reached where its sender stood when it was asked: from now on its claims count as of today.
    pub(super) fn check_synced(&mut self, boot: &Boot, owner: NodeIndex, stood: Position) {
        self.count("checked: copies that caught up");
        let held = boot.replica.head(&self.names[owner]).map(|head| head.digest.position);
        if held.is_none_or(|held| held < stood) {
            let what =
                format!("{} holds {held:?} of {}, which stood at {stood:?}", boot.name, self.names[owner]);
            self.fail("a copy that has caught up is as new as its sender was", what);
        }
    }

    /// A node took something of a section; `much` when it may have changed more than some rows.
    pub(super) fn took(&mut self, boot: &mut Boot, owner: NodeIndex, much: bool) {
        let name = &self.names[owner];
        if let Some(head) = boot.replica.head(name) {
            let at = head.digest.position;
            let seen = boot.seen.entry(owner).or_default();
            if at < seen.stood && !self.history.is_ambiguous(owner, at.incarnation) {
                let what =
                    format!("{} went back in {name}'s section from {:?} to {at:?}", boot.name, seen.stood);
                return self.fail("positions never go back", what);
            }
            seen.stood = at;
        }
        if much && (self.plan.nodes <= LARGE_ABOVE || self.streams.is_multiple_of(SAMPLED))
            || self.plan.nodes <= LARGE_ABOVE && self.transfers.is_multiple_of(DELTAS_SAMPLED)
        {
            self.check_views(boot);
            self.check_mirror(boot);
        }
    }

    /// Whoever listens to a node knows what is visible there.
    pub(super) fn check_mirror(&mut self, boot: &mut Boot) {
        let heard = boot.mirror.hear(&boot.replica);
        match heard.and_then(|heard| boot.mirror.check(&boot.replica).map(|()| heard)) {
            Ok(Heard { diffs, missed }) => {
                self.count("checked: what a listener knows");
                self.count_all("directory: a listener heard of a change", diffs);
                self.count_all("directory: a listener fell behind", missed);
            }
            Err(what) => {
                let what = format!("{}: {what}", boot.name);
                self.fail("a listener hears of each change once, in its order", what);
            }
        }
    }

    /// What a node shows of each section is what the owner held at the position of the copy; it is hidden
    /// while its owner is dead, and gone when that boot is over.
    pub(super) fn check_views(&mut self, boot: &Boot) {
        let mut sections = vec![Rows::new(); self.plan.nodes];
        let mut standings = BTreeSet::new();
        for user in 0..self.plan.users {
            for known in boot.replica.known(user_hash(user)) {
                let (holder, node) = (&known.holder, index_of(&known.holder.owner));
                if holder.standing != Standing::Filling {
                    sections[node].push((known.key, known.claim.stamp));
                    standings.insert((node, holder.incarnation, holder.standing == Standing::Hidden));
                }
            }
        }
        self.count("checked: views");
        for (owner, digest) in boot.replica.heads() {
            let node = index_of(&owner);
            let len = boot.replica.len_of(&owner);
            let mut rows = std::mem::take(&mut sections[node]);
            rows.sort_unstable();
            if !self.history.held(node, digest.position, &rows) || len != rows.len() as u64 {
                let (me, at) = (&boot.name, digest.position);
                let what = format!("{me} shows of {owner} at {at:?} {rows:?}, and has {len}");
                return self.fail("a copy is what its owner held there", what);
            }
        }
        // What is left is of sections that the node does not serve: only wrong copies may show rows.
        for (node, rows) in sections.iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
            if !boot.replica.is_distrusted(&self.names[node]) {
                let what = format!("{} shows {rows:?} of {}", boot.name, self.names[node]);
                return self.fail("what is forgotten is not shown", what);
            }
        }
        standings.retain(|(node, ..)| *node != boot.node);
        self.check_standings(boot, &standings);
    }

    fn check_standings(&mut self, boot: &Boot, standings: &BTreeSet<(NodeIndex, Incarnation, bool)>) {
        for (node, incarnation, hidden) in standings {
            let over = boot.seen.get(node).map_or(Incarnation::default(), |seen| seen.over);
            let member = boot.overlay.members().find(|member| *member.name() == self.names[*node]);
            let dead = member
                .filter(|member| member.incarnation() == *incarnation)
                .map(|member| member.state() == MemberState::Dead);
            if *incarnation <= over || dead.is_some_and(|dead| dead != *hidden) {
                let (me, of) = (&boot.name, &self.names[*node]);
                let what =
                    format!("{me} shows {incarnation} of {of}: {}; over is {over}, dead {dead:?}", !hidden);
                return self.fail("only admitted incarnations are visible, and no dead ones", what);
            }
        }
    }

    /// A member changed its state.
    pub(super) fn check_change(&mut self, boot: &mut Boot, change: &Change) {
        let node = index_of(&change.name);
        let (incarnation, to) = (change.incarnation, change.to);
        self.count(match to {
            MemberState::Alive => "member: alive",
            MemberState::Unreachable => "member: unreachable",
            MemberState::Suspect => "member: suspect",
            MemberState::Dead => "member: dead",
            MemberState::Purged => "member: purged",
            MemberState::Superseded => "member: superseded",
            MemberState::Left => "member: left",
        });
        let seen = boot.seen.entry(node).or_default();
        let comes_back = !to.is_final();
        if comes_back
            && (incarnation < seen.highest || incarnation <= seen.over || seen.left == Some(incarnation))
        {
            let what = format!("{} lists {change:?} after {seen:?}", boot.name);
            return self.fail("a fence never admits an old incarnation", what);
        }
        seen.highest = seen.highest.max(incarnation);
        match to {
            MemberState::Left => (seen.left, seen.over) = (Some(incarnation), seen.over.max(incarnation)),
            MemberState::Superseded => seen.over = seen.over.max(incarnation),
            _ => {}
        }
        if to.is_final() {
            // A copy that comes back begins anew, perhaps from a third node.
            seen.stood = Default::default();
        }
        match to {
            MemberState::Suspect => (seen.suspect_since, seen.dial_failed) = (self.now, false),
            MemberState::Dead => {
                let suspected = self.now - seen.suspect_since;
                if suspected < limits::SUSPICION_MIN || !seen.dial_failed {
                    let what = format!("{} buries {} after {suspected:?}: {seen:?}", boot.name, change.name);
                    self.fail("nobody is dead who was not suspect for long and dialled in vain", what);
                }
            }
            _ => {}
        }
        if to == MemberState::Dead && self.is_current(node, incarnation) {
            self.count("member: false dead");
            self.check_dead(boot, node);
        }
    }

    /// Nobody is dead who could be reached all along.
    fn check_dead(&mut self, boot: &Boot, node: NodeIndex) {
        let Some(since) = self.network.undisturbed_since(boot.node, node) else { return };
        if !self.is_awake(node) {
            return;
        }
        let reachable = self.now.saturating_sub(since);
        if reachable > limits::LINK_IDLE_SUSPECT + limits::DEAD_AFTER {
            let what = format!("{} buries {} after {reachable:?} of calm", boot.name, self.names[node]);
            self.fail("nobody is dead who can be reached", what);
        }
    }

    /// No section is pulled for long from a peer that sends nothing of it.
    pub(super) fn check_pulls(&mut self, boot: &Boot) {
        let pulls = boot.followers.values().filter(|taker| !taker.follow && taker.arriving.is_none());
        if let Some(silent) = pulls.map(|taker| self.now - taker.heard).find(|silent| *silent > PULLED_MAX) {
            let what = format!("{} pulls a section of which nothing came for {silent:?}", boot.name);
            self.fail("a pull that brings nothing is given up", what);
        }
    }

    /// Whether all nodes that run agree on everything.
    ///
    /// # Errors
    /// What is not so yet.
    pub(super) fn agreed(&self) -> Result<(), String> {
        let boots: Vec<_> = self.running_boots().collect();
        if self.machines.iter().any(|machine| machine.reboots) {
            return Err("a node that was superseded starts again".to_owned());
        }
        let mut sessions = BTreeMap::new();
        for boot in &boots {
            self.sees_all(boot, boots.len())?;
            for other in &boots {
                let (owner, own) =
                    (&other.name, other.replica.head(&other.name).expect("a node has its own section"));
                if boot.replica.head(owner) != Some(own) {
                    let held = boot.replica.head(owner);
                    return Err(format!("{} holds {held:?} of {owner}, which is at {own:?}", boot.name));
                }
                let (here, there) = (boot.links.get(&other.node), other.links.get(&boot.node));
                let (here, there) = (here.map(|link| link.id), there.map(|link| link.id));
                if boot.id != other.id && (here.is_none() || here != there) {
                    return Err(format!("{} uses link {here:?} to {owner}, which uses {there:?}", boot.name));
                }
                let follows =
                    |taker: &Follower| taker.follow && taker.owner == other.node && Some(taker.link) == here;
                if boot.id != other.id && !boot.followers.values().any(follows) {
                    return Err(format!("{} does not follow {owner} yet", boot.name));
                }
            }
            for (key, session) in &boot.sessions {
                let held = (boot.node, session.stamp);
                if session.ending.is_some() || sessions.insert(*key, held).is_some() {
                    return Err(format!("{key:?} has two sessions, one at {}", boot.name));
                }
            }
        }
        if let Some(most) = self.plan.takeover.sessions_max() {
            let mut users = BTreeMap::<_, usize>::new();
            sessions.keys().for_each(|key| *users.entry(key.user).or_default() += 1);
            if users.values().any(|count| *count > most) {
                return Err(format!("a user has more than {most} sessions"));
            }
        }
        for boot in &boots {
            let shown = boot.replica.page(None, usize::MAX).into_iter();
            let shown = shown.map(|(key, owned)| (key, (index_of(&owned.owner), owned.stamp)));
            let shown: BTreeMap<_, _> = shown.collect();
            if shown != sessions {
                return Err(format!("{} shows {shown:?}, the sessions are {sessions:?}", boot.name));
            }
        }
        Ok(())
    }

    /// Whether a boot sees all others alive, and nobody else.
    fn sees_all(&self, boot: &Boot, running: usize) -> Result<(), String> {
        let mut alive = 0;
        for member in boot.overlay.members() {
            let lives = self.is_current(index_of(member.name()), member.incarnation());
            alive += usize::from(lives && is_alive(member));
            if lives != is_alive(member) && (lives || member.state() != MemberState::Dead) {
                return Err(format!("{} sees {} {:?}", boot.name, member.name(), member.state()));
            }
        }
        let doubts = boot.overlay.degraded() || boot.overlay.isolated() && alive > 0;
        if alive + 1 != running || doubts {
            return Err(format!("{} sees {alive} alive, doubts itself: {doubts}", boot.name));
        }
        Ok(())
    }
}

/// How long a pull may bring nothing. Arithmetic: it is given up after 10 s, and nodes look every 2 s.
const PULLED_MAX: Duration = Duration::from_secs(15);
/// One of so many deltas is looked at, in a small run.
const DELTAS_SAMPLED: u64 = 4;
/// In a large run one of so many snapshots is looked at: a look costs as much as all its rows.
const SAMPLED: u64 = 64;
