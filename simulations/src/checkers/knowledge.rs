//! A node that has not joined its cluster yet tells nobody that there is no session: what it does not
//! find may be where it has not looked. And one that has joined does not excuse itself with that.
//!
//! A boot joins once and for good. So one that still joins at the end of the millisecond in which an answer of its own
//! arrives has joined at no moment of the call, and one that had joined before the call was made has all along. Calls over
//! HTTP are looked at: what is embedded takes the same way.

use std::collections::{BTreeMap, BTreeSet};

use pushmesh::Knowledge;

use crate::checkers::checker::Checker;
use crate::event::Event;
use crate::host::Boot;
use crate::id::{CallId, NodeIndex};
use crate::reply::Reply;

/// Watches what nodes say while they join, and after.
#[derive(Default)]
pub(super) struct Known {
    /// What each boot that runs knew a millisecond ago.
    now: BTreeMap<NodeIndex, (u64, Stage)>,
    /// Nodes that let their clients and backends go: they take no more either, and say so in the same way.
    stopping: BTreeSet<NodeIndex>,
    /// The nodes of calls, and what they knew when the calls were made.
    calls: BTreeMap<CallId, (NodeIndex, Option<(u64, Stage)>)>,
    /// The answers of this millisecond: of which node, what it knew when the call was made, and the answer.
    answers: Vec<(NodeIndex, (u64, Stage), u16, Reply)>,
    /// Answers of nodes that join.
    compared: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Joins,
    HasJoined,
}

impl Checker for Known {
    fn name(&self) -> &'static str {
        "a node that joins does not say that there is nobody"
    }

    fn event(&mut self, _: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Stopping { node } | Event::Failed { node, .. } => _ = self.stopping.insert(*node),
            Event::Booted { node, .. } => _ = self.stopping.remove(node),
            Event::Called { call, node, .. } => {
                self.calls.insert(*call, (*node, self.now.get(node).copied()));
            }
            Event::Replied { call, status, reply } => {
                if let Some((node, Some(before))) = self.calls.get(call).copied() {
                    self.answers.push((node, before, *status, reply.clone()));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn tick(&mut self, _: u64, boots: &[Option<Boot>]) -> Result<(), String> {
        let stage = |boot: &Boot| match boot.observer.knowledge()? {
            Knowledge::Joining => Some((boot.incarnation, Stage::Joins)),
            Knowledge::Whole | Knowledge::Isolated => Some((boot.incarnation, Stage::HasJoined)),
        };
        let boots = boots.iter().enumerate();
        self.now = boots.filter_map(|(node, boot)| Some((node, stage(boot.as_ref()?)?))).collect();
        self.judge()
    }

    fn compared(&self) -> (&'static str, u64) {
        ("answers of nodes that join", self.compared)
    }
}

impl Known {
    /// The millisecond is over.
    fn judge(&mut self) -> Result<(), String> {
        for (node, before, status, reply) in std::mem::take(&mut self.answers) {
            // All the time, if it did not change, nor by another boot.
            let Some(stage) = self.now.get(&node).filter(|now| **now == before).map(|now| now.1) else {
                continue;
            };
            self.compared += u64::from(stage == Stage::Joins);
            let said = claims(status, &reply);
            let wrong = match stage {
                Stage::Joins => said.nobody,
                Stage::HasJoined => said.not_ready && !self.stopping.contains(&node),
            };
            if wrong {
                return Err(format!("{stage:?}, and answers with {status} {reply:?}"));
            }
        }
        Ok(())
    }
}

/// What a reply claims about all that the node does not find.
#[derive(Debug, PartialEq, Eq)]
struct Claims {
    /// There is nothing.
    nobody: bool,
    /// The node has yet to learn of it.
    not_ready: bool,
}

fn claims(status: u16, reply: &Reply) -> Claims {
    let (nobody, not_ready) = match reply {
        Reply::Pushed(fates) => {
            let said = |word: &str| fates.iter().any(|fate| fate.word.as_deref() == Some(word));
            (said("no_session"), said("not_ready"))
        }
        // Its 503 does not tell a node that joins from one that is isolated.
        Reply::Kicked(_) => (status == 404, false),
        Reply::Present { state, .. } => (state == "offline", false),
        // These are all that there are, it says.
        Reply::Listed { .. } | Reply::Counted { .. } => (true, false),
        Reply::Refused(code) => (code == "no_session", code == "not_ready"),
        _ => (false, false),
    };
    Claims { nobody, not_ready }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::Ask;

    /// A call to node 0, which is at these stages before and after it.
    fn seen(before: (u64, Stage), after: (u64, Stage), status: u16, reply: Reply) -> Result<(), String> {
        let mut checker = Known { now: [(0, before)].into(), ..Known::default() };
        checker.event(0, &Event::Called { call: 1, node: 0, ask: Ask::Stats, pushes: Vec::new() })?;
        checker.event(1, &Event::Replied { call: 1, status, reply })?;
        checker.now = [(0, after)].into();
        checker.judge()
    }

    fn offline() -> Reply {
        Reply::Present { sessions: Vec::new(), state: "offline".to_owned(), silent: Vec::new() }
    }

    #[test]
    fn a_node_that_joins_and_says_that_nobody_is_there_is_found() {
        let (joins, joined) = ((7, Stage::Joins), (7, Stage::HasJoined));
        assert!(seen(joins, joins, 200, offline()).is_err());
        assert!(seen(joins, joins, 404, Reply::Kicked(Vec::new())).is_err());
        let online = Reply::Present { sessions: Vec::new(), state: "online".to_owned(), silent: Vec::new() };
        assert_eq!(seen(joins, joins, 200, online), Ok(()), "what it knows it may say");
        assert_eq!(seen(joins, joins, 503, Reply::Refused("not_ready".to_owned())), Ok(()));
        assert_eq!(seen(joined, joined, 200, offline()), Ok(()));
        assert_eq!(
            seen(joins, joined, 200, offline()),
            Ok(()),
            "it has joined meanwhile, or in that millisecond"
        );
        assert_eq!(seen(joins, (8, Stage::Joins), 200, offline()), Ok(()), "another boot has answered");
    }

    #[test]
    fn a_node_that_has_joined_and_excuses_itself_is_found() {
        let joined = (7, Stage::HasJoined);
        assert!(seen(joined, joined, 503, Reply::Refused("not_ready".to_owned())).is_err());
        assert_eq!(seen(joined, joined, 503, Reply::Refused("isolated".to_owned())), Ok(()));
    }
}
