//! What is said not to be written is not: whoever hears `no_session` or `overloaded` may push again.

use std::collections::{BTreeMap, BTreeSet};

use crate::checkers::arrival::push_of;
use crate::checkers::checker::Checker;
use crate::event::Event;
use crate::id::{ClientIndex, ConnectionId, NodeIndex, PushId, node_of};
use pushmesh::Outcome;

/// Keeps what was denied, and what was written.
#[derive(Default)]
pub(super) struct Denial {
    connections: BTreeMap<ConnectionId, (ClientIndex, NodeIndex)>,
    written: BTreeSet<Written>,
    denied: BTreeMap<Written, Outcome>,
}

/// A push at a client of a node.
type Written = (PushId, ClientIndex, NodeIndex);

impl Denial {
    fn is_wrong(&self, at: &Written) -> Result<(), String> {
        match self.denied.get(at).filter(|_| self.written.contains(at)) {
            None => Ok(()),
            Some(outcome) => {
                let ((push, client, node), outcome) = (at, outcome.as_str());
                Err(format!(
                    "push {push} was called {outcome} for client {client} at node {node}, which wrote it"
                ))
            }
        }
    }
}

impl Checker for Denial {
    fn name(&self) -> &'static str {
        "what is said not to be written is not"
    }

    fn event(&mut self, _: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Dialled { connection, client, node, .. } => {
                self.connections.insert(*connection, (*client, *node));
            }
            Event::Flushed { connection, text } => {
                let Some((push, (client, node))) = push_of(text).zip(self.connections.get(connection)) else {
                    return Ok(());
                };
                let at = (push, *client, *node);
                self.written.insert(at);
                return self.is_wrong(&at);
            }
            Event::Answered { push, sessions, .. } => {
                for answer in sessions {
                    let node = answer.node.as_deref().and_then(node_of);
                    if let (Some(client), Some(node)) = (answer.client, node)
                        && matches!(answer.outcome, Outcome::NoSession | Outcome::Overloaded)
                    {
                        let at = (*push, client, node);
                        self.denied.insert(at, answer.outcome.clone());
                        self.is_wrong(&at)?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn compared(&self) -> (&'static str, u64) {
        ("pushes said not to be written", self.denied.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Answer;

    fn answered(outcome: Outcome, node: &str) -> Event {
        let answer = Answer { client: Some(0), node: Some(node.to_owned()), outcome, copies: 0 };
        Event::Answered { push: 1, sessions: vec![answer], delivered: 0 }
    }

    fn seen(events: &[Event]) -> Result<(), String> {
        let mut checker = Denial::default();
        let dialled = [Event::Dialled { connection: 7, client: 0, node: 0, resumed: None }];
        dialled.iter().chain(events).try_for_each(|event| checker.event(0, event))
    }

    #[test]
    fn what_was_written_is_not_denied_before_or_after() {
        let written = || Event::Flushed { connection: 7, text: "m1".to_owned() };
        for outcome in [Outcome::NoSession, Outcome::Overloaded] {
            assert!(seen(&[written(), answered(outcome.clone(), "n1")]).is_err());
            assert!(seen(&[answered(outcome.clone(), "n1"), written()]).is_err());
            assert_eq!(seen(&[written(), answered(outcome, "n2")]), Ok(()), "another node did not write it");
        }
        assert_eq!(seen(&[written(), answered(Outcome::Interrupted, "n1")]), Ok(()), "it may have");
    }
}
