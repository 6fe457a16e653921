//! Pushes to a user that enter at one node reach each connection in the order of their acceptance.
//!
//! A push that follows a moving session may fall behind. So only those count whose node looked for
//! the session where it was, after the connection was open. And one that its node has given up may
//! still be on its way on a link that was replaced, and arrive behind those of the new link.

use std::collections::{BTreeMap, BTreeSet};

use pushmesh::{Outcome, limits};

use crate::checkers::Checker;
use crate::checkers::arrival::push_of;
use crate::event::{Aim, ClientIndex, ConnectionId, Event, NodeIndex, PushId};

/// Watches the order of frames.
#[derive(Default)]
pub(super) struct Order {
    pushes: BTreeMap<PushId, Push>,
    connections: BTreeMap<ConnectionId, Connection>,
    /// Pushes that were answered without being sure of every session.
    given_up: BTreeSet<PushId>,
    /// The greatest push so far.
    newest: PushId,
    compared: u64,
}

struct Push {
    made_ms: u64,
    node: NodeIndex,
    aim: Aim,
    found: Vec<ClientIndex>,
}

struct Connection {
    client: ClientIndex,
    /// Pushes up to this one were made before it was open.
    opened_after: PushId,
    /// The last push of each node, broadcasts apart.
    last: BTreeMap<(NodeIndex, bool), PushId>,
}

impl Checker for Order {
    fn name(&self) -> &'static str {
        "pushes of one node arrive in their order"
    }

    fn event(&mut self, now_ms: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Pushed { push, node, aim, found } => {
                self.newest = self.newest.max(*push);
                let (node, aim, found) = (*node, *aim, found.clone());
                self.pushes.insert(*push, Push { made_ms: now_ms, node, aim, found });
            }
            Event::Answered { push, sessions, .. } => {
                let sure = |outcome: &Outcome| matches!(outcome, Outcome::Delivered | Outcome::Buffered);
                let made_ms = self.pushes.get(push).map_or(0, |push| push.made_ms);
                if now_ms >= made_ms + TIMEOUT_MS || !sessions.iter().all(|answer| sure(&answer.outcome)) {
                    self.given_up.insert(*push);
                }
            }
            Event::Opened { connection, client, .. } => {
                let opened = Connection { client: *client, opened_after: self.newest, last: BTreeMap::new() };
                self.connections.insert(*connection, opened);
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
        let Some(opened) = self.connections.get_mut(&connection) else { return Ok(()) };
        let Some((id, push)) = push_of(text).and_then(|id| Some((id, self.pushes.get(&id)?))) else {
            return Ok(());
        };
        if id <= opened.opened_after || self.given_up.contains(&id) || !push.found.contains(&opened.client) {
            return Ok(());
        }
        let kind = (push.node, push.aim == Aim::All);
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

    fn seen(found: &[ClientIndex], texts: &[&str]) -> Result<(), String> {
        let mut checker = Order::default();
        checker.event(0, &Event::Opened { connection: 7, client: 0, node: 0 })?;
        for push in 1..=2 {
            let found = found.to_vec();
            checker.event(0, &Event::Pushed { push, node: 0, aim: Aim::Client(0), found })?;
        }
        let mut got = texts.iter().map(|text| Event::Got { connection: 7, text: (*text).to_owned() });
        got.try_for_each(|event| checker.event(0, &event))
    }

    #[test]
    fn pushes_that_overtake_each_other_are_found() {
        assert_eq!(seen(&[0], &["m1", "m2"]), Ok(()));
        assert!(seen(&[0], &["m2", "m1"]).is_err());
    }

    #[test]
    fn pushes_that_follow_a_moving_session_may_fall_behind() {
        assert_eq!(seen(&[], &["m2", "m1"]), Ok(()));
    }

    #[test]
    fn a_push_that_was_given_up_may_fall_behind() {
        let mut checker = Order::default();
        let got = |text: &str| Event::Got { connection: 7, text: text.to_owned() };
        let pushed = |push| Event::Pushed { push, node: 0, aim: Aim::All, found: vec![0] };
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
}
