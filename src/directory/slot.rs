//! Who stands behind a row: a small number instead of a name, and one flag for all its rows.
//!
//! ```text
//!             begin                end of the snapshot             hide
//!   (free) ──────────► Filling ──────────────────────► Shown ──────────────────► Hidden
//!      ▲                  │                              ▲       prove              │ ▲
//!      │                  │ given up                     └──────── Unproven ◄── show ┘ │
//!      │                  │                                            └───── hide ────┘
//!      └──── swept ─── Retired ◄──── replaced, purged, left: from each of the others
//! ```
//!
//! A slot is one copy of one boot of one node. A snapshot fills a slot that nobody sees, and takes
//! the place of the one before at its end; hiding, showing and forgetting a node change its slot and
//! not its rows. The rows of a retired slot count for nothing and are swept later; only then its
//! number is used again.
//!
//! What is held of a member that was hidden is what it claimed before, and it may have let go since. So
//! when it is shown again its rows are seen, because most of them stand, but they take no session
//! away before they are *proven* to be of today: until then they are unproven.

use crate::id::{Incarnation, NodeName};
use crate::limits;

/// The number of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SlotId(pub(super) u16);

impl SlotId {
    /// This node's own slot.
    pub const OWN: Self = Self(0);
    /// No slot: a place in a table that is free.
    pub const NONE: Self = Self(u16::MAX);

    fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// What the rows of a slot count for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// They are seen, and exclude the sessions that they win against.
    Shown,
    /// Their node was hidden and is back: they are seen, and exclude nobody, because they may be over.
    Unproven,
    /// Their node is dead: kept, not seen.
    Hidden,
    /// They are a part of a snapshot that is arriving.
    Filling,
    /// They are over, and wait for being swept.
    Retired,
}

impl Standing {
    /// Whether the rows are seen: pushes follow them.
    #[must_use]
    pub fn is_seen(self) -> bool {
        matches!(self, Self::Shown | Self::Unproven)
    }
}

/// One slot in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The node.
    pub owner: NodeName,
    /// Its boot.
    pub incarnation: Incarnation,
    /// What its rows count for.
    pub standing: Standing,
}

/// All slots, as they are from a version on.
#[derive(Debug, Clone, Default)]
pub struct Slots {
    holders: Vec<Option<Holder>>,
    version: u64,
}

impl Slots {
    /// The slots of a node that knows only itself.
    #[must_use]
    pub fn new(me: NodeName, incarnation: Incarnation) -> Self {
        Self { holders: vec![Some(Holder { owner: me, incarnation, standing: Standing::Shown })], version: 0 }
    }

    /// Grows with every change.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// How many are in use.
    #[must_use]
    pub fn used(&self) -> usize {
        self.holders.iter().flatten().count()
    }

    /// Who stands behind `slot`.
    #[must_use]
    pub fn get(&self, slot: SlotId) -> Option<&Holder> {
        self.holders.get(slot.index())?.as_ref()
    }

    /// Who stands behind `slot`, if its rows are seen.
    #[must_use]
    pub fn seen(&self, slot: SlotId) -> Option<&Holder> {
        self.get(slot).filter(|holder| holder.standing.is_seen())
    }

    /// Whether the rows of `slot` may exclude sessions.
    #[must_use]
    pub fn is_proven(&self, slot: SlotId) -> bool {
        self.get(slot).is_some_and(|holder| holder.standing == Standing::Shown)
    }

    /// Whether the rows of `slot` wait for being swept.
    #[must_use]
    pub fn is_retired(&self, slot: SlotId) -> bool {
        self.get(slot).is_some_and(|holder| holder.standing == Standing::Retired)
    }

    /// The slots that wait for being swept.
    #[must_use]
    pub fn retired(&self) -> Vec<SlotId> {
        (0..self.holders.len())
            .map(|index| SlotId(index as u16))
            .filter(|slot| self.is_retired(*slot))
            .collect()
    }

    /// The slots whose rows are seen here and were not `before`, or the other way round.
    pub(super) fn turned(&self, before: &Self) -> Vec<SlotId> {
        let all = (0..self.holders.len().max(before.holders.len())).map(|index| SlotId(index as u16));
        all.filter(|slot| self.seen(*slot).is_some() != before.seen(*slot).is_some()).collect()
    }

    /// Whether there are rows that may exclude sessions, and could not `before`.
    pub(super) fn proves_more_than(&self, before: &Self) -> bool {
        let mut all = (0..self.holders.len()).map(|index| SlotId(index as u16));
        all.any(|slot| self.is_proven(slot) && !before.is_proven(slot))
    }

    /// Takes a free slot into use. `None`: there is none before the next sweep.
    pub(super) fn begin(&mut self, owner: NodeName, incarnation: Incarnation) -> Option<SlotId> {
        let holder = Some(Holder { owner, incarnation, standing: Standing::Filling });
        let free = self.holders.iter().position(Option::is_none);
        let index = free.unwrap_or(self.holders.len());
        if index >= limits::SLOTS_MAX {
            return None;
        }
        let slot = SlotId(u16::try_from(index).expect("the bound of slots fits"));
        self.version += 1;
        if free.is_some() {
            self.holders[index] = holder;
        } else {
            self.holders.push(holder);
        }
        Some(slot)
    }

    /// Changes what the rows of a slot count for.
    ///
    /// # Panics
    /// When the slot is free, or retired: nothing returns from there.
    pub(super) fn set(&mut self, slot: SlotId, standing: Standing) {
        let holder = self.holders[slot.index()].as_mut().expect("a slot in use");
        assert!(holder.standing != Standing::Retired, "what is over does not come back");
        holder.standing = standing;
        self.version += 1;
    }

    /// Frees slots whose rows were swept.
    pub(super) fn free(&mut self, slots: &[SlotId]) {
        for slot in slots {
            debug_assert!(self.is_retired(*slot), "only what is retired was swept");
            self.holders[slot.index()] = None;
        }
        self.version += 1;
    }
}

const _: () = assert!(limits::SLOTS_MAX < SlotId::NONE.0 as usize, "one number means none");

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> NodeName {
        NodeName::new(text).unwrap()
    }

    #[test]
    fn the_number_of_a_retired_slot_is_used_again_only_when_it_was_swept() {
        let mut slots = Slots::new(name("me"), Incarnation(1));
        let a = slots.begin(name("a"), Incarnation(1)).unwrap();
        assert_eq!((a, slots.seen(a)), (SlotId(1), None));
        slots.set(a, Standing::Shown);
        assert_eq!(slots.seen(a).map(|holder| holder.owner.as_str()), Some("a"));
        slots.set(a, Standing::Retired);
        assert_eq!(slots.begin(name("b"), Incarnation(1)), Some(SlotId(2)));
        assert_eq!(slots.retired(), [a]);
        slots.free(&[a]);
        assert_eq!(slots.begin(name("c"), Incarnation(1)), Some(a));
    }

    #[test]
    fn rows_that_are_unproven_are_seen_and_prove_nothing() {
        let mut slots = Slots::new(name("me"), Incarnation(1));
        let a = slots.begin(name("a"), Incarnation(1)).unwrap();
        for (standing, seen, proven) in [
            (Standing::Filling, false, false),
            (Standing::Shown, true, true),
            (Standing::Hidden, false, false),
            (Standing::Unproven, true, false),
            (Standing::Retired, false, false),
        ] {
            slots.set(a, standing);
            assert_eq!((slots.seen(a).is_some(), slots.is_proven(a)), (seen, proven), "{standing:?}");
        }
        assert!(slots.is_proven(SlotId::OWN), "nobody doubts its own claims");
    }

    #[test]
    fn slots_have_a_bound() {
        let mut slots = Slots::new(name("me"), Incarnation(1));
        for _ in 1..limits::SLOTS_MAX {
            assert!(slots.begin(name("a"), Incarnation(1)).is_some());
        }
        assert_eq!(slots.begin(name("a"), Incarnation(1)), None);
    }
}
