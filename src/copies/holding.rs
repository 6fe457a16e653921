//! What this node holds for others, as a member of their groups.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use crate::copies::absent::Absent;
use crate::copies::ageing::Ageing;
use crate::copies::frame::LogAnswer;
use crate::copies::gone::{Gone, forgotten_after};
use crate::copies::group::group_of;
use crate::copies::stowed::Stowed;
use crate::id::NodeName;
use crate::key::UserHash;
use crate::position::Position;
use crate::quorum::{Boot, Config, GroupMember, Looked, Release, Seal, SealAnswer, ToMember};
use crate::session::Copied;

/// What this node holds for others.
pub(super) struct Holding {
    me: Boot,
    /// Whether a session is taken over only with what its client, or its owner, has shown.
    asks_for_proof: bool,
    /// For how long sessions are kept, at most.
    keep_max: Duration,
    begin: Instant,
    groups: Mutex<BTreeMap<(Boot, u8), Group>>,
}

/// An amount of messages.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Amount {
    pub(crate) messages: usize,
    /// Those of their payloads.
    pub(crate) bytes: usize,
}

struct Group {
    member: GroupMember<Stowed>,
    /// Its owner.
    gone: Gone,
    ageing: Ageing,
}

impl Holding {
    /// The boot `me` holds nothing yet.
    pub(super) fn new(me: Boot, asks_for_proof: bool, keep_max: Duration) -> Self {
        Self { me, asks_for_proof, keep_max, begin: Instant::now(), groups: Mutex::default() }
    }

    /// An owner tells this boot something as a member of its group.
    pub(super) fn told(&self, owner: &Boot, group: u8, frame: ToMember<Copied>) -> Option<LogAnswer<Copied>> {
        let frame = frame.map(|copied| Stowed::new(copied, self.begin));
        let mut groups = self.lock();
        // It is told that it is no member, and has never been one.
        if let ToMember::Open { config, .. } = &frame
            && !config.has(&self.me)
            && !groups.contains_key(&(owner.clone(), group))
        {
            return None;
        }
        let new = || {
            let member = GroupMember::new(self.me.clone(), owner.clone(), self.asks_for_proof);
            Group { member, gone: Gone::default(), ageing: Ageing::new(self.keep_max) }
        };
        let Group { member, .. } = groups.entry((owner.clone(), group)).or_insert_with(new);
        match frame {
            ToMember::Open { config, place, held } => {
                member.open(config, place, held).map(|opened| LogAnswer::Opened(group, opened))
            }
            ToMember::Logged { place, op } => {
                member.logged(place, op).map(|acked| LogAnswer::Acked(group, acked))
            }
            ToMember::Propose { configs } => {
                member.propose(configs).map(|accepted| LogAnswer::Accepted(group, accepted))
            }
        }
    }

    /// A configuration of a group is in effect.
    pub(super) fn announced(&self, owner: &Boot, group: u8, config: &Config) {
        if let Some(of) = self.lock().get_mut(&(owner.clone(), group)) {
            of.member.announced(config);
        }
    }

    /// A claim takes a session over from the group of that owner.
    pub(super) fn seal(&self, owner: &Boot, seal: Seal) -> SealAnswer<Copied> {
        let group = group_of(seal.key);
        let mut groups = self.lock();
        let member = groups.get_mut(&(owner.clone(), group));
        let answer = member.map_or(SealAnswer::Unknown, |of| of.member.seal(seal));
        drop(groups);
        answer.map(|stowed| stowed.unstow(self.begin))
    }

    /// What a claim has taken over is held elsewhere.
    pub(super) fn release(&self, owner: &Boot, release: Release) {
        let group = group_of(release.key);
        if let Some(of) = self.lock().get_mut(&(owner.clone(), group)) {
            of.member.release(release);
        }
    }

    /// Forgets what nobody can need any more: what owners have accepted that are gone for longer than their sessions are kept. A message
    /// whose own time is over is held: whoever takes it over tells the client.
    pub(super) fn tidy(&self, now: Instant, is_there: impl Fn(&Boot) -> bool) {
        self.lock().retain(|(owner, _), group| {
            let gone = group.gone.look(now, is_there(owner));
            if group.ageing.is_due(now) {
                group.member.age();
            }
            if let Some(gone) = gone {
                let kept = |held: &Stowed| Duration::from_secs(held.keep().into());
                group.member.expire(|held| gone > forgotten_after(kept(held)));
            }
            gone.is_none_or(|gone| gone < forgotten_after(self.keep_max))
        });
    }

    /// The clients that are away of owners that are gone. The first member for which `may_keep` holds keeps their sessions on.
    pub(super) fn absent(
        &self,
        is_there: impl Fn(&Boot) -> bool,
        may_keep: impl Fn(&Boot) -> bool,
    ) -> Vec<Absent> {
        let groups = self.lock();
        let gone = groups.iter().filter(|((owner, _), _)| !is_there(owner));
        let absent = gone.flat_map(|((owner, _), Group { member, .. })| {
            let is_mine = member.members().iter().find(|boot| may_keep(boot)) == Some(&self.me);
            let left = member.left(Position::absences());
            let begin = self.begin;
            left.filter_map(move |entry| Absent::of(owner, entry.map(|held| held.unstow(begin)), is_mine))
        });
        absent.collect()
    }

    /// A client that was away is elsewhere.
    pub(super) fn is_back(&self, Absent { key, owner, stamp, .. }: &Absent) {
        if let Some(of) = self.lock().get_mut(&(owner.clone(), group_of(*key))) {
            of.member.drop_entry(*key, Position::of_absence(*stamp));
        }
    }

    /// Whether this boot is a member of a group whose owner is there.
    pub(super) fn serves(&self, is_there: impl Fn(&Boot) -> bool) -> bool {
        self.lock().iter().any(|((owner, _), group)| group.member.is_member() && is_there(owner))
    }

    /// The sessions of a user of which this boot holds or knows something, as a member of that group.
    pub(super) fn looked_at(&self, owner: &Boot, group: u8, user: UserHash) -> Vec<Looked> {
        self.lock().get(&(owner.clone(), group)).map(|of| of.member.looked_at(user)).unwrap_or_default()
    }

    /// How much is held for each node.
    pub(super) fn amounts(&self) -> BTreeMap<NodeName, Amount> {
        let mut amounts = BTreeMap::<_, Amount>::new();
        for ((owner, _), group) in self.lock().iter() {
            for held in group.member.messages() {
                let amount = amounts.entry(owner.name.clone()).or_default();
                amount.messages += 1;
                amount.bytes += held.payload_bytes();
            }
        }
        amounts
    }

    /// Whether a panic has left it half changed.
    pub(super) fn is_poisoned(&self) -> bool {
        self.groups.is_poisoned()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(Boot, u8), Group>> {
        self.groups.lock().expect("no panic happens under this lock")
    }
}
