//! What a member answers to a seal in several frames, until all of it is here.
//!
//! A member brings the parts of one answer one after the other. Parts of another one begin anew: so a peer that never comes to an end has
//! one of them here, and what that holds takes room.

use crate::key::Key;
use crate::quorum::{Boot, Entry};
use crate::session::Copied;

/// Parts of one answer.
#[derive(Default)]
pub(super) struct Parts {
    /// Which session of whose group they are of.
    of: Option<(Boot, Key)>,
    entries: Vec<Entry<Copied>>,
    /// There was no room for all of them.
    lacks: bool,
}

impl Parts {
    /// One more.
    pub(super) fn add(&mut self, owner: Boot, key: Key, entries: Vec<Entry<Copied>>) {
        let of = Some((owner, key));
        if self.of != of {
            *self = Self { of, ..Self::default() };
        }
        self.lacks |= entries.iter().any(|entry| !entry.message.has_room());
        if self.lacks {
            self.entries = Vec::new();
        } else {
            self.entries.extend(entries);
        }
    }

    /// The last one. Returns all, or `None` if there was no room for all.
    pub(super) fn end(
        &mut self,
        owner: &Boot,
        key: Key,
        last: Vec<Entry<Copied>>,
    ) -> Option<Vec<Entry<Copied>>> {
        self.add(owner.clone(), key, last);
        let Self { entries, lacks, .. } = std::mem::take(self);
        (!lacks).then_some(entries)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::id::{Incarnation, MessageId, NodeName, Stamp};
    use crate::key::{DeviceHash, UserHash};
    use crate::metrics::Metrics;
    use crate::metrics::label::Origin;
    use crate::position::{Position, Segment};
    use crate::push::{Message, Payload};
    use crate::session::{Store, StoreBounds};

    fn owner() -> Boot {
        Boot { name: NodeName::new("a").unwrap(), incarnation: Incarnation(1) }
    }

    fn key(high: u64) -> Key {
        Key { user: UserHash { high, low: 0 }, device: DeviceHash(0) }
    }

    fn store(bytes: usize) -> Store {
        let bounds = StoreBounds { messages_max: 1, bytes_max: 1, node_bytes_max: bytes };
        Store::new(bounds, Arc::new(Metrics::new()))
    }

    fn entries(numbers: &[u64], store: &Store) -> Vec<Entry<Copied>> {
        let message = Arc::new(Message::new(MessageId::new("m").unwrap(), false, Payload::text("x")));
        let claim = Stamp::from_raw(5);
        let segment = Segment::of(&owner().name, owner().incarnation, claim);
        let entry = |number: &u64| {
            let at = Position { segment, number: *number };
            let message = Arc::clone(&message);
            let message = Copied { message, expires: None, keep: 60, room: store.room(1) };
            Entry { key: key(1), claim, at, message }
        };
        numbers.iter().map(entry).collect()
    }

    fn numbers(entries: Option<Vec<Entry<Copied>>>) -> Option<Vec<u64>> {
        entries.map(|entries| entries.iter().map(|entry| entry.at.number).collect())
    }

    #[test]
    fn parts_of_one_answer_are_put_together_and_those_of_another_one_begin_anew() {
        let store = store(1 << 20);
        let entries = |numbers: &[u64]| entries(numbers, &store);
        let mut parts = Parts::default();
        parts.add(owner(), key(1), entries(&[1, 2]));
        parts.add(owner(), key(1), entries(&[3]));
        assert_eq!(numbers(parts.end(&owner(), key(1), entries(&[4]))), Some(vec![1, 2, 3, 4]));
        assert_eq!(numbers(parts.end(&owner(), key(1), entries(&[5]))), Some(vec![5]));
        parts.add(owner(), key(1), entries(&[1]));
        parts.add(owner(), key(2), entries(&[6]));
        assert_eq!(numbers(parts.end(&owner(), key(2), entries(&[7]))), Some(vec![6, 7]));
        assert_eq!(store.used(Origin::Elsewhere), 0, "nothing is left");
    }

    #[test]
    fn an_answer_for_which_there_was_no_room_is_none_and_nothing_of_it_is_held() {
        let (store, full) = (store(1 << 20), store(0));
        let mut parts = Parts::default();
        parts.add(owner(), key(1), entries(&[1], &store));
        parts.add(owner(), key(1), entries(&[2], &full));
        parts.add(owner(), key(1), entries(&[3], &store));
        assert_eq!((parts.entries.len(), store.used(Origin::Elsewhere)), (0, 0));
        assert_eq!(numbers(parts.end(&owner(), key(1), entries(&[4], &store))), None);
        assert_eq!(numbers(parts.end(&owner(), key(1), entries(&[1], &full))), None);
        assert_eq!(numbers(parts.end(&owner(), key(1), Vec::new())), Some(vec![]));
    }
}
