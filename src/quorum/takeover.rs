//! A claim takes a session over from the groups of those that have owned it.
//!
//! ```text
//!   new(owners) ──► seals their groups ──► beyond: others that have owned it since ──► seals their groups …
//!                          │ all of them are sealed                │ it takes too long
//!                          ▼                                       ▼
//!                       Complete                                give_up(): what there is; the rest follows late
//!                          │ all of it is stored by members of the own group
//!                          ▼
//!                       Release: those that had it hold it no more; Settled
//! ```

use std::collections::{BTreeMap, BTreeSet};

use crate::id::Stamp;
use crate::key::Key;
use crate::position::{Position, Segment};
use crate::quorum::frame::{Entry, Release, Seal, SealAnswer};
use crate::quorum::group::{Boot, Config, Fence};
use crate::quorum::sealing::Sealing;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TakeoverEffect<M> {
    /// Ask this boot.
    Ask {
        /// The boot.
        to: Boot,
        /// As a member of whose group.
        group: Boot,
        /// What.
        seal: Seal,
    },
    /// Who is in the group of this boot is to be told with [`Takeover::announced`].
    Locate(Boot),
    /// These are held by nobody else that counts: the claim holds them from now on. They are in their order.
    Taken(Vec<Entry<M>>),
    /// No owner before stores anything more, and nothing is missed that any of them has stored.
    Complete,
    /// It is complete, and members of the own group have all of it: nobody needs to ask any more who owned the session before.
    Settled,
    /// That boot need not hold any more what the claim has taken.
    Release {
        /// The boot.
        to: Boot,
        /// As a member of whose group, or as the owner of its own.
        group: Boot,
        /// What.
        release: Release,
    },
    /// Nobody is left to ask, and something may be missed: an owner is gone, and so are members of its group.
    Exhausted,
    /// A greater claim has taken the session over, or the client has not shown what it has to.
    Refused(Option<Fence>),
}

/// The takeover of one session.
#[derive(Debug, Clone)]
pub struct Takeover<M> {
    key: Key,
    fence: Fence,
    shown: Option<Stamp>,
    /// By the owners of the groups.
    groups: BTreeMap<Boot, Sealing>,
    /// What members hold, until it is taken.
    entries: BTreeMap<Position, M>,
    /// What it has without asking.
    own: BTreeSet<Position>,
    /// What members of the own group do not have yet.
    unstored: BTreeSet<Position>,
    /// Who is to be told what it need not hold any more: boots, as members of a group, or as its owner.
    due: BTreeSet<(Boot, Boot)>,
    /// What was taken. Those of one segment may come from several groups, in any order.
    taken: BTreeSet<Position>,
    /// The last number of each segment that the client has.
    trimmed: BTreeMap<Segment, u64>,
    /// Boots that are over.
    over: BTreeSet<Boot>,
    /// Who has held what of it, in which group.
    holders: BTreeMap<(Boot, Boot), BTreeSet<Position>>,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// What is there is taken once it is complete.
    Waits,
    /// What is there is taken at once.
    TakesLate,
    /// What is there is taken at once, and nobody is left to ask.
    Exhausted,
    Complete,
    /// It is complete, and stored.
    Settled,
    Refused,
}

impl<M: Clone> Takeover<M> {
    /// The claim `fence` takes over `key` from the groups of these owners. `shown`: for what its client has a token, or the former
    /// owner's word.
    #[must_use]
    pub fn new(key: Key, fence: Fence, shown: Option<Stamp>, owners: impl IntoIterator<Item = Boot>) -> Self {
        let groups = owners.into_iter().map(|owner| (owner, Sealing::default())).collect();
        let (entries, own, unstored, due, taken, trimmed, over, holders) = Default::default();
        Self {
            key,
            fence,
            shown,
            groups,
            entries,
            own,
            unstored,
            due,
            taken,
            trimmed,
            over,
            holders,
            phase: Phase::Waits,
        }
    }

    /// The claim.
    #[must_use]
    pub fn fence(&self) -> &Fence {
        &self.fence
    }

    /// What a member of any group is asked.
    #[must_use]
    pub fn seal(&self) -> Seal {
        Seal { key: self.key, fence: self.fence.clone(), shown: self.shown }
    }

    /// The owners, and all who are not known to have sealed.
    #[must_use]
    pub fn asked(&self) -> BTreeSet<Boot> {
        let members = self.groups.values().flat_map(Sealing::asked);
        self.groups.keys().chain(members).cloned().collect()
    }

    /// Whether it waits for more before it takes what there is.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.phase == Phase::Waits
    }

    /// Whether nothing is missed.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        matches!(self.phase, Phase::Complete | Phase::Settled)
    }

    /// Whether it is complete, and stored at members of the own group.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.phase == Phase::Settled
    }

    /// The owners whose groups it takes the session over from.
    pub fn owners(&self) -> impl Iterator<Item = &Boot> {
        self.groups.keys()
    }

    /// The claim has this without asking anybody.
    pub fn has(&mut self, at: Position) {
        self.own.insert(at);
        self.unstored.insert(at);
    }

    /// A configuration of a group is in effect.
    #[must_use]
    pub fn announced(&mut self, owner: &Boot, config: &Config) -> Vec<TakeoverEffect<M>> {
        let Some(sealing) = self.groups.get_mut(owner) else { return Vec::new() };
        let is_news = sealing.learn(vec![config.clone()]);
        self.go_on(owner, is_news)
    }

    /// Asks all who are not known to have sealed: at the beginning, and again for as long as it is not complete.
    #[must_use]
    pub fn ask(&self) -> Vec<TakeoverEffect<M>> {
        if self.is_complete() || self.phase == Phase::Refused {
            return Vec::new();
        }
        self.groups.keys().flat_map(|owner| self.ask_group(owner)).collect()
    }

    fn ask_group(&self, owner: &Boot) -> Vec<TakeoverEffect<M>> {
        let Some(sealing) = self.groups.get(owner) else { return Vec::new() };
        let asked = sealing.asked();
        if asked.is_empty() && !sealing.is_sealed() {
            return vec![TakeoverEffect::Locate(owner.clone())];
        }
        asked.into_iter().map(|to| self.ask_one(to, owner)).collect()
    }

    fn ask_one(&self, to: &Boot, group: &Boot) -> TakeoverEffect<M> {
        TakeoverEffect::Ask { to: to.clone(), group: group.clone(), seal: self.seal() }
    }

    /// A boot is over: its node was started again.
    #[must_use]
    pub fn over(&mut self, boot: &Boot) -> Vec<TakeoverEffect<M>> {
        self.over.insert(boot.clone());
        self.settle()
    }

    /// A boot offers what it still holds as a member of that group.
    #[must_use]
    pub fn offered(&self, group: &Boot, from: &Boot) -> Vec<TakeoverEffect<M>> {
        if self.phase == Phase::Refused { Vec::new() } else { vec![self.ask_one(from, group)] }
    }

    /// A boot has answered as a member of that group.
    #[must_use]
    pub fn answered(&mut self, group: &Boot, from: &Boot, answer: SealAnswer<M>) -> Vec<TakeoverEffect<M>> {
        if self.phase == Phase::Refused {
            return Vec::new();
        }
        match answer {
            SealAnswer::Tail { epoch, configs, entries, beyond } => {
                // One that has offered something may be the first to be heard of in its group.
                let sealing = self.groups.entry(group.clone()).or_default();
                sealing.sealed(from, epoch);
                let is_news = sealing.learn(configs);
                self.hold(group, from, entries);
                self.due.extend([(group.clone(), from.clone()), (group.clone(), group.clone())]);
                let own = &self.fence.by;
                let new: BTreeSet<_> = beyond.into_iter().filter(|owner| owner != own).collect();
                let new: Vec<_> = new.into_iter().filter(|owner| !self.groups.contains_key(owner)).collect();
                // Known of before any group is called complete.
                self.groups.extend(new.iter().map(|owner| (owner.clone(), Sealing::default())));
                let mut effects: Vec<_> = new.into_iter().map(TakeoverEffect::Locate).collect();
                effects.extend(self.go_on(group, is_news));
                effects
            }
            SealAnswer::Newer(configs) => {
                let Some(sealing) = self.groups.get_mut(group) else { return Vec::new() };
                let is_news = sealing.learn(configs);
                self.go_on(group, is_news)
            }
            SealAnswer::Unknown => Vec::new(),
            SealAnswer::Refused(fence) => {
                self.phase = Phase::Refused;
                vec![TakeoverEffect::Refused(fence)]
            }
        }
    }

    /// Takes what there is. What comes later is taken when it comes.
    #[must_use]
    pub fn give_up(&mut self) -> Vec<TakeoverEffect<M>> {
        if self.phase != Phase::Waits {
            return Vec::new();
        }
        self.phase = Phase::TakesLate;
        self.settle()
    }

    /// Members of the own group have this, or nobody needs it any more.
    #[must_use]
    pub fn stored(&mut self, at: Position) -> Vec<TakeoverEffect<M>> {
        if self.unstored.remove(&at) { self.release() } else { Vec::new() }
    }

    /// The client has all of that segment up to there.
    #[must_use]
    pub fn trimmed(&mut self, upto: Position) -> Vec<TakeoverEffect<M>> {
        let trimmed = self.trimmed.entry(upto.segment).or_default();
        *trimmed = upto.number.max(*trimmed);
        self.unstored.retain(|at| at.segment != upto.segment || at.number > upto.number);
        self.release()
    }

    /// Once members of the own group have all that was taken, others need not hold it any more.
    fn release(&mut self) -> Vec<TakeoverEffect<M>> {
        if matches!(self.phase, Phase::Waits | Phase::Refused) || !self.unstored.is_empty() {
            return Vec::new();
        }
        let (fence, complete) = (&self.fence, self.is_complete());
        let release = |(group, to): (Boot, Boot)| {
            // An owner holds no more than its members, as far as it was stored. What it has written again itself stays.
            let is_of = |(of, by): &(Boot, Boot)| *of == group && (group == to || *by == to);
            let held = self.holders.iter().filter(|(holder, _)| is_of(holder)).flat_map(|(_, held)| held);
            let held = held.filter(|at| group != fence.by || self.taken.contains(at)).copied().collect();
            let release = Release { key: self.key, fence: fence.clone(), held, complete };
            TakeoverEffect::Release { to, group, release }
        };
        // The members of the own group learn it in their log, behind what was taken.
        let due =
            std::mem::take(&mut self.due).into_iter().filter(|(group, to)| *group != fence.by || group == to);
        let mut effects: Vec<_> = due.map(release).collect();
        if complete && self.phase != Phase::Settled {
            self.phase = Phase::Settled;
            effects.push(TakeoverEffect::Settled);
        }
        effects
    }

    fn hold(&mut self, group: &Boot, from: &Boot, entries: Vec<Entry<M>>) {
        let held = self.holders.entry((group.clone(), from.clone())).or_default();
        // What it has written itself since then is its own.
        let is_own = |entry: &Entry<M>| *group == self.fence.by && entry.claim == self.fence.stamp;
        for Entry { at, message, .. } in entries.into_iter().filter(|entry| !is_own(entry)) {
            held.insert(at);
            let is_trimmed = self.trimmed.get(&at.segment).is_some_and(|trimmed| at.number <= *trimmed);
            if !(is_trimmed || self.taken.contains(&at) || self.own.contains(&at)) {
                self.entries.insert(at, message);
            }
        }
    }

    fn go_on(&mut self, group: &Boot, is_news: bool) -> Vec<TakeoverEffect<M>> {
        let mut effects = self.settle();
        if is_news && matches!(self.phase, Phase::Waits | Phase::TakesLate) {
            effects.extend(self.ask_group(group));
        }
        effects
    }

    /// Takes what there is, unless more of it is to be waited for.
    fn settle(&mut self) -> Vec<TakeoverEffect<M>> {
        let is_sealed = |(_, sealing): (&Boot, &Sealing)| sealing.is_sealed();
        let is_over = |(owner, sealing): (&Boot, &Sealing)| {
            sealing.is_sealed() || sealing.is_exhausted(owner, &self.over)
        };
        let phase = match self.phase {
            Phase::Refused => return Vec::new(),
            before if self.groups.iter().all(is_sealed) => before.max(Phase::Complete),
            before if self.groups.iter().all(is_over) => before.max(Phase::Exhausted),
            before => before,
        };
        if phase == Phase::Waits {
            return Vec::new();
        }
        let mut effects: Vec<_> = self.take().into_iter().collect();
        let is_new = std::mem::replace(&mut self.phase, phase) != phase;
        match phase {
            Phase::Complete if is_new => {
                // Who was told before that something is released is told that all is.
                self.due.extend(self.holders.keys().cloned());
                self.due.extend(self.groups.keys().map(|owner| (owner.clone(), owner.clone())));
                effects.push(TakeoverEffect::Complete);
            }
            Phase::Exhausted if is_new => effects.push(TakeoverEffect::Exhausted),
            _ => {}
        }
        effects.extend(self.release());
        effects
    }

    fn take(&mut self) -> Option<TakeoverEffect<M>> {
        let entries = std::mem::take(&mut self.entries);
        self.taken.extend(entries.keys());
        self.unstored.extend(entries.keys());
        let entry = |(at, message)| Entry { key: self.key, claim: self.fence.stamp, at, message };
        let entries: Vec<_> = entries.into_iter().map(entry).collect();
        (!entries.is_empty()).then_some(TakeoverEffect::Taken(entries))
    }
}
