//! What is visible at a node, as somebody knows it who reads it once and then listens to its changes.

use std::collections::BTreeMap;

use pushmesh::internals::{Diff, Event, Key, Listener, Owned, Replica};

/// A listener and what it knows.
pub(super) struct Mirror {
    listener: Listener,
    sessions: BTreeMap<Key, Owned>,
}

/// What a mirror heard.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Changes.
    pub(super) diffs: usize,
    /// How often it had fallen behind and has read again.
    pub(super) missed: usize,
}

impl Mirror {
    /// Reads what is visible now.
    pub(super) fn of(replica: &Replica) -> Self {
        let mut mirror = Self { listener: replica.listen(), sessions: BTreeMap::new() };
        mirror.read(replica);
        mirror
    }

    fn read(&mut self, replica: &Replica) {
        self.sessions = replica.read_all(&mut self.listener).collect();
    }

    /// Hears of all changes until now.
    ///
    /// # Errors
    /// A change that does not fit to what was known, or what is visible is not what was heard of.
    pub(super) fn hear(&mut self, replica: &Replica) -> Result<Heard, String> {
        let mut heard = Heard::default();
        while let Some(event) = self.listener.try_next() {
            let Event::Diff(Diff { key, before, after }) = event else {
                heard.missed += 1;
                self.read(replica);
                continue;
            };
            heard.diffs += 1;
            let known = match after.clone() {
                Some(owned) => self.sessions.insert(key, owned),
                None => self.sessions.remove(&key),
            };
            if known != before || before == after {
                return Err(format!("{key:?} was {known:?}, and changes from {before:?} to {after:?}"));
            }
        }
        let visible: BTreeMap<_, _> = replica.page(None, usize::MAX).into_iter().collect();
        if self.sessions != visible {
            return Err(format!("{visible:?} is visible, and {:?} was heard of", self.sessions));
        }
        Ok(heard)
    }
}
