//! The owner's side of a group: what its members are told, what is stored, and how they change.
//!
//! ```text
//!   change(members) ──► OPENING: new members are given all that is held
//!                          │ they have it, and enough members of it have all that was held when it began
//!                          ▼
//!                       PROPOSED to the members of all configurations that may be in effect
//!                          │ of each of those enough have accepted it
//!                          ▼
//!                       in effect: it is announced, and the others are forgotten
//! ```
//!
//! From the begin of a change until it is in effect a message counts as stored where it is so in the old *and* in the new
//! configuration, as a member that accepts the change may be asked by others before its answer is here. A change that was proposed
//! may be in effect, whatever becomes of it. Should it get stuck, the next one has to be accepted by its members as well.

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
    /// Those after it, in their order.
    changes: Vec<Change>,
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
    /// The place of the last of them in the log.
    fenced: u64,
}

/// A configuration that is not known to be in effect.
#[derive(Debug, Clone)]
struct Change {
    config: Config,
    /// The place of the log when it began.
    begun: u64,
    /// It may be in effect.
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
        let (changes, log, held, unstored) = Default::default();
        let (streams, over, fences) = Default::default();
        Self {
            me,
            config,
            changes,
            epoch: 0,
            log,
            place: 0,
            held,
            unstored,
            streams,
            over,
            fences,
            fenced: 0,
        }
    }

    /// The configuration that is in effect.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The configuration that is to be in effect in the end.
    #[must_use]
    pub fn latest(&self) -> &Config {
        self.changes.last().map_or(&self.config, |change| &change.config)
    }

    /// Whether members are being changed.
    #[must_use]
    pub fn is_changing(&self) -> bool {
        !self.changes.is_empty()
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

    /// These are to be the members. A change that was not proposed yet is given up for it.
    pub fn change(&mut self, members: Vec<Boot>) -> Vec<OwnerEffect<M>> {
        if self.changes.last().is_some_and(|change| !change.proposed) {
            self.changes.pop();
        }
        self.epoch += 1;
        let config = Config { epoch: self.epoch, members };
        let before = self.latest().clone();
        self.changes.push(Change {
            config: config.clone(),
            begun: self.place,
            proposed: false,
            accepted: BTreeSet::new(),
        });
        self.forget_strangers();
        // Also who was being opened for the change that is given up.
        let is_new = |member: &&Boot| !(before.has(member) && self.has(member, 0));
        let new: Vec<_> = config.members.iter().filter(is_new).cloned().collect();
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
        let proposal = self.changes.last().filter(|change| change.proposed && !change.accepted.contains(to));
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
        let change = self.changes.iter_mut().find(|change| change.config.epoch == epoch);
        if let Some(change) = change.filter(|change| change.proposed) {
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

    /// Brings the last change as far as it goes.
    fn advance(&mut self, effects: &mut Vec<OwnerEffect<M>>) {
        let Some(change) = self.changes.last() else { return };
        if !change.proposed {
            let is_ready = change.config.members.iter().all(|member| self.has(member, 0))
                && self.is_known(&change.config, change.begun);
            if !is_ready {
                return;
            }
            // Who has refused something that others have taken is given it now: they may be about to go.
            let lacks = |member: &&Boot| self.streams.get(*member).is_some_and(|stream| stream.lacks);
            let lacking: Vec<_> = change.config.members.iter().filter(lacks).cloned().collect();
            if !lacking.is_empty() {
                effects.extend(self.begin(lacking));
                return;
            }
            let asked = self.before_last().flat_map(|config| config.members.iter().cloned());
            let asked: BTreeSet<_> = asked.filter(|boot| !self.over.contains(boot)).collect();
            effects.extend(asked.iter().map(|to| self.propose(to)));
            if let Some(change) = self.changes.last_mut() {
                change.proposed = true;
            }
        }
        let Some(change) = self.changes.last() else { return };
        let is_gone = |config: &Config| config.members.iter().all(|member| self.over.contains(member));
        let follows = |config: &Config| config.is_stored(|member| change.accepted.contains(member));
        // What was taken over from the members before stays so: whoever comes later is told by these.
        let is_fenced = self.is_known(&change.config, self.fenced);
        if is_fenced && self.before_last().all(|config| follows(config) || is_gone(config)) {
            let orphaned = self.before_last().any(|config| !config.members.is_empty() && !follows(config));
            self.config = change.config.clone();
            self.changes.clear();
            self.forget_strangers();
            effects.push(OwnerEffect::Announce { config: self.config.clone(), orphaned });
        }
    }

    /// Whether a boot was opened, and has the log up to that place.
    fn has(&self, boot: &Boot, place: u64) -> bool {
        self.streams.get(boot).is_some_and(|stream| stream.opened.is_some() && stream.acked >= place)
    }

    /// Whether enough members of a configuration have the log up to that place, if it has any.
    fn is_known(&self, config: &Config, place: u64) -> bool {
        config.members.is_empty() || config.is_stored(|member| self.has(member, place))
    }

    /// The configurations that may be in effect before the last change is.
    fn before_last(&self) -> impl Iterator<Item = &Config> {
        self.configs().take(self.changes.len())
    }

    /// All that may be in effect.
    fn configs(&self) -> impl Iterator<Item = &Config> {
        [&self.config].into_iter().chain(self.changes.iter().map(|change| &change.config))
    }

    /// Tells what is stored by now.
    fn settle(&mut self, effects: &mut Vec<OwnerEffect<M>>) {
        let is_stored =
            |place: u64| self.configs().all(|config| config.is_stored(|member| self.has(member, place)));
        // Acknowledgements are cumulative: behind the first that is not stored none is.
        let stored: Vec<_> = self.unstored.keys().copied().take_while(|place| is_stored(*place)).collect();
        for place in stored {
            let entry = self.unstored.remove(&place);
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
        let config = self.changes.iter().rev().map(|change| &change.config).find(|config| config.has(to))?;
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
        self.fenced = self.place;
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
