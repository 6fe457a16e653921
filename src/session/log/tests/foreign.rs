//! What others name or hand over takes no more memory than it may, and no number is too great.

use super::*;
use crate::limits;

/// What a peer hands over of these segments, each with the number before its message.
fn part(runs: impl IntoIterator<Item = (u64, u64)>) -> TailPart {
    let entry = || TailEntry { message: Ok(message("m", Terms::default())), left: None };
    let run = |(stamp, acked)| TailRun { segment: segment(stamp), acked, entries: vec![entry()] };
    TailPart {
        of: segment(1),
        index: 0,
        inherited: Vec::new(),
        sealed: Vec::new(),
        runs: runs.into_iter().map(run).collect(),
        recent: Vec::new(),
        attributes: None,
        done: true,
    }
}

fn adopt(log: &mut Log, part: &TailPart) -> Outcome {
    log.adopt(part, Instant::now(), &nothing, &mut Vec::new())
}

#[test]
fn places_that_never_came_are_added_up_to_a_bound() {
    let store = store(BOUNDS);
    let mut log = log(5, &store);
    let most = limits::PLACES_OWED_MAX as u64;
    assert_eq!(adopt(&mut log, &part([(1, 0), (1, most - 1)])), Outcome::Delivered);
    assert_eq!(log.places(), limits::PLACES_OWED_MAX);
    for (stamp, acked) in [(2, 2), (3, limits::NUMBER_MAX - 1)] {
        assert_eq!(adopt(&mut log, &part([(stamp, 0), (stamp, acked)])), Outcome::Overloaded);
    }
    assert_eq!(log.places(), limits::PLACES_OWED_MAX + 2);
    assert_eq!(adopt(&mut log, &part([(4, 0), (4, 1)])), Outcome::Delivered, "nothing is between them");
}

#[test]
fn there_is_room_for_so_many_segments() {
    let store = store(BOUNDS);
    let most = limits::SEGMENTS_OWED_MAX as u64;
    let mut log = log(most + 9, &store);
    assert_eq!(adopt(&mut log, &part((1..=most).map(|stamp| (stamp, 0)))), Outcome::Delivered);
    assert_eq!(adopt(&mut log, &part([(most + 1, 0)])), Outcome::Overloaded);
    assert_eq!(adopt(&mut log, &part([(most, 0), (most, 1)])), Outcome::Delivered, "they are there");
}

#[test]
fn a_client_that_names_the_greatest_number_has_all() {
    let store = store(BOUNDS);
    let mut log = returning(5, &[at(1, u64::MAX)], &store);
    assert_eq!(adopt(&mut log, &part([(1, 7), (1, 9)])), Outcome::Delivered);
    assert_eq!(log.len(), 0);
}
