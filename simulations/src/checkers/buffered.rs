//! What is called buffered is written later, unless the connection that it waits for ends. Of sessions that are kept
//! [`held`](super::held) says more.

use std::collections::{BTreeMap, BTreeSet};

use crate::checkers::arrival::push_of;
use crate::checkers::bounds::CLOSE_MS_MAX;
use crate::checkers::checker::Checker;
use crate::event::Event;
use crate::id::{ClientIndex, ConnectionId, NodeIndex, PushId, node_of};
use crate::settings::Settings;
use pushmesh::Outcome;

/// Keeps what is to be written.
pub(super) struct Buffered {
    settings: Settings,
    /// Those that are open or being made.
    connections: BTreeMap<ConnectionId, (ClientIndex, NodeIndex)>,
    opened_ms: BTreeMap<ConnectionId, u64>,
    pushed_ms: BTreeMap<PushId, u64>,
    /// What was flushed to the sockets of a client by its nodes.
    flushed: BTreeSet<(PushId, ClientIndex, NodeIndex)>,
    waiting: Vec<Waiting>,
}

struct Waiting {
    push: PushId,
    client: ClientIndex,
    node: NodeIndex,
    /// Where it has to be written to, unless they end.
    connections: Vec<ConnectionId>,
}

impl Buffered {
    /// Nothing waits.
    pub(super) fn new(settings: &Settings) -> Self {
        let (connections, opened_ms, pushed_ms, flushed) = Default::default();
        Self { settings: settings.clone(), connections, opened_ms, pushed_ms, flushed, waiting: Vec::new() }
    }
}

impl Checker for Buffered {
    fn name(&self) -> &'static str {
        "what is called buffered is written"
    }

    fn event(&mut self, now_ms: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Pushed { push, .. } => _ = self.pushed_ms.insert(*push, now_ms),
            Event::Opened { connection, .. } => _ = self.opened_ms.insert(*connection, now_ms),
            Event::Dialled { connection, client, node, .. } => {
                self.connections.insert(*connection, (*client, *node));
            }
            Event::Refused { connection, .. } | Event::Ended { connection, .. } => {
                self.connections.remove(connection);
            }
            Event::Flushed { connection, text } => {
                if let Some((push, (client, node))) = push_of(text).zip(self.connections.get(connection)) {
                    self.flushed.insert((push, *client, *node));
                }
            }
            Event::Answered { push, sessions, .. } => {
                for answer in sessions.iter().filter(|answer| answer.outcome == Outcome::Buffered) {
                    let node = answer.node.as_deref().and_then(node_of);
                    let Some((client, node)) = answer.client.zip(node) else {
                        return Err(format!("push {push} was called buffered for nobody: {answer:?}"));
                    };
                    if self.settings.keep_s(client) > 0 {
                        continue;
                    }
                    let pushed_ms = self.pushed_ms.get(push).copied().unwrap_or_default();
                    // A node that has not noticed the end of a connection lets messages wait for it, and for
                    // as long as a close takes after the client is back.
                    let established = |id: &ConnectionId| {
                        self.opened_ms.get(id).is_some_and(|opened_ms| opened_ms + CLOSE_MS_MAX < pushed_ms)
                    };
                    let open = self.connections.iter().filter(|(_, at)| **at == (client, node));
                    let connections = open.map(|(id, _)| *id).filter(established).collect();
                    self.waiting.push(Waiting { push: *push, client, node, connections });
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        for Waiting { push, client, node, connections } in &self.waiting {
            let lasts = connections.iter().find(|id| self.connections.contains_key(id));
            if let Some(id) = lasts.filter(|_| !self.flushed.contains(&(*push, *client, *node))) {
                return Err(format!(
                    "push {push} was called buffered for client {client} at node {node}, and was never written to \
                     connection {id}, which is still open"
                ));
            }
        }
        Ok(())
    }

    fn compared(&self) -> (&'static str, u64) {
        ("pushes called buffered", self.waiting.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aim::Aim;
    use crate::answer::Answer;
    use crate::event::{End, Way};

    /// What is found when a push of a time, to a connection of 1 s, is called buffered.
    fn seen(pushed_ms: u64, after: &[Event]) -> Result<(), String> {
        let mut checker = Buffered::new(&Settings::default());
        let answer =
            Answer { client: Some(0), node: Some("n1".to_owned()), outcome: Outcome::Buffered, copies: 0 };
        let way = Way::Embedded { sessions: Some(1) };
        let before = [
            (900, Event::Dialled { connection: 7, client: 0, node: 0, resumed: None }),
            (1_000, Event::Opened { connection: 7, client: 0, node: 0 }),
            (pushed_ms, Event::Pushed { push: 1, node: 0, aim: Aim::Client(0), found: vec![(0, 0)], way }),
            (pushed_ms + 900, Event::Answered { push: 1, sessions: vec![answer], delivered: 0 }),
        ];
        let after = after.iter().map(|event| (pushed_ms + 2_000, event));
        let mut events = before.iter().map(|(at_ms, event)| (*at_ms, event)).chain(after);
        events.try_for_each(|(at_ms, event)| checker.event(at_ms, event))?;
        checker.end()
    }

    const ESTABLISHED_MS: u64 = 1_001 + CLOSE_MS_MAX;

    #[test]
    fn what_is_buffered_is_written_unless_its_connection_ends() {
        assert!(seen(ESTABLISHED_MS, &[]).unwrap_err().contains("never written"));
        assert_eq!(seen(ESTABLISHED_MS, &[Event::Flushed { connection: 7, text: "m1".to_owned() }]), Ok(()));
        assert_eq!(seen(ESTABLISHED_MS, &[Event::Ended { connection: 7, end: End::Dropped }]), Ok(()));
        assert!(seen(ESTABLISHED_MS, &[Event::Flushed { connection: 7, text: "m2".to_owned() }]).is_err());
    }

    #[test]
    fn what_is_pushed_just_after_a_client_came_back_may_wait_for_the_connection_before() {
        assert_eq!(seen(ESTABLISHED_MS - 1, &[]), Ok(()));
    }
}
