//! What must be true of what has happened.

use std::collections::BTreeSet;

use pushmesh::id::Stamp;
use pushmesh::internals::Key;
use pushmesh::internals::quorum::{Boot, Config, Entry, Fence, SealAnswer};

use crate::id::NodeIndex;
use crate::model::quorum::history::{Place, place_of};
use crate::model::quorum::world::World;

impl World {
    /// The owner calls a message stored.
    pub(super) fn stored(&mut self, key: Key, stamp: Stamp, number: u64) {
        let place = (key, stamp, number);
        if !self.history.stored.insert(place) {
            self.fail("a message is stored once", format!("{place:?}"));
        }
        if self.history.orphaned {
            return;
        }
        let own = Fence { stamp, by: self.nodes[0].boot.clone() };
        let beyond = self
            .history
            .sealed
            .iter()
            .find(|(of, fence, _, brought)| *of == key && *fence > own && !brought.contains(&place));
        if let Some((_, fence, ..)) = beyond {
            let what = format!("{place:?} is stored, although {fence:?} had sealed without it");
            self.fail("what is stored later is in what was sealed before", what);
        }
        let in_effect = self.history.configs.get(&self.history.announced);
        let lost = in_effect.filter(|config| !config.is_stored(|boot| self.holds(boot, &place)));
        if let Some(config) = lost {
            let what = format!("{place:?} is stored, and is not at {config:?}");
            self.fail("what is stored is held by enough members that are in effect", what);
        }
        self.count("quorum: checked, what is stored is held");
    }

    /// Whether a boot holds a message, as it was looked at last, or nobody needs it.
    fn holds(&self, boot: &Boot, place: &Place) -> bool {
        let held = self.history.held.get(boot).is_some_and(|held| held.contains(place));
        held || self.history.forgotten.contains(place)
    }

    /// Members have changed.
    pub(super) fn announced(&mut self, config: &Config, orphaned: bool) {
        self.history.announced = config.epoch;
        self.history.orphaned |= orphaned;
        if self.history.orphaned || config.members.is_empty() {
            return;
        }
        // Whoever has sealed has it.
        let moved = |place: &Place| self.history.sealed.iter().any(|(.., brought)| brought.contains(place));
        let mut due = self.history.stored.iter().filter(|place| !moved(place));
        let lost = due.find(|place| !config.is_stored(|boot| self.holds(boot, place))).copied();
        if let Some(place) = lost {
            let what = format!("{place:?} is stored, and is not at {config:?}");
            self.fail("what is stored is held by enough members that are in effect", what);
        }
    }

    /// A takeover is complete.
    pub(super) fn sealed(&mut self, claim: usize, entries: &[Entry<u64>]) {
        let claim = &self.claims[claim];
        let (key, fence, begun) = (claim.key, claim.sealing.fence().clone(), claim.begun);
        let owner = self.nodes[0].boot.clone();
        let brought: BTreeSet<_> = entries.iter().map(place_of).collect();
        let is_below = |stamp: Stamp| Fence { stamp, by: owner.clone() } < fence;
        // What was sealed before is with whoever sealed it.
        let moved = |place: &Place| self.history.sealed.iter().any(|(.., brought)| brought.contains(place));
        let due = self.history.stored.difference(&self.history.forgotten).filter(|place| !moved(place));
        let missed = due
            .filter(|(of, stamp, _)| *of == key && is_below(*stamp))
            .find(|place| !brought.contains(*place));
        let lower = self
            .history
            .sealed
            .iter()
            .find(|(of, before, at, _)| *of == key && *before > fence && *at < begun);
        let wrong = match (missed, lower) {
            _ if self.history.orphaned => None,
            (Some(missed), _) => {
                let what = format!("{fence:?} has sealed, and has not got {missed:?}");
                Some(("whoever seals gets all that was stored", what))
            }
            (None, Some((_, before, ..))) => {
                let what = format!("{fence:?} has sealed after {before:?}");
                Some(("a claim that was sealed stands against lower ones", what))
            }
            (None, None) => None,
        };
        if let Some((checker, what)) = wrong {
            self.fail(checker, what);
        }
        self.count("quorum: checked, sealed");
        self.history.sealed.push((key, fence, self.now, brought));
    }

    /// A member has answered to a takeover.
    pub(super) fn answered(
        &mut self,
        boot: &Boot,
        claim: usize,
        shown: Option<Stamp>,
        answer: &SealAnswer<u64>,
    ) {
        let (epoch, latest) = match answer {
            SealAnswer::Tail { epoch, entries, .. } => {
                (*epoch, entries.iter().map(|entry| entry.stamp).max())
            }
            _ => return,
        };
        if !self.history.configs.get(&epoch).is_some_and(|config| config.has(boot)) {
            self.fail("only members of the epoch answer what they hold", format!("{boot:?} at {epoch}"));
        }
        if self.asks_for_proof && latest > shown {
            let fence = self.claims[claim].sealing.fence();
            self.fail(
                "where proof is asked for, nobody seals without it",
                format!("{fence:?} has shown {shown:?}"),
            );
        }
    }

    /// Something has happened at a member. `carried`: it was given what others hold.
    pub(super) fn look(&mut self, node: NodeIndex, carried: bool) {
        let boot = self.nodes[node].boot.clone();
        let owner = self.nodes[0].boot.clone();
        let member = &self.nodes[node].member;
        let keys: Vec<_> = self.sessions.keys().copied().collect();
        let held: BTreeSet<_> =
            keys.iter().flat_map(|key| member.held(*key)).map(|entry| place_of(&entry)).collect();
        let before = self.history.held.remove(&boot).unwrap_or_default();
        let mut wrong = None;
        for key in keys {
            let fence = member.fence_of(key).cloned();
            let seen = self.history.fences.get(&(boot.clone(), key)).cloned();
            if fence < seen {
                wrong = Some(("a fence grows", format!("{boot:?}: {fence:?} after {seen:?}")));
            }
            let below = |stamp: Stamp| {
                fence.as_ref().is_some_and(|fence| Fence { stamp, by: owner.clone() } < *fence)
            };
            let new =
                held.difference(&before).find(|(of, stamp, _)| *of == key && below(*stamp) && seen == fence);
            if let Some(new) = new.filter(|_| !carried) {
                wrong =
                    Some(("nothing is taken below a fence", format!("{boot:?}: {new:?} below {fence:?}")));
            }
            if let Some(fence) = fence {
                self.history.fences.insert((boot.clone(), key), fence);
            }
        }
        let gone = before.difference(&held).find(|place| !self.history.forgotten.contains(*place));
        let stays = self.history.configs.get(&self.history.announced).is_some_and(|config| config.has(&boot));
        if let Some(gone) =
            gone.filter(|place| stays && self.history.stored.contains(*place) && !self.history.orphaned)
        {
            let what = format!("{boot:?} has forgotten {gone:?}");
            wrong = Some(("a member forgets only what the client has, and what is held elsewhere", what));
        }
        self.history.held.insert(boot, held);
        if let Some((checker, what)) = wrong {
            self.fail(checker, what);
        }
    }

    /// The faults are over for a while: the members are those that there are to be, and all that is held is stored.
    pub(super) fn finish(&mut self) {
        if self.record.failure.is_some() {
            return;
        }
        let Some(owner) = &self.owner else { return };
        let (config, latest) = (owner.config().clone(), owner.latest().clone());
        if config != latest {
            self.fail("members change in the end", format!("{config:?}, and {latest:?} is to be"));
        }
        self.count("quorum: checked, members have changed in the end");
        if let Some(place) = self.waiting().filter(|_| !config.members.is_empty()) {
            self.fail("what is held is stored in the end", format!("{place:?} at {config:?}"));
        }
    }

    /// What the owner has accepted, nobody has taken over, and is not stored.
    fn waiting(&self) -> Option<Place> {
        self.owner.as_ref()?.unstored().find(|place| !self.history.forgotten.contains(place))
    }
}
