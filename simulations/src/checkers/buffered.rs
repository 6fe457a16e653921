//! What is called buffered is written later, unless the connection that it waits for ends.

use std::collections::{BTreeMap, BTreeSet};

use crate::checkers::Checker;
use crate::checkers::arrival::push_of;
use crate::event::{ClientIndex, ConnectionId, Event, NodeIndex, PushId, node_of};
use pushmesh::Outcome;

/// Keeps what is to be written.
#[derive(Default)]
pub(super) struct Buffered {
    /// Those that are open or being made.
    connections: BTreeMap<ConnectionId, (ClientIndex, NodeIndex)>,
    /// What was flushed to the sockets of a client by its nodes.
    flushed: BTreeSet<(PushId, ClientIndex, NodeIndex)>,
    waiting: Vec<Waiting>,
}

struct Waiting {
    push: PushId,
    client: ClientIndex,
    node: NodeIndex,
    /// Where it may be written to.
    connections: Vec<ConnectionId>,
}

impl Checker for Buffered {
    fn name(&self) -> &'static str {
        "what is called buffered is written"
    }

    fn event(&mut self, _: u64, event: &Event) -> Result<(), String> {
        match event {
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
                    let open = self.connections.iter().filter(|(_, at)| **at == (client, node));
                    let connections = open.map(|(id, _)| *id).collect();
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
    use crate::event::{Answer, End};

    fn seen(after: &[Event]) -> Result<(), String> {
        let mut checker = Buffered::default();
        let answer = Answer { client: Some(0), node: Some("n1".to_owned()), outcome: Outcome::Buffered };
        let before = [
            Event::Dialled { connection: 7, client: 0, node: 0, resumed: None },
            Event::Answered { push: 1, sessions: vec![answer], delivered: 0 },
        ];
        before.iter().chain(after).try_for_each(|event| checker.event(0, event))?;
        checker.end()
    }

    #[test]
    fn what_is_buffered_is_written_unless_its_connection_ends() {
        assert!(seen(&[]).unwrap_err().contains("never written"));
        assert_eq!(seen(&[Event::Flushed { connection: 7, text: "m1".to_owned() }]), Ok(()));
        assert_eq!(seen(&[Event::Ended { connection: 7, end: End::Dropped }]), Ok(()));
        assert!(seen(&[Event::Flushed { connection: 7, text: "m2".to_owned() }]).is_err());
    }
}
