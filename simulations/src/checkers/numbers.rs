//! The messages of a kept session have numbers: on each connection those of a segment come upwards, each once, or in a gap
//! that names them. A number means one message, and a message has one number, until other nodes have given its segment to the next owner.
//! A message that stood in such a segment, and whose owner has said that it was not written, may get two: it was pushed again, and comes
//! late besides.
//!
//! A broadcast goes to the sessions of a moment, and may have a number in two of them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::aim::Aim;
use crate::checkers::arrival::push_of;
use crate::checkers::checker::Checker;
use crate::checkers::copied::Copied;
use crate::checkers::sealed::Sealed;
use crate::event::Event;
use crate::event::kept::{Kept, Resumed};
use crate::id::{ClientIndex, ConnectionId, PushId};
use crate::position::{Position, Segment};

/// Watches the numbers of all segments.
#[derive(Default)]
pub(super) struct Numbers {
    connections: BTreeMap<ConnectionId, Reading>,
    aims: BTreeMap<PushId, Aim>,
    /// What stands at a position.
    messages: BTreeMap<(ClientIndex, Position), String>,
    /// Where a message stands.
    places: BTreeMap<(ClientIndex, PushId), Position>,
    /// Where one stands besides that was written again, and comes late.
    late: BTreeMap<(ClientIndex, PushId), Position>,
    sealed: Sealed,
    copied: Copied,
    compared: u64,
}

/// What a client has read on one connection.
struct Reading {
    client: ClientIndex,
    /// Up to where each segment has come: at first what the client has shown.
    at: BTreeMap<Segment, u64>,
    /// Up to where the client has acknowledged on this connection, also what has reached it on another one: that is passed over.
    acked: BTreeMap<Segment, u64>,
}

impl Reading {
    /// The numbers `from` to `to` of a segment have come.
    fn comes(&mut self, segment: &Segment, from: u64, to: u64) -> Result<(), String> {
        let acked = self.acked.get(segment).copied().unwrap_or_default();
        let at = self.at.entry(segment.clone()).or_default();
        if from <= *at || from > acked.max(*at) + 1 || to < from {
            return Err(format!("{from} to {to} of {segment:?} came behind {at}"));
        }
        *at = to;
        Ok(())
    }

    /// A segment is said to be complete up to there.
    fn closes(&mut self, at: &Position) -> Result<(), String> {
        let of = |map: &BTreeMap<_, u64>| map.get(&at.segment).copied().unwrap_or_default();
        let came = of(&self.at).max(of(&self.acked));
        if at.n > came { Err(format!("{at} was closed behind {came}")) } else { Ok(()) }
    }
}

impl Checker for Numbers {
    fn name(&self) -> &'static str {
        "numbers come upwards, each once or in a gap, and mean one message"
    }

    fn event(&mut self, now_ms: u64, event: &Event) -> Result<(), String> {
        self.sealed.event(event);
        self.copied.event(now_ms, event);
        match event {
            Event::Pushed { push, aim, .. } => _ = self.aims.insert(*push, *aim),
            Event::Dialled { connection, client, .. } => {
                self.connections.insert(
                    *connection,
                    Reading { client: *client, at: BTreeMap::new(), acked: BTreeMap::new() },
                );
            }
            Event::Refused { connection, .. } | Event::Ended { connection, .. } => {
                self.connections.remove(connection);
            }
            Event::Kept { connection, what } => {
                return self
                    .happened(*connection, what)
                    .map_err(|what| format!("on connection {connection}: {what}"));
            }
            _ => {}
        }
        Ok(())
    }

    fn compared(&self) -> (&'static str, u64) {
        ("numbers of kept sessions", self.compared)
    }
}

impl Numbers {
    fn happened(&mut self, connection: ConnectionId, what: &Kept) -> Result<(), String> {
        // What a node flushes may come after its client has gone.
        let Some(reading) = self.connections.get_mut(&connection) else { return Ok(()) };
        match what {
            Kept::Shown { after, .. } => {
                reading.at = after.iter().map(|at| (at.segment.clone(), at.n)).collect();
            }
            Kept::Flushed { at, text } => {
                let client = reading.client;
                return self.means(client, at, text);
            }
            Kept::Received { at, text, .. } => {
                self.compared += 1;
                reading.comes(&at.segment, at.n, at.n)?;
                let client = reading.client;
                return self.means(client, at, text);
            }
            // The client forgets its positions.
            Kept::Welcomed { resumed: Resumed::None, .. } => reading.at.clear(),
            Kept::Acked(at) => _ = reading.acked.insert(at.segment.clone(), at.n),
            Kept::Gap { segment, from, to, .. } => return reading.comes(segment, *from, *to),
            Kept::Closed(at) => return reading.closes(at),
            _ => {}
        }
        Ok(())
    }

    /// A message stands at a position of a client.
    fn means(&mut self, client: ClientIndex, at: &Position, text: &str) -> Result<(), String> {
        match self.messages.entry((client, at.clone())) {
            Entry::Occupied(before) if before.get() != text => {
                return Err(format!("{at} of client {client} is {text}, and was {}", before.get()));
            }
            Entry::Occupied(_) => {}
            Entry::Vacant(place) => _ = place.insert(text.to_owned()),
        }
        let Some(push) = push_of(text).filter(|push| self.aims.get(push) != Some(&Aim::All)) else {
            return Ok(());
        };
        let place = self.places.entry((client, push)).or_insert_with(|| at.clone());
        if place != at && self.sealed.has(client, &place.segment) {
            *place = at.clone();
        }
        // The former connection may be read to its end after the next one.
        if place == at || self.sealed.has(client, &at.segment) {
            return Ok(());
        }
        let mut held = self.copied.of(client, push).iter().map(|held| &held.at.segment);
        if held.any(|segment| self.sealed.has(client, segment))
            && self.late.entry((client, push)).or_insert_with(|| at.clone()) == at
        {
            return Ok(());
        }
        Err(format!("{text} of client {client} is at {at}, and at {place}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::message_id;
    use crate::decision::{Decision, Stored};
    use crate::event::kept::Shows;

    fn segment(stamp: u64) -> Segment {
        Segment::new(&format!("{stamp:016x}0000000a")).unwrap()
    }

    fn at(n: u64) -> Position {
        Position { segment: segment(7), n }
    }

    fn got(n: u64, text: &str) -> Kept {
        Kept::Received { at: at(n), id: String::new(), text: text.to_owned(), taken: true }
    }

    fn gap(from: u64, to: u64) -> Kept {
        Kept::Gap { segment: segment(7), from, to, why: "expired".to_owned() }
    }

    /// A client has shown that it has 2.
    fn seen(told: Vec<Kept>) -> Result<(), String> {
        let mut checker = Numbers::default();
        checker.event(0, &Event::Dialled { connection: 1, client: 0, node: 0, resumed: None })?;
        let shown = Kept::Shown { after: vec![at(2)], shows: Shows::All };
        let mut told = [shown].into_iter().chain(told);
        told.try_for_each(|what| checker.event(0, &Event::Kept { connection: 1, what }))
    }

    #[test]
    fn a_hole_without_a_gap_and_a_number_that_comes_again_are_found() {
        assert_eq!(seen(vec![got(3, "m1"), gap(4, 6), got(7, "m2"), Kept::Closed(at(7))]), Ok(()));
        assert!(seen(vec![got(4, "m1")]).is_err() && seen(vec![got(2, "m1")]).is_err());
        assert!(seen(vec![got(3, "m1"), got(3, "m1")]).is_err());
        assert!(seen(vec![gap(4, 5)]).is_err() && seen(vec![gap(3, 2)]).is_err());
        assert!(seen(vec![Kept::Closed(at(3))]).unwrap_err().contains("closed"));
    }

    #[test]
    fn what_the_client_has_acknowledged_is_passed_over_and_no_more() {
        assert_eq!(seen(vec![Kept::Acked(at(5)), got(6, "m1"), Kept::Closed(at(6))]), Ok(()));
        assert_eq!(seen(vec![Kept::Acked(at(5)), Kept::Closed(at(5))]), Ok(()));
        assert!(seen(vec![Kept::Acked(at(5)), got(7, "m1")]).is_err());
    }

    #[test]
    fn a_number_for_two_messages_and_a_message_with_two_numbers_are_found() {
        let flushed = |n, text: &str| Kept::Flushed { at: at(n), text: text.to_owned() };
        assert!(seen(vec![flushed(3, "m1"), got(3, "m2")]).unwrap_err().contains("was m1"));
        assert!(seen(vec![got(3, "m1"), got(4, "m1")]).unwrap_err().contains("is at"));
    }

    #[test]
    fn what_was_held_in_a_sealed_segment_and_was_pushed_again_has_two_numbers_and_no_more() {
        let seen = |is_held: bool, places: &[u64]| {
            let mut checker = Numbers::default();
            checker.event(0, &Event::Dialled { connection: 1, client: 0, node: 0, resumed: None })?;
            let by = || pushmesh::NodeName::new("n2").unwrap();
            let sealed = Decision::Sealed { client: 0, segment: segment(7) };
            let (id, members) = (message_id(1), vec![by()]);
            let place = Position { segment: segment(7), n: 61 };
            let held = Decision::Stored(Stored { client: 0, at: place, id, members });
            for decision in [sealed].into_iter().chain(is_held.then_some(held)) {
                checker.event(0, &Event::Decided { by: by(), decision })?;
            }
            let at = |n: &u64| Position { segment: segment(8), n: *n };
            let mut flushed = places.iter().map(|n| Kept::Flushed { at: at(n), text: "m1".to_owned() });
            flushed.try_for_each(|what| checker.event(0, &Event::Kept { connection: 1, what }))
        };
        assert_eq!(seen(true, &[44, 53, 44, 53]), Ok(()));
        assert!(seen(true, &[44, 53, 54]).is_err());
        assert!(seen(false, &[44, 53]).is_err());
    }

    #[test]
    fn what_comes_late_of_a_sealed_segment_has_one_more_number_also_where_the_former_is_read_afterwards() {
        let flushed =
            |stamp, n| Kept::Flushed { at: Position { segment: segment(stamp), n }, text: "m1".to_owned() };
        let seen = |told: &[(u64, u64)]| {
            let mut checker = Numbers::default();
            checker.event(0, &Event::Dialled { connection: 1, client: 0, node: 0, resumed: None })?;
            let decision = Decision::Sealed { client: 0, segment: segment(7) };
            let by = pushmesh::NodeName::new("n2").unwrap();
            checker.event(0, &Event::Decided { by, decision })?;
            let mut told = told.iter().map(|(stamp, n)| flushed(*stamp, *n));
            told.try_for_each(|what| checker.event(0, &Event::Kept { connection: 1, what }))
        };
        assert_eq!(seen(&[(7, 3), (8, 1), (7, 3), (8, 1)]), Ok(()));
        assert!(seen(&[(7, 3), (8, 1), (7, 3), (8, 2)]).is_err());
        assert!(seen(&[(7, 3), (8, 1), (9, 1)]).is_err());
    }
}
