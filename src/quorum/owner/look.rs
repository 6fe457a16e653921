//! What a group's owner holds, and how far its members have come.

use std::collections::BTreeSet;

use crate::id::Stamp;
use crate::key::{Key, UserHash};
use crate::position::Position;
use crate::quorum::entries::Entries;
use crate::quorum::frame::Entry;
use crate::quorum::group::{Boot, Config, Fence, Looked};
use crate::quorum::owner::GroupOwner;

impl<M: Clone> GroupOwner<M> {
    /// The configuration that is in effect.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The configuration that is to be in effect in the end.
    #[must_use]
    pub fn latest(&self) -> &Config {
        self.change.as_ref().map_or(&self.config, |change| &change.config)
    }

    /// Whether members are being changed.
    #[must_use]
    pub fn is_changing(&self) -> bool {
        self.change.is_some()
    }

    /// What is held, and not stored.
    pub fn unstored(&self) -> impl Iterator<Item = (Key, Position)> {
        self.unstored.values().filter_map(|written| Some((written.key, written.at?)))
    }

    /// The sessions of a user of which something is held or known.
    #[must_use]
    pub(crate) fn looked_at(&self, user: UserHash) -> Vec<Looked> {
        let keys = self.held.keys().chain(self.fences.keys()).chain(self.settled.keys());
        let keys: BTreeSet<_> = keys.filter(|key| key.user == user).copied().collect();
        let of = |key: Key| {
            let (messages, last) = self.held.get(&key).map(Entries::messages).unwrap_or_default();
            Looked { key, messages, last, fence: self.taken_by(key).cloned() }
        };
        keys.into_iter().map(of).collect()
    }

    /// The greatest claim that is known to have taken a session over.
    #[must_use]
    pub fn taken_by(&self, key: Key) -> Option<&Fence> {
        self.fences.get(&key).and_then(BTreeSet::last).max(self.settled.get(&key))
    }

    /// The sessions of which something is held, each with the last claim that it is held by.
    pub fn keys(&self) -> impl Iterator<Item = (Key, Stamp)> {
        self.held.iter().filter_map(|(key, held)| Some((*key, held.latest()?)))
    }

    /// The members that have the log up to that place.
    pub fn having(&self, place: u64) -> impl Iterator<Item = &Boot> {
        self.config.members.iter().filter(move |member| self.has(member, place))
    }

    /// The members that have all that is stored.
    pub fn having_all(&self) -> impl Iterator<Item = &Boot> {
        self.having(self.firm)
    }

    /// All that is held of all sessions, and stored.
    pub fn stored(&self) -> impl Iterator<Item = Entry<M>> {
        let all = self.held.keys().flat_map(|key| self.held(*key));
        all.filter(|entry| self.has_stored(entry.key, entry.at))
    }

    /// Whose groups hold more of a session, as it was said last: a claim that follows has to ask them as well.
    pub fn follows(&self, key: Key) -> impl Iterator<Item = &Boot> {
        self.follows.get(&key).into_iter().flat_map(|(_, owners)| owners)
    }
}
