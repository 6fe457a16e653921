//! What a write, or a change of what a section counts for, did to what is visible.
//!
//! The rule is that of Phoenix.Tracker.State: whoever changes the state says what changed, so that nobody has to compare
//! two states. Replaying the diffs of a view over what was visible before gives what is visible now, exactly; the law
//! stands in the tests of the directory.

use crate::directory::Owned;
use crate::key::Key;

/// One key whose visible claim changed. `before` and `after` differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diff {
    /// The key.
    pub key: Key,
    /// The claim that was visible. `None`: the session appeared.
    pub before: Option<Owned>,
    /// The claim that is visible now. `None`: the session is gone.
    pub after: Option<Owned>,
}

impl Diff {
    /// What became of `key`, if anything did.
    pub(super) fn of(key: Key, before: Option<Owned>, after: Option<Owned>) -> Option<Self> {
        (before != after).then_some(Self { key, before, after })
    }
}

/// The diffs of one view, numbered from 1 without a gap. A view says nothing before somebody listens to it.
#[derive(Debug, Default)]
pub(super) struct Diffs {
    listened: bool,
    /// The number of the newest one.
    newest: u64,
    untold: Vec<Diff>,
}

impl Diffs {
    pub(super) fn is_listened(&self) -> bool {
        self.listened
    }

    /// Begins to keep diffs. Returns the number of the newest one so far.
    pub(super) fn listen(&mut self) -> u64 {
        self.listened = true;
        self.newest
    }

    /// Keeps no diffs any more.
    pub(super) fn ignore(&mut self) {
        self.listened = false;
        self.untold.clear();
    }

    pub(super) fn push(&mut self, diff: Option<Diff>) {
        debug_assert!(self.listened, "nobody asks for what nobody hears");
        self.untold.extend(diff);
    }

    /// Those that were not told yet, with their numbers.
    pub(super) fn tell(&mut self) -> impl Iterator<Item = (u64, Diff)> {
        let first = self.newest + 1;
        self.newest += self.untold.len() as u64;
        (first..).zip(self.untold.drain(..))
    }
}
