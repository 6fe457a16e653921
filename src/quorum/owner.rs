//! The owner's side of a group: what its members are told, what is stored, and how they change.
//!
//! ```text
//!   change(members) ──► OPENING: new members are given all that is held
//!                          │ they have it, and none lacks anything
//!                          ▼
//!                       PROPOSED to the members that are in effect
//!                          │ enough of those have accepted it, and enough new ones have all that is stored
//!                          ▼
//!                       in effect: it is announced, and the members before are forgotten
//! ```
//!
//! A message is stored once enough members have it that are in effect: whoever seals does so at these too until the change is in
//! effect, whatever it was told of a change. A change that gets stuck is given up for the next one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::id::Stamp;
use crate::key::Key;
use crate::limits;
use crate::quorum::frame::{Accepted, Acked, Entry, Op, Opened, Refusal, ToMember};
use crate::quorum::group::{Boot, Config, Fence};

/// A session was taken over for that claim: its claim is to be let go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deposed(pub Fence);

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnerEffect<M> {
    /// Send this.
    Send {
        /// To this boot.
        to: Boot,
        /// The frame.
        frame: ToMember<M>,
    },
    /// Enough members have this message.
    Stored {
        /// Whose it is.
        key: Key,
        /// The stamp of its claim.
        stamp: Stamp,
        /// Its number.
        number: u64,
    },
    /// A session was taken over.
    Deposed {
        /// The session.
        key: Key,
        /// The claim.
        fence: Fence,
    },
    /// These are the members from now on. `orphaned`: all members before are gone, and with them whatever they would have said of
    /// sessions that were taken over.
    Announce {
        /// The members.
        config: Config,
        /// Nobody was left to ask.
        orphaned: bool,
    },
}

/// The owner's side of a group.
#[derive(Debug, Clone)]
pub struct GroupOwner<M> {
    me: Boot,
    /// The one that is in effect.
    config: Config,
    /// The one that is to follow.
    change: Option<Change>,
    /// The epoch that was given last.
    epoch: u32,
    /// Operations that not all members have acknowledged, and the place of the last one.
    log: VecDeque<(u64, Op<M>)>,
    place: u64,
    /// What is held.
    held: BTreeMap<Key, BTreeMap<(Stamp, u64), M>>,
    /// What is not stored yet, by its place.
    unstored: BTreeMap<u64, (Key, Stamp, u64)>,
    /// Of members and of those that are to be.
    streams: BTreeMap<Boot, Stream>,
    /// Boots that are over.
    over: BTreeSet<Boot>,
    /// For which claims sessions were taken over.
    fences: BTreeMap<Key, Fence>,
    /// The place of the last message that is stored, or of the last fence: what a change must not lose.
    firm: u64,
}

/// A configuration that is to be in effect.
#[derive(Debug, Clone)]
struct Change {
    config: Config,
    /// Members may have accepted it.
    proposed: bool,
    /// Who has accepted it.
    accepted: BTreeSet<Boot>,
}

/// How far a boot has come.
#[derive(Debug, Clone, Copy, Default)]
struct Stream {
    /// Up to where it has the log.
    acked: u64,
    /// The place up to which it is to be given all. What it says of an earlier opening does not count.
    begun: u64,
    /// The place up to which it was given all, once it was opened.
    opened: Option<u64>,
    /// It has refused something since, and so has not all.
    lacks: bool,
}

impl<M: Clone> GroupOwner<M> {
    /// The group of the boot `me`, without members.
    #[must_use]
    pub fn new(me: Boot) -> Self {
        let config = Config { epoch: 0, members: Vec::new() };
        let (log, held, unstored) = Default::default();
        let (streams, over, fences) = Default::default();
        let (change, epoch, place, firm) = (None, 0, 0, 0);
        Self { me, config, change, epoch, log, place, held, unstored, streams, over, fences, firm }
    }

    /// The configuration that is in effect.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The configuration that is to be in effect in the end.
    #[must_use]
    pub fn latest(&self) -> &Config {
        self.change.as_ref().map_or(&self.config, |change| &change.config)
    }

    /// Whether members are being changed.
    #[must_use]
    pub fn is_changing(&self) -> bool {
        self.change.is_some()
    }

    /// What is held, and not stored.
    pub fn unstored(&self) -> impl Iterator<Item = (Key, Stamp, u64)> {
        self.unstored.values().copied()
    }

    /// A message of a session is to be held.
    ///
    /// # Errors
    /// [`Deposed`].
    pub fn append(&mut self, entry: Entry<M>) -> Result<Vec<OwnerEffect<M>>, Deposed> {
        let Entry { key, stamp, number, .. } = entry;
        if let Some(fence) = self.fences.get(&key).filter(|fence| self.is_below(stamp, fence)) {
            return Err(Deposed(fence.clone()));
        }
        let place = self.place + 1;
        let message = entry.message.clone();
        let mut effects = self.tell(Op::Append(entry));
        self.held.entry(key).or_default().insert((stamp, number), message);
        self.unstored.insert(place, (key, stamp, number));
        self.settle(&mut effects);
        Ok(effects)
    }

    /// Of a segment nothing up to that number is needed any more.
    pub fn trim(&mut self, key: Key, stamp: Stamp, upto: u64) -> Vec<OwnerEffect<M>> {
        self.leave(key, |(of, number)| of != stamp || number > upto);
        self.tell(Op::Trim { key, stamp, upto })
    }

    /// Of a session nothing is needed any more that was claimed up to that stamp.
    pub fn drop_session(&mut self, key: Key, stamp: Stamp) -> Vec<OwnerEffect<M>> {
        self.leave(key, |(of, _)| of > stamp);
        self.tell(Op::Drop { key, stamp })
    }

    /// These are to be the members, and no others that a change was begun for.
    pub fn change(&mut self, members: Vec<Boot>) -> Vec<OwnerEffect<M>> {
        self.epoch += 1;
        let config = Config { epoch: self.epoch, members };
        // Who was opened for another change has to be told for which one it holds all.
        let stays = |member: &&Boot| self.config.has(member) && self.has(member, 0);
        let new: Vec<_> = config.members.iter().filter(|member| !stays(member)).cloned().collect();
        self.change = Some(Change { config, proposed: false, accepted: BTreeSet::new() });
        self.forget_strangers();
        let mut effects = self.begin(new);
        self.advance(&mut effects);
        effects
    }

    /// The link to a boot is there again: what it may not have got is sent once more.
    pub fn reconnected(&mut self, to: &Boot) -> Vec<OwnerEffect<M>> {
        let Some(stream) = self.streams.get(to).copied() else { return Vec::new() };
        let mut effects: Vec<OwnerEffect<M>> = Vec::new();
        if stream.opened.is_some() {
            let missed = self.log.iter().filter(|(place, _)| *place > stream.acked);
            let frames = missed.map(|(place, op)| ToMember::Logged { place: *place, op: op.clone() });
            effects.extend(frames.map(|frame| OwnerEffect::Send { to: to.clone(), frame }));
        } else {
            effects.extend(self.open(to));
        }
        let is_asked = |change: &&Change| change.proposed && !change.accepted.contains(to);
        let proposal = self.change.as_ref().filter(|_| self.config.has(to)).filter(is_asked);
        effects.extend(proposal.map(|_| self.propose(to)));
        effects
    }

    /// A boot has all that is held.
    pub fn opened(&mut self, from: &Boot, Opened { epoch, place, acked }: Opened) -> Vec<OwnerEffect<M>> {
        if self.configs().any(|config| config.epoch == epoch && config.has(from))
            && let Some(stream) = self.streams.get_mut(from).filter(|stream| stream.begun <= place)
        {
            stream.opened = Some(place);
        }
        self.acked(from, acked)
    }

    /// A member has the log up to a place.
    pub fn acked(&mut self, from: &Boot, Acked { place, refused }: Acked) -> Vec<OwnerEffect<M>> {
        let mut effects = Vec::new();
        if let Some(stream) = self.streams.get_mut(from)
            && let Some(given) = stream.opened
        {
            stream.acked = stream.acked.max(place);
            stream.lacks |= refused.iter().any(|refusal| refusal.place > given);
        }
        // Before anything is called stored: what it has refused it does not have, whatever the place says.
        refused.into_iter().for_each(|Refusal { key, fence, .. }| self.fence(key, fence, &mut effects));
        self.advance(&mut effects);
        self.settle(&mut effects);
        effects
    }

    /// A member has accepted a change.
    pub fn accepted(&mut self, from: &Boot, Accepted { epoch, fences }: Accepted) -> Vec<OwnerEffect<M>> {
        let mut effects = Vec::new();
        for (key, fence) in fences {
            self.fence(key, fence, &mut effects);
        }
        if let Some(change) = self.change.as_mut().filter(|change| change.config.epoch == epoch) {
            change.accepted.insert(from.clone());
        }
        self.advance(&mut effects);
        self.settle(&mut effects);
        effects
    }

    /// A boot is over: its node was started again.
    pub fn over(&mut self, boot: &Boot) -> Vec<OwnerEffect<M>> {
        self.over.insert(boot.clone());
        let mut effects = Vec::new();
        self.advance(&mut effects);
        self.settle(&mut effects);
        effects
    }

    /// Brings the change as far as it goes.
    fn advance(&mut self, effects: &mut Vec<OwnerEffect<M>>) {
        let Some(Change { config, proposed, accepted }) = &self.change else { return };
        if !config.members.iter().all(|member| self.has(member, 0)) {
            return;
        }
        // Who has refused something that others have taken is given it: they are about to go.
        let lacks = |member: &&Boot| self.streams.get(*member).is_some_and(|stream| stream.lacks);
        let lacking: Vec<_> = config.members.iter().filter(lacks).cloned().collect();
        if !lacking.is_empty() {
            effects.extend(self.begin(lacking));
            return;
        }
        if !proposed {
            let asked = self.config.members.iter().filter(|boot| !self.over.contains(boot));
            effects.extend(asked.map(|to| self.propose(to)));
        }
        let is_accepted = self.config.is_stored(|member| accepted.contains(member));
        let nobody_is_left = self.config.members.iter().all(|member| self.over.contains(member));
        let is_known = config.members.is_empty() || config.is_stored(|member| self.has(member, self.firm));
        if !(is_known && (is_accepted || nobody_is_left)) {
            self.change.iter_mut().for_each(|change| change.proposed = true);
            return;
        }
        let orphaned = !is_accepted && !self.config.members.is_empty();
        self.config = config.clone();
        self.change = None;
        self.forget_strangers();
        effects.push(OwnerEffect::Announce { config: self.config.clone(), orphaned });
    }

    /// Whether a boot was opened, and has the log up to that place.
    fn has(&self, boot: &Boot, place: u64) -> bool {
        self.streams.get(boot).is_some_and(|stream| stream.opened.is_some() && stream.acked >= place)
    }

    /// The one that is in effect, and the one that is to follow.
    fn configs(&self) -> impl Iterator<Item = &Config> {
        [&self.config].into_iter().chain(self.change.as_ref().map(|change| &change.config))
    }

    /// Tells what is stored by now.
    fn settle(&mut self, effects: &mut Vec<OwnerEffect<M>>) {
        let is_stored = |place: u64| self.config.is_stored(|member| self.has(member, place));
        // Acknowledgements are cumulative: behind the first that is not stored none is.
        let stored: Vec<_> = self.unstored.keys().copied().take_while(|place| is_stored(*place)).collect();
        for place in stored {
            let entry = self.unstored.remove(&place);
            self.firm = self.firm.max(place);
            effects.extend(entry.map(|(key, stamp, number)| OwnerEffect::Stored { key, stamp, number }));
        }
        let acked = self.streams.values().map(|stream| stream.acked).min().unwrap_or(self.place);
        while self.log.front().is_some_and(|(place, _)| *place <= acked) {
            self.log.pop_front();
        }
    }

    /// Puts an operation at the end of the log, and sends it.
    fn tell(&mut self, op: Op<M>) -> Vec<OwnerEffect<M>> {
        self.place += 1;
        let place = self.place;
        let send = |to: &Boot| OwnerEffect::Send {
            to: to.clone(),
            frame: ToMember::Logged { place, op: op.clone() },
        };
        let effects = self.streams.keys().map(send).collect();
        if !self.streams.is_empty() {
            self.log.push_back((place, op));
        }
        effects
    }

    /// Gives these boots all that is held, whatever they have.
    fn begin(&mut self, boots: Vec<Boot>) -> Vec<OwnerEffect<M>> {
        let stream = Stream { begun: self.place, ..Stream::default() };
        self.streams.extend(boots.iter().map(|boot| (boot.clone(), stream)));
        boots.iter().filter_map(|to| self.open(to)).collect()
    }

    /// Gives a boot all that is held.
    fn open(&self, to: &Boot) -> Option<OwnerEffect<M>> {
        let config = self.change.as_ref().map(|change| &change.config).filter(|config| config.has(to))?;
        let entries = self.held.iter().flat_map(|(key, held)| held.iter().map(|held| Entry::at(*key, held)));
        let frame = ToMember::Open {
            config: config.clone(),
            place: self.place,
            entries: entries.collect(),
            fences: self.fences.iter().map(|(key, fence)| (*key, fence.clone())).collect(),
        };
        Some(OwnerEffect::Send { to: to.clone(), frame })
    }

    fn propose(&self, to: &Boot) -> OwnerEffect<M> {
        let configs = self.configs().cloned().collect();
        OwnerEffect::Send { to: to.clone(), frame: ToMember::Propose { configs } }
    }

    /// A session was taken over for that claim, as a member says. All members are told.
    fn fence(&mut self, key: Key, fence: Fence, effects: &mut Vec<OwnerEffect<M>>) {
        if self.fences.get(&key).is_some_and(|known| *known >= fence) || fence.by == self.me {
            return;
        }
        let is_deposed = self
            .held
            .get(&key)
            .is_some_and(|held| held.keys().any(|(stamp, _)| self.is_below(*stamp, &fence)));
        let mut unstored = std::mem::take(&mut self.unstored);
        unstored.retain(|_, (of, stamp, _)| *of != key || !self.is_below(*stamp, &fence));
        self.unstored = unstored;
        self.fences.insert(key, fence.clone());
        effects.extend(self.tell(Op::Fence { key, fence: fence.clone() }));
        self.firm = self.place;
        if is_deposed {
            effects.push(OwnerEffect::Deposed { key, fence });
        }
    }

    fn is_below(&self, stamp: Stamp, fence: &Fence) -> bool {
        Fence { stamp, by: self.me.clone() } < *fence
    }

    fn leave(&mut self, key: Key, stays: impl Fn((Stamp, u64)) -> bool) {
        if let Some(held) = self.held.get_mut(&key) {
            held.retain(|place, _| stays(*place));
            if held.is_empty() {
                self.held.remove(&key);
            }
        }
        self.unstored.retain(|_, (of, stamp, number)| *of != key || stays((*stamp, *number)));
    }

    /// Boots that are in no configuration any more get nothing more.
    fn forget_strangers(&mut self) {
        let members: BTreeSet<_> = self.configs().flat_map(|config| config.members.iter().cloned()).collect();
        self.streams.retain(|boot, _| members.contains(boot));
        self.over.retain(|boot| members.contains(boot));
    }
}

// Two claimants could each seal members of their own, and both would pass.
const _: () = assert!(limits::STORED_AT <= limits::COPIES_MAX.div_ceil(2));
