//! What nodes say of who is there. At any time: no session that nobody ever had, and none twice. When
//! all agree: exactly the clients that are connected, at every node and in every call.

use std::collections::{BTreeMap, BTreeSet};

use crate::ask::Ask;
use crate::checkers::checker::Checker;
use crate::event::Event;
use crate::id::{CallId, ClientIndex, NodeIndex, node_name, node_of, user_of};
use crate::reply::{Reply, Seat};
use crate::settings::Settings;

/// Watches lists, users, explanations, counts and members.
pub(super) struct Lists {
    settings: Settings,
    /// Who ever dialled which node.
    dialled: BTreeSet<(ClientIndex, NodeIndex)>,
    calls: BTreeMap<CallId, Asked>,
    /// Once all agree: where each client is.
    agreed: Option<Agreed>,
    compared: u64,
}

struct Asked {
    ask: Ask,
    node: NodeIndex,
    /// Whether all agreed before.
    exact: bool,
    seats: Vec<Seat>,
}

struct Agreed {
    at: BTreeMap<ClientIndex, NodeIndex>,
    /// By the number of the node.
    names: Vec<String>,
}

impl Checker for Lists {
    fn name(&self) -> &'static str {
        "nodes list those who are there, each once and nobody else"
    }

    fn event(&mut self, _: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Dialled { client, node, .. } => _ = self.dialled.insert((*client, *node)),
            Event::Agreed { connected, names } => {
                let at = |(client, open): (&ClientIndex, &BTreeMap<_, NodeIndex>)| {
                    Some((*client, *open.values().next()?))
                };
                self.agreed =
                    Some(Agreed { at: connected.iter().filter_map(at).collect(), names: names.clone() });
            }
            Event::Called { call, node, ask, .. } => {
                let exact = self.agreed.is_some();
                self.calls.insert(*call, Asked { ask: ask.clone(), node: *node, exact, seats: Vec::new() });
            }
            Event::Replied { call, status, reply } => return self.replied(*call, *status, reply),
            Event::Lost { call, why, .. } => {
                if let Some(Asked { ask, node, exact: true, .. }) = self.calls.remove(call) {
                    return Err(format!("{} did not answer {ask:?}: {why}", node_name(node)));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        match self.calls.values().find(|asked| asked.exact) {
            Some(Asked { ask, node, .. }) => Err(format!("{} has not answered {ask:?}", node_name(*node))),
            None => Ok(()),
        }
    }

    fn compared(&self) -> (&'static str, u64) {
        ("answers about who is there", self.compared)
    }
}

impl Lists {
    /// Nobody has dialled.
    pub(super) fn new(settings: &Settings) -> Self {
        let (dialled, calls) = Default::default();
        Self { settings: settings.clone(), dialled, calls, agreed: None, compared: 0 }
    }

    fn replied(&mut self, call: CallId, status: u16, reply: &Reply) -> Result<(), String> {
        let Some(mut asked) = self.calls.remove(&call) else { return Ok(()) };
        let who = node_name(asked.node);
        let (seats, more) = match reply {
            Reply::Listed { sessions, cursor, .. } => (sessions.as_slice(), cursor.is_some()),
            Reply::Present { sessions, .. } => (sessions.as_slice(), false),
            Reply::Explained { winning, .. } => (winning.as_slice(), false),
            _ => (Default::default(), false),
        };
        for seat in seats {
            self.possible(seat, &asked)
                .map_err(|what| format!("{who} {what} in answer to {:?}", asked.ask))?;
            asked.seats.push(seat.clone());
        }
        if more {
            self.calls.insert(call, asked);
            return Ok(());
        }
        self.compared += 1;
        match &self.agreed {
            Some(agreed) if asked.exact => agreed
                .exact(&asked, reply)
                .map_err(|what| format!("{who} answers {:?} with {status} {reply:?}: {what}", asked.ask)),
            _ => Ok(()),
        }
    }

    fn possible(&self, seat: &Seat, asked: &Asked) -> Result<(), String> {
        let Some(client) = seat.client else { return Ok(()) };
        // A session that is kept may have been left to any node.
        let left = self.settings.keep_s(client) > 0;
        let dialled = |(_, node): &&(ClientIndex, NodeIndex)| left || node_of(&seat.node) == Some(*node);
        let mut nodes = self.dialled.range((client, 0)..(client + 1, 0));
        if nodes.find(dialled).is_none() {
            return Err(format!("invents client {client} at {}", seat.node));
        }
        if asked.seats.iter().any(|other| other.client == seat.client) {
            return Err(format!("lists client {client} twice"));
        }
        match asked.ask {
            Ask::Who(user) | Ask::Explain(user) if user != user_of(client) => {
                Err(format!("tells of client {client}, who is another user"))
            }
            _ => Ok(()),
        }
    }
}

impl Agreed {
    /// Whether an answer is right to the last word.
    fn exact(&self, asked: &Asked, reply: &Reply) -> Result<(), String> {
        let told: BTreeSet<_> = asked.seats.iter().cloned().collect();
        match (&asked.ask, reply) {
            (Ask::List { .. }, Reply::Listed { silent, .. }) => {
                same(&told, &self.seats(|_| true))?;
                self.all_asked(silent)
            }
            (Ask::Who(user), Reply::Present { silent, state, .. }) => {
                let expected = self.seats(|client| user_of(client) == *user);
                same(&told, &expected)?;
                self.all_asked(silent)?;
                same(state.as_str(), if expected.is_empty() { "offline" } else { "online" })
            }
            (Ask::Explain(user), Reply::Explained { rows, ways, .. }) => {
                let expected = self.seats(|client| user_of(client) == *user);
                same(&told, &expected)?;
                // What a node that was replaced held is hidden, and told as well.
                let more = self.any_replaced() && *rows >= expected.len();
                if more { Ok(()) } else { same(&(*rows, *ways), &(expected.len(), expected.len())) }
            }
            (Ask::Stats, Reply::Counted { sessions, users, nodes }) => {
                let all: BTreeSet<_> = self.at.keys().map(|client| user_of(*client)).collect();
                same(&(*sessions, *users), &(self.at.len() as u64, all.len() as u64))?;
                let count = |node| self.at.values().filter(|at| **at == node).count() as u64;
                let expected = self.names.iter().enumerate().map(|(node, name)| (name.clone(), count(node)));
                let former = |name: &String| !self.names.contains(name);
                let mut nodes = nodes.clone();
                nodes.retain(|name, count| !(former(name) && *count == 0));
                same(&nodes, &expected.collect())
            }
            (Ask::Nodes, Reply::Members(members)) => {
                // A node that was replaced is dead until it is purged.
                let mut members = members.clone();
                members.retain(|name, state| self.names.contains(name) || state != "dead");
                same(&members, &self.names.iter().map(|name| (name.clone(), "alive".to_owned())).collect())
            }
            _ => Err("that is no answer".to_owned()),
        }
    }

    fn seats(&self, wanted: impl Fn(ClientIndex) -> bool) -> BTreeSet<Seat> {
        let wanted = self.at.iter().filter(|(client, _)| wanted(**client));
        wanted.map(|(client, node)| Seat { client: Some(*client), node: self.names[*node].clone() }).collect()
    }

    /// Whether every node that there is was asked; one that was replaced cannot be.
    fn all_asked(&self, silent: &[String]) -> Result<(), String> {
        let left: Vec<_> = silent.iter().filter(|name| self.names.contains(name)).collect();
        same(&left, &Vec::new())
    }

    fn any_replaced(&self) -> bool {
        (0..).zip(&self.names).any(|(node, name)| node_name(node) != *name)
    }
}

fn same<T: PartialEq + std::fmt::Debug + ?Sized>(told: &T, expected: &T) -> Result<(), String> {
    if told == expected { Ok(()) } else { Err(format!("{told:?} instead of {expected:?}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(client: ClientIndex, node: &str) -> Seat {
        Seat { client: Some(client), node: node.to_owned() }
    }

    fn listed(sessions: Vec<Seat>, cursor: Option<&str>) -> Reply {
        Reply::Listed { sessions, cursor: cursor.map(str::to_owned), silent: Vec::new() }
    }

    /// Clients 0 and 3 are at the nodes n1 and n2.
    fn seen(agreed: bool, ask: Ask, replies: Vec<Reply>) -> Result<(), String> {
        let mut checker = Lists::new(&Settings::default());
        let mut events: Vec<_> = [(0, 0), (3, 1)]
            .map(|(client, node)| Event::Dialled { connection: client as u64, client, node, resumed: None })
            .into();
        if agreed {
            let connected = BTreeMap::from([(0, BTreeMap::from([(0, 0)])), (3, BTreeMap::from([(3, 1)]))]);
            events.push(Event::Agreed { connected, names: vec![node_name(0), node_name(1)] });
        }
        events.push(Event::Called { call: 1, node: 0, ask, pushes: Vec::new() });
        events.extend(replies.into_iter().map(|reply| Event::Replied { call: 1, status: 200, reply }));
        events.iter().try_for_each(|event| checker.event(0, event))?;
        checker.end()
    }

    #[test]
    fn an_invention_and_a_repetition_are_found_at_any_time() {
        let list = |replies| seen(false, Ask::List { limit: 1 }, replies);
        let first = || listed(vec![seat(0, "n1")], Some("x"));
        assert_eq!(list(vec![first(), listed(vec![seat(3, "n2")], None)]), Ok(()));
        assert!(list(vec![first(), listed(vec![seat(0, "n1")], None)]).unwrap_err().contains("twice"));
        let twice = vec![seat(0, "n1"), seat(0, "n1")];
        assert!(list(vec![listed(twice, None)]).unwrap_err().contains("twice"), "on one page");
        assert!(list(vec![listed(vec![seat(0, "n2")], None)]).unwrap_err().contains("invents"));
        assert_eq!(list(vec![listed(Vec::new(), None)]), Ok(()), "views differ for a moment");
    }

    #[test]
    fn when_all_agree_every_answer_is_exact() {
        let list = |sessions| seen(true, Ask::List { limit: 9 }, vec![listed(sessions, None)]);
        assert_eq!(list(vec![seat(0, "n1"), seat(3, "n2")]), Ok(()));
        assert!(list(vec![seat(0, "n1")]).is_err());
        let stats = |sessions, n2| {
            let nodes = BTreeMap::from([("n1".to_owned(), 1), ("n2".to_owned(), n2)]);
            seen(true, Ask::Stats, vec![Reply::Counted { sessions, users: 2, nodes }])
        };
        assert_eq!(stats(2, 1), Ok(()));
        assert!(stats(3, 1).is_err() && stats(2, 2).is_err());
        let who = |state: &str| {
            let sessions = vec![seat(0, "n1")];
            seen(
                true,
                Ask::Who(0),
                vec![Reply::Present { sessions, state: state.to_owned(), silent: Vec::new() }],
            )
        };
        assert_eq!(who("online"), Ok(()));
        assert!(who("suspect").is_err());
        assert!(seen(true, Ask::Stats, Vec::new()).unwrap_err().contains("has not answered"));
        assert!(seen(true, Ask::Stats, vec![Reply::Refused("isolated".to_owned())]).is_err());
    }
}
