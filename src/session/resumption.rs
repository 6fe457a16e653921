//! What a client that came back is told about the messages that it missed.
//!
//! ```text
//!   claimed ─┬─► all of it is here ────────────────────────────────► complete
//!            ├─► some owner is late, or waits itself ──► pending ─┬─ the rest came ─────────► complete
//!            │                                                    └─ nothing came in time ──► partial ── after all ──► complete
//!            ├─► its owner is gone, or it is too long ago ─────────► partial
//!            └─► nobody has it ────────────────────────────────────► none
//! ```
//!
//! It is complete when nothing is missing of each segment that it names, or that is known to be an earlier one of its session:
//! of any other one that is here it says nothing, because between two segments there may be a third.
//!
//! A segment is over that was followed by another one longer ago than a session is kept: whoever held what it owed has dropped it.
//! The client is told once more that it is partial, and then that the segment is closed: it need not ask for it for ever.

use crate::limits;
use crate::metrics::label::ResumedAs;
use crate::position::{Position, Segment};
use crate::session::inherited::Inherited;
use crate::session::notice::Resumed;

/// What a client that comes back knows of its earlier sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Returning {
    /// The segment of its resume token.
    pub(crate) token: Option<Segment>,
    /// The positions up to which it has everything.
    pub(crate) after: Vec<Position>,
}

/// What a node knows of the earlier owners of a session when its client is about to be the session here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Earlier {
    /// The sessions that the claim of this one took the place of.
    pub(crate) segments: Vec<Segment>,
    /// Not all of them are known to have handed over what they owed, or to owe nothing.
    pub(crate) late: bool,
    /// The node that wrote the client's token is no member.
    pub(crate) gone: bool,
    /// It is being found out whether other nodes hold something of it.
    pub(crate) sealing: bool,
    /// This node has owned it last, as its client says. Whether another one has since only those know who hold it.
    pub(crate) own: bool,
    /// The time, in milliseconds since the Unix epoch.
    pub(crate) now_ms: u64,
}

impl Returning {
    /// Up to which number of a segment the client has everything, as it says.
    pub(super) fn has(&self, segment: Segment) -> Option<u64> {
        self.after.iter().filter(|position| position.segment == segment).map(|position| position.number).max()
    }

    /// All that it names.
    pub(crate) fn segments(&self) -> Vec<Segment> {
        let named = self.after.iter().map(|position| position.segment).chain(self.token);
        let mut segments: Vec<_> = named.collect();
        segments.sort_unstable();
        segments.dedup();
        segments
    }

    /// Whether it says that it had a session before.
    fn is_known(&self) -> bool {
        self.token.is_some() || !self.after.is_empty()
    }
}

/// Where a client's return stands.
#[derive(Debug)]
pub(super) struct Resumption {
    pub(super) returning: Returning,
    /// Earlier sessions whose owners are late.
    expected: Vec<Segment>,
    /// What the client was told, once it is decided.
    state: Option<ResumedAs>,
    /// An earlier owner has handed over what it had. It may wait itself for what the one before has.
    inherits: bool,
    /// Another node may have owned it since the session that its client names.
    in_doubt: bool,
    /// What was followed by another segment before this time is over, in milliseconds since the Unix epoch.
    over_before_ms: u64,
}

impl Resumption {
    pub(super) fn new(returning: Returning) -> Self {
        Self {
            returning,
            expected: Vec::new(),
            state: None,
            inherits: false,
            in_doubt: false,
            over_before_ms: 0,
        }
    }

    /// What the client is told now.
    pub(super) fn told(&self, inherited: &Inherited) -> Resumed {
        let state = self.state.unwrap_or(ResumedAs::None);
        let partial = state == ResumedAs::Partial;
        Resumed { state, missing: if partial { self.missing(inherited) } else { Vec::new() } }
    }

    /// Whether the client will be told no more.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, Some(ResumedAs::None | ResumedAs::Complete))
    }

    /// The client is about to be the session, which is kept for so many seconds.
    pub(super) fn open(&mut self, inherited: &Inherited, earlier: &Earlier, keep: u32) -> Resumed {
        if earlier.late {
            self.expected.clone_from(&earlier.segments);
        }
        let kept_ms = u64::from(keep) * 1_000 + limits::DROPPED_WITHIN.as_millis() as u64;
        self.over_before_ms = earlier.now_ms.saturating_sub(kept_ms);
        self.in_doubt = earlier.sealing && earlier.own;
        let missing = self.missing(inherited);
        let may_come = earlier.late || earlier.sealing || self.inherits;
        let are_forgotten = missing.iter().all(|position| self.is_forgotten(inherited, position.segment));
        let state = match () {
            () if !self.returning.is_known() => ResumedAs::None,
            () if missing.is_empty() => ResumedAs::Complete,
            () if !may_come && !earlier.gone => ResumedAs::None,
            () if may_come && !are_forgotten => ResumedAs::Pending,
            () => ResumedAs::Partial,
        };
        self.tell(state, missing)
    }

    /// More of its messages have come. Returns what the client is told, if that is new.
    pub(super) fn more(&mut self, inherited: &Inherited) -> Option<Resumed> {
        self.inherits = true;
        self.complete(inherited)
    }

    fn complete(&mut self, inherited: &Inherited) -> Option<Resumed> {
        let waits = matches!(self.state, Some(ResumedAs::Pending | ResumedAs::Partial));
        let complete = waits && self.missing(inherited).is_empty();
        complete.then(|| self.tell(ResumedAs::Complete, Vec::new()))
    }

    /// Nothing is missing any more that other nodes were to hold. Returns what the client is told, if that is new.
    pub(super) fn sealed(&mut self, inherited: &Inherited) -> Option<Resumed> {
        self.in_doubt = false;
        self.complete(inherited)
    }

    /// It has waited for long enough.
    pub(super) fn give_up(&mut self, inherited: &Inherited) -> Option<Resumed> {
        let pending = self.state == Some(ResumedAs::Pending);
        pending.then(|| self.tell(ResumedAs::Partial, self.missing(inherited)))
    }

    /// Which of the positions that it has named it need not name any more: of what is missing there nothing comes. Only once it
    /// was told what is missing.
    pub(super) fn over(&self, inherited: &Inherited) -> Vec<Position> {
        if self.state != Some(ResumedAs::Partial) {
            return Vec::new();
        }
        let mut over = self.missing(inherited);
        over.retain(|position| {
            self.returning.has(position.segment).is_some() && self.is_forgotten(inherited, position.segment)
        });
        over
    }

    /// Whether another claim of the client followed so long ago that nobody has anything of that segment any more. A claim that a
    /// node made for it says nothing of the time: its stamp is just above the one before.
    fn is_forgotten(&self, inherited: &Inherited, segment: Segment) -> bool {
        let Returning { token, after } = &self.returning;
        let named = after.iter().map(|position| &position.segment).chain(token);
        let claimed_ms = segment.stamp.unix_ms();
        named
            .chain(inherited.segments())
            .map(|later| later.stamp.unix_ms())
            .any(|later_ms| later_ms > claimed_ms + ADOPTED_WITHIN_MS && later_ms < self.over_before_ms)
    }

    /// After which positions something may be missing.
    fn missing(&self, inherited: &Inherited) -> Vec<Position> {
        let Returning { token, after } = &self.returning;
        let unnamed =
            token.iter().chain(&self.expected).filter(|segment| self.returning.has(**segment).is_none());
        let unnamed = unnamed.map(|segment| Position { segment: *segment, number: 0 });
        let mut missing: Vec<_> = after.iter().copied().chain(unnamed).collect();
        let is_in_doubt = |segment| self.in_doubt && Some(segment) == *token;
        missing.retain(|Position { segment, .. }| is_in_doubt(*segment) || !inherited.has(*segment));
        missing.sort_by_key(|position| position.segment);
        missing.dedup_by_key(|position| position.segment);
        missing
    }

    fn tell(&mut self, state: ResumedAs, missing: Vec<Position>) -> Resumed {
        self.state = Some(state);
        Resumed { state, missing: if state == ResumedAs::Partial { missing } else { Vec::new() } }
    }
}

/// How far the stamps of nodes that adopt a session one after the other are above that of its client. Arithmetic: a millisecond each,
/// at most.
const ADOPTED_WITHIN_MS: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Stamp;
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

    fn inherited(stamps: &[u64]) -> Inherited {
        let mut inherited = Inherited::default();
        inherited.add(stamps.iter().map(|stamp| segment(*stamp)));
        inherited
    }

    fn earlier(segments: &[u64], late: bool, gone: bool) -> Earlier {
        let segments = segments.iter().map(|stamp| segment(*stamp)).collect();
        Earlier { segments, late, gone, ..Earlier::default() }
    }

    #[test]
    fn a_client_is_complete_where_all_that_it_names_is_here() {
        let open = |here: &[u64], late, gone| {
            returning(5, &[(4, 9), (5, 2)]).open(&inherited(here), &earlier(&[], late, gone), 9)
        };
        assert_eq!(open(&[4, 5], false, false), told(ResumedAs::Complete, &[]));
        assert_eq!(open(&[3, 4, 5], true, false), told(ResumedAs::Complete, &[]), "nobody is expected");
        assert_eq!(open(&[5], false, true), told(ResumedAs::Partial, &[(4, 9)]));
        assert_eq!(
            open(&[3, 6], false, true),
            told(ResumedAs::Partial, &[(4, 9), (5, 2)]),
            "not what is between"
        );
        assert_eq!(open(&[], true, false), told(ResumedAs::Pending, &[]));
        assert_eq!(open(&[], false, false), told(ResumedAs::None, &[]), "its session is over");
    }

    #[test]
    fn a_session_that_the_client_does_not_know_is_waited_for_as_well_while_its_owner_is_late() {
        let mut waits = returning(5, &[(5, 2)]);
        let here = |stamps: &[u64]| inherited(stamps);
        assert_eq!(waits.open(&here(&[5]), &earlier(&[5, 7], true, false), 9), told(ResumedAs::Pending, &[]));
        assert_eq!(waits.give_up(&here(&[5])), Some(told(ResumedAs::Partial, &[(7, 0)])));
        assert_eq!(waits.more(&here(&[5, 7])), Some(told(ResumedAs::Complete, &[])));
        let in_time = returning(5, &[(5, 2)]).open(&here(&[5]), &earlier(&[5, 7], false, false), 9);
        assert_eq!(in_time, told(ResumedAs::Complete, &[]), "its owner has said that it has nothing");
    }

    #[test]
    fn whoever_is_followed_so_closely_that_the_rest_is_on_its_way_waits_for_it() {
        let mut waits = returning(5, &[]);
        assert_eq!(waits.more(&inherited(&[7])), None, "the next owner has not got it yet either");
        let opened = waits.open(&inherited(&[7]), &earlier(&[], false, false), 9);
        assert_eq!(opened.state, ResumedAs::Pending);
        assert_eq!(waits.more(&inherited(&[5, 7])), Some(told(ResumedAs::Complete, &[])));
    }

    #[test]
    fn a_token_counts_without_a_position_and_a_new_client_is_told_that_it_is_new() {
        let open =
            |here: &[u64], gone| returning(5, &[]).open(&inherited(here), &earlier(&[], false, gone), 9);
        assert_eq!(open(&[6], true), told(ResumedAs::Partial, &[(5, 0)]));
        assert_eq!(open(&[5], false), told(ResumedAs::Complete, &[]));
        let mut new = Resumption::new(Returning::default());
        assert_eq!(new.open(&inherited(&[]), &earlier(&[5], true, false), 9), told(ResumedAs::None, &[]));
        assert_eq!((new.more(&inherited(&[1])), new.give_up(&inherited(&[]))), (None, None));
    }

    #[test]
    fn who_waits_is_told_once_that_it_came_or_that_it_did_not_and_then_that_it_came_after_all() {
        let mut waits = returning(5, &[]);
        assert_eq!(waits.open(&inherited(&[]), &earlier(&[], true, false), 9).state, ResumedAs::Pending);
        assert_eq!(waits.more(&inherited(&[8])), None, "some, and not all");
        assert_eq!(waits.give_up(&inherited(&[8])), Some(told(ResumedAs::Partial, &[(5, 0)])));
        assert_eq!(waits.give_up(&inherited(&[8])), None);
        assert_eq!(waits.more(&inherited(&[5, 8])), Some(told(ResumedAs::Complete, &[])));
        assert_eq!(waits.more(&inherited(&[5, 8])), None);
    }

    #[test]
    fn what_nobody_can_have_any_more_is_told_once_and_closed() {
        let stamp = |seconds: u64| (1_000 * seconds) << 16;
        let opened = |now_s: u64, named: &[(u64, u64)], here: &[u64]| {
            let mut returns = returning(named[named.len() - 1].0, named);
            returns.inherits = true;
            let earlier = Earlier { now_ms: 1_000 * now_s, ..earlier(&[], false, false) };
            let told = returns.open(&inherited(here), &earlier, 9);
            (told.state, returns.over(&inherited(here)), returns)
        };
        let kept_s = 9 + limits::DROPPED_WITHIN.as_secs();
        let (lost, next) = (stamp(50), stamp(60));
        let named = [(lost, 3), (next, 0)];
        let (state, over, mut returns) = opened(60 + kept_s, &named, &[next]);
        assert_eq!((state, over), (ResumedAs::Pending, Vec::new()), "it may come");
        assert_eq!(returns.give_up(&inherited(&[next])), Some(told(ResumedAs::Partial, &[(lost, 3)])));
        assert_eq!(returns.over(&inherited(&[next])), [], "it may still come");
        let (state, over, _) = opened(61 + kept_s, &named, &[next]);
        assert_eq!((state, over), (ResumedAs::Partial, vec![at(lost, 3)]));
        let adopted = opened(99 + kept_s, &[(lost, 3)], &[lost + 1]);
        assert_eq!((adopted.0, adopted.1), (ResumedAs::Pending, Vec::new()), "no client was there");
        let flapping = opened(61 + kept_s, &[(lost, 3), (stamp(80), 0)], &[next, stamp(80)]);
        assert_eq!(
            (flapping.0, flapping.1),
            (ResumedAs::Partial, vec![at(lost, 3)]),
            "it was closed between"
        );
    }
}
