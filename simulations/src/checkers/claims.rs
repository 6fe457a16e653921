//! The history of claims: which node claimed which client's session, with which stamp, from when to when, and what
//! it knew then.
//!
//! Every write of every node's own section is taken from its ring of changes, one by one, after every millisecond; where
//! the ring is too small for what happened in one, the section itself is read, and a claim that came and went within
//! that millisecond has no record. A boot that is gone holds nothing any more, but has told nobody: a claim of its has
//! an end in time, and none in its section.

use std::collections::{BTreeMap, BTreeSet};

use pushmesh::NodeName;
use pushmesh::internals::{Claim as Written, ClaimState, Key, Position};

use crate::host::{Boot, session_key};
use crate::id::{ClientIndex, NodeIndex};

/// All claims of a run.
#[derive(Default)]
pub(super) struct Claims {
    clients: BTreeMap<Key, ClientIndex>,
    /// Clients whose keys are not known yet: whoever runs says them.
    unnamed: BTreeSet<ClientIndex>,
    all: BTreeMap<ClientIndex, Vec<Claim>>,
    /// Where the own section of each boot stood, and what it said.
    read: BTreeMap<BootName, Read>,
    /// When a ring of changes did not reach back to the last look, so that claims which came and went in between are not known.
    gaps_ms: BTreeSet<u64>,
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
    /// Whether its client had proven an earlier session, where that makes a difference.
    pub(super) resumed: bool,
    /// When it was made, in milliseconds.
    pub(super) made_ms: u64,
    /// When it was over.
    pub(super) end: Option<End>,
    /// Where the sections stood that its node held when it was made.
    knew: BTreeMap<NodeName, Position>,
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

    /// Whether it was there at that time or later.
    pub(super) fn stands_after(&self, at_ms: u64) -> bool {
        self.end.is_none_or(|end| end.at_ms >= at_ms)
    }

    /// Whether the node that made this claim could not know then that the other one was over: it had not come as far in
    /// the other one's section, or its boot is gone and was not dead to it.
    pub(super) fn believed_in(&self, other: &Claim) -> bool {
        let Some(end) = other.end.filter(|end| end.at_ms < self.made_ms) else { return true };
        let (owner, incarnation) = &other.boot;
        match (self.knew.get(owner), end.version) {
            _ if self.dead.contains(&other.boot) => false,
            (Some(knew), _) if knew.incarnation.0 != *incarnation => knew.incarnation.0 < *incarnation,
            (Some(knew), Some(version)) => knew.version < version,
            (None, _) | (Some(_), None) => true,
        }
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

    /// Whether claims that came or went in this time may be unknown.
    pub(super) fn may_lack(&self, times_ms: std::ops::RangeInclusive<u64>) -> bool {
        self.gaps_ms.range(times_ms).next().is_some()
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
            self.write(now_ms, node, name, boot);
        }
        for name in gone {
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
                self.gaps_ms.insert(now_ms);
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
                continue;
            }
            if before.is_some() {
                self.end(&name, key, End { at_ms: now_ms, version: Some(version) });
            }
            if let Some(claim) = claim {
                self.begin(now_ms, node, &name, key, claim, boot);
            }
        }
    }

    fn begin(&mut self, now_ms: u64, node: NodeIndex, boot: &BootName, key: Key, claim: Written, by: &Boot) {
        let Some(client) = self.clients.get(&key) else { return };
        let knew = by.replica.heads().into_iter().map(|(owner, digest)| (owner, digest.position)).collect();
        let members = by.observer.inside().map(|inside| inside.members).unwrap_or_default().into_iter();
        let dead = members.filter(|(_, (_, state))| *state == "dead");
        let claim = Claim {
            node,
            boot: boot.clone(),
            stamp: claim.stamp.raw(),
            resumed: claim.state == ClaimState::Resumed,
            made_ms: now_ms,
            end: None,
            knew,
            dead: dead.map(|(name, (incarnation, _))| (name, incarnation.0)).collect(),
        };
        self.all.entry(*client).or_default().push(claim);
    }

    fn end(&mut self, boot: &BootName, key: Key, end: End) {
        let claims = self.clients.get(&key).and_then(|client| self.all.get_mut(client));
        let stands = |claim: &&mut Claim| claim.boot == *boot && claim.end.is_none();
        if let Some(claim) = claims.into_iter().flatten().rev().find(stands) {
            claim.end = Some(end);
        }
    }
}

impl Read {
    /// What has to be written to make of these rows those that the boot has now.
    fn differences(&self, boot: &Boot, head: Position) -> Vec<(u64, Key, Option<Written>)> {
        let entries = boot.replica.chunk(boot.replica.me(), None, usize::MAX).unwrap_or_default();
        let now: BTreeMap<_, _> = entries.into_iter().map(|entry| (entry.key, entry.claim)).collect();
        let gone = self.rows.keys().filter(|key| !now.contains_key(key)).map(|key| (*key, None));
        let there = now.iter().map(|(key, claim)| (*key, Some(*claim)));
        let all = gone.chain(there.filter(|(key, claim)| self.rows.get(key) != claim.as_ref()));
        all.map(|(key, claim)| (head.version, key, claim)).collect()
    }
}

#[cfg(test)]
impl Claims {
    /// Adds a claim.
    pub(super) fn put(&mut self, client: ClientIndex, claim: Claim) {
        self.all.entry(client).or_default().push(claim);
    }
}

#[cfg(test)]
impl Claim {
    /// A claim of the first boot of a node, which knows the end of all that is over.
    pub(super) fn made(node: NodeIndex, stamp: u64, made_ms: u64, end: Option<End>) -> Self {
        let name = |node| NodeName::new(crate::id::node_name(node)).expect("it is a name");
        let knows = Position { incarnation: pushmesh::id::Incarnation(1), version: 9 };
        Self {
            node,
            boot: (name(node), 1),
            stamp,
            resumed: false,
            made_ms,
            end,
            knew: (0..9).map(|node| (name(node), knows)).collect(),
            dead: BTreeSet::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_not_come_as_far_as_the_end_of_a_claim_believes_in_it() {
        let over = |version| Claim::made(1, 5, 10, Some(End { at_ms: 20, version }));
        let (claim, before) = (Claim::made(2, 9, 30, None), Claim::made(2, 9, 20, None));
        assert!(claim.believed_in(&Claim::made(1, 5, 10, None)), "it stands");
        assert!(before.believed_in(&over(Some(9))), "it stood");
        assert!(!claim.believed_in(&over(Some(9))) && claim.believed_in(&over(Some(10))));
        assert!(claim.believed_in(&over(None)), "nobody has told it");
        let (mut later, mut dead, mut unknown) = (claim.clone(), claim.clone(), claim);
        later.knew.values_mut().for_each(|position| position.incarnation.0 = 2);
        assert!(
            !later.believed_in(&over(None)) && !later.believed_in(&over(Some(10))),
            "it knew the next boot"
        );
        dead.dead.insert(over(None).boot);
        assert!(!dead.believed_in(&over(None)));
        unknown.knew.clear();
        assert!(unknown.believed_in(&over(Some(9))));
    }
}
