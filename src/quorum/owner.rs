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
use crate::position::Position;
use crate::quorum::effect::{Deposed, News, OwnerEffect};
use crate::quorum::entries::Entries;
use crate::quorum::frame::{Accepted, Acked, Entry, Held, Op, Opened, Refusal, Release, ToMember};
use crate::quorum::group::{Boot, Config, Fence};
use crate::quorum::progress::{Change, Stream, Written};

mod look;

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
    held: BTreeMap<Key, Entries<M>>,
    /// What sessions follow, with the claims.
    follows: BTreeMap<Key, (Stamp, Vec<Boot>)>,
    /// What is not stored yet, by its place.
    unstored: BTreeMap<u64, Written>,
    /// Of members and of those that are to be.
    streams: BTreeMap<Boot, Stream>,
    /// Boots that are over.
    over: BTreeSet<Boot>,
    /// For which claims sessions were taken over.
    fences: BTreeMap<Key, BTreeSet<Fence>>,
    /// The claims that have all that lower ones could have.
    settled: BTreeMap<Key, Fence>,
    /// Of these sessions no claim of others was heard since [`GroupOwner::age`] was called last.
    aged: BTreeSet<Key>,
    /// The place of the last message that is stored, or of the last fence: what a change must not lose.
    firm: u64,
}

impl<M: Clone> GroupOwner<M> {
    /// The group of the boot `me`, without members.
    #[must_use]
    pub fn new(me: Boot) -> Self {
        let config = Config { epoch: 0, members: Vec::new() };
        let (log, held, follows, unstored) = Default::default();
        let (streams, over, fences, settled, aged) = Default::default();
        Self {
            me,
            config,
            change: None,
            epoch: 0,
            log,
            place: 0,
            held,
            follows,
            unstored,
            streams,
            over,
            fences,
            settled,
            aged,
            firm: 0,
        }
    }

    /// A message of a session is to be held.
    ///
    /// # Errors
    /// [`Deposed`].
    pub fn append(&mut self, entry: Entry<M>) -> Result<Vec<OwnerEffect<M>>, Deposed> {
        let again = self.has_stored(entry.key, entry.at);
        self.hold(entry, again)
    }

    fn hold(&mut self, entry: Entry<M>, again: bool) -> Result<Vec<OwnerEffect<M>>, Deposed> {
        let Entry { key, claim, at, ref message } = entry;
        self.stands(key, claim)?;
        self.held.entry(key).or_default().insert(at, claim, message.clone());
        Ok(self.write(Written { key, claim, at: Some(at), again }, Op::Append(entry)))
    }

    /// A session was claimed anew by the same boot: what is held of it is held by that claim from now on.
    ///
    /// # Errors
    /// [`Deposed`].
    pub fn claim(&mut self, key: Key, claim: Stamp) -> Result<Vec<OwnerEffect<M>>, Deposed> {
        self.stands(key, claim)?;
        let held: Vec<_> = self.held(key).map(|entry| (self.has_stored(key, entry.at), entry)).collect();
        self.unstored.retain(|_, written| written.key != key);
        let mut effects = Vec::new();
        for (again, entry) in held {
            effects.extend(self.hold(Entry { claim, ..entry }, again)?);
        }
        Ok(effects)
    }

    /// A session was claimed, and what the groups of these boots hold of it may not be here yet. Without any: all of it is.
    ///
    /// # Errors
    /// [`Deposed`].
    pub fn follow(
        &mut self,
        key: Key,
        claim: Stamp,
        owners: Vec<Boot>,
    ) -> Result<Vec<OwnerEffect<M>>, Deposed> {
        self.stands(key, claim)?;
        if owners.is_empty() {
            self.follows.remove(&key);
            // It has all that those could have.
            let own = Fence { stamp: claim, by: self.me.clone() };
            if let Some(all) = self.fences.get_mut(&key) {
                all.retain(|taken| *taken > own);
                if all.is_empty() {
                    self.fences.remove(&key);
                }
            }
        } else {
            self.follows.insert(key, (claim, owners.clone()));
        }
        Ok(self.write(Written { key, claim, at: None, again: false }, Op::Follow { key, claim, owners }))
    }

    /// A claim of another boot stands above those of this one, by the word of the members of another group: nothing is stored for them any
    /// more.
    pub fn depose(&mut self, key: Key, fence: Fence) -> Vec<OwnerEffect<M>> {
        let mut effects = Vec::new();
        self.fence(key, fence, &mut effects);
        effects
    }

    fn stands(&self, key: Key, claim: Stamp) -> Result<(), Deposed> {
        let fence = self.fences.get(&key).and_then(BTreeSet::last);
        let above = fence.filter(|fence| fence.is_above(claim, &self.me));
        above.map_or(Ok(()), |fence| Err(Deposed(fence.clone())))
    }

    fn write(&mut self, written: Written, op: Op<M>) -> Vec<OwnerEffect<M>> {
        let mut effects = self.tell(op);
        self.unstored.insert(self.place, written);
        self.settle(&mut effects);
        effects
    }

    /// Forgets the claims of others of which nothing was heard since the call before. That call was so long ago that no client can be
    /// away for longer: nobody asks any more who has taken its session over.
    pub fn age(&mut self) {
        for key in std::mem::take(&mut self.aged) {
            self.fences.remove(&key);
            self.settled.remove(&key);
        }
        self.aged = self.fences.keys().chain(self.settled.keys()).copied().collect();
    }

    /// Of a segment nothing is needed any more up to that number.
    pub fn trim(&mut self, key: Key, upto: Position) -> Vec<OwnerEffect<M>> {
        self.leave(key, |at, _| at.segment != upto.segment || at.number > upto.number);
        self.tell(Op::Trim { key, upto })
    }

    /// A session is over: nothing is needed any more that was written by claims up to that one.
    pub fn drop_session(&mut self, key: Key, claim: Stamp) -> Vec<OwnerEffect<M>> {
        self.leave(key, |_, of| of > claim);
        self.follow_no_more(key, |of| of <= claim);
        self.tell(Op::Drop { key, claim })
    }

    /// Whoever took a session over has this at members of its own: it is not held here any more.
    pub fn release(&mut self, release: Release) -> Vec<OwnerEffect<M>> {
        let Release { key, ref fence, ref held, complete } = release;
        let me = self.me.clone();
        self.aged.remove(&key);
        let mut effects = Vec::new();
        self.fence(key, fence.clone(), &mut effects);
        self.leave(key, |at, of| !(fence.is_above(of, &me) && held.contains(&at)));
        if complete {
            self.fences.entry(key).or_default().retain(|lower| lower >= fence);
            self.follow_no_more(key, |of| fence.is_above(of, &me));
            let settled = self.settled.remove(&key).max(Some(fence.clone()));
            self.settled.extend(settled.map(|settled| (key, settled)));
        }
        effects.extend(self.tell(Op::Release(release)));
        effects
    }

    /// These are to be the members, and no others that a change was begun for.
    pub fn change(&mut self, members: Vec<Boot>) -> Vec<OwnerEffect<M>> {
        self.epoch += 1;
        let config = Config { epoch: self.epoch, members };
        // Who was opened for another change has to be told for which one it holds all.
        let stays = |member: &&Boot| self.config.has(member) && self.has(member, 0) && !self.lacks(member);
        let new: Vec<_> = config.members.iter().filter(|member| !stays(member)).cloned().collect();
        self.change = Some(Change { config, proposed: false, accepted: BTreeSet::new() });
        let strangers = self.forget_strangers();
        let mut effects: Vec<_> = strangers.iter().filter_map(|to| self.leave_out(to)).collect();
        effects.extend(self.begin(new));
        self.advance(&mut effects);
        effects
    }

    /// The link to a boot is there again: what it may not have got is sent once more.
    pub fn reconnected(&mut self, to: &Boot) -> Vec<OwnerEffect<M>> {
        let Some(stream) = self.streams.get(to).copied() else {
            return self.leave_out(to).into_iter().collect();
        };
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
        // Who has refused something that others have taken is given it: they are about to go. What it has told whoever seals does not
        // count for that: hence with another epoch.
        if config.members.iter().any(|member| self.lacks(member)) {
            let members = config.members.clone();
            effects.extend(self.change(members));
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
            if let Some(change) = &mut self.change {
                change.proposed = true;
            }
            return;
        }
        let orphaned = !is_accepted && !self.config.members.is_empty();
        self.config = config.clone();
        self.change = None;
        // They are told with all others what is in effect.
        self.forget_strangers();
        effects.push(OwnerEffect::Announce { config: self.config.clone(), orphaned });
    }

    /// Tells what is stored by now.
    fn settle(&mut self, effects: &mut Vec<OwnerEffect<M>>) {
        let is_stored = |place: u64| self.config.is_stored(|member| self.has(member, place));
        // Acknowledgements are cumulative: behind the first that is not stored none is.
        let stored: Vec<_> = self.unstored.keys().copied().take_while(|place| is_stored(*place)).collect();
        for place in stored {
            self.firm = self.firm.max(place);
            let Some(Written { key, claim, at, .. }) = self.unstored.remove(&place) else { continue };
            effects.push(OwnerEffect::Tell(match at {
                Some(at) => News::Stored { key, claim, at, place },
                None => News::Followed { key, claim },
            }));
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

    /// Tells a boot that it is no member of the change that is to follow, nor of what is in effect. It was perhaps given something for a
    /// change before that one, and holds that no more; of what is in effect all boots are told.
    fn leave_out(&self, to: &Boot) -> Option<OwnerEffect<M>> {
        let config = self.change.as_ref()?.config.clone();
        let frame = ToMember::Open { config, place: self.place, held: Held::nothing() };
        Some(OwnerEffect::Send { to: to.clone(), frame })
    }

    /// Gives a boot all that is held.
    fn open(&self, to: &Boot) -> Option<OwnerEffect<M>> {
        let config = self.change.as_ref().map(|change| &change.config).filter(|config| config.has(to))?;
        let fences = self.fences.iter().flat_map(|(key, all)| all.iter().map(|fence| (*key, fence.clone())));
        let follows = self.follows.iter().map(|(key, (claim, owners))| (*key, *claim, owners.clone()));
        let held = Held {
            entries: self.held.keys().flat_map(|key| self.held(*key)).collect(),
            follows: follows.collect(),
            fences: fences.collect(),
        };
        let frame = ToMember::Open { config: config.clone(), place: self.place, held };
        Some(OwnerEffect::Send { to: to.clone(), frame })
    }

    fn propose(&self, to: &Boot) -> OwnerEffect<M> {
        let configs = self.configs().cloned().collect();
        OwnerEffect::Send { to: to.clone(), frame: ToMember::Propose { configs } }
    }

    /// A session was taken over for that claim, as a member says. All members are told.
    fn fence(&mut self, key: Key, fence: Fence, effects: &mut Vec<OwnerEffect<M>>) {
        let is_settled = self.settled.get(&key).is_some_and(|settled| *settled > fence);
        if fence.by == self.me || is_settled || self.fences.get(&key).is_some_and(|all| all.contains(&fence))
        {
            return;
        }
        let me = self.me.clone();
        let is_below = |claim: Stamp| fence.is_above(claim, &me);
        let is_deposed =
            self.held.get(&key).is_some_and(|held| held.iter().any(|(_, claim, _)| is_below(claim)));
        // What was not stored by now never is: whoever has taken the session over has it from the owner, or not at all.
        let is_lost = |written: &Written| written.key == key && is_below(written.claim);
        let lost = self.unstored.values().filter(|written| is_lost(written) && !written.again);
        let lost: BTreeSet<_> = lost.filter_map(|written| written.at).collect();
        self.unstored.retain(|_, written| !is_lost(written));
        self.leave(key, |at, _| !lost.contains(&at));
        self.fences.entry(key).or_default().insert(fence.clone());
        self.aged.remove(&key);
        effects.extend(self.tell(Op::Fence { key, fence: fence.clone() }));
        self.firm = self.place;
        if !lost.is_empty() {
            let release = Release { key, fence: fence.clone(), held: lost, complete: false };
            effects.extend(release.parts().into_iter().flat_map(|part| self.tell(Op::Release(part))));
        }
        if is_deposed {
            effects.push(OwnerEffect::Tell(News::Deposed { key, fence }));
        }
    }

    fn leave(&mut self, key: Key, stays: impl Fn(Position, Stamp) -> bool) {
        if let Some(held) = self.held.get_mut(&key) {
            held.retain(|at, claim, _| stays(at, claim));
            if held.is_empty() {
                self.held.remove(&key);
            }
        }
        let stays = |written: &Written| written.at.is_none_or(|at| stays(at, written.claim));
        self.unstored.retain(|_, written| written.key != key || stays(written));
    }

    /// What a session follows is not needed any more, if a claim said so for which this holds.
    fn follow_no_more(&mut self, key: Key, of: impl Fn(Stamp) -> bool) {
        if self.follows.get(&key).is_some_and(|(claim, _)| of(*claim)) {
            self.follows.remove(&key);
        }
    }

    /// What is held of a session.
    pub fn held(&self, key: Key) -> impl Iterator<Item = Entry<M>> {
        self.held.get(&key).into_iter().flat_map(Entries::iter).map(move |held| Entry::at(key, held))
    }

    /// Whether members have had a message that is held, for this claim or an earlier one.
    fn has_stored(&self, key: Key, at: Position) -> bool {
        let is_held = self.held.get(&key).is_some_and(|held| held.has(at));
        let mut unstored =
            self.unstored.values().filter(|written| written.key == key && written.at == Some(at));
        is_held && unstored.all(|written| written.again)
    }

    /// Whether a boot was opened, and has the log up to that place.
    fn has(&self, boot: &Boot, place: u64) -> bool {
        self.streams.get(boot).is_some_and(|stream| stream.opened.is_some() && stream.acked >= place)
    }

    /// Whether a boot has refused something since it was given all.
    fn lacks(&self, boot: &Boot) -> bool {
        self.streams.get(boot).is_some_and(|stream| stream.lacks)
    }

    /// The one that is in effect, and the one that is to follow.
    fn configs(&self) -> impl Iterator<Item = &Config> {
        [&self.config].into_iter().chain(self.change.as_ref().map(|change| &change.config))
    }

    /// Boots that are in no configuration any more get nothing more. Returns those that got something before.
    fn forget_strangers(&mut self) -> Vec<Boot> {
        let members: BTreeSet<_> = self.configs().flat_map(|config| config.members.iter().cloned()).collect();
        let strangers = self.streams.keys().filter(|boot| !members.contains(boot)).cloned().collect();
        self.streams.retain(|boot, _| members.contains(boot));
        self.over.retain(|boot| members.contains(boot));
        strangers
    }
}

// Two claimants could each seal members of their own, and both would pass.
const _: () = assert!(limits::STORED_AT <= limits::COPIES_MAX.div_ceil(2));
