//! Pushes to a user that enter at one node reach each connection in the order of their acceptance.
//!
//! A push that follows a moving session may fall behind. So only those count whose node looked for
//! the session where it was, over a link of its own, after the connection was open. And one that its
//! node has given up may still be on its way on a link that was replaced, and arrive behind those of
//! the new link.
//!
//! Calls over HTTP overtake each other on their way to the node: only the lines of one call count. But
//! for all pushes holds that one that is made after another one's answer said `delivered` is behind it,
//! through whatever node; broadcasts are in no order against pushes to a user.
//!
//! What a kept session gets from earlier owners is in the order of its numbers, and may come late: it is passed over here.

use std::collections::{BTreeMap, BTreeSet};

use pushmesh::{Outcome, limits};

use crate::aim::Aim;
use crate::checkers::arrival::push_of;
use crate::checkers::checker::Checker;
use crate::checkers::sealed::Sealed;
use crate::event::kept::Kept;
use crate::event::{Event, Way};
use crate::id::{CallId, ClientIndex, ConnectionId, NodeIndex, PushId};
use crate::position::Segment;

/// Watches the order of frames.
#[derive(Default)]
pub(super) struct Order {
    pushes: BTreeMap<PushId, Push>,
    connections: BTreeMap<ConnectionId, Connection>,
    /// Whose connections are or were made.
    clients: BTreeMap<ConnectionId, ClientIndex>,
    /// Pushes that were answered without being sure of every session.
    given_up: BTreeSet<PushId>,
    /// In which segments messages stood first.
    places: BTreeMap<(ClientIndex, PushId), Segment>,
    sealed: Sealed,
    /// The greatest push so far.
    newest: PushId,
    /// Counts pushes that are made, and answers.
    turn: u64,
    compared: u64,
}

struct Push {
    made_ms: u64,
    made: u64,
    node: NodeIndex,
    aim: Aim,
    found: Vec<(ClientIndex, NodeIndex)>,
    way: Way,
    /// When it was called delivered to a client.
    delivered: BTreeMap<ClientIndex, u64>,
}

struct Connection {
    client: ClientIndex,
    node: NodeIndex,
    /// Pushes up to this one were made before it was open.
    opened_after: PushId,
    /// The last push of each node or call, broadcasts apart.
    last: BTreeMap<(NodeIndex, Option<CallId>, bool), PushId>,
    /// The one of those received to a user or a session that was made last.
    made_last: Option<(u64, PushId)>,
    /// The segment of the welcome, if the session is kept.
    segment: Option<Segment>,
    /// The next frame is of an earlier segment.
    is_earlier: bool,
}

impl Checker for Order {
    fn name(&self) -> &'static str {
        "pushes of one node arrive in their order"
    }

    fn event(&mut self, now_ms: u64, event: &Event) -> Result<(), String> {
        self.sealed.event(event);
        match event {
            Event::Pushed { push, node, aim, found, way } => {
                self.newest = self.newest.max(*push);
                self.turn += 1;
                let (node, aim, found, way, delivered) = (*node, *aim, found.clone(), *way, BTreeMap::new());
                let made = Push { made_ms: now_ms, made: self.turn, node, aim, found, way, delivered };
                self.pushes.insert(*push, made);
            }
            Event::Answered { push, sessions, .. } => {
                self.turn += 1;
                if let Some(pushed) = self.pushes.get_mut(push) {
                    let written = sessions.iter().filter(|answer| answer.outcome == Outcome::Delivered);
                    pushed.delivered.extend(written.filter_map(|answer| Some((answer.client?, self.turn))));
                }
                let sure = |outcome: &Outcome| {
                    matches!(
                        outcome,
                        Outcome::Delivered | Outcome::Buffered | Outcome::Acked | Outcome::Queued
                    )
                };
                let made_ms = self.pushes.get(push).map_or(0, |push| push.made_ms);
                if now_ms >= made_ms + TIMEOUT_MS || !sessions.iter().all(|answer| sure(&answer.outcome)) {
                    self.given_up.insert(*push);
                }
            }
            // A node may write to it before the client knows that it is open.
            Event::Dialled { connection, client, .. } => _ = self.clients.insert(*connection, *client),
            Event::Opened { connection, client, node } => {
                let (opened_after, last) = (self.newest, BTreeMap::new());
                let opened = Connection {
                    client: *client,
                    node: *node,
                    opened_after,
                    last,
                    made_last: None,
                    segment: None,
                    is_earlier: false,
                };
                self.connections.insert(*connection, opened);
                self.clients.insert(*connection, *client);
            }
            Event::Kept { connection, what: Kept::Welcomed { segment, .. } } => {
                self.connections.entry(*connection).and_modify(|at| at.segment = Some(segment.clone()));
            }
            Event::Kept { connection, what: Kept::Flushed { at, text } } => {
                // Also after its client has gone.
                if let Some((push, client)) = push_of(text).zip(self.clients.get(connection)) {
                    self.places.entry((*client, push)).or_insert_with(|| at.segment.clone());
                }
            }
            Event::Kept { connection, what: Kept::Received { at, .. } } => {
                let is_earlier =
                    |of: &mut Connection| of.is_earlier = of.segment.as_ref() != Some(&at.segment);
                self.connections.entry(*connection).and_modify(is_earlier);
            }
            Event::Got { connection, text } => return self.got(*connection, text),
            Event::Ended { connection, .. } => _ = self.connections.remove(connection),
            _ => {}
        }
        Ok(())
    }

    fn compared(&self) -> (&'static str, u64) {
        ("frames compared with the one before", self.compared)
    }
}

impl Order {
    fn got(&mut self, connection: ConnectionId, text: &str) -> Result<(), String> {
        let Some(opened) = self.connections.get_mut(&connection).filter(|opened| !opened.is_earlier) else {
            return Ok(());
        };
        let Some((id, push)) = push_of(text).and_then(|id| Some((id, self.pushes.get(&id)?))) else {
            return Ok(());
        };
        let place = self.places.get(&(opened.client, id));
        if place.is_some_and(|segment| self.sealed.has(opened.client, segment)) {
            return Ok(()); // It comes late, as what is of earlier owners may.
        }
        if push.aim != Aim::All {
            let answered = push.delivered.get(&opened.client);
            if let (Some((made, before)), Some(answered)) = (opened.made_last, answered)
                && made > *answered
            {
                let client = opened.client;
                return Err(format!(
                    "client {client} received push {id} after push {before} on connection {connection}, which was made \
                     when {id} had been called delivered"
                ));
            }
            opened.made_last = opened.made_last.max(Some((push.made, id)));
        }
        let call = match push.way {
            Way::Embedded { .. } => None,
            Way::Line(call) => Some(call),
            Way::Http => return Ok(()),
        };
        let was_here = push.found.contains(&(opened.client, opened.node));
        if id <= opened.opened_after || self.given_up.contains(&id) || !was_here {
            return Ok(());
        }
        let kind = (push.node, call, push.aim == Aim::All);
        let Some(before) = opened.last.insert(kind, id) else { return Ok(()) };
        self.compared += 1;
        if before > id {
            let client = opened.client;
            return Err(format!(
                "client {client} received push {id} after push {before} on connection {connection}; both entered at \
                 node {}",
                push.node
            ));
        }
        Ok(())
    }
}

/// A call that took so long did not hear from everybody.
const TIMEOUT_MS: u64 = limits::PUSH_TIMEOUT.as_millis() as u64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Answer;
    use crate::decision::Decision;
    use crate::event::End;
    use crate::position::Position;
    use pushmesh::NodeName;

    const WAY: Way = Way::Embedded { sessions: None };

    fn seen(found: &[(ClientIndex, NodeIndex)], texts: &[&str]) -> Result<(), String> {
        let mut checker = Order::default();
        checker.event(0, &Event::Opened { connection: 7, client: 0, node: 0 })?;
        for push in 1..=2 {
            let found = found.to_vec();
            checker.event(0, &Event::Pushed { push, node: 0, aim: Aim::Client(0), found, way: WAY })?;
        }
        let mut got = texts.iter().map(|text| Event::Got { connection: 7, text: (*text).to_owned() });
        got.try_for_each(|event| checker.event(0, &event))
    }

    #[test]
    fn pushes_that_overtake_each_other_are_found() {
        assert_eq!(seen(&[(0, 0)], &["m1", "m2"]), Ok(()));
        assert!(seen(&[(0, 0)], &["m2", "m1"]).is_err());
    }

    #[test]
    fn pushes_that_follow_a_moving_session_may_fall_behind() {
        assert_eq!(seen(&[], &["m2", "m1"]), Ok(()));
        // One that was looked for at an earlier node of the client, also when the next connection was open.
        assert_eq!(seen(&[(0, 1)], &["m2", "m1"]), Ok(()));
    }

    #[test]
    fn a_push_that_was_given_up_may_fall_behind() {
        let mut checker = Order::default();
        let got = |text: &str| Event::Got { connection: 7, text: text.to_owned() };
        let pushed = |push| Event::Pushed { push, node: 0, aim: Aim::All, found: vec![(0, 0)], way: WAY };
        let events = [
            (0, Event::Opened { connection: 7, client: 0, node: 0 }),
            (0, pushed(1)),
            (TIMEOUT_MS, Event::Answered { push: 1, sessions: Vec::new(), delivered: 0 }),
            (TIMEOUT_MS, pushed(2)),
            (TIMEOUT_MS + 1, got("m2")),
            (TIMEOUT_MS + 2, got("m1")),
        ];
        assert_eq!(events.iter().try_for_each(|(at, event)| checker.event(*at, event)), Ok(()));
    }

    fn crossed(ways: [Way; 2], answered_first: bool) -> Result<(), String> {
        let mut checker = Order::default();
        let pushed = |push: PushId, way| {
            let (node, aim, found) = (push as NodeIndex, Aim::Client(0), vec![(0, 0)]);
            Event::Pushed { push, node: if ways[0] == ways[1] { 0 } else { node }, aim, found, way }
        };
        let answer =
            Answer { client: Some(0), node: Some("n1".to_owned()), outcome: Outcome::Delivered, copies: 0 };
        let answered = Event::Answered { push: 1, sessions: vec![answer], delivered: 1 };
        let mut events = vec![Event::Opened { connection: 7, client: 0, node: 0 }];
        events.extend([pushed(1, ways[0]), pushed(2, ways[1])]);
        events.insert(if answered_first { 2 } else { 3 }, answered);
        events.extend(["m2", "m1"].map(|text| Event::Got { connection: 7, text: text.to_owned() }));
        events.iter().try_for_each(|event| checker.event(0, event))
    }

    #[test]
    fn what_comes_late_of_a_sealed_segment_is_in_no_order_also_where_it_was_written_when_its_client_had_gone()
    {
        let segment = |stamp: u64| Segment::new(&format!("{stamp:016x}0000000a")).unwrap();
        let seen = |sealed: bool| {
            let mut checker = Order::default();
            let open = |connection| Event::Opened { connection, client: 0, node: 0 };
            let pushed =
                |push| Event::Pushed { push, node: 0, aim: Aim::Client(0), found: vec![(0, 0)], way: WAY };
            let kept = |connection, what| Event::Kept { connection, what };
            let place = |n| Position { segment: segment(7), n };
            let flushed = Kept::Flushed { at: place(4), text: "m1".to_owned() };
            let answer = Answer {
                client: Some(0),
                node: Some("n1".to_owned()),
                outcome: Outcome::Delivered,
                copies: 0,
            };
            let answered = Event::Answered { push: 1, sessions: vec![answer], delivered: 1 };
            let decision = Decision::Sealed { client: 0, segment: segment(7) };
            let by = NodeName::new("n2").unwrap();
            let got = |text: &str| Event::Got { connection: 8, text: text.to_owned() };
            let mut events = vec![open(7), pushed(1), Event::Ended { connection: 7, end: End::Dropped }];
            events.extend([kept(7, flushed), answered, open(8), pushed(2)]);
            events.extend(sealed.then_some(Event::Decided { by, decision }));
            events.extend([got("m2"), got("m1")]);
            events.iter().try_for_each(|event| checker.event(0, event))
        };
        assert!(seen(false).is_err());
        assert_eq!(seen(true), Ok(()));
    }

    #[test]
    fn calls_overtake_each_other_and_lines_of_one_call_do_not() {
        assert_eq!(crossed([Way::Http, Way::Http], false), Ok(()));
        assert_eq!(crossed([Way::Line(1), Way::Line(2)], false), Ok(()));
        assert!(crossed([Way::Line(1), Way::Line(1)], false).is_err());
    }

    #[test]
    fn a_push_is_behind_those_that_were_called_delivered_before_it() {
        assert!(crossed([Way::Http, Way::Http], true).unwrap_err().contains("called delivered"));
        assert!(crossed([Way::Line(1), WAY], true).unwrap_err().contains("called delivered"));
    }
}
