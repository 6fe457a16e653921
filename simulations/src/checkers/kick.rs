//! A session that a backend was told to be disconnected ends with 4002, unless it broke or its client
//! closed it at the same time.

use std::collections::BTreeMap;

use crate::checkers::checker::Checker;
use crate::event::{End, Event};
use crate::id::{ClientIndex, ConnectionId, NodeIndex, node_of};
use crate::reply::Reply;
use crate::settings::Settings;
use pushmesh::Outcome;

/// Keeps account of what was promised and how connections ended.
pub(super) struct Kick {
    settings: Settings,
    connections: BTreeMap<ConnectionId, Connection>,
    /// When calls were made.
    called_ms: BTreeMap<u64, u64>,
    promised: Vec<Promise>,
}

struct Connection {
    client: ClientIndex,
    node: NodeIndex,
    dialled_ms: u64,
    end: Option<(u64, bool)>,
}

#[derive(Debug)]
struct Promise {
    client: ClientIndex,
    node: String,
    called_ms: u64,
    replied_ms: u64,
}

impl Checker for Kick {
    fn name(&self) -> &'static str {
        "a session that is called disconnected ends with 4002"
    }

    fn event(&mut self, now_ms: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Dialled { connection, client, node, .. } => {
                let dialled = Connection { client: *client, node: *node, dialled_ms: now_ms, end: None };
                self.connections.insert(*connection, dialled);
            }
            Event::Ended { connection, end } => {
                // The client's own close crosses that of the node: then there is no code, or that of the
                // node's answer. So does what no node takes.
                let crosses = matches!(end, End::Closed(Some(KICKED | 1000 | 1007 | 1009) | None));
                // One that is kept may have outlived its connection.
                let client = self.connections.get(connection).map(|at| at.client);
                let kept = client.is_some_and(|client| self.settings.keep_s(client) > 0);
                let fits = end.loses() || crosses || kept;
                self.ended(*connection, now_ms, fits);
            }
            // Let in, and gone before it heard of it.
            Event::Refused { connection, .. } => self.ended(*connection, now_ms, true),
            Event::Called { call, .. } => _ = self.called_ms.insert(*call, now_ms),
            Event::Replied { call, reply: Reply::Kicked(sessions), .. } => {
                for answer in sessions.iter().filter(|answer| answer.outcome == Outcome::Delivered) {
                    let (Some(client), Some(node)) = (answer.client, answer.node.clone()) else {
                        return Err(format!("call {call} disconnected nobody that there is: {answer:?}"));
                    };
                    // There may be no connection to one that is kept.
                    if self.settings.keep_s(client) > 0 && !self.is_connected(client, &node) {
                        continue;
                    }
                    let called_ms = self.called_ms.get(call).copied().unwrap_or_default();
                    self.promised.push(Promise { client, node, called_ms, replied_ms: now_ms });
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        for promise in &self.promised {
            let in_time = |ended_ms: u64| {
                ended_ms + STILL_MS_MAX >= promise.called_ms && ended_ms <= promise.replied_ms + LEARNS_MS_MAX
            };
            let kept = |at: &Connection| {
                at.client == promise.client
                    && node_of(&promise.node) == Some(at.node)
                    && at.dialled_ms <= promise.replied_ms
                    && at.end.is_some_and(|(ended_ms, fits)| fits && in_time(ended_ms))
            };
            if !self.connections.values().any(kept) {
                return Err(format!("{promise:?} was not kept"));
            }
        }
        Ok(())
    }

    fn compared(&self) -> (&'static str, u64) {
        ("sessions called disconnected", self.promised.len() as u64)
    }
}

impl Kick {
    /// Nobody is connected.
    pub(super) fn new(settings: &Settings) -> Self {
        let (connections, called_ms, promised) = Default::default();
        Self { settings: settings.clone(), connections, called_ms, promised }
    }

    fn is_connected(&self, client: ClientIndex, node: &str) -> bool {
        let mut open = self.connections.values().filter(|at| at.end.is_none());
        open.any(|at| at.client == client && node_of(node) == Some(at.node))
    }

    fn ended(&mut self, connection: ConnectionId, now_ms: u64, fits: bool) {
        if let Some(connection) = self.connections.get_mut(&connection) {
            connection.end = Some((now_ms, fits));
        }
    }
}

/// How long ago a connection may have broken of which its node does not know, in milliseconds. Source:
/// above the longest time for which a plan lets a node hold still.
const STILL_MS_MAX: u64 = 13_000;
/// How long a client takes at most to see the end of its connection, in milliseconds. Source: it reads
/// nothing for 12 s at most, and then waits for a heartbeat.
const LEARNS_MS_MAX: u64 = 20_000;
/// The close code of a session that a backend disconnected: section 3.5 of docs/PROTOCOL.md.
const KICKED: u16 = 4002;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aim::Aim;
    use crate::answer::Answer;
    use crate::ask::Ask;

    /// At 5 ms a session was called disconnected.
    fn promised() -> Kick {
        let mut checker = Kick::new(&Settings::default());
        let answer =
            Answer { client: Some(0), node: Some("n1".to_owned()), outcome: Outcome::Delivered, copies: 0 };
        for event in [
            Event::Dialled { connection: 7, client: 0, node: 0, resumed: None },
            Event::Called { call: 1, node: 0, ask: Ask::Kick(Aim::Client(0)), pushes: Vec::new() },
            Event::Replied { call: 1, status: 200, reply: Reply::Kicked(vec![answer]) },
        ] {
            checker.event(5, &event).unwrap();
        }
        checker
    }

    fn seen(ends: Option<End>) -> Result<(), String> {
        let mut checker = promised();
        ends.into_iter().try_for_each(|end| checker.event(5, &Event::Ended { connection: 7, end }))?;
        checker.end()
    }

    #[test]
    fn a_session_that_lives_on_or_ends_otherwise_is_found() {
        assert_eq!(seen(Some(End::Closed(Some(4002)))), Ok(()));
        assert_eq!(seen(Some(End::Dropped)), Ok(()));
        assert!(seen(None).is_err());
        assert!(seen(Some(End::Closed(Some(4001)))).is_err());
    }

    #[test]
    fn an_end_that_comes_much_later_is_none_that_was_promised() {
        let end = |ended_ms| {
            let mut checker = promised();
            checker.event(ended_ms, &Event::Ended { connection: 7, end: End::Dropped }).unwrap();
            checker.end()
        };
        assert_eq!(end(5 + LEARNS_MS_MAX), Ok(()));
        assert!(end(6 + LEARNS_MS_MAX).is_err());
    }
}
