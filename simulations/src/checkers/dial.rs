//! A client that dials a node that runs is let in, or told why not, in bounded time, whatever its
//! former connections do.

use std::collections::{BTreeMap, BTreeSet};

use crate::checkers::checker::Checker;
use crate::event::Event;
use crate::id::{ConnectionId, NodeIndex};

/// Watches the dials that are not answered yet.
#[derive(Default)]
pub(super) struct Dial {
    running: BTreeSet<NodeIndex>,
    still: BTreeSet<NodeIndex>,
    /// Nodes that run and do not hold still, each with the time since when.
    awake_ms: BTreeMap<NodeIndex, u64>,
    dialled_ms: BTreeMap<ConnectionId, u64>,
    answered: u64,
}

impl Checker for Dial {
    fn name(&self) -> &'static str {
        "a client that dials is answered"
    }

    fn event(&mut self, now_ms: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Booted { node, .. } => _ = self.running.insert(*node),
            Event::Crashed { node } | Event::Failed { node, .. } | Event::Stopped { node } => {
                self.running.remove(node);
            }
            Event::HeldStill { node } => _ = self.still.insert(*node),
            Event::WentOn { node } => _ = self.still.remove(node),
            Event::Dialled { connection, .. } => _ = self.dialled_ms.insert(*connection, now_ms),
            Event::Opened { connection, .. } => {
                self.answered += 1;
                self.dialled_ms.remove(connection);
            }
            Event::Refused { connection, client, node, why } => {
                let dialled = self.dialled_ms.remove(connection).unwrap_or(now_ms);
                // One that the client gave up says nothing.
                let awake = self.awake_ms.get(node).is_some_and(|since| *since <= dialled);
                if awake && why == NO_ANSWER {
                    return Err(format!("client {client} dialled node {node} at {dialled} ms in vain"));
                }
                self.answered += u64::from(awake);
            }
            _ => {}
        }
        self.awake_ms.retain(|node, _| self.running.contains(node) && !self.still.contains(node));
        for node in self.running.difference(&self.still) {
            self.awake_ms.entry(*node).or_insert(now_ms);
        }
        Ok(())
    }

    fn compared(&self) -> (&'static str, u64) {
        ("dials answered", self.answered)
    }
}

/// What the clients say when nobody answered for three seconds, six times what a takeover may last.
const NO_ANSWER: &str = "no answer";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dial_that_a_running_node_does_not_answer_is_found() {
        let dialled = Event::Dialled { connection: 7, client: 0, node: 1, resumed: None };
        let refused = Event::Refused { connection: 7, client: 0, node: 1, why: NO_ANSWER.to_owned() };
        let booted = Event::Booted { node: 1, incarnation: 5 };
        let seen = |events: &[&Event]| {
            let mut checker = Dial::default();
            events.iter().zip(1..).try_for_each(|(event, at)| checker.event(at, event))
        };
        let (still, went_on) = (Event::HeldStill { node: 1 }, Event::WentOn { node: 1 });
        let stopped = Event::Stopped { node: 1 };
        assert!(seen(&[&booted, &dialled, &refused]).is_err());
        assert!(seen(&[&booted, &still, &went_on, &dialled, &refused]).is_err());
        assert_eq!(seen(&[&booted, &dialled, &still, &refused]), Ok(()));
        assert_eq!(seen(&[&dialled, &booted, &refused]), Ok(()), "it was not there yet");
        assert_eq!(seen(&[&booted, &still, &stopped, &went_on, &dialled, &refused]), Ok(()), "it is gone");
    }
}
