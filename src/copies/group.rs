//! A group of this node: its owner's side, and what its sessions follow for as long as their takeovers are not complete.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::copies::ageing::Ageing;
use crate::copies::gone::forgotten_after;
use crate::id::Stamp;
use crate::key::Key;
use crate::position::Position;
use crate::quorum::{Boot, Deposed, Entry, GroupOwner, OwnerEffect};
use crate::session::Copied;

type Effects = Vec<OwnerEffect<Copied>>;

/// A group of this node.
pub(super) struct OwnGroup {
    pub(super) owner: GroupOwner<Copied>,
    following: BTreeMap<Key, Following>,
    /// Sessions of which something is held and that are not here any more, each with its last claim, and since when.
    gone: BTreeMap<Key, (Stamp, Instant)>,
    ageing: Ageing,
}

/// Whose groups may hold more of a session.
struct Following {
    claim: Stamp,
    owners: Vec<Boot>,
    /// What the members were told of it.
    told: Option<Vec<Boot>>,
}

impl OwnGroup {
    /// The group of the boot `me`, without members.
    pub(super) fn new(me: Boot, ageing: Ageing) -> Self {
        Self { owner: GroupOwner::new(me), following: BTreeMap::new(), gone: BTreeMap::new(), ageing }
    }

    /// A message of a session is to be held. Its members are told first what it follows, if they were not.
    pub(super) fn append(&mut self, entry: Entry<Copied>) -> Result<Effects, Deposed> {
        let Entry { key, claim, .. } = entry;
        let mut effects = Vec::new();
        if self.following.get(&key).is_some_and(|of| of.claim == claim && of.told.is_none()) {
            effects = self.tell(key)?;
        }
        effects.extend(self.owner.append(entry)?);
        Ok(effects)
    }

    /// Of a segment nothing is needed any more up to that number, if anything of it is held.
    pub(super) fn trim(&mut self, key: Key, upto: Position) -> Effects {
        let is_meant = |at: Position| at.segment == upto.segment && at.number <= upto.number;
        let is_held = self.owner.held(key).any(|entry| is_meant(entry.at));
        if is_held { self.owner.trim(key, upto) } else { Vec::new() }
    }

    /// The groups of these may hold more of a session. Its members are told so `now`, or if they were before.
    pub(super) fn follow(
        &mut self,
        key: Key,
        claim: Stamp,
        owners: Vec<Boot>,
        now: bool,
    ) -> Result<Effects, Deposed> {
        let before = self.following.remove(&key).filter(|before| before.claim == claim);
        let told = before.and_then(|before| before.told);
        let tells = now || told.is_some();
        let is_news = told.as_ref() != Some(&owners);
        self.following.insert(key, Following { claim, owners, told });
        if tells && is_news { self.tell(key) } else { Ok(Vec::new()) }
    }

    /// All that any of them holds of it is here, or nobody asks them any more.
    pub(super) fn follow_no_more(
        &mut self,
        key: Key,
        claim: Stamp,
        complete: bool,
    ) -> Result<Effects, Deposed> {
        if self.following.get(&key).is_none_or(|of| of.claim != claim) {
            return Ok(Vec::new());
        }
        let told = self.following.remove(&key).and_then(|of| of.told);
        // Also where others have taken it over from here before: that does not matter any more.
        let is_news = told.is_some() || self.owner.taken_by(key).is_some();
        if complete && is_news { self.owner.follow(key, claim, Vec::new()) } else { Ok(Vec::new()) }
    }

    /// Forgets what is held of sessions that are elsewhere, or nowhere, for longer than they are kept: whoever has taken them over has
    /// it released before.
    pub(super) fn tidy(&mut self, now: Instant, is_here: impl Fn(Key) -> bool) -> Effects {
        if self.ageing.is_due(now) {
            self.owner.age();
        }
        let gone: BTreeMap<_, _> = self.owner.keys().filter(|(key, _)| !is_here(*key)).collect();
        self.gone.retain(|key, (claim, _)| gone.get(key) == Some(claim));
        for (key, claim) in gone {
            self.gone.entry(key).or_insert((claim, now));
        }
        let kept = |key: Key| {
            let kept = self.owner.held(key).map(|entry| entry.message.keep).max().unwrap_or_default();
            forgotten_after(Duration::from_secs(kept.into()))
        };
        let is_over = |(key, (_, since)): &(&Key, &(Stamp, Instant))| {
            now.saturating_duration_since(*since) > kept(**key)
        };
        let over: Vec<_> = self.gone.iter().filter(is_over).map(|(key, (claim, _))| (*key, *claim)).collect();
        over.into_iter().flat_map(|(key, claim)| self.owner.drop_session(key, claim)).collect()
    }

    fn tell(&mut self, key: Key) -> Result<Effects, Deposed> {
        let Some(of) = self.following.get_mut(&key) else { return Ok(Vec::new()) };
        of.told = Some(of.owners.clone());
        self.owner.follow(key, of.claim, of.owners.clone())
    }
}

/// The group of a session: all sessions of a user are in one.
pub(super) fn group_of(key: Key) -> u8 {
    (key.user.high >> (u64::BITS - GROUPS.ilog2())) as u8
}

/// Groups of a node. Source: the design. More spread what a node accepts over more others, and each has members to look after.
pub(super) const GROUPS: u8 = 16;
