//! What a boot holds as a member of a group.

use std::collections::BTreeMap;

use crate::id::Stamp;
use crate::key::Key;
use crate::quorum::frame::{Accepted, Acked, Entry, Op, Opened, Refusal, Seal, SealAnswer};
use crate::quorum::group::{Boot, Config, Fence};

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
    keys: BTreeMap<Key, Held<M>>,
}

/// What is held of a session.
#[derive(Debug, Clone)]
struct Held<M> {
    fence: Option<Fence>,
    entries: BTreeMap<(Stamp, u64), M>,
    /// The place of what was refused last, unless the owner has written something since that was not.
    refused: Option<u64>,
}

impl<M> Default for Held<M> {
    fn default() -> Self {
        Self { fence: None, entries: BTreeMap::new(), refused: None }
    }
}

impl<M: Clone> GroupMember<M> {
    /// The boot `me` knows nothing of the group of `owner`.
    #[must_use]
    pub fn new(me: Boot, owner: Boot, asks_for_proof: bool) -> Self {
        Self {
            me,
            owner,
            asks_for_proof,
            configs: Vec::new(),
            opened: None,
            place: 0,
            given: 0,
            keys: BTreeMap::new(),
        }
    }

    /// All that is held is here. Returns `None` where a later configuration is known: the frame was late.
    pub fn open(
        &mut self,
        config: Config,
        place: u64,
        entries: Vec<Entry<M>>,
        fences: Vec<(Key, Fence)>,
    ) -> Option<Opened> {
        let epoch = config.epoch;
        match self.latest() {
            Some(latest) if latest > epoch => return None,
            Some(latest) if latest == epoch && self.has_passed(place) => {} // A repetition.
            _ => {
                (self.place, self.given) = (place, place);
                self.keys.values_mut().for_each(|held| held.entries.clear());
                fences.into_iter().for_each(|(key, fence)| self.fence(key, fence));
                entries.into_iter().for_each(|entry| self.carry(entry));
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
        if place > self.place + 1 || self.complete().is_none() {
            return None;
        }
        if place == self.place + 1 {
            self.place = place;
            match op {
                Op::Append(entry) => self.append(entry),
                Op::Trim { key, stamp, upto } => {
                    self.leave(key, |(of, number)| of != stamp || number > upto);
                }
                Op::Drop { key, stamp } => self.release(key, stamp),
                Op::Fence { key, fence } => self.fence(key, fence),
            }
        }
        Some(self.acked())
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
            self.keys.values_mut().for_each(|held| held.entries.clear());
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
        let held = self.keys.get(&key);
        if let Some(above) = held.and_then(|held| held.fence.as_ref()).filter(|held| **held > fence) {
            return SealAnswer::Refused(Some(above.clone()));
        }
        let configs = self.configs.clone();
        let Some(epoch) = self.complete() else {
            return if configs.is_empty() { SealAnswer::Unknown } else { SealAnswer::Newer(configs) };
        };
        let latest = held.and_then(|held| held.entries.keys().next_back()).map(|(stamp, _)| *stamp);
        if self.asks_for_proof && latest.is_some_and(|latest| shown.is_none_or(|shown| shown < latest)) {
            return SealAnswer::Refused(None);
        }
        self.fence(key, fence);
        SealAnswer::Tail { epoch, configs, entries: self.held(key).collect() }
    }

    /// Whoever took the session over has all of it at members of its own: nothing that was claimed up to that stamp is held any more.
    pub fn release(&mut self, key: Key, stamp: Stamp) {
        self.leave(key, |(of, _)| of > stamp);
    }

    /// What is held of a session.
    pub fn held(&self, key: Key) -> impl Iterator<Item = Entry<M>> {
        let entries = self.keys.get(&key).into_iter().flat_map(|held| &held.entries);
        entries.map(move |held| Entry::at(key, held))
    }

    /// Below which claims of a session nothing is taken.
    #[must_use]
    pub fn fence_of(&self, key: Key) -> Option<&Fence> {
        self.keys.get(&key)?.fence.as_ref()
    }

    /// The configuration that was accepted last.
    #[must_use]
    pub fn accepted(&self) -> Option<&Config> {
        self.configs.last()
    }

    /// The epoch of the latest configuration that it was told of.
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

    /// Holds what members before it have held. What a claim has taken over in part stays for the next one; but the owner is told.
    fn carry(&mut self, Entry { key, stamp, number, message }: Entry<M>) {
        let own = Fence { stamp, by: self.owner.clone() };
        let held = self.keys.entry(key).or_default();
        if held.fence.as_ref().is_some_and(|fence| *fence > own) {
            held.refused = Some(self.given);
        }
        held.fence = held.fence.take().max(Some(own));
        held.entries.insert((stamp, number), message);
    }

    fn append(&mut self, Entry { key, stamp, number, message }: Entry<M>) {
        let own = Fence { stamp, by: self.owner.clone() };
        let held = self.keys.entry(key).or_default();
        if held.fence.as_ref().is_some_and(|fence| *fence > own) {
            held.refused = Some(self.place);
            return;
        }
        held.refused = None;
        held.fence = Some(own);
        held.entries.insert((stamp, number), message);
    }

    fn fence(&mut self, key: Key, fence: Fence) {
        let held = self.keys.entry(key).or_default();
        held.fence = held.fence.take().max(Some(fence));
    }

    /// Holds no more of a session than these.
    fn leave(&mut self, key: Key, stays: impl Fn((Stamp, u64)) -> bool) {
        if let Some(held) = self.keys.get_mut(&key) {
            held.entries.retain(|place, _| stays(*place));
        }
    }

    fn acked(&self) -> Acked {
        let refused = self.keys.iter().filter_map(|(key, held)| {
            Some(Refusal { key: *key, fence: held.fence.clone()?, place: held.refused? })
        });
        Acked { place: self.place, refused: refused.collect() }
    }

    /// The claims of others for which sessions were taken over.
    fn fences(&self) -> Vec<(Key, Fence)> {
        let fences = self.keys.iter().filter_map(|(key, held)| Some((*key, held.fence.clone()?)));
        fences.filter(|(_, fence)| fence.by != self.owner).collect()
    }
}
