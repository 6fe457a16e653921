//! What owners do with their groups.

use pushmesh::id::Stamp;
use pushmesh::internals::Key;
use pushmesh::internals::quorum::{Fence, News, OwnerEffect, Position, ToMember};
use rand::Rng;

use crate::id::NodeIndex;
use crate::model::quorum::world::{Event, Frame, Node, World};

impl World {
    /// An owner does something.
    pub(super) fn owns(&mut self, node: NodeIndex, work: impl FnOnce(&mut Node) -> Vec<OwnerEffect<u64>>) {
        let effects = work(&mut self.nodes[node]);
        self.effects(node, effects);
    }

    /// Does what an owner says.
    pub(super) fn effects(&mut self, node: NodeIndex, effects: Vec<OwnerEffect<u64>>) {
        let owner = self.nodes[node].boot.clone();
        let latest = self.nodes[node].owner.latest().clone();
        self.history.configs.insert((owner.clone(), latest.epoch), latest);
        for effect in effects {
            match effect {
                OwnerEffect::Send { to, frame } => {
                    if matches!(frame, ToMember::Open { .. }) {
                        self.count("quorum: a boot is opened");
                    }
                    self.send_on_link(&owner, &to, Frame::ToMember(frame));
                }
                OwnerEffect::Tell(News::Stored { key, claim, at, .. }) => {
                    self.tell(|| format!("{owner:?} has stored {:?} {at:?} by {}", key.device, claim.raw()));
                    self.count("quorum: stored");
                    self.stored(node, key, claim, at);
                    self.known(node, key, claim, Some(at));
                }
                OwnerEffect::Tell(News::Followed { key, claim }) => {
                    self.count("quorum: members know what a session follows");
                    self.known(node, key, claim, None);
                }
                OwnerEffect::Tell(News::Deposed { key, fence }) => {
                    self.tell(|| format!("{owner:?} is deposed of {:?} by {fence:?}", key.device));
                    self.deposed(node, key, &fence);
                }
                OwnerEffect::Announce { config, orphaned } => {
                    self.tell(|| format!("{owner:?} announces {config:?}, orphaned {orphaned}"));
                    self.count(if orphaned {
                        "quorum: a group is orphaned"
                    } else {
                        "quorum: members have changed"
                    });
                    self.announced(node, &config, orphaned);
                    for other in 0..self.nodes.len() {
                        let event = Event::Row { node: other, owner: owner.clone(), config: config.clone() };
                        let travels = if !self.healed && self.rng.random_bool(0.2) { 400 } else { 40 };
                        self.later(if other == node { 1 } else { travels }, event);
                    }
                    // By a node that has not heard of it, as like as not.
                    if !self.healed && self.rng.random_bool(0.1) {
                        self.queue.put(self.now, Event::ClaimOnce);
                    }
                }
            }
        }
    }

    /// Members have what was written for a claim: a message, or what it follows.
    fn known(&mut self, node: NodeIndex, key: Key, stamp: Stamp, at: Option<Position>) {
        let claim = self.nodes[node].sessions.get(&key).copied();
        if let Some(claim) = claim.filter(|claim| self.claims[*claim].stamp() == stamp) {
            self.queue.put(self.now, Event::Known { claim, at });
        }
    }

    /// A session of a node was taken over.
    pub(super) fn deposed(&mut self, node: NodeIndex, key: Key, fence: &Fence) {
        let claimed = self.nodes[node].sessions.get(&key).copied();
        let is_below = |number: &usize| self.claims[*number].takeover.fence() < fence;
        if let Some(number) = claimed.filter(is_below) {
            self.count("quorum: an owner is deposed");
            self.claims[number].over = true;
            self.nodes[node].sessions.remove(&key);
        }
    }
}
