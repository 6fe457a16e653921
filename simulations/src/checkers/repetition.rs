//! A push that is made again under its id is written once to a connection, and called delivered only when its own
//! words were written: the id alone proves nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::ask::{Ask, repeated_of};
use crate::checkers::checker::Checker;
use crate::event::Event;
use crate::event::kept::Kept;
use crate::id::{CallId, ClientIndex, ConnectionId, NodeIndex, node_of};
use crate::position::Segment;
use crate::reply::{Fate, Reply};
use crate::settings::Settings;
use pushmesh::Outcome;

/// Keeps what was asked and what was written.
pub(super) struct Repetition {
    settings: Settings,
    connections: BTreeMap<ConnectionId, (ClientIndex, NodeIndex)>,
    calls: BTreeMap<CallId, Push>,
    /// The words in which each of them was made.
    made: BTreeMap<u64, BTreeSet<u8>>,
    /// In which words each was written to a connection.
    written: BTreeMap<(u64, ConnectionId, Option<Segment>), u8>,
    /// In which segment stands what is flushed next.
    next: Option<Segment>,
    compared: u64,
}

/// One of the calls that make a push.
#[derive(Debug, Clone, Copy)]
struct Push {
    client: ClientIndex,
    number: u64,
    words: u8,
}

impl Checker for Repetition {
    fn name(&self) -> &'static str {
        "a push that is made again is written once"
    }

    fn event(&mut self, _: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Dialled { connection, client, node, .. } => {
                self.connections.insert(*connection, (*client, *node));
            }
            Event::Called { call, ask: Ask::Repeat { client, number, words }, .. } => {
                self.calls.insert(*call, Push { client: *client, number: *number, words: *words });
                self.made.entry(*number).or_default().insert(*words);
            }
            // A repetition that reaches a new owner before what the former one hands over is written again, in another
            // segment, and its client passes over it.
            Event::Kept { what: Kept::Flushed { at, .. }, .. } => self.next = Some(at.segment.clone()),
            Event::Flushed { connection, text } => {
                let segment = self.next.take();
                let Some((number, words)) = repeated_of(text) else { return Ok(()) };
                if self.written.insert((number, *connection, segment), words).is_some() {
                    return Err(format!("push {number} was written to connection {connection} twice"));
                }
            }
            Event::Got { connection, text } => {
                let Some((number, words)) = repeated_of(text) else { return Ok(()) };
                if !self.made.get(&number).is_some_and(|made| made.contains(&words)) {
                    return Err(format!("connection {connection} received {text}, which nobody pushed"));
                }
            }
            Event::Replied { call, reply: Reply::Pushed(fates), .. } => {
                if let (Some(push), [fate]) = (self.calls.get(call).copied(), &fates[..]) {
                    self.compared += 1;
                    return self.answered(push, fate);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn compared(&self) -> (&'static str, u64) {
        ("answers to pushes that may be made again", self.compared)
    }
}

impl Repetition {
    /// Nobody has asked anything.
    pub(super) fn new(settings: &Settings) -> Self {
        let (connections, calls, made, written, next) = Default::default();
        Self { settings: settings.clone(), connections, calls, made, written, next, compared: 0 }
    }

    fn answered(&self, push: Push, fate: &Fate) -> Result<(), String> {
        for answer in &fate.sessions {
            let is_true = match answer.outcome {
                // A session that is kept remembers what its former owners have written.
                Outcome::Delivered | Outcome::Acked if self.settings.keep_s(push.client) > 0 => {
                    self.is_written(push, None)
                }
                Outcome::Delivered => {
                    let node = answer.node.as_deref().and_then(node_of);
                    node.is_some_and(|node| self.is_written(push, Some(node)))
                }
                Outcome::IdReused => self.made.get(&push.number).is_some_and(|made| made.len() > 1),
                _ => true,
            };
            if !is_true {
                return Err(format!("{push:?} was answered {answer:?}, and that is not so"));
            }
        }
        Ok(())
    }

    /// Whether it was written to its client in these words, by that node or by any.
    fn is_written(&self, push: Push, node: Option<NodeIndex>) -> bool {
        self.written.iter().any(|((number, connection, _), words)| {
            (*number, *words) == (push.number, push.words)
                && self
                    .connections
                    .get(connection)
                    .is_some_and(|(client, at)| *client == push.client && node.is_none_or(|node| node == *at))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Answer;

    fn called(call: CallId, words: u8) -> Event {
        let ask = Ask::Repeat { client: 0, number: 4, words };
        Event::Called { call, node: 0, ask, pushes: Vec::new() }
    }

    fn replied(call: CallId, outcome: Outcome) -> Event {
        let sessions = vec![Answer { client: Some(0), node: Some("n1".to_owned()), outcome, copies: 0 }];
        let reply = Reply::Pushed(vec![Fate { sessions, delivered: 0, word: None }]);
        Event::Replied { call, status: 200, reply }
    }

    fn flushed(connection: ConnectionId, text: &str) -> Event {
        Event::Flushed { connection, text: text.to_owned() }
    }

    fn seen(events: &[Event]) -> Result<(), String> {
        let mut checker = Repetition::new(&Settings::default());
        let dialled = |connection| Event::Dialled { connection, client: 0, node: 0, resumed: None };
        let before = [dialled(7), dialled(8), called(1, 0)];
        before.iter().chain(events).try_for_each(|event| checker.event(0, event))
    }

    #[test]
    fn only_what_was_written_in_its_own_words_is_called_delivered() {
        assert_eq!(seen(&[flushed(7, "r4.0"), replied(1, Outcome::Delivered)]), Ok(()));
        assert!(seen(&[replied(1, Outcome::Delivered)]).is_err());
        assert!(seen(&[called(2, 1), flushed(7, "r4.0"), replied(2, Outcome::Delivered)]).is_err());
        assert_eq!(seen(&[replied(1, Outcome::Buffered)]), Ok(()));
    }

    #[test]
    fn an_id_is_reused_only_by_other_words() {
        assert!(seen(&[replied(1, Outcome::IdReused)]).is_err());
        assert_eq!(seen(&[called(2, 1), replied(2, Outcome::IdReused)]), Ok(()));
    }

    #[test]
    fn one_connection_is_written_to_once() {
        assert!(seen(&[flushed(7, "r4.0"), flushed(7, "r4.0")]).unwrap_err().contains("twice"));
        assert_eq!(seen(&[flushed(7, "r4.0"), flushed(8, "r4.0")]), Ok(()), "it moved meanwhile");
    }

    #[test]
    fn what_nobody_pushed_is_not_received() {
        let got = |text: &str| Event::Got { connection: 7, text: text.to_owned() };
        assert_eq!(seen(&[got("r4.0")]), Ok(()));
        assert!(seen(&[got("r4.1")]).is_err() && seen(&[got("r5.0")]).is_err());
    }
}
