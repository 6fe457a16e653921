//! Nothing that a kept session has accepted is forgotten: what is answered `delivered`, `buffered`, `queued` or `acked` reaches
//! its client, unless its time to live or that of the session was over, or a node that may have held it is lost: of what other
//! nodes hold as well, all that held it last. And nobody is told that there was no session, unless it is over in one of these ways.
//!
//! What a client was told to be complete is judged from then on: what was lost before is no excuse for it. Where others hold copies, that goes
//! for what was copied, and for what was called `queued` or `acked`: `complete` says nothing of the rest.

use std::collections::{BTreeMap, BTreeSet};

use pushmesh::Outcome;

use crate::aim::Aim;
use crate::checkers::arrival::push_of;
use crate::checkers::checker::Checker;
use crate::checkers::copied::Copied;
use crate::event::Event;
use crate::event::kept::{Kept, Resumed, Shows};
use crate::id::{ClientIndex, ConnectionId, NodeIndex, PushId, node_of};
use crate::position::{Position, Segment};
use crate::settings::Settings;

mod absences;
mod apart;
mod past;
mod stays;

use past::{Past, Since};

/// Keeps account of what was accepted and what has arrived.
pub(super) struct Held {
    settings: Settings,
    past: Past,
    copied: Copied,
    connections: BTreeMap<ConnectionId, Connection>,
    pushes: BTreeMap<PushId, Push>,
    /// What sessions have accepted, with the node that said so.
    accepted: BTreeMap<(ClientIndex, PushId), (NodeIndex, Outcome)>,
    arrived: BTreeSet<(ClientIndex, PushId)>,
    /// Where messages stand that were written, and since when that is known.
    places: BTreeMap<(ClientIndex, PushId), (Position, u64)>,
    /// Up to where clients have everything.
    has: BTreeMap<(ClientIndex, Segment), u64>,
    /// What clients were told to be complete.
    complete: BTreeMap<ClientIndex, Vec<Complete>>,
    /// When a client was welcomed last, and where.
    welcomed: BTreeMap<ClientIndex, Since>,
    now_ms: u64,
    judged: u64,
    /// Messages that have come although their owner had crashed.
    survived: u64,
}

struct Connection {
    client: ClientIndex,
    node: NodeIndex,
    /// What the client has named, if that is what it has.
    named: Option<Vec<Position>>,
}

struct Push {
    made_ms: u64,
    aim: Aim,
    expires: bool,
}

/// A client was told that nothing is missing.
struct Complete {
    at_ms: u64,
    node: NodeIndex,
    named: Vec<Position>,
}

impl Held {
    /// Nothing is accepted.
    pub(super) fn new(settings: &Settings) -> Self {
        let (connections, pushes, accepted, arrived, places) = Default::default();
        let (has, complete, welcomed) = Default::default();
        let (settings, past, copied) = (settings.clone(), Past::new(settings), Copied::default());
        let (now_ms, judged, survived) = (0, 0, 0);
        Self {
            settings,
            past,
            copied,
            connections,
            pushes,
            accepted,
            arrived,
            places,
            has,
            complete,
            welcomed,
            now_ms,
            judged,
            survived,
        }
    }

    fn keeps(&self, client: ClientIndex) -> bool {
        self.settings.keep_s(client) > 0
    }

    fn happened(&mut self, now_ms: u64, connection: ConnectionId, what: &Kept) -> Result<(), String> {
        let Some(at) = self.connections.get_mut(&connection) else { return Ok(()) };
        let (client, node) = (at.client, at.node);
        match what {
            Kept::Shown { after, shows } => {
                at.named = (*shows == Shows::All).then(|| after.clone());
                let has =
                    |at: &Position| self.has.get(&(client, at.segment.clone())).copied().unwrap_or_default();
                if after.iter().any(|at| at.n > has(at)) {
                    self.past.ends(client, now_ms);
                }
            }
            Kept::Flushed { at, text } => {
                if let Some(push) = push_of(text) {
                    self.places.entry((client, push)).or_insert((at.clone(), now_ms));
                }
            }
            Kept::Received { at, .. } => self.moves(client, &at.segment, at.n),
            Kept::Gap { segment, to, .. } => self.moves(client, segment, *to),
            Kept::Welcomed { resumed, .. } => {
                let before = self.welcomed.insert(client, Since { at_ms: now_ms, node, is_told: false });
                let named = self.connections.get(&connection).and_then(|at| at.named.clone());
                if *resumed == Resumed::Complete {
                    self.complete(now_ms, node, client, named);
                } else if let (Resumed::None, Some(before), Some(true)) =
                    (resumed, before, named.map(|named| !named.is_empty()))
                {
                    return self.is_over(now_ms, client, before);
                }
            }
            Kept::Resumed { resumed: Resumed::Complete, .. } => {
                let named = at.named.clone();
                self.complete(now_ms, node, client, named);
            }
            _ => {}
        }
        Ok(())
    }

    fn moves(&mut self, client: ClientIndex, segment: &Segment, to: u64) {
        let has = self.has.entry((client, segment.clone())).or_default();
        *has = (*has).max(to);
    }

    fn complete(&mut self, at_ms: u64, node: NodeIndex, client: ClientIndex, named: Option<Vec<Position>>) {
        if let Some(named) = named {
            self.complete.entry(client).or_default().push(Complete { at_ms, node, named });
        }
    }

    /// A client that says that it had a session is told that there is none.
    fn is_over(&mut self, now_ms: u64, client: ClientIndex, before: Since) -> Result<(), String> {
        self.judged += 1;
        match self.past.excuse(now_ms, client, before, &[]) {
            Some(_) => Ok(()),
            None => Err(format!(
                "client {client} was welcomed at node {} at {} ms, and is told at {now_ms} ms that it had no session",
                before.node, before.at_ms
            )),
        }
    }

    /// Since when a message has to be held without an excuse, and by whom.
    fn since(&self, client: ClientIndex, push: PushId, accepted: Since) -> Since {
        let written = self.places.get(&(client, push)).map(|(place, known_ms)| (place, *known_ms));
        let held = self.copied.of(client, push).first().map(|held| (&held.at, held.at_ms));
        let places: Vec<_> = written.into_iter().chain(held).collect();
        let covers = |complete: &&Complete| {
            let names = |place: &Position, at: &Position| at.segment == place.segment && at.n < place.n;
            let is_named = |place: &Position| complete.named.iter().any(|at| names(place, at));
            places.iter().any(|(place, known_ms)| complete.at_ms > *known_ms && is_named(place))
        };
        let told = self.complete.get(&client).into_iter().flatten().rfind(covers);
        // What was over before that is told as missing, or has been.
        let told = told.filter(|told| !self.past.may_have_lapsed(told.at_ms, client, accepted));
        told.map_or(accepted, |told| Since { at_ms: told.at_ms, node: told.node, is_told: true })
    }
}

impl Checker for Held {
    fn name(&self) -> &'static str {
        "what a kept session has accepted reaches its client"
    }

    fn event(&mut self, now_ms: u64, event: &Event) -> Result<(), String> {
        self.past.event(now_ms, event);
        self.copied.event(now_ms, event);
        match event {
            Event::Dialled { connection, client, node, .. } if self.keeps(*client) => {
                let dialled = Connection { client: *client, node: *node, named: None };
                self.connections.insert(*connection, dialled);
            }
            Event::Called { ask, pushes, .. } => {
                let expires = ask.ttl_s().is_some();
                let made = |(push, aim): (&PushId, Aim)| (*push, Push { made_ms: now_ms, aim, expires });
                self.pushes.extend(pushes.iter().zip(ask.aims()).map(made));
            }
            Event::Pushed { push, aim, .. } => {
                self.pushes.entry(*push).or_insert(Push { made_ms: now_ms, aim: *aim, expires: false });
            }
            Event::Answered { push, sessions, .. } => {
                for answer in sessions {
                    let Some(client) = answer.client.filter(|client| self.keeps(*client)) else { continue };
                    let accepted = matches!(
                        answer.outcome,
                        Outcome::Delivered | Outcome::Buffered | Outcome::Queued | Outcome::Acked
                    );
                    let node = answer.node.as_deref().and_then(node_of);
                    if let Some(node) = node.filter(|_| accepted) {
                        self.accepted.insert((client, *push), (node, answer.outcome.clone()));
                    }
                }
            }
            Event::Got { connection, text } => {
                if let Some((push, at)) = push_of(text).zip(self.connections.get(connection)) {
                    let is_new = self.arrived.insert((at.client, push));
                    let survived = self.past.is_orphan(self.copied.of(at.client, push));
                    self.survived += u64::from(is_new && survived);
                }
            }
            Event::Kept { connection, what } => return self.happened(now_ms, *connection, what),
            _ => {}
        }
        Ok(())
    }

    fn tick(&mut self, now_ms: u64, _: &[Option<crate::host::Boot>]) -> Result<(), String> {
        self.now_ms = now_ms;
        Ok(())
    }

    fn ways(&mut self, now_ms: u64, nodes: usize, reaches: &dyn Fn(NodeIndex, NodeIndex) -> bool) {
        self.past.ways(now_ms, nodes, reaches);
    }

    fn end(&mut self) -> Result<(), String> {
        for ((client, push), (node, outcome)) in &self.accepted {
            let Some(made) = self.pushes.get(push).filter(|made| made.aim != Aim::All) else { continue };
            self.judged += 1;
            if made.expires || self.arrived.contains(&(*client, *push)) {
                continue;
            }
            let held = self.copied.of(*client, *push);
            let accepted = Since { at_ms: made.made_ms, node: *node, is_told: false };
            // What was written and not copied yet goes with its owner, and nobody else can know that it was there.
            let may_go = self.settings.is_copied(*client)
                && held.is_empty()
                && matches!(outcome, Outcome::Delivered | Outcome::Buffered);
            let since = if may_go { accepted } else { self.since(*client, *push, accepted) };
            if self.past.excuse(self.now_ms, *client, since, held).is_none() {
                let place = self.places.get(&(*client, *push));
                return Err(format!(
                    "push {push} of {} ms was called {} for client {client} at node {node}, stands at {place:?}, and never \
                     came; it had to be held since {} ms, and others have held it so: {held:?}",
                    made.made_ms,
                    outcome.as_str(),
                    since.at_ms
                ));
            }
        }
        Ok(())
    }

    fn met(&self) -> Option<(&'static str, u64)> {
        Some(("kept: a message comes whose owner has crashed, from who held it", self.survived))
    }

    fn compared(&self) -> (&'static str, u64) {
        ("messages that kept sessions accepted, and sessions that are over", self.judged)
    }
}

#[cfg(test)]
mod tests;
