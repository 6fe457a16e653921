//! What a client that came back is told about the messages that it missed.
//!
//! ```text
//!   claimed ─┬─► all of it is here ────────────────────────────────► complete
//!            ├─► some owner is late, or waits itself ──► pending ─┬─ the rest came ─────────► complete
//!            │                                                    └─ nothing came in time ──► partial ── after all ──► complete
//!            ├─► its owner is gone ────────────────────────────────► partial
//!            └─► nobody has it ────────────────────────────────────► none
//! ```
//!
//! Of the session itself only one stamp is needed: the one from which on nothing that was accepted for the client is
//! missing here. It goes from owner to owner with what they hand over.

use crate::id::Stamp;
use crate::metrics::label::ResumedAs;
use crate::position::{Position, Segment};
use crate::session::notice::Resumed;

/// What a client that comes back knows of its earlier sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Returning {
    /// The segment of its resume token.
    pub(crate) token: Option<Segment>,
    /// The positions up to which it has everything.
    pub(crate) after: Vec<Position>,
}

impl Returning {
    /// Up to which number of a segment the client has everything, as it says.
    pub(super) fn has(&self, segment: Segment) -> Option<u64> {
        self.after.iter().filter(|position| position.segment == segment).map(|position| position.number).max()
    }

    /// Whether it says that it had a session before.
    fn is_known(&self) -> bool {
        self.token.is_some() || !self.after.is_empty()
    }

    /// What was before that stamp, and is not known to be here.
    fn missing(&self, since: Stamp) -> Vec<Position> {
        let token = self.token.filter(|token| self.after.iter().all(|position| position.segment != *token));
        let token = token.map(|segment| Position { segment, number: 0 });
        let mut missing: Vec<_> = self.after.iter().copied().chain(token).collect();
        missing.retain(|position| position.segment.stamp < since);
        missing.sort_by_key(|position| position.segment);
        missing
    }
}

/// Where a client's return stands.
#[derive(Debug)]
pub(super) struct Resumption {
    pub(super) returning: Returning,
    /// What the client was told, once it is decided.
    state: Option<ResumedAs>,
    /// An earlier owner has handed over what it had. It may wait itself for what the one before has.
    inherits: bool,
}

impl Resumption {
    pub(super) fn new(returning: Returning) -> Self {
        Self { returning, state: None, inherits: false }
    }

    /// What the client is told now, in whose session nothing is missing from the stamp `since` on.
    pub(super) fn told(&self, since: Stamp) -> Resumed {
        let state = self.state.unwrap_or(ResumedAs::None);
        let partial = state == ResumedAs::Partial;
        Resumed { state, missing: if partial { self.returning.missing(since) } else { Vec::new() } }
    }

    /// Whether the client will be told no more.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, Some(ResumedAs::None | ResumedAs::Complete))
    }

    /// The client is about to be the session, in which nothing is missing from the stamp `since` on. `late`: not all earlier
    /// owners have answered. `gone`: the node that wrote its token is no member.
    pub(super) fn open(&mut self, since: Stamp, late: bool, gone: bool) -> Resumed {
        let missing = self.returning.missing(since);
        let state = match () {
            () if !self.returning.is_known() => ResumedAs::None,
            () if missing.is_empty() => ResumedAs::Complete,
            () if late || self.inherits => ResumedAs::Pending,
            () if gone => ResumedAs::Partial,
            () => ResumedAs::None,
        };
        self.tell(state, missing)
    }

    /// More of its messages have come. Returns what the client is told, if that is new.
    pub(super) fn more(&mut self, since: Stamp) -> Option<Resumed> {
        self.inherits = true;
        let waits = matches!(self.state, Some(ResumedAs::Pending | ResumedAs::Partial));
        let complete = waits && self.returning.missing(since).is_empty();
        complete.then(|| self.tell(ResumedAs::Complete, Vec::new()))
    }

    /// It has waited for long enough.
    pub(super) fn give_up(&mut self, since: Stamp) -> Option<Resumed> {
        let pending = self.state == Some(ResumedAs::Pending);
        pending.then(|| self.tell(ResumedAs::Partial, self.returning.missing(since)))
    }

    fn tell(&mut self, state: ResumedAs, missing: Vec<Position>) -> Resumed {
        self.state = Some(state);
        Resumed { state, missing: if state == ResumedAs::Partial { missing } else { Vec::new() } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::Writer;

    fn segment(stamp: u64) -> Segment {
        Segment { stamp: Stamp::from_raw(stamp), writer: Writer::from_raw(1) }
    }

    fn at(stamp: u64, number: u64) -> Position {
        Position { segment: segment(stamp), number }
    }

    fn returning(token: u64, after: &[(u64, u64)]) -> Resumption {
        let after = after.iter().map(|(stamp, number)| at(*stamp, *number)).collect();
        Resumption::new(Returning { token: Some(segment(token)), after })
    }

    fn told(state: ResumedAs, missing: &[(u64, u64)]) -> Resumed {
        Resumed { state, missing: missing.iter().map(|(stamp, number)| at(*stamp, *number)).collect() }
    }

    fn since(stamp: u64) -> Stamp {
        Stamp::from_raw(stamp)
    }

    #[test]
    fn a_client_is_complete_where_the_chain_of_its_owners_reaches_back_to_all_that_it_knows() {
        let open =
            |since_stamp, late, gone| returning(5, &[(4, 9), (5, 2)]).open(since(since_stamp), late, gone);
        assert_eq!(open(4, false, false), told(ResumedAs::Complete, &[]));
        assert_eq!(open(4, true, false), told(ResumedAs::Complete, &[]), "whoever is late has nothing more");
        assert_eq!(open(5, false, true), told(ResumedAs::Partial, &[(4, 9)]));
        assert_eq!(open(9, false, true), told(ResumedAs::Partial, &[(4, 9), (5, 2)]));
        assert_eq!(open(9, true, false), told(ResumedAs::Pending, &[]));
        assert_eq!(open(9, false, false), told(ResumedAs::None, &[]), "its session is over");
    }

    #[test]
    fn whoever_is_followed_so_closely_that_the_rest_is_on_its_way_waits_for_it() {
        let mut waits = returning(5, &[]);
        assert_eq!(waits.more(since(7)), None, "the next owner has not got it yet either");
        assert_eq!(waits.open(since(7), false, false).state, ResumedAs::Pending);
        assert_eq!(waits.more(since(5)), Some(told(ResumedAs::Complete, &[])));
    }

    #[test]
    fn a_token_counts_without_a_position_and_a_new_client_is_told_that_it_is_new() {
        assert_eq!(returning(5, &[]).open(since(6), false, true), told(ResumedAs::Partial, &[(5, 0)]));
        assert_eq!(returning(5, &[]).open(since(5), false, false), told(ResumedAs::Complete, &[]));
        let mut new = Resumption::new(Returning::default());
        assert_eq!(new.open(since(6), true, false), told(ResumedAs::None, &[]));
        assert_eq!((new.more(since(1)), new.give_up(since(6))), (None, None));
    }

    #[test]
    fn who_waits_is_told_once_that_it_came_or_that_it_did_not_and_then_that_it_came_after_all() {
        let mut waits = returning(5, &[]);
        assert_eq!(waits.open(since(9), true, false).state, ResumedAs::Pending);
        assert_eq!(waits.more(since(8)), None, "some, and not all");
        assert_eq!(waits.give_up(since(8)), Some(told(ResumedAs::Partial, &[(5, 0)])));
        assert_eq!(waits.give_up(since(8)), None);
        assert_eq!(waits.more(since(5)), Some(told(ResumedAs::Complete, &[])));
        assert_eq!(waits.more(since(5)), None);
    }
}
