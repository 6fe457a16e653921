//! What this node accepts for clients that are away is held by other nodes too, and what they accept is held here.
//!
//! ```text
//!   session ── append, trim, end ──► own group (GroupOwner) ── a stream ──►   members at other nodes (GroupMember)
//!           ◄── stored, deposed ───                         ◄── Acked, … ───
//!   whoever takes the session over (Takeover) ── Seal ──► members ── what they hold ──► the new owner's session and group
//! ```
//!
//! The machines of [`quorum`](crate::quorum) decide; here they get locks, streams and time. The sessions of a node are in
//! [`GROUPS`] groups, by their users. Each has members of its own, chosen in [`choice`].
//!
//! A group is locked while a session is, never the other way round: what a group has to tell sessions is told when its lock is free.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;

use crate::config::Takeover;
use crate::id::{NodeName, Stamp};
use crate::key::Key;
use crate::membership::roster::Roster;
use crate::metrics::Metrics;
use crate::quorum::{Boot, News};
use crate::session::{Registry, Store};
use crate::vital::Vitals;

mod absent;
mod ageing;
mod choice;
mod configs;
mod due;
mod explained;
mod former;
mod frame;
pub(crate) mod fuzz;
mod gone;
mod group;
mod holding;
mod look;
mod outclaimed;
mod own;
mod parts;
mod peers;
mod stowed;
mod streams;
mod takeover;
mod takeovers;

pub(crate) use absent::Absent;
use ageing::Ageing;
use configs::Configs;
use due::Due;
pub(crate) use explained::CopiesOf;
use group::{GROUPS, OwnGroup, group_of};
pub(crate) use holding::Amount;
use holding::Holding;
use outclaimed::Outclaimed;
use peers::Peers;
pub(crate) use takeover::{Former, Progress};
pub(crate) use takeovers::Earlier;
use takeovers::Takeovers;

/// What copies are made with.
pub(crate) struct CopiesParts {
    /// This boot.
    pub(crate) me: Boot,
    /// How many other nodes are to hold what this one accepts.
    pub(crate) wants: usize,
    /// For how long sessions are kept, at most.
    pub(crate) keep_max: Duration,
    /// The zone of this node.
    pub(crate) zone: Option<String>,
    /// The policy by which sessions are taken over.
    pub(crate) takeover: Takeover,
    /// The sessions of this node.
    pub(crate) registry: Arc<Registry>,
    /// The members of the cluster.
    pub(crate) roster: Arc<Roster>,
    /// How much may be held.
    pub(crate) store: Arc<Store>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) vitals: Vitals,
    /// How long a client that came back waits for what it missed.
    pub(crate) resume_timeout: Duration,
    /// How long a client has to acknowledge what is not copied then.
    pub(crate) copied_after: Duration,
}

/// The copies of a node's messages at others, and those of others here.
pub(crate) struct Copies {
    parts: CopiesParts,
    groups: [Mutex<OwnGroup>; GROUPS as usize],
    holding: Holding,
    peers: Peers,
    configs: Configs,
    /// What sessions are to be told, and could not be at once.
    untold: Mutex<Vec<News>>,
    due: Due,
    takeovers: Takeovers,
    outclaimed: Outclaimed,
    /// The members may be others now.
    changed: Notify,
}

impl Copies {
    /// No copies yet.
    pub(crate) fn new(parts: CopiesParts) -> Arc<Self> {
        let groups =
            std::array::from_fn(|_| Mutex::new(OwnGroup::new(parts.me.clone(), Ageing::new(parts.keep_max))));
        let asks_for_proof = parts.takeover == Takeover::RejectNewer;
        let holding = Holding::new(parts.me.clone(), asks_for_proof, parts.keep_max);
        let due = Due::new(parts.copied_after);
        Arc::new(Self {
            groups,
            holding,
            peers: Peers::default(),
            configs: Configs::new(parts.keep_max),
            parts,
            untold: Mutex::default(),
            due,
            takeovers: Takeovers::default(),
            outclaimed: Outclaimed::default(),
            changed: Notify::new(),
        })
    }

    /// This boot.
    pub(crate) fn me(&self) -> &Boot {
        &self.parts.me
    }

    /// The stamp that the next claim of a session has to be above, as those know who hold what was accepted for it.
    pub(crate) fn outclaimed(&self, key: Key) -> Option<Stamp> {
        let known = self.group(group_of(key)).owner.taken_by(key).map(|fence| fence.stamp);
        self.outclaimed.get(key).max(known)
    }

    /// How much is held here for each other node. Looks at each message.
    pub(crate) fn held(&self) -> BTreeMap<NodeName, Amount> {
        self.holding.amounts()
    }

    /// Whether other nodes are to hold what this one accepts.
    pub(crate) fn are_made(&self) -> bool {
        self.parts.wants > 0
    }

    /// Whether a panic has left it half changed.
    pub(crate) fn is_poisoned(&self) -> bool {
        let groups = self.groups.iter().any(Mutex::is_poisoned);
        let lists = self.configs.is_poisoned()
            || self.untold.is_poisoned()
            || self.due.is_poisoned()
            || self.takeovers.is_poisoned()
            || self.outclaimed.is_poisoned();
        groups || lists || self.holding.is_poisoned() || self.peers.is_poisoned()
    }

    fn group(&self, group: u8) -> MutexGuard<'_, OwnGroup> {
        self.groups[usize::from(group)].lock().expect(NOT_POISONED)
    }
}

const NOT_POISONED: &str = "no panic happens under this lock";
