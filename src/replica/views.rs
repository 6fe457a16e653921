//! The views that pushes read: one for each part of the users, each behind its own reader-writer lock.
//!
//! Whoever changes a view tells of what that changed in what is visible before the lock is free again. So listeners hear
//! of the changes of a view in their order.

use std::sync::{Arc, RwLock, RwLockReadGuard};

use crate::config::Takeover;
use crate::directory::{Shards, Slots, View};
use crate::events::{Feed, Listener};
use crate::key::{Key, UserHash};
use crate::limits;

/// All views, in the order of their users.
pub(super) struct Views {
    views: Box<[RwLock<View>]>,
    feed: Feed,
}

impl Views {
    /// How many there are.
    pub(super) const LEN: usize = limits::VIEW_SHARDS;

    /// Empty views, of which a listener may be `diffs_max` changes behind.
    pub(super) fn new(takeover: Takeover, slots: &Arc<Slots>, diffs_max: usize) -> Self {
        let view = || RwLock::new(View::new(BITS, takeover, Arc::clone(slots)));
        Self { views: (0..Self::LEN).map(|_| view()).collect(), feed: Feed::new(Self::LEN, diffs_max) }
    }

    /// The view of a user: its upper bits, so that the views in their order hold the keys in theirs.
    pub(super) fn of(user: UserHash) -> usize {
        (user.high >> (u64::BITS - BITS)) as usize
    }

    /// The views with keys after `after`, in order, and where to begin in each.
    pub(super) fn from(after: Option<Key>) -> impl Iterator<Item = (usize, Option<Key>)> {
        let first = after.map_or(0, |key| Self::of(key.user));
        // The other views have no place for that key: all of theirs come after it.
        (first..Self::LEN).map(move |index| (index, after.filter(|_| index == first)))
    }

    pub(super) fn is_poisoned(&self) -> bool {
        self.views.iter().any(RwLock::is_poisoned)
    }

    pub(super) fn read(&self, index: usize) -> RwLockReadGuard<'_, View> {
        self.views[index].read().expect(NOT_POISONED)
    }

    /// Works with a view, and tells of what that changed.
    pub(super) fn write<R>(&self, index: usize, work: impl FnOnce(&mut View) -> R) -> R {
        let mut view = self.views[index].write().expect(NOT_POISONED);
        let done = work(&mut view);
        if view.is_listened() && !self.feed.tell(index, view.tell()) {
            view.ignore();
        }
        done
    }

    /// See [`Feed::listen`].
    pub(super) fn listen(&self) -> Listener {
        self.feed.listen()
    }
}

impl Shards for &Views {
    fn with<R>(&mut self, user: UserHash, work: impl FnOnce(&mut View) -> R) -> R {
        self.write(Views::of(user), work)
    }
}

const BITS: u32 = limits::VIEW_SHARDS.trailing_zeros();
const NOT_POISONED: &str = "no panic happens under this lock";
