//! What is visible at a node, as somebody knows it who reads it and then listens to its changes.
//!
//! Tests and the simulation compare it with the views: what a listener knows has to be what is there.

use std::collections::BTreeMap;

use crate::directory::{Diff, Owned};
use crate::events::{Event, Listener};
use crate::key::Key;
use crate::replica::Replica;

/// A listener and what it knows.
pub struct Mirror {
    /// What it hears by.
    pub listener: Listener,
    sessions: BTreeMap<Key, Owned>,
}

/// What a mirror heard.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Changes.
    pub diffs: usize,
    /// How often it had fallen behind and has read again.
    pub missed: usize,
}

impl Mirror {
    /// Reads what is visible now.
    #[must_use]
    pub fn of(replica: &Replica) -> Self {
        let mut mirror = Self { listener: replica.listen(), sessions: BTreeMap::new() };
        mirror.read(replica);
        mirror
    }

    /// Reads again, after it has missed changes.
    pub fn read(&mut self, replica: &Replica) {
        self.sessions = replica.read_all(&mut self.listener).collect();
    }

    /// Hears of all changes until now.
    ///
    /// # Errors
    /// A change does not fit to what was known before it.
    pub fn hear(&mut self, replica: &Replica) -> Result<Heard, String> {
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
        Ok(heard)
    }

    /// Compares what is known with what is visible, which nobody changes meanwhile.
    ///
    /// # Errors
    /// They differ.
    pub fn check(&self, replica: &Replica) -> Result<(), String> {
        let visible: BTreeMap<_, _> = replica.page(None, usize::MAX).into_iter().collect();
        if self.sessions == visible {
            return Ok(());
        }
        Err(format!("{visible:?} is visible, and {:?} was heard of", self.sessions))
    }
}
