//! The groups of this node: what its sessions have others hold, and what they are told of it.

use std::sync::Arc;

use tokio::time::{Instant, sleep};
use tracing::{Level, debug, enabled, warn};

use crate::copies::frame::{LogAnswer, LogFrame};
use crate::copies::group::{GROUPS, OwnGroup, group_of};
use crate::copies::takeovers::Event;
use crate::copies::{Copies, NOT_POISONED};
use crate::id::Stamp;
use crate::key::Key;
use crate::limits;
use crate::metrics::label::Task;
use crate::position::Position;
use crate::quorum::{Boot, Config, Deposed, Entry, Fence, GroupOwner, News, OwnerEffect, Release};
use crate::session::{CloseReason, Copied, Copying, Session};

impl Copies {
    /// Does something with a group of this node, and what follows from it.
    pub(super) fn act(
        &self,
        group: u8,
        work: impl FnOnce(&mut GroupOwner<Copied>) -> Vec<OwnerEffect<Copied>>,
    ) {
        self.act_in(group, |of| work(&mut of.owner));
    }

    /// The same with all of the group.
    pub(super) fn act_in(&self, group: u8, work: impl FnOnce(&mut OwnGroup) -> Vec<OwnerEffect<Copied>>) {
        let news = {
            let mut of = self.group(group);
            let effects = work(&mut of);
            self.carry_out(group, &of.owner, effects)
        };
        news.into_iter().for_each(|news| self.tell(news));
    }

    /// The same for a session, which may have been taken over.
    pub(super) fn act_for(
        &self,
        key: Key,
        work: impl FnOnce(&mut OwnGroup) -> Result<Vec<OwnerEffect<Copied>>, Deposed>,
    ) {
        self.work_for(key, work).into_iter().for_each(|news| self.tell(news));
    }

    /// The same. Returns what is to be told.
    fn work_for(
        &self,
        key: Key,
        work: impl FnOnce(&mut OwnGroup) -> Result<Vec<OwnerEffect<Copied>>, Deposed>,
    ) -> Vec<News> {
        let group = group_of(key);
        let mut of = self.group(group);
        match work(&mut of) {
            Ok(effects) => self.carry_out(group, &of.owner, effects),
            Err(Deposed(fence)) => vec![News::Deposed { key, fence }],
        }
    }

    /// Does what a group says, in its order: while it is locked. Returns what is to be told when it is not.
    fn carry_out(
        &self,
        group: u8,
        owner: &GroupOwner<Copied>,
        effects: Vec<OwnerEffect<Copied>>,
    ) -> Vec<News> {
        let mut news = Vec::new();
        for effect in effects {
            match effect {
                OwnerEffect::Send { to, frame } => self.peers.send(&to, LogFrame::ToMember { group, frame }),
                OwnerEffect::Tell(told) => {
                    self.say(owner, &told);
                    news.push(told);
                }
                OwnerEffect::Announce { config, orphaned } => {
                    let members: Vec<_> = config.members.iter().map(|boot| boot.name.as_str()).collect();
                    let epoch = config.epoch;
                    if orphaned {
                        warn!(
                            group,
                            epoch,
                            ?members,
                            "all that held copies have restarted; others hold them now"
                        );
                        self.parts.metrics.copies_orphaned.increment(1);
                    } else {
                        debug!(group, epoch, ?members, "other nodes hold copies");
                    }
                    self.say_all(owner);
                    self.configs.learn(&self.parts.me, group, &config);
                    self.takeovers.announce(&self.parts.me, group, &config);
                    self.peers.send_all(&LogFrame::Announced { group, config });
                }
            }
        }
        news
    }

    /// Says by whom a message is held from now on, at level `debug` under a target of its own: there is one line for each.
    fn say(&self, owner: &GroupOwner<Copied>, news: &News) {
        let News::Stored { key, at, place, .. } = news else { return };
        if enabled!(target: STORED, Level::DEBUG)
            && let Some(entry) = owner.held(*key).find(|entry| entry.at == *at)
        {
            self.say_held(&entry, owner.having(*place));
        }
    }

    /// The same of all that is stored, where other members hold it now.
    fn say_all(&self, owner: &GroupOwner<Copied>) {
        if enabled!(target: STORED, Level::DEBUG) {
            owner.stored().for_each(|entry| self.say_held(&entry, owner.having_all()));
        }
    }

    fn say_held<'a>(&self, entry: &Entry<Copied>, members: impl Iterator<Item = &'a Boot>) {
        let Some(session) = self.session(entry.key, entry.claim) else { return };
        let (node, key, at, id) = (&self.parts.me.name, session.names(), entry.at, &entry.message.message.id);
        let members: Vec<_> = members.map(|boot| boot.name.as_str()).collect();
        let members = members.join(",");
        debug!(target: STORED, %node, %key, %at, %id, members, "other nodes hold a message");
    }

    fn tell(&self, news: News) {
        match news {
            News::Stored { key, claim, at, .. } => {
                if let Some(session) = self.session(key, claim) {
                    session.stored(at);
                }
                self.takeovers.tell(key, Some(claim), Event::Stored(at));
            }
            News::Followed { key, claim } => self.takeovers.tell(key, Some(claim), Event::Followed),
            News::Deposed { key, fence } => self.outclaimed_by(key, fence),
        }
    }

    /// A claim stands above that of a session here, as those know who hold what was accepted for it. If its node lives, the directory
    /// shows it soon. Otherwise the client, if it is there, is to come back, and is claimed above it.
    pub(super) fn outclaimed_by(&self, key: Key, fence: Fence) {
        self.outclaimed.note(key, fence.stamp);
        let is_below = |session: &Arc<Session>| fence.is_above(session.stamp(), &self.parts.me);
        let Some(session) = self.parts.registry.get(key).filter(is_below) else { return };
        let session = Arc::downgrade(&session);
        tokio::spawn(self.parts.vitals.contained(Task::Takeover, async move {
            sleep(limits::OUTCLAIMED_SHOWN_WITHIN).await;
            if let Some(session) = session.upgrade().filter(|session| session.closing().is_none()) {
                session.close(CloseReason::TryLater { retry_ms: 0 });
            }
        }));
    }

    /// Tells what could not be told at once.
    pub(super) fn tell_untold(&self) {
        let untold = std::mem::take(&mut *self.untold.lock().expect(NOT_POISONED));
        untold.into_iter().for_each(|news| self.tell(news));
    }

    /// The session of this node that was claimed with that stamp.
    pub(super) fn session(&self, key: Key, claim: Stamp) -> Option<Arc<Session>> {
        self.parts.registry.get(key).filter(|session| session.stamp() == claim)
    }

    /// There is a stream to that boot: it is sent what it may have missed.
    pub(super) fn connected(&self, to: &Boot) {
        for group in 0..GROUPS {
            self.act(group, |owner| owner.reconnected(to));
            if let Some(config) = self.configs.get(&self.parts.me, group) {
                self.peers.send(to, LogFrame::Announced { group, config });
            }
        }
    }

    /// The members of a group of another boot.
    pub(super) fn announced(&self, owner: &Boot, group: u8, config: &Config) {
        if self.configs.learn(owner, group, config) {
            self.holding.announced(owner, group, config);
            self.takeovers.announce(owner, group, config);
        }
    }

    /// Whoever has taken a session over from that owner has it elsewhere.
    pub(super) fn released(&self, owner: &Boot, release: Release) {
        if *owner == self.parts.me {
            self.act(group_of(release.key), |owner| owner.release(release));
        } else {
            self.holding.release(owner, release);
        }
    }

    /// Tells a boot that a session is held elsewhere: as a member of the group of that owner, or as the owner.
    pub(super) fn release(&self, to: &Boot, owner: &Boot, release: Release) {
        for release in release.parts() {
            if *to == self.parts.me {
                self.released(owner, release);
            } else {
                self.peers.send(to, LogFrame::Release { owner: owner.clone(), release });
            }
        }
    }

    /// Whether others hold what this node accepts for that session.
    pub(super) fn has_members(&self, key: Key) -> bool {
        !self.group(group_of(key)).owner.config().members.is_empty()
    }

    /// A boot has answered.
    pub(super) fn answered(&self, from: &Boot, answer: LogAnswer<Copied>) {
        match answer {
            // Parts are put together by whoever reads them.
            LogAnswer::Read | LogAnswer::Part { .. } => {}
            LogAnswer::Full => {
                self.peers.full(from, Instant::now());
                self.changed.notify_one();
            }
            LogAnswer::Opened(group, opened) => self.act(group, |owner| owner.opened(from, opened)),
            LogAnswer::Acked(group, acked) => self.act(group, |owner| owner.acked(from, acked)),
            LogAnswer::Accepted(group, accepted) => self.act(group, |owner| owner.accepted(from, accepted)),
            LogAnswer::Sealed { owner, key, claim, answer } => {
                let answered = Event::Answered { group: owner, from: from.clone(), answer };
                self.takeovers.tell(key, Some(claim), answered);
            }
            LogAnswer::Known { owner, group, config } => self.told_of_former(&owner, group, &config),
        }
    }
}

impl Copying for Copies {
    fn is_made(&self) -> bool {
        self.are_made()
    }

    fn is_possible(&self, key: Key) -> bool {
        self.parts.wants > 0 && self.has_members(key)
    }

    fn append(&self, key: Key, claim: Stamp, at: Position, message: Copied) {
        let replaces = at.replaces();
        let news = self.work_for(key, |of| {
            let mut effects = of.append(Entry { key, claim, at, message })?;
            effects.extend(replaces.into_iter().flat_map(|upto| of.trim(key, upto)));
            Ok(effects)
        });
        if let Some(upto) = replaces {
            self.takeovers.tell(key, None, Event::Trimmed(upto));
        }
        // The session is locked.
        if !news.is_empty() {
            self.untold.lock().expect(NOT_POISONED).extend(news);
            self.changed.notify_one();
        }
    }

    fn trim(&self, key: Key, upto: Position) {
        self.act_in(group_of(key), |of| of.trim(key, upto));
        self.takeovers.tell(key, None, Event::Trimmed(upto));
    }

    fn end(&self, key: Key, claim: Stamp) {
        self.act(group_of(key), |owner| owner.drop_session(key, claim));
    }

    fn look_later(&self, key: Key, claim: Stamp) {
        self.due.add(key, claim);
    }
}

/// The target of the log of what is stored.
const STORED: &str = "pushmesh::stored";

const _: () = assert!(limits::STORED_AT <= limits::COPIES_MAX);
