//! What must be true of what has happened.

use std::collections::{BTreeMap, BTreeSet};

use pushmesh::id::Stamp;
use pushmesh::internals::Key;
use pushmesh::internals::quorum::{Boot, Config, Fence, Position, SealAnswer};

use crate::id::NodeIndex;
use crate::model::quorum::history::{Place, place_of};
use crate::model::quorum::world::{KEYS, World, key};

impl World {
    /// An owner calls a message stored.
    pub(super) fn stored(&mut self, node: NodeIndex, key: Key, claim: Stamp, at: Position) {
        let place = (key, at);
        let by = Fence { stamp: claim, by: self.nodes[node].boot.clone() };
        if !self.history.stored.entry(place).or_default().insert(by.clone()) {
            self.fail("a message is stored once by a claim", format!("{place:?}"));
        }
        if self.history.orphaned {
            return;
        }
        let missed = |(of, fence, _, brought): &&(Key, Fence, _, BTreeSet<Place>)| {
            *of == key && *fence > by && !brought.contains(&place) && self.history.before(fence).contains(&by)
        };
        if let Some((_, fence, ..)) =
            self.history.complete.iter().find(missed).filter(|_| self.history.is_due(&place))
        {
            let what = format!("{place:?} is stored by {by:?}, although {fence:?} was complete without it");
            self.fail("what is stored later is in what was taken over before", what);
        }
        // Whoever has taken it over may have it released before this owner hears that its members have had it.
        let is_elsewhere = self.history.is_elsewhere(&place, &by.by);
        let in_effect = self.history.announced.get(&by.by).filter(|_| !is_elsewhere);
        if let Some(config) =
            in_effect.filter(|config| !config.is_stored(|boot| self.holds(boot, &by.by, &place)))
        {
            let what = format!("{place:?} is stored by {by:?}, and is not at {config:?}");
            self.fail("what is stored is held by enough members that are in effect", what);
        }
        self.count("quorum: checked, what is stored is held");
    }

    /// Whether a boot holds a message of a group, as it was looked at last, or nobody needs it there. Of boots that have crashed nobody
    /// knows.
    fn holds(&self, boot: &Boot, owner: &Boot, place: &Place) -> bool {
        let held = self.history.held.get(&(boot.clone(), owner.clone()));
        let is_up = self.nodes.iter().any(|node| node.up && node.boot == *boot);
        held.is_some_and(|held| held.contains_key(place)) || !is_up || !self.history.is_due(place)
    }

    /// Members have changed.
    pub(super) fn announced(&mut self, node: NodeIndex, config: &Config, orphaned: bool) {
        let owner = self.nodes[node].boot.clone();
        self.history.announced.insert(owner.clone(), config.clone());
        self.history.orphaned |= orphaned;
        if self.history.orphaned || config.members.is_empty() {
            return;
        }
        let stored =
            self.history.stored.iter().filter(|(_, claims)| claims.iter().any(|claim| claim.by == owner));
        let due = stored.map(|(place, _)| place).filter(|place| !self.history.is_elsewhere(place, &owner));
        let lost = due.copied().find(|place| !config.is_stored(|boot| self.holds(boot, &owner, place)));
        if let Some(place) = lost {
            let what = format!("{place:?} is stored, and is not at {config:?}");
            self.fail("what is stored is held by enough members that are in effect", what);
        }
    }

    /// A takeover is complete.
    pub(super) fn complete(&mut self, claim: usize) {
        let claim = &self.claims[claim];
        let (key, fence, begun) = (claim.key, claim.takeover.fence().clone(), claim.begun);
        let (resumes, finds_all) = (claim.resumes, claim.finds_all);
        let mut brought = claim.brought.clone();
        // What it had itself it has.
        brought.extend(self.nodes[claim.node].owner.held(key).map(|entry| place_of(&entry)));
        let earlier = self.history.before(&fence);
        let is_due = |place: &Place, claims: &BTreeSet<Fence>| {
            let is_before = claims.first().is_some_and(|first| *first < fence && earlier.contains(first));
            place.0 == key && is_before && self.history.is_due(place)
        };
        let due = self.history.stored.iter().filter(|(place, claims)| is_due(place, claims));
        let mut missed: Vec<_> = due
            .filter(|(place, _)| !brought.contains(*place))
            .map(|(place, claims)| (*place, claims.clone()))
            .collect();
        if !finds_all {
            let passed = missed.drain(..).map(|(place, _)| place);
            self.history.passed.extend(passed);
        }
        let lower = self.history.complete.iter().find(|(of, before, at, _)| {
            let meets = || !self.history.before(before).is_disjoint(&earlier);
            *of == key && *before > fence && *at < begun && meets()
        });
        let wrong = match (missed.first(), lower) {
            _ if self.history.orphaned => None,
            (Some((missed, by)), _) => {
                let what = format!("{fence:?} is complete, and has not got {missed:?} of {by:?}");
                Some(("whoever is complete has all that was stored", what))
            }
            (None, Some((_, before, ..))) if resumes => {
                let what = format!("{fence:?} is complete after {before:?}");
                Some(("a claim that is complete stands against lower ones", what))
            }
            (None, _) => None,
        };
        if let Some((checker, what)) = wrong {
            self.fail(checker, what);
        }
        self.count(if self.history.orphaned || !finds_all {
            "quorum: complete"
        } else {
            "quorum: checked, complete"
        });
        if resumes {
            self.history.complete.push((key, fence, self.now, brought));
        }
    }

    /// A member has answered to a takeover.
    pub(super) fn answered(
        &mut self,
        boot: &Boot,
        group: &Boot,
        claim: usize,
        shown: Option<Stamp>,
        answer: &SealAnswer<u64>,
    ) {
        let SealAnswer::Tail { epoch, entries, .. } = answer else { return };
        let latest = entries.iter().map(|entry| entry.claim).max();
        if !self.history.configs.get(&(group.clone(), *epoch)).is_some_and(|config| config.has(boot)) {
            self.fail("only members of the epoch answer what they hold", format!("{boot:?} at {epoch}"));
        }
        let fence = self.claims[claim].takeover.fence();
        if self.asks_for_proof && latest > shown && fence.by != *group {
            let what = format!("{fence:?} has shown {shown:?}");
            self.fail("where proof is asked for, nobody seals without it", what);
        }
    }

    /// Something has happened at a member. `carried`: it was given what others hold.
    pub(super) fn look(&mut self, node: NodeIndex, owner: &Boot, carried: bool) {
        let boot = self.nodes[node].boot.clone();
        let Some(member) = self.nodes[node].members.get(owner) else { return };
        let keys: Vec<_> = (0..KEYS).map(key).collect();
        let entries: Vec<_> = keys.iter().flat_map(|key| member.held(*key)).collect();
        let held: BTreeMap<_, _> = entries.iter().map(|entry| (place_of(entry), entry.claim)).collect();
        let id = (boot.clone(), owner.clone());
        let before = self.history.held.remove(&id).unwrap_or_default();
        let mut wrong = None;
        for key in keys {
            let fence = member.fence_of(key).cloned();
            let seen = self.history.fences.get(&(boot.clone(), owner.clone(), key)).cloned();
            if fence < seen {
                wrong = Some(("a fence grows", format!("{boot:?}: {fence:?} after {seen:?}")));
            }
            let is_below = |claim: Stamp| {
                seen.as_ref().is_some_and(|seen| seen.by != *owner && seen.is_above(claim, owner))
            };
            let mut new =
                entries.iter().filter(|entry| entry.key == key && !before.contains_key(&place_of(entry)));
            if let Some(new) = new.find(|entry| is_below(entry.claim)).filter(|_| !carried) {
                let what = format!("{boot:?}: {new:?} below {seen:?}");
                wrong = Some(("nothing is taken below a fence", what));
            }
            if let Some(fence) = fence {
                self.history.fences.insert((boot.clone(), owner.clone(), key), fence);
            }
        }
        let needed = |place: &&Place| self.history.is_due(place) && !self.history.is_elsewhere(place, owner);
        let counted = |(place, claim): &(&Place, &Stamp)| self.history.counts(place, owner, **claim);
        let forgotten = before.iter().filter(|(place, _)| !held.contains_key(place)).filter(counted);
        let gone = forgotten.map(|(place, _)| place).find(needed);
        let stays = self.history.announced.get(owner).is_some_and(|config| config.has(&boot));
        if let Some(gone) = gone.filter(|_| stays && !self.history.orphaned) {
            let what = format!("{boot:?} has forgotten {gone:?} of {owner:?}");
            wrong = Some(("a member forgets only what the client has, and what is held elsewhere", what));
        }
        self.history.held.insert(id, held);
        if let Some((checker, what)) = wrong {
            self.fail(checker, what);
        }
    }

    /// A node has crashed: nobody holds what it alone has held.
    pub(super) fn crashed(&mut self, node: NodeIndex) {
        let boot = self.nodes[node].boot.clone();
        self.history.held.retain(|(member, _), _| *member != boot);
        // Who is a member no more forgets it as soon as it hears of that.
        let in_effect = |member: &Boot, owner: &Boot| {
            self.history.announced.get(owner).is_some_and(|config| config.has(member))
        };
        let held = self.all_held(in_effect);
        let lost = self.history.stored.keys().filter(|place| !held.contains(*place));
        let lost: Vec<_> = lost.filter(|place| self.history.is_due(place)).copied().collect();
        for place in lost {
            self.count("quorum: all that held a message have crashed");
            self.history.lost.insert(place);
        }
    }

    /// What is held by owners, and by members that count.
    fn all_held(&self, counts: impl Fn(&Boot, &Boot) -> bool) -> BTreeSet<Place> {
        let up = self.nodes.iter().filter(|node| node.up);
        let owners =
            up.flat_map(|node| (0..KEYS).flat_map(|number| node.owner.held(key(number))).collect::<Vec<_>>());
        let members = self.history.held.iter().filter(|((member, owner), _)| counts(member, owner));
        let members = members.flat_map(|(_, held)| held.keys()).copied();
        members.chain(owners.map(|entry| place_of(&entry))).collect()
    }

    /// The faults are over for a while: the members are those that there are to be, and all that is held is stored.
    pub(super) fn finish(&mut self) {
        if self.record.failure.is_some() {
            return;
        }
        for node in 0..self.nodes.len() {
            let owner = &self.nodes[node].owner;
            let (config, latest) = (owner.config().clone(), owner.latest().clone());
            let stands = |key: &Key| self.nodes[node].sessions.contains_key(key);
            let waits =
                owner.unstored().find(|place| !self.history.forgotten.contains(place) && stands(&place.0));
            if config != latest {
                self.fail("members change in the end", format!("{config:?}, and {latest:?} is to be"));
            }
            if let Some(place) = waits.filter(|_| !config.members.is_empty()) {
                self.fail("what is held is stored in the end", format!("{place:?} at {config:?}"));
            }
        }
        self.count("quorum: checked, members have changed in the end");
        let held = self.all_held(|_, _| true);
        let due = self.history.stored.keys().filter(|place| self.history.is_due(place));
        if let Some(place) = due.copied().find(|place| !held.contains(place) && !self.history.orphaned) {
            self.fail("what is stored is held by somebody in the end", format!("{place:?}"));
        }
        self.count("quorum: checked, what is stored is held in the end");
    }
}
