//! What is called delivered was flushed to a socket of its client before, and what was flushed arrives, unless
//! the connection broke.
//!
//! `delivered` means that the node's operating system took the bytes, no more and no less. What it took is recorded
//! at the node's end of every connection ([`line`](crate::line)). The simulated network keeps it, so that only a
//! connection that ends without a closing handshake can lose it, and only that after which nothing more arrived on
//! it. Of a broadcast the number of sessions is looked at.

use std::collections::BTreeMap;

use crate::aim::Aim;
use crate::answer::Answer;
use crate::checkers::arrival::push_of;
use crate::checkers::checker::Checker;
use crate::event::Event;
use crate::event::kept::Kept;
use crate::id::{ClientIndex, ConnectionId, NodeIndex, PushId, node_of};
use crate::settings::Settings;
use pushmesh::Outcome;

/// Keeps account of what was promised, flushed and received.
pub(super) struct Delivery {
    settings: Settings,
    connections: BTreeMap<ConnectionId, Connection>,
    /// On which connections a push was flushed.
    flushed: BTreeMap<PushId, Vec<ConnectionId>>,
    /// Whom it is for.
    aims: BTreeMap<PushId, Aim>,
    promised: u64,
}

/// A connection, also one that its client gave up before it heard that it was let in.
struct Connection {
    client: ClientIndex,
    node: NodeIndex,
    /// Whether what the node has written may be lost.
    lost: bool,
    /// What was flushed on it, in order, and whether it arrived.
    flushed: Vec<(PushId, bool)>,
    /// What arrived before the flush was over.
    early: Vec<PushId>,
}

impl Connection {
    /// What was flushed on it and got lost, although it did not break, or although something later arrived.
    fn missing(&self) -> Option<PushId> {
        let last = self.flushed.iter().rposition(|(_, arrived)| *arrived);
        let due = if self.lost { last.unwrap_or_default() } else { self.flushed.len() };
        self.flushed[..due].iter().find(|(_, arrived)| !arrived).map(|(push, _)| *push)
    }
}

impl Delivery {
    /// Nothing is promised.
    pub(super) fn new(settings: &Settings) -> Self {
        let (connections, flushed, aims) = Default::default();
        Self { settings: settings.clone(), connections, flushed, aims, promised: 0 }
    }

    fn end_of(&mut self, connection: ConnectionId, lost: bool) {
        if let Some(connection) = self.connections.get_mut(&connection) {
            connection.lost = lost;
        }
    }

    fn flushed(&mut self, id: ConnectionId, push: PushId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        // What has come once stands for one of two writes.
        let early = connection.early.iter().position(|early| *early == push);
        let arrived = early.map(|at| connection.early.swap_remove(at)).is_some();
        connection.flushed.push((push, arrived));
        self.flushed.entry(push).or_default().push(id);
    }

    fn got(&mut self, id: ConnectionId, push: PushId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        // A broadcast that has gone to two sessions of a client may be written twice.
        match connection.flushed.iter_mut().find(|(flushed, arrived)| *flushed == push && !*arrived) {
            Some((_, arrived)) => *arrived = true,
            // The frames behind it are not taken yet.
            None => connection.early.push(push),
        }
    }

    /// Whether a push was flushed to that client by that node.
    fn is_written(&self, push: PushId, client: ClientIndex, node: NodeIndex) -> bool {
        let of = |id: &ConnectionId| {
            self.connections.get(id).is_some_and(|one| (one.client, one.node) == (client, node))
        };
        self.flushed.get(&push).is_some_and(|connections| connections.iter().any(of))
    }

    /// How often a push was written to clients whose sessions are kept: a session that they have moved to may know that they
    /// have it.
    fn known(&self, push: PushId) -> u64 {
        let keeps = |connection: &&Connection| self.settings.keep_s(connection.client) > 0;
        let connections = self.flushed.get(&push).into_iter().flatten();
        connections.filter_map(|id| self.connections.get(id)).filter(keeps).count() as u64
    }

    fn answered(&mut self, push: PushId, sessions: &[Answer], delivered: u64) -> Result<(), String> {
        let Some(aim) = self.aims.get(&push).copied() else {
            return Err(format!("push {push} was never made"));
        };
        if aim == Aim::All && delivered > 0 {
            self.promised += 1;
            let written = self.flushed.get(&push).map_or(0, |connections| connections.len() as u64);
            if written + self.known(push) < delivered {
                return Err(format!(
                    "push {push} to all was called delivered to {delivered} sessions and was written to {written}"
                ));
            }
        }
        for answer in sessions.iter().filter(|answer| answer.outcome == Outcome::Delivered) {
            self.promised += 1;
            let (client, node) = promised(push, answer)?;
            if !self.is_written(push, client, node) {
                return Err(format!(
                    "push {push} was called delivered to client {client} at node {node}, which wrote it to no socket"
                ));
            }
        }
        Ok(())
    }
}

impl Checker for Delivery {
    fn name(&self) -> &'static str {
        "what is called delivered was written, and arrives"
    }

    fn event(&mut self, _: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Dialled { connection, client, node, .. } => {
                let (client, node, flushed, early) = (*client, *node, Vec::new(), Vec::new());
                self.connections
                    .insert(*connection, Connection { client, node, lost: false, flushed, early });
            }
            // Without an answer it may have been let in, and has not heard of it.
            Event::Refused { connection, why, .. } => self.end_of(*connection, !why.starts_with(ANSWERED)),
            Event::Ended { connection, end } => self.end_of(*connection, end.loses()),
            Event::Flushed { connection, text } => {
                if let Some(push) = push_of(text) {
                    self.flushed(*connection, push);
                }
            }
            Event::Got { connection, text } => {
                if let Some(push) = push_of(text) {
                    self.got(*connection, push);
                }
            }
            // It is there, and the client had it already.
            Event::Kept { connection, what: Kept::Received { text, taken: false, .. } } => {
                if let Some(push) = push_of(text) {
                    self.got(*connection, push);
                }
            }
            Event::Pushed { push, aim, .. } => _ = self.aims.insert(*push, *aim),
            Event::Answered { push, sessions, delivered } => {
                return self.answered(*push, sessions, *delivered);
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        for (id, connection) in &self.connections {
            if let Some(push) = connection.missing() {
                let Connection { client, node, .. } = connection;
                return Err(format!(
                    "push {push} was written to connection {id} of client {client} at node {node}, and did not arrive"
                ));
            }
        }
        Ok(())
    }

    fn compared(&self) -> (&'static str, u64) {
        ("deliveries promised", self.promised)
    }
}

fn promised(push: PushId, answer: &Answer) -> Result<(ClientIndex, NodeIndex), String> {
    match (answer.client, answer.node.as_deref().and_then(node_of)) {
        (Some(client), Some(node)) => Ok((client, node)),
        _ => Err(format!("push {push} was called delivered to nobody that there is: {answer:?}")),
    }
}

/// How the reason begins when a node has answered that the client is not let in.
const ANSWERED: &str = "HTTP error";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{End, Way};

    fn dialled() -> Event {
        Event::Dialled { connection: 7, client: 0, node: 0, resumed: None }
    }

    fn pushed(push: PushId, aim: Aim) -> Event {
        Event::Pushed { push, node: 0, aim, found: Vec::new(), way: Way::Http }
    }

    fn answered(delivered: u64) -> Event {
        let answer =
            Answer { client: Some(0), node: Some("n1".to_owned()), outcome: Outcome::Delivered, copies: 0 };
        Event::Answered { push: 1, sessions: vec![answer], delivered }
    }

    fn flushed(text: &str) -> Event {
        Event::Flushed { connection: 7, text: text.to_owned() }
    }

    fn got(text: &str) -> Event {
        Event::Got { connection: 7, text: text.to_owned() }
    }

    fn ended(end: End) -> Event {
        Event::Ended { connection: 7, end }
    }

    /// What the checker says of a push to the client of an open connection, and what follows.
    fn seen(after: &[Event]) -> Result<u64, String> {
        let mut checker = Delivery::new(&Settings::default());
        let before = [dialled(), pushed(1, Aim::Client(0))];
        before.iter().chain(after).try_for_each(|event| checker.event(0, event))?;
        checker.end()?;
        Ok(checker.compared().1)
    }

    #[test]
    fn what_is_called_delivered_was_flushed_before() {
        assert_eq!(seen(&[flushed("m1"), answered(1), got("m1")]), Ok(1));
        assert!(seen(&[answered(1), flushed("m1"), got("m1")]).unwrap_err().contains("no socket"));
        assert!(seen(&[answered(1), ended(End::Dropped)]).unwrap_err().contains("no socket"));
        let elsewhere = Event::Dialled { connection: 8, client: 0, node: 1, resumed: None };
        let there = Event::Flushed { connection: 8, text: "m1".to_owned() };
        assert!(seen(&[elsewhere, there, answered(1)]).unwrap_err().contains("at node 0"));
    }

    #[test]
    fn what_was_flushed_arrives_unless_its_connection_breaks() {
        assert!(seen(&[flushed("m1"), answered(1)]).unwrap_err().contains("did not arrive"));
        assert!(seen(&[flushed("m1"), ended(End::Closed(Some(4001)))]).is_err());
        assert_eq!(seen(&[flushed("m1"), answered(1), ended(End::Dropped)]), Ok(1));
        let later = [flushed("m1"), pushed(2, Aim::Client(0)), flushed("m2"), got("m2"), ended(End::Dropped)];
        assert!(seen(&later).is_err(), "what was written later has arrived");
        assert_eq!(seen(&[got("m1"), flushed("m1"), answered(1)]), Ok(1), "it arrived while others waited");
        let mut twice =
            vec![pushed(2, Aim::Client(0)), got("m2"), flushed("m2"), flushed("m1"), flushed("m2")];
        twice.push(ended(End::Dropped));
        assert_eq!(seen(&twice), Ok(0), "of two sessions of the client only the first write has arrived");
    }

    #[test]
    fn a_connection_that_its_client_has_given_up_may_lose_all() {
        let refused = |why: &str| Event::Refused { connection: 7, client: 0, node: 0, why: why.to_owned() };
        assert_eq!(seen(&[flushed("m1"), answered(1), refused("no answer")]), Ok(1));
        assert!(seen(&[flushed("m1"), answered(1), refused("HTTP error: 503 Service Unavailable")]).is_err());
    }

    #[test]
    fn a_broadcast_is_written_to_as_many_as_it_says() {
        let broadcast = |delivered, written: bool| {
            let mut checker = Delivery::new(&Settings::default());
            let answered = Event::Answered { push: 1, sessions: Vec::new(), delivered };
            let mut events = vec![dialled(), pushed(1, Aim::All)];
            events.extend(written.then(|| flushed("m1")));
            events.push(answered);
            events.iter().try_for_each(|event| checker.event(0, event))
        };
        assert_eq!((broadcast(1, true), broadcast(0, false)), (Ok(()), Ok(())));
        assert!(broadcast(1, false).is_err() && broadcast(2, true).is_err());
    }
}
