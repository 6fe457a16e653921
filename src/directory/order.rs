//! Which of two claims wins: the order that the views judge by.
//!
//! `max by (stamp, node name, incarnation)` over the rows whose slot is seen. Under `reject-newer` it is the minimum:
//! there the older claim stays, unless it has yielded or its client has resumed elsewhere ([`Order::leads`]).

use crate::config::Takeover;
use crate::directory::{Claim, ClaimState, Holder, Owned, Row, Slots};
use crate::id::{Incarnation, NodeName, Stamp};

/// The order of the claims, as the slots and the policy have it.
#[derive(Clone, Copy)]
pub(super) struct Order<'a> {
    pub(super) slots: &'a Slots,
    pub(super) takeover: Takeover,
}

impl<'a> Order<'a> {
    /// What decides between visible claims; greater wins.
    pub(super) fn rank(self, row: &Row) -> Option<(Stamp, &'a NodeName, Incarnation)> {
        let holder = self.slots.seen(row.slot)?;
        Some((row.claim().stamp, &holder.owner, holder.incarnation))
    }

    /// Whether of two visible rows of one key the session of `b` ends for that of `a`: strictly, so that none beats
    /// itself.
    pub(super) fn beats(self, a: &Row, b: &Row) -> bool {
        if self.takeover != Takeover::RejectNewer {
            return self.rank(a) > self.rank(b);
        }
        match [a, b].map(|row| row.claim().state == ClaimState::Yielded) {
            [false, false] => self.rank(a) < self.rank(b),
            // Of those that have yielded the last one knows best where the session went.
            [true, true] => self.rank(a) > self.rank(b),
            [a_has, _] => !a_has,
        }
    }

    /// Whether of two visible rows of one key pushes follow `a`. Under `reject-newer` a client that has proven an earlier
    /// session is where it has resumed, whatever the owner of the earlier one says: it may be dead.
    pub(super) fn leads(self, a: &Row, b: &Row) -> bool {
        if self.takeover != Takeover::RejectNewer {
            return self.beats(a, b);
        }
        match [a, b].map(|row| row.claim().state == ClaimState::Resumed) {
            [false, false] => self.beats(a, b),
            [true, true] => self.rank(a) > self.rank(b),
            [a_has, _] => a_has,
        }
    }

    /// Of rows of one key, the one that pushes follow.
    pub(super) fn winner<'r>(self, rows: impl Iterator<Item = &'r Row>) -> Option<&'r Row> {
        rows.filter(|row| self.slots.seen(row.slot).is_some())
            .reduce(|best, row| if self.leads(row, best) { row } else { best })
    }

    /// The row of each key that pushes follow, for rows in the order of keys.
    pub(super) fn winners<'r>(self, rows: impl Iterator<Item = &'r Row>) -> impl Iterator<Item = &'r Row> {
        self.best(rows, Self::leads)
    }

    /// The best visible row of each key, for rows in the order of keys.
    pub(super) fn best<'r>(
        self,
        rows: impl Iterator<Item = &'r Row>,
        better: fn(Self, &Row, &Row) -> bool,
    ) -> impl Iterator<Item = &'r Row> {
        let mut seen = rows.filter(move |row| self.slots.seen(row.slot).is_some()).peekable();
        std::iter::from_fn(move || {
            let mut best = seen.next()?;
            while let Some(row) = seen.next_if(|row| row.key == best.key) {
                if better(self, row, best) {
                    best = row;
                }
            }
            Some(best)
        })
    }

    /// A visible row with the name of its owner.
    pub(super) fn owned(self, row: &Row) -> Owned {
        let Holder { owner, incarnation, .. } =
            self.slots.get(row.slot).expect("a row that wins has a holder");
        let Claim { stamp, state } = row.claim();
        Owned { owner: owner.clone(), incarnation: *incarnation, stamp, state }
    }
}
