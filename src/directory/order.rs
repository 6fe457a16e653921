//! Which of the rows of a key wins: the [policy] over the rows whose slot is seen.

use crate::config::Takeover;
use crate::directory::policy::{self, Contender};
use crate::directory::{Claim, Holder, Owned, Row, Slots};
use crate::key::Key;

/// The order of the claims, as the slots and the policy have it.
#[derive(Clone, Copy)]
pub(super) struct Order<'a> {
    pub(super) slots: &'a Slots,
    pub(super) takeover: Takeover,
}

/// A row whose slot is seen.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) row: &'a Row,
    holder: &'a Holder,
}

/// A rule by which one claim wins against another one.
type Rule = fn(Takeover, Contender<'_>, Contender<'_>) -> bool;

impl<'a> Order<'a> {
    /// Whether of two rows of one key the session of `b` ends for that of `a`.
    pub(super) fn beats(self, a: Seen<'_>, b: Seen<'_>) -> bool {
        policy::beats(self.takeover, a.contender(), b.contender())
    }

    /// Of rows of one key, the one that pushes follow.
    pub(super) fn winner(self, rows: impl Iterator<Item = &'a Row>) -> Option<Seen<'a>> {
        self.seen(rows).reduce(|best, row| self.better(policy::leads, row, best))
    }

    /// Of rows of one key, the one whose claim ends all other sessions of the key.
    pub(super) fn rival(self, rows: impl Iterator<Item = &'a Row>) -> Option<Seen<'a>> {
        self.seen(rows).reduce(|best, row| self.better(policy::beats, row, best))
    }

    /// The row of each key that pushes follow, for rows in the order of keys.
    pub(super) fn winners(self, rows: impl Iterator<Item = &'a Row>) -> impl Iterator<Item = Seen<'a>> {
        self.best(rows, policy::leads)
    }

    /// The [rival](Self::rival) of each key, for rows in the order of keys.
    pub(super) fn rivals(self, rows: impl Iterator<Item = &'a Row>) -> impl Iterator<Item = Seen<'a>> {
        self.best(rows, policy::beats)
    }

    /// The rows whose slot is seen.
    pub(super) fn seen(self, rows: impl Iterator<Item = &'a Row>) -> impl Iterator<Item = Seen<'a>> {
        rows.filter_map(move |row| Some(Seen { row, holder: self.slots.seen(row.slot)? }))
    }

    fn best(self, rows: impl Iterator<Item = &'a Row>, rule: Rule) -> impl Iterator<Item = Seen<'a>> {
        let mut seen = self.seen(rows).peekable();
        std::iter::from_fn(move || {
            let mut best = seen.next()?;
            while let Some(next) = seen.next_if(|next| next.row.key == best.row.key) {
                best = self.better(rule, next, best);
            }
            Some(best)
        })
    }

    fn better(self, rule: Rule, a: Seen<'a>, b: Seen<'a>) -> Seen<'a> {
        if rule(self.takeover, a.contender(), b.contender()) { a } else { b }
    }
}

impl<'a> Seen<'a> {
    pub(super) fn key(self) -> Key {
        self.row.key
    }

    /// The claim, as the policy compares it.
    pub(super) fn contender(self) -> Contender<'a> {
        let Claim { stamp, state } = self.row.claim();
        Contender { key: self.row.key, state, age: (stamp, &self.holder.owner, self.holder.incarnation) }
    }

    /// The claim with the name of its owner.
    pub(super) fn owned(self) -> Owned {
        let Holder { owner, incarnation, .. } = self.holder;
        let Claim { stamp, state } = self.row.claim();
        Owned { owner: owner.clone(), incarnation: *incarnation, stamp, state }
    }
}
