//! No call takes longer than its bound, whatever happens to other nodes: section 2.7 of
//! docs/PROTOCOL.md.
//!
//! Pushes through a node's own API are watched from inside, calls and connects from the other end of
//! a network, which takes its time. What is asked of a node that does not run has no bound, and a node
//! that crashes owes nothing any more.

use std::collections::{BTreeMap, BTreeSet};

use pushmesh::config::Takeover;
use pushmesh::limits;

use crate::ask::Ask;
use crate::checkers::checker::Checker;
use crate::event::{Event, Way};
use crate::host::Boot;
use crate::id::{CallId, ConnectionId, NodeIndex, PushId};
use crate::plan::LATENCY_MS_MAX;
use crate::reply::Reply;
use crate::settings::Settings;

/// Watches everything that is not answered yet.
pub(super) struct Bound {
    /// What is asked, with the node and by when there has to be an answer.
    pending: BTreeMap<Asked, (NodeIndex, u64)>,
    due: BTreeSet<(u64, Asked)>,
    running: BTreeSet<NodeIndex>,
    /// Nodes that hold still: what is asked of them over a network waits.
    still: BTreeSet<NodeIndex>,
    /// Pushes that are parts of calls: the call has the bound.
    parts: BTreeSet<PushId>,
    /// The asks of the calls, for their next page.
    calls: BTreeMap<CallId, (NodeIndex, u64)>,
    settings: Settings,
    answered: u64,
}

/// Something that is answered once, a list for each page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Asked {
    Push(PushId),
    Call(CallId),
    Connect(ConnectionId),
}

impl Bound {
    /// Nothing is asked.
    pub(super) fn new(settings: &Settings) -> Self {
        let (pending, due, running, still, parts, calls) = Default::default();
        Self { pending, due, running, still, parts, calls, settings: settings.clone(), answered: 0 }
    }

    fn ask(&mut self, asked: Asked, node: NodeIndex, until_ms: u64) {
        self.pending.insert(asked, (node, until_ms));
        self.due.insert((until_ms, asked));
    }

    fn answer(&mut self, asked: Asked) -> bool {
        let Some((_, until_ms)) = self.pending.remove(&asked) else { return false };
        self.due.remove(&(until_ms, asked));
        self.answered += 1;
        true
    }

    /// Whether a call to that node has a bound.
    fn answers(&self, node: NodeIndex) -> bool {
        self.running.contains(&node) && !self.still.contains(&node)
    }

    /// What was asked of a node over a network has no bound any more: it waits with the node.
    fn excuse(&mut self, node: NodeIndex) {
        self.pending.retain(|asked, (at, _)| *at != node || matches!(asked, Asked::Push(_)));
        self.due.retain(|(_, asked)| self.pending.contains_key(asked));
    }

    fn forget(&mut self, node: NodeIndex) {
        self.running.remove(&node);
        self.pending.retain(|_, (at, _)| *at != node);
        self.due.retain(|(_, asked)| self.pending.contains_key(asked));
    }
}

impl Checker for Bound {
    fn name(&self) -> &'static str {
        "no call takes longer than its bound"
    }

    fn event(&mut self, now_ms: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Booted { node, .. } => _ = self.running.insert(*node),
            Event::Stopped { node } | Event::BeginsAgain { node } | Event::Crashed { node } => {
                self.forget(*node)
            }
            Event::HeldStill { node } => {
                self.still.insert(*node);
                self.excuse(*node);
            }
            Event::WentOn { node } => _ = self.still.remove(node),
            Event::Pushed { push, node, way: Way::Embedded { .. }, .. } => {
                self.ask(Asked::Push(*push), *node, now_ms + PUSH_MS + TICKS_MS);
            }
            Event::Pushed { push, .. } => _ = self.parts.insert(*push),
            Event::Answered { push, .. } | Event::Rejected { push, .. } => {
                let first = self.parts.remove(push) || self.answer(Asked::Push(*push));
                return first.then_some(()).ok_or_else(|| format!("push {push} was answered twice"));
            }
            Event::Called { call, node, ask, .. } if self.answers(*node) => {
                let bound_ms = bound_ms(ask) + NETWORK_MS;
                self.calls.insert(*call, (*node, bound_ms));
                self.ask(Asked::Call(*call), *node, now_ms + bound_ms);
            }
            Event::Replied { call, reply, .. } => {
                self.answer(Asked::Call(*call));
                if let (Reply::Listed { cursor: Some(_), .. }, Some((node, bound_ms))) =
                    (reply, self.calls.get(call).copied())
                    && self.answers(node)
                {
                    self.ask(Asked::Call(*call), node, now_ms + bound_ms);
                }
            }
            Event::Lost { call, .. } => _ = self.answer(Asked::Call(*call)),
            Event::Dialled { connection, node, resumed, client } if self.answers(*node) => {
                // There the previous owner lets go before the claim is made, and others after it.
                let rejects = self.settings.takeover == Takeover::RejectNewer;
                let comes_back = resumed.is_some() || self.settings.keep_s(*client) > 0;
                let resume_ms = if rejects && comes_back { TAKEOVER_MS } else { 0 };
                let until_ms = now_ms + TAKEOVER_MS + resume_ms + NETWORK_MS;
                self.ask(Asked::Connect(*connection), *node, until_ms);
            }
            Event::Opened { connection, .. } | Event::Refused { connection, .. } => {
                self.answer(Asked::Connect(*connection));
            }
            _ => {}
        }
        Ok(())
    }

    fn tick(&mut self, now_ms: u64, _: &[Option<Boot>]) -> Result<(), String> {
        match self.due.first() {
            Some((until_ms, asked)) if now_ms > *until_ms => {
                let node = self.pending.get(asked).map(|(node, _)| *node);
                Err(format!("{asked:?} at node {node:?} should have been answered at {until_ms} ms"))
            }
            _ => Ok(()),
        }
    }

    fn compared(&self) -> (&'static str, u64) {
        ("calls, pushes and connects answered", self.answered)
    }
}

/// How long a call may take at its node.
fn bound_ms(ask: &Ask) -> u64 {
    match ask {
        // A list, a user and an explanation ask the owners for names.
        Ask::Push(..)
        | Ask::Repeat { .. }
        | Ask::Batch(_)
        | Ask::Kick(_)
        | Ask::List { .. }
        | Ask::Who(_)
        | Ask::Explain(_) => PUSH_MS,
        Ask::Stats | Ask::Nodes => 0,
    }
}

/// The push timeout.
const PUSH_MS: u64 = limits::PUSH_TIMEOUT.as_millis() as u64;
/// The longest that a connect waits for previous owners.
const TAKEOVER_MS: u64 = limits::TAKEOVER_TIMEOUT.as_millis() as u64;
/// For tasks to run: some ticks.
const TICKS_MS: u64 = 10;
/// What the network adds to a call: a connection and an answer, each of two ways.
const NETWORK_MS: u64 = 4 * LATENCY_MS_MAX + 2 * TICKS_MS;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aim::Aim;

    fn pushed() -> Event {
        let way = Way::Embedded { sessions: None };
        Event::Pushed { push: 1, node: 0, aim: Aim::All, found: Vec::new(), way }
    }

    #[test]
    fn a_push_that_is_answered_too_late_is_found() {
        let mut checker = Bound::new(&Settings::default());
        checker.event(5, &pushed()).unwrap();
        assert_eq!(checker.tick(5 + PUSH_MS + TICKS_MS, &[]), Ok(()));
        assert!(checker.tick(6 + PUSH_MS + TICKS_MS, &[]).is_err());
        checker.event(9_999, &Event::Crashed { node: 0 }).unwrap();
        assert_eq!(checker.tick(10_000, &[]), Ok(()), "a node that crashed owes nothing");
    }

    #[test]
    fn a_push_that_is_answered_twice_is_found() {
        let mut checker = Bound::new(&Settings::default());
        let answered = Event::Answered { push: 1, sessions: Vec::new(), delivered: 0 };
        checker.event(5, &pushed()).unwrap();
        assert_eq!(checker.event(6, &answered), Ok(()));
        assert!(checker.event(7, &answered).unwrap_err().contains("twice"));
    }

    #[test]
    fn calls_and_connects_have_bounds_of_their_own() {
        let called = |ask| Event::Called { call: 1, node: 0, ask, pushes: Vec::new() };
        let dialled = |resumed| Event::Dialled { connection: 1, client: 0, node: 0, resumed };
        let rejecting = Settings { takeover: Takeover::RejectNewer, ..Settings::default() };
        let cases = [
            (Settings::default(), called(Ask::Stats), 0),
            (Settings::default(), called(Ask::Who(0)), PUSH_MS),
            (Settings::default(), dialled(Some(7)), TAKEOVER_MS),
            (rejecting.clone(), dialled(None), TAKEOVER_MS),
            (rejecting, dialled(Some(7)), 2 * TAKEOVER_MS),
        ];
        for (settings, event, bound_ms) in cases {
            let mut checker = Bound::new(&settings);
            checker.event(0, &event).unwrap();
            assert_eq!(checker.tick(99_999, &[]), Ok(()), "the node does not run");
            checker.event(0, &Event::Booted { node: 0, incarnation: 1 }).unwrap();
            checker.event(0, &event).unwrap();
            assert_eq!(checker.tick(bound_ms + NETWORK_MS, &[]), Ok(()));
            assert!(checker.tick(bound_ms + NETWORK_MS + 1, &[]).is_err(), "{event:?}");
        }
    }
}
