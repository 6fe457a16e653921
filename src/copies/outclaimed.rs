//! Claims that stand above those of this node, and that the directory may not show: the next one of a client is made above them, and none
//! is made for a client that is away.

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::id::Stamp;
use crate::key::Key;
use crate::limits;

/// The stamps of such claims, by their sessions.
#[derive(Default)]
pub(super) struct Outclaimed(Mutex<BTreeMap<Key, Stamp>>);

impl Outclaimed {
    /// There is such a claim.
    pub(super) fn note(&self, key: Key, stamp: Stamp) {
        let mut stamps = self.0.lock().expect(NOT_POISONED);
        // Of any that is forgotten the next claim is told again.
        while stamps.len() >= limits::OUTCLAIMED_MAX {
            stamps.pop_first();
        }
        let above = stamps.entry(key).or_insert(stamp);
        *above = stamp.max(*above);
    }

    /// The stamp that the next claim of a session has to be above.
    pub(super) fn get(&self, key: Key) -> Option<Stamp> {
        self.0.lock().expect(NOT_POISONED).get(&key).copied()
    }

    /// Whether a panic has left it half changed.
    pub(super) fn is_poisoned(&self) -> bool {
        self.0.is_poisoned()
    }
}

const NOT_POISONED: &str = "no panic happens under this lock";
