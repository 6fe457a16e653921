//! What is called delivered reaches its client, unless the connection that it was written to broke.
//!
//! `delivered` means that the node's operating system took the bytes. The simulated network keeps them,
//! so that only a connection that ends without a closing handshake can lose them, and only those after
//! which nothing more arrived on it. Of a broadcast the number of deliveries is looked at.

use std::collections::{BTreeMap, BTreeSet};

use crate::checkers::Checker;
use crate::checkers::arrival::push_of;
use crate::event::{Aim, Answer, ClientIndex, ConnectionId, Event, NodeIndex, PushId, node_of};
use pushmesh::Outcome;

/// Keeps account of what was promised and what arrived.
#[derive(Default)]
pub(super) struct Delivery {
    connections: BTreeMap<ConnectionId, Connection>,
    pushed: BTreeMap<PushId, Pushed>,
    promises: Vec<Promise>,
    got: BTreeSet<(PushId, ConnectionId)>,
    /// Since when nodes hold still.
    still_ms: BTreeMap<NodeIndex, u64>,
}

/// A connection, also one that its client gave up before it heard that it was let in.
struct Connection {
    client: ClientIndex,
    node: NodeIndex,
    dialled_ms: u64,
    /// When its node may have learnt that it is over; `None` while it lasts.
    ended_ms: Option<u64>,
    /// Whether what the node has written may be lost.
    lost: bool,
    /// When the latest push was made of those that arrived on it.
    latest_ms: Option<u64>,
}

struct Pushed {
    at_ms: u64,
    to_all: bool,
}

/// Deliveries that a node speaks of.
struct Promise {
    push: PushId,
    to: Promised,
    answered_ms: u64,
}

enum Promised {
    To(ClientIndex, NodeIndex),
    /// So many sessions of all nodes.
    Sessions(u64),
}

impl Connection {
    /// Whether a push of `pushed_ms` that was answered for at `answered_ms` may have been written to it, and
    /// got lost. What was pushed after the answer was written later, so that with it all before has arrived.
    fn may_lose(&self, pushed_ms: u64, answered_ms: u64) -> bool {
        let was_there =
            self.dialled_ms <= answered_ms && self.ended_ms.is_none_or(|at| at + NOTICE_MS >= pushed_ms);
        self.lost && was_there && self.latest_ms.is_none_or(|latest| latest <= answered_ms)
    }
}

impl Delivery {
    fn end_of(&mut self, connection: ConnectionId, now_ms: u64, lost: bool) {
        if let Some(connection) = self.connections.get_mut(&connection) {
            connection.ended_ms = Some(now_ms);
            connection.lost = lost;
        }
    }

    fn is_kept(&self, promise: &Promise) -> Result<bool, String> {
        let Promise { push, to, answered_ms } = promise;
        let Some(pushed) = self.pushed.get(push) else { return Err(format!("push {push} was never made")) };
        let got = |id: &ConnectionId| self.got.contains(&(*push, *id));
        let may_lose = |one: &Connection| one.may_lose(pushed.at_ms, *answered_ms);
        match to {
            Promised::To(client, node) => {
                let mut own = self.connections.iter().filter(|(_, one)| one.client == *client);
                if own.clone().any(|(id, _)| got(id)) {
                    return Ok(true);
                }
                if own.any(|(_, one)| one.node == *node && may_lose(one)) {
                    return Ok(false);
                }
                let at = pushed.at_ms;
                Err(format!(
                    "push {push} of {at} ms was called delivered to client {client} at node {node}, which did not receive it"
                ))
            }
            Promised::Sessions(sessions) => {
                let lost =
                    self.connections.iter().filter(|(id, one)| may_lose(one) && !got(id)).count() as u64;
                // A client that moves may have it from both its sessions.
                let arrived =
                    self.got.range((*push, ConnectionId::MIN)..=(*push, ConnectionId::MAX)).count() as u64;
                if arrived + lost < *sessions {
                    return Err(format!(
                        "push {push} of {} ms to all was called delivered to {sessions} sessions; {arrived} have it, {lost} may have lost it",
                        pushed.at_ms
                    ));
                }
                Ok(*sessions > lost)
            }
        }
    }
}

impl Checker for Delivery {
    fn name(&self) -> &'static str {
        "what is called delivered arrives"
    }

    fn event(&mut self, now_ms: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Dialled { connection, client, node, .. } => {
                let (client, node, dialled_ms) = (*client, *node, now_ms);
                let dialled =
                    Connection { client, node, dialled_ms, ended_ms: None, lost: false, latest_ms: None };
                self.connections.insert(*connection, dialled);
            }
            // Without an answer it may have been let in, and has not heard of it.
            Event::Refused { connection, why, .. } => {
                self.end_of(*connection, now_ms, !why.starts_with(ANSWERED));
            }
            Event::Ended { connection, end } => self.end_of(*connection, now_ms, end.loses()),
            Event::HeldStill { node } => _ = self.still_ms.insert(*node, now_ms),
            Event::WentOn { node } => {
                // It learns only now what ended meanwhile.
                let since = self.still_ms.remove(node).unwrap_or(now_ms).saturating_sub(NOTICE_MS);
                for connection in self.connections.values_mut().filter(|one| one.node == *node) {
                    connection.ended_ms = connection.ended_ms.map(|at| if at >= since { now_ms } else { at });
                }
            }
            Event::Got { connection: id, text } => {
                if let Some((connection, push)) = self.connections.get_mut(id).zip(push_of(text))
                    && let Some(pushed) = self.pushed.get(&push)
                    && self.got.insert((push, *id))
                {
                    connection.latest_ms = connection.latest_ms.max(Some(pushed.at_ms));
                }
            }
            Event::Pushed { push, aim, .. } => {
                let pushed = Pushed { at_ms: now_ms, to_all: matches!(aim, Aim::All) };
                self.pushed.insert(*push, pushed);
            }
            Event::Answered { push, sessions, delivered } => {
                let answered_ms = now_ms;
                if self.pushed.get(push).is_some_and(|pushed| pushed.to_all) && *delivered > 0 {
                    self.promises.push(Promise {
                        push: *push,
                        to: Promised::Sessions(*delivered),
                        answered_ms,
                    });
                }
                for answer in sessions.iter().filter(|answer| answer.outcome == Outcome::Delivered) {
                    self.promises.push(Promise { push: *push, to: promised(*push, answer)?, answered_ms });
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        for promise in &self.promises {
            self.is_kept(promise)?;
        }
        Ok(())
    }

    fn compared(&self) -> (&'static str, u64) {
        let kept = self.promises.iter().filter(|promise| self.is_kept(promise) == Ok(true));
        ("deliveries promised", kept.count() as u64)
    }
}

fn promised(push: PushId, answer: &Answer) -> Result<Promised, String> {
    match (answer.client, answer.node.as_deref().and_then(node_of)) {
        (Some(client), Some(node)) => Ok(Promised::To(client, node)),
        _ => Err(format!("push {push} was called delivered to nobody that there is: {answer:?}")),
    }
}

/// How long a node may write to a socket that the client has let go of, in milliseconds. Source: above
/// every latency that a plan draws.
const NOTICE_MS: u64 = 200;
/// How the reason begins when a node has answered that the client is not let in.
const ANSWERED: &str = "HTTP error";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{End, Way};

    fn dialled(connection: ConnectionId) -> Event {
        Event::Dialled { connection, client: 0, node: 0, resumed: None }
    }

    fn pushed(push: PushId, aim: Aim) -> Event {
        Event::Pushed { push, node: 0, aim, found: Vec::new(), way: Way::Http }
    }

    fn answered(push: PushId) -> Event {
        let answer = Answer { client: Some(0), node: Some("n1".to_owned()), outcome: Outcome::Delivered };
        Event::Answered { push, sessions: vec![answer], delivered: 1 }
    }

    fn got(text: &str) -> Event {
        Event::Got { connection: 7, text: text.to_owned() }
    }

    fn ended(end: End) -> Event {
        Event::Ended { connection: 7, end }
    }

    fn judge(events: &[(u64, Event)]) -> Result<u64, String> {
        let mut checker = Delivery::default();
        events.iter().try_for_each(|(at, event)| checker.event(*at, event))?;
        checker.end()?;
        Ok(checker.compared().1)
    }

    /// A push of 1,000 ms that is called delivered at 1,010 ms, and what comes before and after.
    fn seen(before: &[(u64, Event)], after: &[(u64, Event)]) -> Result<u64, String> {
        let promise = [(1_000, pushed(1, Aim::Client(0))), (1_010, answered(1))];
        judge(&before.iter().chain(&promise).chain(after).cloned().collect::<Vec<_>>())
    }

    #[test]
    fn a_promise_that_is_not_kept_is_found() {
        let open = [(0, dialled(7))];
        assert_eq!(seen(&open, &[(1_020, got("m1"))]), Ok(1));
        assert!(seen(&open, &[]).unwrap_err().contains("did not"));
        assert!(seen(&open, &[(1_020, ended(End::Closed(Some(4001))))]).is_err());
    }

    #[test]
    fn a_connection_that_broke_may_lose_what_was_written_last() {
        let open = [(0, dialled(7))];
        assert_eq!(seen(&open, &[(1_020, ended(End::Dropped))]), Ok(0), "not counted as looked at");
        let later = [(1_020, pushed(2, Aim::Client(0))), (1_030, got("m2")), (1_040, ended(End::Dropped))];
        assert!(seen(&open, &later).is_err(), "what was written later has arrived");
    }

    #[test]
    fn a_connection_that_was_not_there_excuses_nothing() {
        assert!(seen(&[(0, dialled(7)), (700, ended(End::Dropped))], &[]).is_err(), "long gone");
        assert!(seen(&[], &[(1_020, dialled(7)), (1_030, ended(End::Dropped))]).is_err(), "later");
        let refused = |why: &str| {
            let refused = Event::Refused { connection: 7, client: 0, node: 0, why: why.to_owned() };
            seen(&[(990, dialled(7))], &[(1_020, refused)])
        };
        assert!(refused("HTTP error: 503 Service Unavailable").is_err());
        assert_eq!(refused("no answer"), Ok(0), "let in, and it has not heard of it");
    }

    #[test]
    fn a_node_that_held_still_learns_late_what_broke() {
        let before = [(0, dialled(7)), (100, Event::HeldStill { node: 0 }), (200, ended(End::Dropped))];
        assert_eq!(seen(&before, &[(1_100, Event::WentOn { node: 0 })]), Ok(0));
        assert!(seen(&before, &[]).is_err());
    }

    #[test]
    fn a_broadcast_reaches_as_many_as_it_says() {
        let broadcast = |delivered, after: &[(u64, Event)]| {
            let answered = Event::Answered { push: 1, sessions: Vec::new(), delivered };
            let mut events = vec![(0, dialled(7)), (1_000, pushed(1, Aim::All)), (1_010, answered)];
            events.extend_from_slice(after);
            judge(&events)
        };
        assert_eq!(broadcast(1, &[(1_005, got("m1"))]), Ok(1));
        assert_eq!(broadcast(1, &[(1_020, ended(End::Dropped))]), Ok(0));
        assert!(broadcast(1, &[]).is_err());
        assert!(broadcast(2, &[(1_005, got("m1")), (1_020, ended(End::Dropped))]).is_err());
    }
}
