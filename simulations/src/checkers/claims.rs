//! The history of claims: which node claimed which client's session, with which stamp, from when to when, and what
//! it knew then.
//!
//! Every write of every node's own section is taken from its ring of changes, one by one, after every millisecond; where
//! the ring is too small for what happened in one, the section itself is read. A claim that came and went within that
//! millisecond is known from the node's log, which also says what its client had proven. A boot that is gone holds nothing
//! any more, but has told nobody: a claim of its has an end in time, and none in its section.

use std::collections::{BTreeMap, BTreeSet};

use pushmesh::NodeName;
use pushmesh::internals::{Claim as Written, ClaimState, DeviceHash, Key, Position};

#[cfg(test)]
use crate::checkers::sight::name_of;
use crate::checkers::sight::{Place, Sight};
use crate::host::{Boot, session_key};
use crate::id::{ClientIndex, NodeIndex, user_of};

/// All claims of a run.
#[derive(Default)]
pub(super) struct Claims {
    clients: BTreeMap<Key, ClientIndex>,
    /// Clients whose keys are not known yet: whoever runs says them.
    unnamed: BTreeSet<ClientIndex>,
    all: BTreeMap<ClientIndex, Vec<Claim>>,
    /// Where the own section of each boot stood, and what it said.
    read: BTreeMap<BootName, Read>,
    /// The last boot of each name.
    boots: BTreeMap<NodeName, LastBoot>,
}

/// A boot of a node: its name and its incarnation.
pub(super) type BootName = (NodeName, u64);

/// A claim, from its begin to its end.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    /// Which node made it.
    pub(super) node: NodeIndex,
    /// Which boot of it.
    pub(super) boot: BootName,
    /// Its stamp.
    pub(super) stamp: u64,
    /// The stamp of the earlier session that its client had proven.
    pub(super) resumed: Option<u64>,
    /// When it was made, in milliseconds.
    pub(super) made_ms: u64,
    /// The first position of its section that has it.
    pub(super) version: u64,
    /// Whether its client was away at some time.
    pub(super) parked: bool,
    /// When it was over.
    pub(super) end: Option<End>,
    /// What its node saw when it was made.
    pub(super) sight: Sight,
    /// The boots that were dead to its node then.
    dead: BTreeSet<BootName>,
}

/// The end of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    /// When, in milliseconds.
    pub(super) at_ms: u64,
    /// The position of its section that has it no more; `None` if its boot is gone.
    pub(super) version: Option<u64>,
}

/// The last boot of a name.
struct LastBoot {
    node: NodeIndex,
    incarnation: u64,
    /// What it has seen of the others.
    sight: Sight,
}

#[derive(Default)]
struct Read {
    node: NodeIndex,
    version: u64,
    rows: BTreeMap<Key, Written>,
}

impl Claim {
    /// Its place among the claims of a session: the greater one is newer.
    pub(super) fn rank(&self) -> (u64, &BootName) {
        (self.stamp, &self.boot)
    }

    /// Whether a node with that sight may have seen it.
    pub(super) fn may_be_seen(&self, sight: &Sight) -> bool {
        let (owner, incarnation) = &self.boot;
        let end = self.end.and_then(|end| end.version);
        sight.may_show(Place { owner, incarnation: *incarnation, begin: self.version, end })
    }

    /// Whether the node that made this claim saw the other one then.
    pub(super) fn saw(&self, other: &Claim) -> bool {
        !self.dead.contains(&other.boot) && other.may_be_seen(&self.sight)
    }
}

impl Claims {
    /// From now on the claims of that client count.
    pub(super) fn follow(&mut self, client: ClientIndex) {
        self.unnamed.insert(client);
    }

    /// The claims of a client, in the order in which they were made.
    pub(super) fn of(&self, client: ClientIndex) -> &[Claim] {
        self.all.get(&client).map(Vec::as_slice).unwrap_or_default()
    }

    /// The clients of a user that have claimed something.
    pub(super) fn clients_of(&self, user: usize) -> impl Iterator<Item = ClientIndex> {
        self.all.keys().copied().filter(move |client| user_of(*client) == user)
    }

    /// The claim of a client that a node made with that stamp.
    pub(super) fn find(&self, client: ClientIndex, node: &NodeName, stamp: u64) -> Option<&Claim> {
        self.of(client).iter().rev().find(|claim| claim.boot.0 == *node && claim.stamp == stamp)
    }

    /// The client of a user that has the device with that hash.
    pub(super) fn client(&self, user: usize, device: DeviceHash) -> Option<ClientIndex> {
        let mut clients = self.clients.iter().filter(|(key, _)| key.device == device);
        clients.find(|(_, client)| user_of(**client) == user).map(|(_, client)| *client)
    }

    /// What the last boot of a node may have seen in the last millisecond.
    pub(super) fn sight(&self, node: &NodeName) -> Option<&Sight> {
        self.boots.get(node).map(|last| &last.sight)
    }

    /// A node says that it claimed a session in the last millisecond, and what its client had proven.
    pub(super) fn claimed(
        &mut self,
        now_ms: u64,
        by: &NodeName,
        client: ClientIndex,
        stamp: u64,
        resumed: Option<u64>,
    ) {
        let Some(LastBoot { node, incarnation, sight }) = self.boots.get(by) else { return };
        let boot = (by.clone(), *incarnation);
        let claims = self.all.entry(client).or_default();
        let is_it = |claim: &&mut Claim| claim.boot == boot && claim.stamp == stamp;
        if let Some(claim) = claims.iter_mut().rev().find(is_it) {
            claim.resumed = resumed;
            return;
        }
        let (version, dead, parked) = (0, BTreeSet::new(), false);
        let end = Some(End { at_ms: now_ms, version: None });
        let (node, sight) = (*node, sight.clone());
        claims.push(Claim { node, boot, stamp, resumed, made_ms: now_ms, version, parked, end, sight, dead });
    }

    /// All that stand now.
    pub(super) fn standing(&self) -> impl Iterator<Item = (ClientIndex, &Claim)> {
        let all = self.all.iter().flat_map(|(client, claims)| claims.iter().map(|claim| (*client, claim)));
        all.filter(|(_, claim)| claim.end.is_none())
    }

    /// Reads what was written in the last millisecond.
    pub(super) fn tick(&mut self, now_ms: u64, boots: &[Option<Boot>]) {
        if let Some(boot) = boots.iter().flatten().next() {
            let hasher = boot.replica.hasher();
            let unnamed = std::mem::take(&mut self.unnamed);
            self.clients.extend(unnamed.into_iter().map(|client| (hasher.key(&session_key(client)), client)));
        }
        let mut gone: BTreeSet<_> = self.read.keys().cloned().collect();
        for (node, boot) in boots.iter().enumerate() {
            let Some(boot) = boot else { continue };
            let name = (boot.replica.me().clone(), boot.incarnation);
            gone.remove(&name);
            let begins = || LastBoot { node, incarnation: boot.incarnation, sight: Sight::default() };
            let last = self.boots.entry(name.0.clone()).or_insert_with(begins);
            if last.incarnation != boot.incarnation {
                *last = begins();
            }
            last.sight.moved(Some(boot.replica.heads()));
            self.write(now_ms, node, name, boot);
        }
        for name in gone {
            if let Some(last) = self.boots.get_mut(&name.0)
                && last.incarnation == name.1
            {
                last.sight.moved(None);
            }
            let rows = self.read.remove(&name).map(|read| read.rows).unwrap_or_default();
            rows.into_keys().for_each(|key| self.end(&name, key, End { at_ms: now_ms, version: None }));
        }
    }

    fn write(&mut self, now_ms: u64, node: NodeIndex, name: BootName, boot: &Boot) {
        let Some(head) = boot.replica.head(&name.0).map(|head| head.digest.position) else { return };
        let read = self.read.entry(name.clone()).or_default();
        read.node = node;
        let mut from = Position { version: read.version, ..head };
        let mut changes = Vec::new();
        while from.version < head.version {
            let Some(delta) = boot.replica.delta_since(&name.0, from, 1).filter(|delta| !delta.is_empty())
            else {
                changes = read.differences(boot, head);
                break;
            };
            let upserts = delta.upserts.0.iter().map(|entry| (entry.key, Some(entry.claim)));
            let removes = delta.removes.0.iter().map(|key| (*key, None));
            changes.extend(upserts.chain(removes).map(|(key, claim)| (delta.to, key, claim)));
            from.version = delta.to;
        }
        read.version = head.version;
        for (version, key, claim) in changes {
            let read = self.read.entry(name.clone()).or_default();
            let before = match claim {
                Some(claim) => read.rows.insert(key, claim),
                None => read.rows.remove(&key),
            };
            if before.map(|before| before.stamp) == claim.map(|claim| claim.stamp) {
                self.parks(&name, key, claim);
                continue;
            }
            if before.is_some() {
                self.end(&name, key, End { at_ms: now_ms, version: Some(version) });
            }
            if let Some(claim) = claim {
                self.begin((now_ms, version), node, &name, key, claim, boot);
            }
        }
    }

    fn begin(
        &mut self,
        (made_ms, version): (u64, u64),
        node: NodeIndex,
        boot: &BootName,
        key: Key,
        claim: Written,
        by: &Boot,
    ) {
        let Some(client) = self.clients.get(&key) else { return };
        let members = by.observer.inside().map(|inside| inside.members).unwrap_or_default().into_iter();
        let dead = members.filter(|(_, (_, state))| *state == "dead");
        let claim = Claim {
            node,
            boot: boot.clone(),
            stamp: claim.stamp.raw(),
            resumed: None,
            made_ms,
            version,
            parked: claim.state == ClaimState::Parked,
            end: None,
            sight: self.sight(&boot.0).cloned().unwrap_or_default(),
            dead: dead.map(|(name, (incarnation, _))| (name, incarnation.0)).collect(),
        };
        self.all.entry(*client).or_default().push(claim);
    }

    fn end(&mut self, boot: &BootName, key: Key, end: End) {
        if let Some(claim) = self.standing_mut(boot, key) {
            claim.end = Some(end);
        }
    }

    /// A claim was written again with its stamp.
    fn parks(&mut self, boot: &BootName, key: Key, written: Option<Written>) {
        let parked = written.is_some_and(|written| written.state == ClaimState::Parked);
        if let Some(claim) = self.standing_mut(boot, key) {
            claim.parked |= parked;
        }
    }

    fn standing_mut(&mut self, boot: &BootName, key: Key) -> Option<&mut Claim> {
        let claims = self.clients.get(&key).and_then(|client| self.all.get_mut(client));
        let stands = |claim: &&mut Claim| claim.boot == *boot && claim.end.is_none();
        claims.into_iter().flatten().rev().find(stands)
    }
}

impl Read {
    /// What has to be written to make of these rows those that the boot has now. At which positions is not known: a claim is
    /// there from the first one that it may be, and until the last one.
    fn differences(&self, boot: &Boot, head: Position) -> Vec<(u64, Key, Option<Written>)> {
        let entries = boot.replica.chunk(boot.replica.me(), None, usize::MAX).unwrap_or_default();
        let now: BTreeMap<_, _> = entries.into_iter().map(|entry| (entry.key, entry.claim)).collect();
        let gone = self.rows.keys().filter(|key| !now.contains_key(key)).map(|key| (*key, None));
        let there = now.iter().map(|(key, claim)| (*key, Some(*claim)));
        let all = gone.chain(there.filter(|(key, claim)| self.rows.get(key) != claim.as_ref()));
        let version = |claim: Option<_>| claim.map_or(head.version, |_| self.version + 1);
        all.map(|(key, claim)| (version(claim), key, claim)).collect()
    }
}

#[cfg(test)]
impl Claims {
    /// Adds a claim, whose device has the number of its client for a hash.
    pub(super) fn put(&mut self, client: ClientIndex, claim: Claim) {
        let user = pushmesh::internals::UserHash { high: 0, low: user_of(client) as u64 };
        self.clients.insert(Key { user, device: DeviceHash(client as u64) }, client);
        let last = LastBoot { node: claim.node, incarnation: claim.boot.1, sight: Sight::of(9, 9) };
        self.boots.insert(claim.boot.0.clone(), last);
        self.all.entry(client).or_default().push(claim);
    }

    /// The claims of a client with that stamp are kept while it is away.
    pub(super) fn park(&mut self, client: ClientIndex, stamp: u64) {
        let claims = self.all.entry(client).or_default().iter_mut();
        claims.filter(|claim| claim.stamp == stamp).for_each(|claim| claim.parked = true);
    }
}

#[cfg(test)]
impl Claim {
    /// A claim of the first boot of a node, which knows the end of all that is over.
    pub(super) fn made(node: NodeIndex, stamp: u64, made_ms: u64, end: Option<End>) -> Self {
        Self {
            node,
            boot: (name_of(node), 1),
            stamp,
            resumed: None,
            made_ms,
            version: 1,
            parked: false,
            end,
            sight: Sight::of(9, 9),
            dead: BTreeSet::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dead_to_a_node_when_it_makes_a_claim_is_not_seen_by_it() {
        let other = Claim::made(1, 5, 10, None);
        let mut claim = Claim::made(2, 9, 30, None);
        assert!(claim.saw(&other));
        claim.dead.insert(other.boot.clone());
        assert!(!claim.saw(&other));
    }

    #[test]
    fn a_claim_that_came_and_went_within_a_millisecond_is_known_from_the_log() {
        let mut claims = Claims::default();
        claims.put(0, Claim::made(1, 5, 10, None));
        let log = |claims: &mut Claims, stamp| claims.claimed(20, &name_of(1), 0, stamp, Some(3));
        log(&mut claims, 5);
        assert_eq!(claims.of(0).len(), 1);
        assert_eq!(claims.of(0)[0].resumed, Some(3));
        log(&mut claims, 7);
        let short = claims.find(0, &name_of(1), 7).expect("the node has said so");
        assert_eq!((short.made_ms, short.end.map(|end| end.at_ms)), (20, Some(20)));
    }
}
