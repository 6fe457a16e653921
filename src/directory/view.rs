//! Who owns what, over all sections: the index that every push reads.
//!
//! `View(key) = max by (stamp, node name, incarnation)` over the claims whose owner is not hidden.
//! Hiding an owner is a flag in the owner's slot, not a walk over its claims. A view is one shard
//! of the whole: [`replica`](crate::replica) spreads the keys over several by user.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::ops::Bound;

use crate::directory::{Claim, ClaimState};
use crate::id::{DeviceId, Incarnation, NodeName, SessionKey, Stamp, UserId};

/// One change of the view, as a merge reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ViewChange {
    /// `owner` claims `key`.
    Upsert {
        /// Who.
        owner: NodeName,
        /// In which boot.
        incarnation: Incarnation,
        /// What.
        key: SessionKey,
        /// The claim.
        claim: Claim,
    },
    /// `owner` does not claim `key` any more.
    Remove {
        /// Who.
        owner: NodeName,
        /// What.
        key: SessionKey,
    },
    /// The claims of `owner` count no more, or count again.
    Hidden {
        /// Who.
        owner: NodeName,
        /// Whether they are left out.
        hidden: bool,
    },
}

/// The winning claim of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owned {
    /// The node that holds the connection.
    pub(crate) owner: NodeName,
    /// Its boot.
    pub(crate) incarnation: Incarnation,
    /// Orders the claims of one key.
    pub(crate) stamp: Stamp,
    /// What the owner says of the connection.
    pub(crate) state: ClaimState,
}

/// Exact numbers of what is visible.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Sessions with a visible owner.
    pub(crate) sessions: u64,
    /// Users with at least one of them.
    pub(crate) users: u64,
    /// Sessions by owner.
    pub(crate) by_node: BTreeMap<NodeName, u64>,
}

/// The claims of some of the users.
#[derive(Default)]
pub(crate) struct View {
    users: BTreeMap<UserId, BTreeMap<DeviceId, Vec<Row>>>,
    hidden: BTreeSet<NodeName>,
}

#[derive(Clone)]
struct Row {
    owner: NodeName,
    incarnation: Incarnation,
    claim: Claim,
}

impl View {
    /// Applies one change. [`ViewChange::Hidden`] goes to every shard, the others to the user's.
    pub(crate) fn apply(&mut self, change: &ViewChange) {
        match change {
            ViewChange::Upsert { owner, incarnation, key, claim } => {
                let row = Row { owner: owner.clone(), incarnation: *incarnation, claim: *claim };
                self.upsert(key, row);
            }
            ViewChange::Remove { owner, key } => self.remove(key, owner),
            ViewChange::Hidden { owner, hidden: true } => {
                self.hidden.insert(owner.clone());
            }
            ViewChange::Hidden { owner, hidden: false } => {
                self.hidden.remove(owner);
            }
        }
    }

    fn upsert(&mut self, key: &SessionKey, row: Row) {
        let rows = self.users.entry(key.user.clone()).or_default().entry(key.device.clone()).or_default();
        match rows.iter_mut().find(|held| held.owner == row.owner) {
            Some(held) => *held = row,
            None => {
                rows.reserve_exact(1); // One row is the rule: no spare room for a second.
                rows.push(row);
            }
        }
    }

    fn remove(&mut self, key: &SessionKey, owner: &NodeName) {
        let Some(devices) = self.users.get_mut(&key.user) else { return };
        if let Some(rows) = devices.get_mut(&key.device) {
            rows.retain(|row| row.owner != *owner);
            if rows.is_empty() {
                devices.remove(&key.device);
            }
        }
        if devices.is_empty() {
            self.users.remove(&key.user);
        }
    }

    /// The visible owner of a session.
    pub(crate) fn lookup(&self, key: &SessionKey) -> Option<Owned> {
        self.winner(self.users.get(&key.user)?.get(&key.device)?)
    }

    /// The greatest stamp of a key, hidden owners included: what a new claim has to exceed.
    pub(crate) fn stamp(&self, key: &SessionKey) -> Option<Stamp> {
        self.users.get(&key.user)?.get(&key.device)?.iter().map(|row| row.claim.stamp).max()
    }

    /// The visible sessions of a user, ordered by device.
    pub(crate) fn user(&self, user: &UserId) -> Vec<(DeviceId, Owned)> {
        let Some(devices) = self.users.get(user) else { return Vec::new() };
        devices.iter().filter_map(|(device, rows)| Some((device.clone(), self.winner(rows)?))).collect()
    }

    /// Up to `sessions_max` visible sessions after `after`, in the order of keys.
    pub(crate) fn page(&self, after: Option<&SessionKey>, sessions_max: usize) -> Vec<(SessionKey, Owned)> {
        let start = after.map_or(Bound::Unbounded, |key| Bound::Included(&key.user));
        self.users
            .range::<UserId, _>((start, Bound::Unbounded))
            .flat_map(|(user, devices)| devices.iter().map(move |(device, rows)| (user, device, rows)))
            .filter(|(user, device, _)| after.is_none_or(|a| (*user, *device) > (&a.user, &a.device)))
            .filter_map(|(user, device, rows)| {
                Some((SessionKey::new(user.clone(), device.clone()), self.winner(rows)?))
            })
            .take(sessions_max)
            .collect()
    }

    /// Adds what is visible here to `counts`. Walks all claims.
    pub(crate) fn count(&self, counts: &mut Counts) {
        for devices in self.users.values() {
            let owners = devices.values().filter_map(|rows| self.winner(rows));
            let before = counts.sessions;
            for owned in owners {
                counts.sessions += 1;
                *counts.by_node.entry(owned.owner).or_default() += 1;
            }
            counts.users += u64::from(counts.sessions > before);
        }
    }

    fn winner(&self, rows: &[Row]) -> Option<Owned> {
        let visible = rows.iter().filter(|row| self.hidden.is_empty() || !self.hidden.contains(&row.owner));
        let row = visible.max_by_key(|row| (row.claim.stamp, &row.owner, row.incarnation))?;
        Some(Owned {
            owner: row.owner.clone(),
            incarnation: row.incarnation,
            stamp: row.claim.stamp,
            state: row.claim.state,
        })
    }
}
