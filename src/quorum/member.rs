//! What a boot holds as a member of a group.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use crate::id::Stamp;
use crate::key::{Key, UserHash};
use crate::limits;
use crate::position::Position;
use crate::quorum::entries::Entries;
use crate::quorum::frame::{Accepted, Acked, Entry, Held, Op, Opened, Refusal, Release, Seal, SealAnswer};
use crate::quorum::group::{Boot, Config, Fence, Looked};

/// What a boot holds as a member of a group.
#[derive(Debug, Clone)]
pub struct GroupMember<M> {
    me: Boot,
    owner: Boot,
    /// Whether a session is taken over only with what its client, or its owner, has shown.
    asks_for_proof: bool,
    /// Those that may be in effect, as it knows: the first one was for sure, the last one was accepted last.
    configs: Vec<Config>,
    /// A later one that this boot was opened for. Whether it is in effect only others can know.
    opened: Option<Config>,
    /// The place of the last operation, and that up to which it was given all when it was opened.
    place: u64,
    given: u64,
    keys: BTreeMap<Key, Kept<M>>,
    /// The places of what was refused last, by session.
    refused: BTreeMap<Key, u64>,
}

/// What is held of a session.
#[derive(Debug, Clone)]
struct Kept<M> {
    /// Nothing is taken for claims below.
    fence: Option<Fence>,
    /// Most sessions have no others.
    others: Option<Box<Others>>,
    entries: Entries<M>,
    /// It was kept for too long, and what was held is gone.
    expired: bool,
    /// Nothing has happened to it since [`GroupMember::age`] was called last.
    aged: bool,
}

/// Other owners that something of a session may be at.
#[derive(Debug, Clone, Default)]
struct Others {
    /// The claims that have taken it over, unless one of them has all that lower ones could have.
    taken_by: BTreeSet<Fence>,
    /// Whose groups may hold more, as the owner says of that claim.
    follows: Option<(Stamp, Vec<Boot>)>,
}

impl<M> Default for Kept<M> {
    fn default() -> Self {
        Self { fence: None, others: None, entries: Entries::default(), expired: false, aged: false }
    }
}

impl<M: Clone> GroupMember<M> {
    /// The boot `me` knows nothing of the group of `owner`.
    #[must_use]
    pub fn new(me: Boot, owner: Boot, asks_for_proof: bool) -> Self {
        let (configs, keys, refused) = Default::default();
        Self { me, owner, asks_for_proof, configs, opened: None, place: 0, given: 0, keys, refused }
    }

    /// All that is held is here. Returns `None` where a later configuration is known: the frame was late.
    pub fn open(&mut self, config: Config, place: u64, held: Held<M>) -> Option<Opened> {
        let epoch = config.epoch;
        match self.latest() {
            Some(latest) if latest > epoch => return None,
            Some(latest) if latest == epoch && self.has_passed(place) => {} // A repetition.
            _ => {
                (self.place, self.given) = (place, place);
                self.forget();
                held.fences.into_iter().for_each(|(key, fence)| self.fence(key, fence));
                held.follows
                    .into_iter()
                    .for_each(|(key, claim, owners)| self.carry(key, claim).follow(claim, owners, None));
                for Entry { key, claim, at, message } in held.entries {
                    self.carry(key, claim).entries.insert(at, claim, message);
                }
                self.opened = Some(config);
            }
        }
        Some(Opened { epoch, place: self.given, acked: self.acked() })
    }

    /// Whether an opening at that place says nothing new: it was given all up to there, or has come further since.
    fn has_passed(&self, place: u64) -> bool {
        place <= self.given || place < self.place
    }

    /// Does the next operation. Returns `None` where it is not the next one, or the boot is no member: then nothing was done.
    pub fn logged(&mut self, place: u64, op: Op<M>) -> Option<Acked> {
        let next = self.place.checked_add(1)?;
        if place > next || self.complete().is_none() {
            return None;
        }
        if place == next {
            self.place = place;
            self.apply(op);
        }
        Some(self.acked())
    }

    fn apply(&mut self, op: Op<M>) {
        match op {
            Op::Append(Entry { key, claim, at, message }) => {
                if let Some(kept) = self.written(key, claim) {
                    kept.entries.insert(at, claim, message);
                }
            }
            Op::Follow { key, claim, owners } => {
                let own = Fence { stamp: claim, by: self.owner.clone() };
                // Its owner may not know yet for whom something was refused.
                let is_known = !self.refused.contains_key(&key);
                if let Some(kept) = self.written(key, claim) {
                    kept.follow(claim, owners, Some(&own).filter(|_| is_known));
                }
            }
            Op::Trim { key, upto } => {
                self.leave(key, |at, _| at.segment != upto.segment || at.number > upto.number);
            }
            Op::Drop { key, claim } => self.drop_session(key, claim),
            Op::Fence { key, fence } => self.fence(key, fence),
            Op::Release(release) => self.release(release),
        }
    }

    /// That configuration is in effect, as its owner has announced. Who is no member of it or of a later one holds nothing any more.
    pub fn announced(&mut self, config: &Config) {
        if self.configs.first().is_some_and(|known| known.epoch >= config.epoch) {
            return;
        }
        self.configs.retain(|later| later.epoch > config.epoch);
        self.configs.insert(0, config.clone());
        self.opened.take_if(|opened| opened.epoch <= config.epoch);
        if self.complete().is_none() {
            self.forget();
        }
    }

    /// The members change: these configurations may be in effect. Returns `None` where a later change was accepted, or the boot knows
    /// nothing: then nothing was done. It need not have heard of all changes before this one, as the owner has.
    pub fn propose(&mut self, configs: Vec<Config>) -> Option<Accepted> {
        let epoch = configs.last()?.epoch;
        self.latest()?;
        let accepted = self.configs.last().map(|config| config.epoch);
        if accepted > Some(epoch) {
            return None;
        }
        if accepted < Some(epoch) {
            self.configs = configs;
        }
        Some(Accepted { epoch, fences: self.fences() })
    }

    /// A claim takes a session over.
    pub fn seal(&mut self, seal: Seal) -> SealAnswer<M> {
        let Seal { key, fence, shown } = seal;
        let kept = self.keys.get(&key);
        if let Some(above) = kept.and_then(|kept| kept.fence.as_ref()).filter(|above| **above > fence) {
            return SealAnswer::Refused(Some(above.clone()));
        }
        if kept.is_some_and(|kept| kept.expired) {
            return SealAnswer::Unknown;
        }
        let configs = self.configs.clone();
        let Some(epoch) = self.complete() else {
            return if configs.is_empty() { SealAnswer::Unknown } else { SealAnswer::Newer(configs) };
        };
        let latest = kept.and_then(Kept::latest);
        // What a claim of the owner itself finds is its own, and may be written for that very claim.
        let asks_for_proof = self.asks_for_proof && fence.by != self.owner;
        if asks_for_proof && latest.is_some_and(|latest| shown.is_none_or(|shown| shown < latest)) {
            return SealAnswer::Refused(None);
        }
        let beyond = kept.map(|kept| kept.beyond(&fence)).unwrap_or_default();
        if beyond.len() > limits::OWNERS_FOLLOWED_MAX {
            return SealAnswer::Unknown; // A part of them would look like all.
        }
        self.fence(key, fence);
        SealAnswer::Tail { epoch, configs, entries: self.held(key).collect(), beyond }
    }

    /// Whoever took the session over has this at members of its own: it is not held any more.
    pub fn release(&mut self, release: Release) {
        let Release { key, fence, held, complete } = release;
        let owner = self.owner.clone();
        let Some(kept) = self.keys.get_mut(&key) else { return };
        kept.entries.retain(|at, claim, _| !(fence.is_above(claim, &owner) && held.contains(&at)));
        if complete {
            kept.change_others(|others| {
                others.taken_by.retain(|lower| *lower >= fence);
                others.follows.take_if(|(claim, _)| fence.is_above(*claim, &owner));
            });
        }
    }

    /// Holds nothing any more of sessions with a message for which that holds: they were kept for too long. What they were owed is
    /// not known any more.
    pub fn expire(&mut self, is_over: impl Fn(&M) -> bool) {
        let is_over = |kept: &Kept<M>| kept.entries.iter().any(|(_, _, message)| is_over(message));
        for kept in self.keys.values_mut().filter(|kept| is_over(kept)) {
            kept.entries.clear();
            kept.expired = true;
        }
    }

    /// Forgets the sessions of which nothing is held, and nothing has happened since the call before. That call was so long ago that no
    /// client can be away for longer: nobody asks any more who has taken them over.
    pub fn age(&mut self) {
        let is_over = |kept: &Kept<M>| kept.aged && kept.entries.is_empty() && kept.follows().is_none();
        self.keys.retain(|_, kept| !is_over(kept));
        self.keys.values_mut().for_each(|kept| kept.aged = true);
        let Self { keys, refused, .. } = self;
        refused.retain(|key, _| keys.contains_key(key));
    }

    /// Whether it is a member, as far as it knows.
    #[must_use]
    pub fn is_member(&self) -> bool {
        self.complete().is_some()
    }

    /// The sessions of a user of which something is held or known.
    #[must_use]
    pub(crate) fn looked_at(&self, user: UserHash) -> Vec<Looked> {
        let of_user = self.keys.iter().filter(|(key, _)| key.user == user);
        let looked = of_user.map(|(key, kept)| {
            let (messages, last) = kept.entries.messages();
            Looked { key: *key, messages, last, fence: kept.fence.clone() }
        });
        looked.collect()
    }

    /// All that is held but which clients are away.
    pub fn messages(&self) -> impl Iterator<Item = &M> {
        let held = self.keys.values().flat_map(|kept| kept.entries.iter());
        held.filter(|(at, _, _)| !Position::absences().contains(at)).map(|(_, _, message)| message)
    }

    /// What is held of a session.
    pub fn held(&self, key: Key) -> impl Iterator<Item = Entry<M>> {
        let entries = self.keys.get(&key).into_iter().flat_map(|kept| kept.entries.iter());
        entries.map(move |held| Entry::at(key, held))
    }

    /// What is held at such positions of sessions that nobody has taken over.
    pub(crate) fn left(&self, within: RangeInclusive<Position>) -> impl Iterator<Item = Entry<M>> {
        let own = |stamp| Fence { stamp, by: self.owner.clone() };
        self.keys.iter().flat_map(move |(key, kept)| {
            let held = kept.entries.range(within.clone()).map(|held| Entry::at(*key, held));
            held.filter(move |entry| !kept.is_taken_from(&own(entry.claim)))
        })
    }

    /// Holds something no more that nobody needs, of an owner that is gone.
    pub(crate) fn drop_entry(&mut self, key: Key, at: Position) {
        self.leave(key, |of, _| of != at);
    }

    /// The members of the last configuration that it was told of.
    pub(crate) fn members(&self) -> &[Boot] {
        let last = self.told().max_by_key(|config| config.epoch);
        last.map_or(&[], |config| &config.members)
    }

    /// The sessions of which something is held.
    pub fn keys(&self) -> impl Iterator<Item = Key> {
        self.keys.iter().filter(|(_, kept)| !kept.entries.is_empty()).map(|(key, _)| *key)
    }

    /// Below which claims of a session nothing is taken.
    #[must_use]
    pub fn fence_of(&self, key: Key) -> Option<&Fence> {
        self.keys.get(&key)?.fence.as_ref()
    }

    /// The latest epoch of the configurations that it was told of.
    fn latest(&self) -> Option<u32> {
        self.told().map(|config| config.epoch).max()
    }

    /// The latest epoch of those whose member it is: it had all that was held then.
    fn complete(&self) -> Option<u32> {
        self.told().filter(|config| config.has(&self.me)).map(|config| config.epoch).max()
    }

    /// The configurations that it was told of.
    fn told(&self) -> impl Iterator<Item = &Config> {
        self.configs.iter().chain(&self.opened)
    }

    /// Where it holds what members before it have held for that claim. What was taken over by a claim that has not got it stays for the
    /// next one; but the owner is told.
    fn carry(&mut self, key: Key, claim: Stamp) -> &mut Kept<M> {
        let own = Fence { stamp: claim, by: self.owner.clone() };
        let kept = self.keys.entry(key).or_default();
        if kept.is_taken_from(&own) {
            self.refused.insert(key, self.given);
        }
        kept.stands_for(own);
        kept
    }

    /// Where it holds what is written for that claim, unless that is below the fence.
    fn written(&mut self, key: Key, claim: Stamp) -> Option<&mut Kept<M>> {
        let own = Fence { stamp: claim, by: self.owner.clone() };
        let kept = self.keys.entry(key).or_default();
        if kept.is_taken_from(&own) {
            self.refused.insert(key, self.place);
            return None;
        }
        kept.stands_for(own);
        Some(kept)
    }

    fn fence(&mut self, key: Key, fence: Fence) {
        let kept = self.keys.entry(key).or_default();
        if fence.by != self.owner {
            kept.change_others(|others| _ = others.taken_by.insert(fence.clone()));
        }
        kept.fence = kept.fence.take().max(Some(fence));
        kept.aged = false;
    }

    fn drop_session(&mut self, key: Key, claim: Stamp) {
        self.leave(key, |_, of| of > claim);
        if let Some(kept) = self.keys.get_mut(&key) {
            kept.change_others(|others| _ = others.follows.take_if(|(of, _)| *of <= claim));
        }
    }

    /// Holds no more of a session than these.
    fn leave(&mut self, key: Key, stays: impl Fn(Position, Stamp) -> bool) {
        if let Some(kept) = self.keys.get_mut(&key) {
            kept.entries.retain(|at, claim, _| stays(at, claim));
        }
    }

    /// Holds nothing any more. What was taken over stays so.
    fn forget(&mut self) {
        for kept in self.keys.values_mut() {
            kept.entries.clear();
            kept.change_others(|others| others.follows = None);
        }
        self.refused.clear();
    }

    fn acked(&self) -> Acked {
        let refused = self.refused.iter().filter_map(|(key, place)| {
            let fence = self.keys.get(key)?.taken_by().next_back()?.clone();
            Some(Refusal { key: *key, fence, place: *place })
        });
        Acked { place: self.place, refused: refused.collect() }
    }

    /// The claims of others for which sessions were taken over.
    fn fences(&self) -> Vec<(Key, Fence)> {
        let all = self.keys.iter().flat_map(|(key, kept)| kept.taken_by().map(|fence| (*key, fence.clone())));
        all.collect()
    }
}

impl<M> Kept<M> {
    /// The claims of others that have taken it over.
    fn taken_by(&self) -> impl DoubleEndedIterator<Item = &Fence> {
        self.others.iter().flat_map(|others| &others.taken_by)
    }

    /// Whose groups may hold more, as the owner says of that claim.
    fn follows(&self) -> Option<&(Stamp, Vec<Boot>)> {
        self.others.as_ref()?.follows.as_ref()
    }

    /// Changes what is known of others. Where nothing is, it takes no memory.
    fn change_others(&mut self, change: impl FnOnce(&mut Others)) {
        let mut others = self.others.take().map(|others| *others).unwrap_or_default();
        change(&mut others);
        let has_some = !others.taken_by.is_empty() || others.follows.is_some();
        self.others = has_some.then(|| Box::new(others));
    }

    /// A claim follows these. Without any it has all that lower ones could have, who has made them does not matter any more.
    fn follow(&mut self, claim: Stamp, owners: Vec<Boot>, own: Option<&Fence>) {
        self.change_others(|others| {
            if let Some(own) = own.filter(|_| owners.is_empty()) {
                others.taken_by.retain(|taken| taken > own);
            }
            others.follows = Some((claim, owners)).filter(|(_, owners)| !owners.is_empty());
        });
    }

    /// Something is held for that claim of the owner.
    fn stands_for(&mut self, own: Fence) {
        self.fence = self.fence.take().max(Some(own));
        self.expired = false;
        self.aged = false;
    }

    /// Whether a greater claim than that one of the owner has taken the session over. A later one of the owner itself has not.
    fn is_taken_from(&self, own: &Fence) -> bool {
        self.taken_by().next_back().is_some_and(|taken| taken > own)
    }

    /// The last claim that something was written for.
    fn latest(&self) -> Option<Stamp> {
        self.entries.latest().max(self.follows().map(|(claim, _)| *claim))
    }

    /// Whose groups may hold more, for a claim other than these.
    fn beyond(&self, fence: &Fence) -> Vec<Boot> {
        let claims = self.taken_by().filter(|claim| *claim != fence).map(|claim| claim.by.clone());
        let all: BTreeSet<_> =
            self.follows().into_iter().flat_map(|(_, owners)| owners.clone()).chain(claims).collect();
        all.into_iter().collect()
    }
}
