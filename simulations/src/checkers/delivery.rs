//! What is called delivered reaches its client, unless the client's connection broke.
//!
//! `delivered` means that the node's operating system took the bytes. The simulated network keeps
//! them, so that only a connection that ends without a closing handshake can lose them.

use std::collections::{BTreeMap, BTreeSet};

use crate::checkers::Checker;
use crate::checkers::arrival::push_of;
use crate::event::{Answer, ClientIndex, ConnectionId, Event, NodeIndex, PushId, node_of};
use pushmesh::Outcome;

/// Keeps account of what was promised and what arrived.
#[derive(Default)]
pub(super) struct Delivery {
    connections: BTreeMap<ConnectionId, (ClientIndex, NodeIndex)>,
    pushed_ms: BTreeMap<PushId, u64>,
    promised: Vec<(PushId, ClientIndex, NodeIndex)>,
    got: BTreeSet<(PushId, ClientIndex)>,
    /// When connections of a client to a node last broke.
    broken_ms: BTreeMap<(ClientIndex, NodeIndex), u64>,
    /// Since when nodes hold still.
    still_ms: BTreeMap<NodeIndex, u64>,
}

impl Checker for Delivery {
    fn name(&self) -> &'static str {
        "what is called delivered arrives"
    }

    fn event(&mut self, now_ms: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Opened { connection, client, node } => {
                self.connections.insert(*connection, (*client, *node));
            }
            // Let in, but it has not heard of it.
            Event::Refused { client, node, .. } => _ = self.broken_ms.insert((*client, *node), now_ms),
            Event::Ended { connection, end } => {
                if let Some(of) = self.connections.get(connection)
                    && end.loses()
                {
                    self.broken_ms.insert(*of, now_ms);
                }
            }
            Event::HeldStill { node } => _ = self.still_ms.insert(*node, now_ms),
            Event::WentOn { node } => {
                // It learns only now what broke meanwhile.
                let since = self.still_ms.remove(node).unwrap_or(now_ms).saturating_sub(NOTICE_MS);
                let broken = self.broken_ms.iter_mut().filter(|((_, at), _)| at == node);
                broken.filter(|(_, at)| **at >= since).for_each(|(_, at)| *at = now_ms);
            }
            Event::Got { connection, text } => {
                if let Some(((client, _), push)) = self.connections.get(connection).zip(push_of(text)) {
                    self.got.insert((push, *client));
                }
            }
            Event::Pushed { push, .. } => _ = self.pushed_ms.insert(*push, now_ms),
            Event::Answered { push, sessions, .. } => {
                for answer in sessions.iter().filter(|answer| answer.outcome == Outcome::Delivered) {
                    self.promised.push(promise(*push, answer)?);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        for (push, client, node) in &self.promised {
            let pushed = self.pushed_ms.get(push).copied().unwrap_or_default();
            let broken = self.broken_ms.get(&(*client, *node)).is_some_and(|at| *at + NOTICE_MS >= pushed);
            if !broken && !self.got.contains(&(*push, *client)) {
                return Err(format!(
                    "push {push} of {pushed} ms was called delivered to client {client} at node {node}, which did not \
                     receive it"
                ));
            }
        }
        Ok(())
    }

    fn compared(&self) -> (&'static str, u64) {
        ("deliveries promised", self.promised.len() as u64)
    }
}

fn promise(push: PushId, answer: &Answer) -> Result<(PushId, ClientIndex, NodeIndex), String> {
    match (answer.client, answer.node.as_deref().and_then(node_of)) {
        (Some(client), Some(node)) => Ok((push, client, node)),
        _ => Err(format!("push {push} was called delivered to nobody that there is: {answer:?}")),
    }
}

/// How long a node may write to a socket that the client has let go of, in milliseconds. Source: above
/// every latency that a plan draws.
const NOTICE_MS: u64 = 200;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Aim, End, Way};

    fn seen(extra: &[Event]) -> Result<(), String> {
        let mut checker = Delivery::default();
        let answer = Answer { client: Some(0), node: Some("n1".to_owned()), outcome: Outcome::Delivered };
        let events = [
            Event::Opened { connection: 7, client: 0, node: 0 },
            Event::Pushed { push: 1, node: 0, aim: Aim::Client(0), found: Vec::new(), way: Way::Http },
            Event::Answered { push: 1, sessions: vec![answer], delivered: 1 },
        ];
        events.iter().chain(extra).try_for_each(|event| checker.event(0, event))?;
        checker.end()
    }

    #[test]
    fn a_promise_that_is_not_kept_is_found() {
        assert_eq!(seen(&[Event::Got { connection: 7, text: "m1".to_owned() }]), Ok(()));
        assert!(seen(&[]).unwrap_err().contains("did not"));
        assert!(seen(&[Event::Ended { connection: 7, end: End::Closed(Some(4001)) }]).is_err());
    }

    #[test]
    fn a_node_that_held_still_learns_late_what_broke() {
        let mut checker = Delivery::default();
        let answer = Answer { client: Some(0), node: Some("n1".to_owned()), outcome: Outcome::Delivered };
        let events = [
            (0, Event::Opened { connection: 7, client: 0, node: 0 }),
            (1_000, Event::HeldStill { node: 0 }),
            (1_100, Event::Ended { connection: 7, end: End::Dropped }),
            (
                2_000,
                Event::Pushed { push: 1, node: 0, aim: Aim::Client(0), found: Vec::new(), way: Way::Http },
            ),
            (2_000, Event::Answered { push: 1, sessions: vec![answer], delivered: 1 }),
        ];
        events.iter().for_each(|(at, event)| checker.event(*at, event).unwrap());
        checker.event(3_000, &Event::WentOn { node: 0 }).unwrap();
        assert_eq!(checker.end(), Ok(()));
    }

    #[test]
    fn a_connection_that_broke_may_lose_it() {
        assert_eq!(seen(&[Event::Ended { connection: 7, end: End::Dropped }]), Ok(()));
    }
}
