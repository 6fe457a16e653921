//! What a client of a storm has seen.

use std::collections::BTreeMap;

/// What a client has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The messages that it has taken, in the order in which they came.
    pub(super) arrivals: Vec<Arrival>,
    /// What should not have happened.
    pub(super) complaints: Vec<String>,
    pub(super) resumed: usize,
    /// So often it was told that something may be missing.
    pub(super) partial: usize,
}

/// A message that has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Arrival {
    pub(super) lane: usize,
    pub(super) number: u64,
    /// The segment in which it came.
    pub(super) segment: String,
    /// Something of a later segment has come before it (docs/PROTOCOL.md, 3.6).
    pub(super) late: bool,
}

/// The first two messages of a lane of which the second one should have come before: what is late is behind other segments, and in
/// order within its own.
pub(super) fn misplaced(of_lane: &[&Arrival]) -> Option<(Arrival, Arrival)> {
    let mut timely: Option<&Arrival> = None;
    let mut of_segment: BTreeMap<&str, &Arrival> = BTreeMap::new();
    for &arrival in of_lane {
        let before = of_segment.insert(&arrival.segment, arrival);
        let before = if arrival.late {
            before
        } else {
            before.into_iter().chain(timely.replace(arrival)).max_by_key(|before| before.number)
        };
        if let Some(before) = before.filter(|before| before.number > arrival.number) {
            return Some((before.clone(), arrival.clone()));
        }
    }
    None
}

#[test]
fn what_is_late_may_be_behind_other_segments_and_nothing_else() {
    let arrival =
        |segment: &str, number, late| Arrival { lane: 0, number, segment: segment.to_owned(), late };
    let is_misplaced = |arrivals: &[Arrival]| misplaced(&arrivals.iter().collect::<Vec<_>>()).is_some();
    let (first, newer) = (arrival("a", 1, false), arrival("b", 4, false));
    let late = |number| arrival("a", number, true);
    assert!(!is_misplaced(&[first.clone(), newer.clone(), late(2), late(3), arrival("b", 5, false)]));
    assert!(is_misplaced(&[first.clone(), newer.clone(), late(3), late(2)]), "within its segment");
    assert!(is_misplaced(&[first, newer.clone(), arrival("a", 2, false)]), "it is not late");
    assert!(is_misplaced(&[newer, late(2), arrival("c", 3, false)]), "behind one that is late");
}
