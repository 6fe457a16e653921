//! How sessions are claimed, taken over, written and released.

use std::collections::BTreeSet;

use pushmesh::id::Stamp;
use pushmesh::internals::Key;
use pushmesh::internals::quorum::{
    Boot, Deposed, Entry, Fence, OwnerEffect, Position, Takeover, TakeoverEffect,
};
use rand::Rng;

use crate::id::NodeIndex;
use crate::model::quorum::history::place_of;
use crate::model::quorum::world::{Claim, Event, Frame, KEYS, Node, World, key};

impl World {
    /// A session is claimed by some node, mostly for a client that shows its token.
    pub(super) fn claim(&mut self) {
        let node = self.rng.random_range(0..self.nodes.len());
        let key = key(self.rng.random_range(0..KEYS));
        let token = self.tokens.get(&key).cloned().filter(|_| self.rng.random_bool(0.8));
        self.claim_at(node, key, token);
    }

    /// A session is claimed by that node.
    pub(super) fn claim_at(&mut self, node: NodeIndex, key: Key, token: Option<Fence>) {
        let at = &self.nodes[node];
        // Whoever claims can store.
        if !at.up || at.asleep.is_some() || at.owner.config().epoch == 0 {
            return;
        }
        let seen = at.view.get(&key).and_then(|claims| claims.keys().next_back()).map(|fence| fence.stamp);
        let seen = seen.max(token.as_ref().map(|token| token.stamp));
        let clock_ms = self.now.as_millis() as u64 + at.skew_ms + 10;
        let fence = Fence { stamp: Stamp::next(clock_ms, seen), by: at.boot.clone() };
        // From the latest claim down to one that has all that was before.
        let mut after = BTreeSet::from_iter(token.clone());
        for (claim, settled) in at.view.get(&key).into_iter().flatten().rev() {
            after.insert(claim.clone());
            if *settled {
                break;
            }
        }
        // Its own group only where it has owned the session before.
        let has_owned = at.owner.held(key).next().is_some();
        let own = has_owned.then(|| at.boot.clone());
        let mut owners = BTreeSet::from_iter(own);
        owners.extend(after.iter().map(|claim| claim.by.clone()));
        owners.extend(at.owner.follows(key).cloned());
        let number = self.claims.len();
        let shown = token.as_ref().map(|token| token.stamp);
        self.tell(|| {
            format!("claim {number} of {:?}: {fence:?}, token {token:?}, after {owners:?}", key.device)
        });
        if let Some(before) = self.nodes[node].sessions.insert(key, number) {
            self.claims[before].over = true;
        }
        self.claims.push(Claim {
            node,
            key,
            begun: self.now,
            resumes: token.is_some(),
            finds_all: token.is_some() || after.is_subset(&self.history.told),
            after,
            takeover: Takeover::new(key, fence, shown, owners.clone()),
            number: 0,
            brought: BTreeSet::new(),
            follows: None,
            over: false,
        });
        self.show(number, false);
        let held: Vec<_> = self.nodes[node].owner.held(key).map(|entry| entry.at).collect();
        held.iter().for_each(|at| self.claims[number].takeover.has(*at));
        self.writes(number, |node, key, claim| node.owner.claim(key, claim));
        for boot in self.nodes[node].over.clone() {
            let effects = self.claims[number].takeover.over(&boot);
            self.taking(number, effects);
        }
        for owner in owners {
            self.locate(number, &owner);
        }
        self.later(25, Event::Ask { claim: number, left: 60 });
    }

    /// All nodes hear of a claim.
    fn show(&mut self, number: usize, settled: bool) {
        let (here, key) = (self.claims[number].node, self.claims[number].key);
        for node in 0..self.nodes.len() {
            let fence = self.claims[number].takeover.fence().clone();
            let event = Event::View { node, key, fence, settled };
            let travels = if !self.healed && self.rng.random_bool(0.2) { 400 } else { 30 };
            self.later(if node == here { 0 } else { travels }, event);
        }
    }

    /// A claim learns who is in the group of that boot, as far as its node knows.
    fn locate(&mut self, number: usize, owner: &Boot) {
        let node = &self.nodes[self.claims[number].node];
        let own = Some(node.owner.config()).filter(|_| node.boot == *owner);
        if let Some(config) = own.or_else(|| node.rows.get(owner)).cloned() {
            let effects = self.claims[number].takeover.announced(owner, &config);
            self.taking(number, effects);
        }
    }

    /// A claim asks again; in the end it takes what there is.
    pub(super) fn ask(&mut self, number: usize, left: u32) {
        let Claim { node, ref takeover, over, .. } = self.claims[number];
        let here = &self.nodes[node];
        if over || !here.up || here.boot != takeover.fence().by || takeover.is_complete() {
            return;
        }
        let effects = takeover.ask();
        self.taking(number, effects);
        self.tell_what_it_follows(number);
        if left == 40 {
            self.count("quorum: a claim goes on with what there is");
            let effects = self.claims[number].takeover.give_up();
            self.taking(number, effects);
        }
        if left > 0 {
            self.later(25, Event::Ask { claim: number, left: left - 1 });
        }
    }

    /// Does what a takeover says.
    pub(super) fn taking(&mut self, number: usize, effects: Vec<TakeoverEffect<u64>>) {
        let (node, key) = (self.claims[number].node, self.claims[number].key);
        let from = self.claims[number].takeover.fence().by.clone();
        if self.claims[number].over || self.nodes[node].boot != from || !self.nodes[node].up {
            return;
        }
        for effect in effects {
            match effect {
                TakeoverEffect::Ask { to, group, seal } => {
                    self.send(&from, &to, Frame::Seal(number, group, seal));
                }
                TakeoverEffect::Locate(owner) => self.locate(number, &owner),
                TakeoverEffect::Taken(entries) => self.adopt(number, entries),
                TakeoverEffect::Complete => self.finished(number),
                TakeoverEffect::Release { to, group, release } => {
                    self.send(&from, &to, Frame::Release(group, release));
                }
                TakeoverEffect::Settled => {
                    self.count("quorum: a takeover is complete and stored");
                    self.show(number, true);
                    self.welcome(number);
                }
                TakeoverEffect::Exhausted => self.count("quorum: nobody is left to ask"),
                TakeoverEffect::Refused(above) => {
                    self.count("quorum: a claim is refused");
                    self.tell(|| format!("claim {number} is refused for {above:?}"));
                    self.claims[number].over = true;
                    self.nodes[node].sessions.remove(&key);
                }
            }
        }
        if self.claims[number].follows.is_some() {
            self.tell_what_it_follows(number);
        }
    }

    /// A claim has all that there was.
    fn finished(&mut self, number: usize) {
        self.tell(|| format!("claim {number} is complete"));
        let Claim { takeover, after, .. } = &self.claims[number];
        self.history.after.insert(takeover.fence().clone(), after.clone());
        self.complete(number);
        let was_taken =
            self.nodes[self.claims[number].node].owner.taken_by(self.claims[number].key).is_some();
        if was_taken || self.claims[number].follows.as_ref().is_some_and(|owners| !owners.is_empty()) {
            self.claims[number].follows = Some(Vec::new());
            self.writes(number, |node, key, claim| node.owner.follow(key, claim, Vec::new()));
        }
    }

    fn adopt(&mut self, number: usize, entries: Vec<Entry<u64>>) {
        self.tell_what_it_follows(number);
        self.tell(|| format!("claim {number} takes {entries:?}"));
        for entry in entries {
            self.count("quorum: something is taken over");
            self.claims[number].brought.insert(place_of(&entry));
            self.writes(number, |node, _, _| node.owner.append(entry));
        }
    }

    /// The members of a claim's own group are told what it follows, unless they know.
    fn tell_what_it_follows(&mut self, number: usize) {
        let claim = &mut self.claims[number];
        if claim.over || claim.takeover.is_complete() {
            return;
        }
        // With its own group, where that is not sealed yet: whoever follows nobody has all.
        let owners: Vec<_> = claim.takeover.owners().cloned().collect();
        if claim.follows.as_ref() != Some(&owners) {
            claim.follows = Some(owners.clone());
            self.history.after.insert(claim.takeover.fence().clone(), claim.after.clone());
            self.writes(number, |node, key, claim| node.owner.follow(key, claim, owners));
        }
    }

    /// Writes something for a claim.
    fn writes(
        &mut self,
        number: usize,
        write: impl FnOnce(&mut Node, Key, Stamp) -> Result<Vec<OwnerEffect<u64>>, Deposed>,
    ) {
        let (node, key, stamp) =
            (self.claims[number].node, self.claims[number].key, self.claims[number].stamp());
        match write(&mut self.nodes[node], key, stamp) {
            Ok(effects) => self.effects(node, effects),
            Err(Deposed(fence)) => self.deposed(node, key, &fence),
        }
    }

    /// Members have what was written for a claim: a message, or what it follows.
    pub(super) fn known_to_members(&mut self, number: usize, at: Option<Position>) {
        match at {
            Some(at) => {
                let effects = self.claims[number].takeover.stored(at);
                self.taking(number, effects);
            }
            None => self.welcome(number),
        }
    }

    /// The client is told that its session is this one.
    fn welcome(&mut self, number: usize) {
        let Claim { key, ref takeover, over, .. } = self.claims[number];
        if !over && self.tokens.get(&key).is_none_or(|token| token < takeover.fence()) {
            self.tokens.insert(key, takeover.fence().clone());
            self.history.told.insert(takeover.fence().clone());
        }
    }

    /// Somebody pushes to some session that stands.
    pub(super) fn push(&mut self) {
        let Some(number) = self.some_session() else { return };
        self.tell_what_it_follows(number);
        if self.claims[number].over {
            return;
        }
        let (key, claim) = (self.claims[number].key, self.claims[number].stamp());
        let at = self.claims[number].next();
        let entry = Entry { key, claim, at, message: at.number };
        self.writes(number, |node, _, _| node.owner.append(entry));
    }

    /// A client acknowledges a part of what it was sent.
    pub(super) fn ack(&mut self) {
        let Some(number) = self.some_session() else { return };
        let (node, key) = (self.claims[number].node, self.claims[number].key);
        let held: Vec<_> = self.nodes[node].owner.held(key).map(|entry| entry.at).collect();
        if self.rng.random_bool(0.1) {
            return self.end(number);
        }
        if held.is_empty() {
            return;
        }
        let upto = held[self.rng.random_range(0..held.len())];
        // It gets the messages of a segment in their order: none while one before it may still come.
        let is_behind = |(of, at): &(Key, Position)| {
            *of == key && at.segment == upto.segment && at.number < upto.number && !held.contains(at)
        };
        if self.history.stored.keys().any(|place| is_behind(place) && self.history.is_due(place)) {
            return;
        }
        let acked = held.iter().filter(|at| at.segment == upto.segment && at.number <= upto.number);
        self.history.forgotten.extend(acked.map(|at| (key, *at)));
        self.owns(node, |node| node.owner.trim(key, upto));
        let effects = self.claims[number].takeover.trimmed(upto);
        self.taking(number, effects);
    }

    /// The session is over: nobody needs anything of it any more, whoever holds that.
    fn end(&mut self, number: usize) {
        self.count("quorum: a session is over");
        let Claim { node, key, ref takeover, .. } = self.claims[number];
        let (fence, stamp) = (takeover.fence().clone(), self.claims[number].stamp());
        self.tell(|| format!("the session of claim {number} is over"));
        let mut claims = self.history.before(&fence);
        claims.insert(fence);
        let all = self.history.stored.iter().filter(|((of, _), by)| *of == key && !by.is_disjoint(&claims));
        self.history.forgotten.extend(all.map(|(place, _)| *place));
        self.history.ended.extend(claims);
        self.history.forgotten.extend(self.nodes[node].owner.held(key).map(|entry| place_of(&entry)));
        self.claims[number].over = true;
        self.nodes[node].sessions.remove(&key);
        self.owns(node, |node| node.owner.drop_session(key, stamp));
    }

    fn some_session(&mut self) -> Option<usize> {
        let node = self.rng.random_range(0..self.nodes.len());
        let here = &self.nodes[node];
        let all: Vec<_> =
            here.sessions.values().copied().filter(|_| here.up && here.asleep.is_none()).collect();
        (!all.is_empty()).then(|| all[self.rng.random_range(0..all.len())])
    }

    /// A member offers what it holds of sessions that are elsewhere; it takes those over itself whose owner is gone.
    pub(super) fn offer(&mut self) {
        let node = self.rng.random_range(0..self.nodes.len());
        let here = &self.nodes[node];
        if !here.up || here.asleep.is_some() {
            return;
        }
        let held = here.members.iter().flat_map(|(group, member)| member.keys().map(move |key| (group, key)));
        let latest = |key: &Key| here.view.get(key).and_then(|claims| claims.keys().next_back());
        let all: Vec<_> =
            held.filter_map(|(group, key)| Some((group.clone(), key, latest(&key)?.by.clone()))).collect();
        let from = here.boot.clone();
        for (group, key, owner) in all {
            let is_over = self.nodes.iter().all(|node| node.boot != owner || !node.up);
            if is_over && self.rng.random_bool(0.2) {
                self.count("quorum: a caretaker claims a session");
                self.claim_at(node, key, None);
            } else if owner != group {
                self.send(&from, &owner, Frame::Offer(group, key));
            }
        }
    }
}
