//! What a member holds of one session, in the order of positions.
//!
//! Most sessions hold one message or a few, and a node holds those of many: so they stand side by side in one piece of memory,
//! which is never much longer than what is in it. Of the claim that something is held by an entry has a place in a list, because
//! mostly there is one.

use std::ops::RangeInclusive;

use crate::id::Stamp;
use crate::position::{Position, Segment, Writer};

/// What is held of a session.
#[derive(Debug, Clone)]
pub(super) struct Entries<M> {
    held: Vec<Slot<M>>,
    /// By which claims; each once.
    claims: Vec<Stamp>,
}

/// A position and what is held there, without gaps between the fields.
#[derive(Debug, Clone)]
struct Slot<M> {
    stamp: Stamp,
    number: u64,
    writer: Writer,
    /// Which of the claims.
    claim: u32,
    message: M,
}

impl<M> Default for Entries<M> {
    fn default() -> Self {
        Self { held: Vec::new(), claims: Vec::new() }
    }
}

impl<M> Slot<M> {
    fn at(&self) -> Position {
        let Self { stamp, writer, number, .. } = *self;
        Position { segment: Segment { stamp, writer }, number }
    }
}

impl<M> Entries<M> {
    /// Holds a message by that claim, in place of what stood there.
    pub(super) fn insert(&mut self, at: Position, claim: Stamp, message: M) {
        let Position { segment: Segment { stamp, writer }, number } = at;
        let claim = self.place_of(claim);
        let slot = Slot { stamp, number, writer, claim, message };
        match self.held.binary_search_by_key(&at, Slot::at) {
            Ok(place) => self.held[place] = slot,
            Err(place) => {
                if self.held.len() == self.held.capacity() {
                    self.held.reserve_exact(1 + self.held.len() / GROWTH);
                }
                self.held.insert(place, slot);
            }
        }
    }

    /// Holds no more than that for which this holds.
    pub(super) fn retain(&mut self, stays: impl Fn(Position, Stamp, &M) -> bool) {
        let Self { held, claims } = self;
        held.retain(|slot| stays(slot.at(), claims[slot.claim as usize], &slot.message));
        if held.is_empty() {
            self.clear();
        } else if held.len() + held.len() / GROWTH < held.capacity() / 2 {
            held.shrink_to_fit();
        }
    }

    /// Holds nothing, and takes no memory.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Whether something stands there.
    pub(super) fn has(&self, at: Position) -> bool {
        self.held.binary_search_by_key(&at, Slot::at).is_ok()
    }

    /// All of it, in the order of positions, with the claims.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (Position, Stamp, &M)> {
        self.shown(&self.held)
    }

    /// How many messages there are, and where the last one stands.
    pub(super) fn messages(&self) -> (usize, Option<Position>) {
        let mut messages = self.iter().map(|(at, _, _)| at).filter(|at| at.is_message());
        let last = messages.next_back();
        (messages.count() + usize::from(last.is_some()), last)
    }

    /// The last claim that something is held by.
    pub(super) fn latest(&self) -> Option<Stamp> {
        self.iter().map(|(_, claim, _)| claim).max()
    }

    /// What stands at such positions.
    pub(super) fn range(
        &self,
        within: RangeInclusive<Position>,
    ) -> impl Iterator<Item = (Position, Stamp, &M)> {
        let begin = self.held.partition_point(|slot| slot.at() < *within.start());
        let end = self.held.partition_point(|slot| slot.at() <= *within.end());
        self.shown(&self.held[begin..end.max(begin)])
    }

    fn shown<'a>(
        &'a self,
        slots: &'a [Slot<M>],
    ) -> impl DoubleEndedIterator<Item = (Position, Stamp, &'a M)> {
        slots.iter().map(|slot| (slot.at(), self.claims[slot.claim as usize], &slot.message))
    }

    /// Where that claim stands in the list.
    fn place_of(&mut self, claim: Stamp) -> u32 {
        let found = self.claims.iter().position(|known| *known == claim);
        let place = found.unwrap_or_else(|| {
            self.forget_claims();
            self.claims.reserve_exact(1);
            self.claims.push(claim);
            self.claims.len() - 1
        });
        u32::try_from(place).expect("each claim in the list holds something, and there are fewer")
    }

    /// Leaves claims out that nothing is held by any more.
    fn forget_claims(&mut self) {
        let mut claims = Vec::with_capacity(self.claims.len());
        for slot in &mut self.held {
            let claim = self.claims[slot.claim as usize];
            let place = claims.iter().position(|known| *known == claim).unwrap_or_else(|| {
                claims.push(claim);
                claims.len() - 1
            });
            slot.claim = u32::try_from(place).expect("it was no greater before");
        }
        self.claims = claims;
    }
}

/// The memory grows by one part of so many. Guess: a message moves eight times on the average, and a sixteenth of the memory is empty.
const GROWTH: usize = 8;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn at(stamp: u64, number: u64) -> Position {
        Position { segment: Segment { stamp: Stamp::from_raw(stamp), writer: Writer::from_raw(7) }, number }
    }

    fn all(entries: &Entries<u64>) -> Vec<(Position, Stamp, u64)> {
        entries.iter().map(|(at, claim, message)| (at, claim, *message)).collect()
    }

    /// What is done to the entries of a session: an insertion, or the end of all up to a position or by claims up to one.
    #[derive(Debug, Clone)]
    enum Step {
        Insert(u64, u64, u64),
        Trim(u64, u64),
        Drop(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0..3_u64, 0..40_u64, 0..6_u64).prop_map(|(stamp, number, claim)| Step::Insert(stamp, number, claim)),
            2 => (0..3_u64, 0..40_u64).prop_map(|(stamp, number)| Step::Trim(stamp, number)),
            1 => (0..6_u64).prop_map(Step::Drop),
        ]
    }

    proptest! {
        #[test]
        fn entries_are_a_map_by_position(steps in prop::collection::vec(step(), 0..200)) {
            let (mut entries, mut map) = (Entries::default(), BTreeMap::new());
            for (message, step) in (0..).zip(steps) {
                match step {
                    Step::Insert(stamp, number, claim) => {
                        let claim = Stamp::from_raw(claim);
                        entries.insert(at(stamp, number), claim, message);
                        map.insert(at(stamp, number), (claim, message));
                    }
                    Step::Trim(stamp, number) => {
                        entries.retain(|at, _, _| at.segment.stamp != Stamp::from_raw(stamp) || at.number > number);
                        map.retain(|at, _| at.segment.stamp != Stamp::from_raw(stamp) || at.number > number);
                    }
                    Step::Drop(upto) => {
                        entries.retain(|_, claim, _| claim > Stamp::from_raw(upto));
                        map.retain(|_, (claim, _)| *claim > Stamp::from_raw(upto));
                    }
                }
                let expected: Vec<_> = map.iter().map(|(at, (claim, message))| (*at, *claim, *message)).collect();
                prop_assert_eq!(all(&entries), expected);
                prop_assert!(entries.claims.len() <= map.len() + 6, "claims do not pile up");
                let within = at(1, 5)..=at(1, 20);
                let found: Vec<_> = entries.range(within.clone()).map(|(at, _, _)| at).collect();
                prop_assert_eq!(found, map.range(within).map(|(at, _)| *at).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn a_message_takes_little_beside_itself_and_what_is_gone_takes_nothing() {
        assert_eq!(size_of::<Slot<[u64; 3]>>(), 24 + 24);
        let mut entries = Entries::default();
        entries.insert(at(1, 1), Stamp::from_raw(1), 1);
        assert_eq!((entries.held.capacity(), entries.claims.capacity()), (1, 1));
        for number in 2..=1_000 {
            entries.insert(at(1, number), Stamp::from_raw(1), number);
            assert!(entries.held.capacity() <= entries.held.len() * 9 / 8 + 1);
        }
        entries.retain(|at, _, _| at.number > 990);
        assert!(entries.held.capacity() < 20, "{}", entries.held.capacity());
        entries.retain(|_, _, _| false);
        assert_eq!((entries.held.capacity(), entries.claims.capacity()), (0, 0));
    }
}
