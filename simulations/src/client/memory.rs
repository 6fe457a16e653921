//! What a client whose session is kept remembers from connection to connection: its resume token, the number up to which it
//! has everything of each segment, and the ids of what it has taken. Section 3.6 of docs/PROTOCOL.md.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::kept::{Resumed, Shows};
use crate::position::{Position, Segment};

/// The memory of one client. Its connections share it: a library has one at a time, here a former one may still read.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The stamp of its last session, and the token.
    token: Option<(u64, String)>,
    /// The segment of the last welcome.
    last: Option<Segment>,
    segments: BTreeMap<Segment, Entry>,
    /// What stood there at the last welcome.
    before: Vec<Position>,
    ids: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    has: u64,
    /// The node has closed it: it is named no more.
    closed: bool,
}

/// What a client says when it comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    /// The stamp of the session, and its token.
    pub(super) token: Option<(u64, String)>,
    /// Up to where it has everything.
    pub(super) after: Vec<Position>,
}

impl Memory {
    /// What it says when it comes back, and wants to.
    pub(super) fn says(&self, shows: Shows) -> Said {
        let token = self.token.clone();
        let all = self.positions();
        let after = match shows {
            Shows::All => all,
            // One that was closed meanwhile is not owed any more, and one that began later is not known.
            Shows::Older => self.before.clone(),
            Shows::Nothing => return Said { token: None, after: Vec::new() },
            Shows::Forged => {
                let forged = all.last().map(|at| Position { segment: at.segment.forged(), n: at.n + 1 });
                let kept = all.len().min(POSITIONS_MAX - 1);
                all.into_iter().rev().take(kept).rev().chain(forged).collect()
            }
            Shows::Half => {
                let mut half = all;
                if let [.., before, last] = &mut half[..] {
                    last.n = before.n;
                }
                half
            }
        };
        Said { token, after }
    }

    /// The positions to name: the latest of those that are not closed.
    fn positions(&self) -> Vec<Position> {
        let open = self.segments.iter().filter(|(_, entry)| !entry.closed);
        let open: Vec<_> =
            open.map(|(segment, entry)| Position { segment: segment.clone(), n: entry.has }).collect();
        open[open.len().saturating_sub(POSITIONS_MAX)..].to_vec()
    }

    /// It is welcomed.
    pub(super) fn welcomed(&mut self, stamp: u64, token: &str, segment: &Segment, resumed: Resumed) {
        if resumed == Resumed::None {
            self.segments.clear();
        }
        self.has_token(stamp, token);
        // A former connection may be welcomed late.
        if self.last.as_ref().is_none_or(|last| last < segment) {
            self.last = Some(segment.clone());
            self.before = self.positions();
        }
        self.segments.entry(segment.clone()).or_default();
    }

    /// It is welcomed with that token, and nothing is kept.
    pub(super) fn has_token(&mut self, stamp: u64, token: &str) {
        self.token = Some((stamp, token.to_owned()));
    }

    /// Its attempt to come back failed: it makes the next one without its token.
    pub(super) fn forgets_token(&mut self) {
        self.token = None;
    }

    /// A message is there. Returns whether the application gets it.
    pub(super) fn takes(&mut self, at: &Position, id: &str) -> bool {
        let fresh = self.moves(&at.segment, at.n);
        self.ids.insert(id.to_owned()) && fresh
    }

    /// All up to that number is there. Returns whether that is new.
    pub(super) fn moves(&mut self, segment: &Segment, to: u64) -> bool {
        let entry = self.segments.entry(segment.clone()).or_default();
        let further = entry.has < to;
        if further {
            *entry = Entry { has: to, closed: false };
        }
        further
    }

    /// A segment is complete.
    pub(super) fn closed(&mut self, segment: &Segment) {
        if let Some(entry) = self.segments.get_mut(segment) {
            entry.closed = true;
        }
    }

    /// Up to where it has everything of a segment.
    pub(super) fn has(&self, segment: &Segment) -> u64 {
        self.segments.get(segment).map_or(0, |entry| entry.has)
    }
}

/// Positions that a client may name. Source: section 3.6 of docs/PROTOCOL.md.
const POSITIONS_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(stamp: u64) -> Segment {
        Segment::new(&format!("{stamp:016x}0000000a")).unwrap()
    }

    fn at(stamp: u64, n: u64) -> Position {
        Position { segment: segment(stamp), n }
    }

    fn welcomed(stamps: &[u64]) -> Memory {
        let mut memory = Memory::default();
        stamps.iter().for_each(|stamp| memory.welcomed(*stamp, "t", &segment(*stamp), Resumed::Complete));
        memory
    }

    #[test]
    fn an_idle_client_has_a_position_and_the_latest_four_are_named() {
        assert_eq!(welcomed(&[7]).says(Shows::All).after, [at(7, 0)]);
        let mut memory = welcomed(&[1, 2, 3, 4, 5, 6]);
        assert_eq!(memory.says(Shows::All).after, [at(3, 0), at(4, 0), at(5, 0), at(6, 0)]);
        memory.closed(&segment(5));
        assert_eq!(memory.says(Shows::All).after, [at(2, 0), at(3, 0), at(4, 0), at(6, 0)]);
        memory.welcomed(7, "t", &segment(7), Resumed::None);
        assert_eq!(memory.says(Shows::All).after, [at(7, 0)], "there was no session");
    }

    #[test]
    fn what_was_there_before_is_not_taken_again() {
        let mut memory = welcomed(&[7]);
        assert!(memory.takes(&at(7, 1), "a") && !memory.takes(&at(7, 1), "a"));
        assert!(!memory.takes(&at(7, 2), "a"), "the same message, under another number");
        assert_eq!(memory.has(&segment(7)), 2);
        assert!(memory.takes(&at(5, 1), "b"), "a segment that it does not know begins at 0");
        memory.closed(&segment(5));
        assert!(!memory.takes(&at(5, 1), "c"), "it is closed, and not forgotten");
    }

    #[test]
    fn what_a_careless_client_says_is_not_what_it_has() {
        let mut memory = welcomed(&[5]);
        memory.takes(&at(5, 1), "a");
        memory.welcomed(7, "t", &segment(7), Resumed::Complete);
        memory.takes(&at(7, 1), "b");
        memory.takes(&at(7, 2), "c");
        let after = |shows| memory.says(shows).after;
        assert_eq!(after(Shows::All), [at(5, 1), at(7, 2)]);
        assert_eq!(after(Shows::Older), [at(5, 1)]);
        assert_eq!(after(Shows::Half), [at(5, 1), at(7, 1)]);
        assert_eq!(
            after(Shows::Forged),
            [at(5, 1), at(7, 2), Position { segment: segment(7).forged(), n: 3 }]
        );
        assert_eq!(memory.says(Shows::Nothing), Said { token: None, after: Vec::new() });
    }
}
