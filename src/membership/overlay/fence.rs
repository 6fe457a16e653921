//! What is remembered of names that are no longer listed, so that their past does not come back.
//!
//! chitchat repeats former incarnations for a while. A fence keeps the highest incarnation of a name
//! that is gone: what is said about a lower one is ignored. The same one may return with proof of
//! life, because a partition can be long, unless it said itself that it left. That gossip still calls it live is none: it has
//! to have a later heartbeat. One that an operator has told
//! this node to forget needs a link for that: chitchat calls a member live for seconds after its death.
//!
//! Bounded twice: a fence ends after [`limits::FENCE_KEPT`], and of more than [`limits::PEERS_MAX`]
//! the oldest goes first.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::id::{Incarnation, NodeName};
use crate::limits;
use crate::membership::overlay::member::Member;

/// The fences of all names that are gone.
#[derive(Debug, Default)]
pub(super) struct Fences(BTreeMap<NodeName, Fence>);

#[derive(Debug)]
struct Fence {
    incarnation: Incarnation,
    left: bool,
    /// The last one that is known.
    heartbeat: u64,
    /// An operator says that it is gone for good.
    forgotten: bool,
    since: Duration,
}

/// What an observation says about a member's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// Nothing: somebody has known it.
    None,
    /// Gossip calls it live.
    Live {
        /// With this heartbeat.
        heartbeat: u64,
    },
    /// It has opened a link, or answered one.
    Link,
}

impl Fences {
    /// Remembers a member that is gone from `now` on; `left` if it said so itself.
    pub(super) fn put(&mut self, member: &Member, left: bool, now: Duration) {
        let (incarnation, heartbeat) = (member.incarnation(), member.heartbeat());
        self.insert(
            member.name().clone(),
            Fence { incarnation, left, heartbeat, forgotten: false, since: now },
        );
    }

    /// Remembers an incarnation that is gone for good, as an operator says.
    pub(super) fn put_forgotten(&mut self, name: NodeName, incarnation: Incarnation, now: Duration) {
        self.insert(name, Fence { incarnation, left: false, heartbeat: 0, forgotten: true, since: now });
    }

    /// An operator says that a name which may live beyond a partition is gone for good. Returns its incarnation,
    /// `None` if it was not thought to live.
    pub(super) fn forget(&mut self, name: &NodeName) -> Option<Incarnation> {
        let fence = self.0.get_mut(name).filter(|fence| fence.is_lost())?;
        fence.forgotten = true;
        Some(fence.incarnation)
    }

    fn insert(&mut self, name: NodeName, fence: Fence) {
        self.0.insert(name, fence);
        if self.0.len() > limits::PEERS_MAX {
            let oldest = self.0.iter().min_by_key(|(_, fence)| fence.since).map(|(name, _)| name.clone());
            oldest.and_then(|name| self.0.remove(&name));
        }
        debug_assert!(self.0.len() <= limits::PEERS_MAX, "the fences keep their bound");
    }

    /// Whether a member may be listed under this incarnation, of which there is such a proof of life.
    pub(super) fn admits(&self, name: &NodeName, incarnation: Incarnation, proof: Proof) -> bool {
        self.0.get(name).is_none_or(|fence| {
            let lives = match proof {
                Proof::None => false,
                Proof::Live { heartbeat } => !fence.forgotten && heartbeat > fence.heartbeat,
                Proof::Link => true,
            };
            incarnation > fence.incarnation || (incarnation == fence.incarnation && lives && !fence.left)
        })
    }

    /// Forgets a name: a member of it is listed, and remembers its incarnation itself.
    pub(super) fn remove(&mut self, name: &NodeName) {
        self.0.remove(name);
    }

    /// Forgets what is old enough.
    pub(super) fn expire(&mut self, now: Duration) {
        self.0.retain(|_, fence| now.saturating_sub(fence.since) < limits::FENCE_KEPT);
    }

    /// How many are of names that may live beyond a partition.
    pub(super) fn lost(&self) -> usize {
        self.0.values().filter(|fence| fence.is_lost()).count()
    }

    /// Whether the last boot of a name has said that it left.
    pub(super) fn has_left(&self, name: &NodeName) -> bool {
        self.0.get(name).is_some_and(|fence| fence.left)
    }

    /// The highest incarnation of a name that is gone.
    pub(super) fn incarnation(&self, name: &NodeName) -> Option<Incarnation> {
        self.0.get(name).map(|fence| fence.incarnation)
    }

    /// How many names are remembered.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Fence {
    /// Whether it may live beyond a partition: it neither left by itself nor is called gone for good.
    fn is_lost(&self) -> bool {
        !self.left && !self.forgotten
    }
}
