//! What has happened to sessions and nodes, as far as it may have cost a session what it held.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use crate::aim::Aim;
use crate::ask::Ask;
use crate::checkers::copied::Holding;
use crate::checkers::disturbed::Disturbed;
use crate::checkers::held::absences::Absences;
use crate::checkers::held::apart::Apart;
use crate::checkers::held::stays::Stays;
use crate::decision::{Decision, Ended};
use crate::event::Event;
use crate::event::kept::Kept;
use crate::id::{CallId, ClientIndex, ConnectionId, NodeIndex, node_of};
use crate::settings::Settings;
use pushmesh::internals::Rival;
use pushmesh::limits;

/// Everything that may be an excuse.
pub(super) struct Past {
    settings: Settings,
    /// When sessions of a client were ended.
    ended_ms: BTreeMap<ClientIndex, Vec<u64>>,
    /// When a client's session was claimed, and by which node.
    claims: BTreeMap<ClientIndex, Vec<(u64, NodeIndex)>>,
    /// When nodes lost what they held.
    lost_ms: BTreeMap<NodeIndex, Vec<u64>>,
    /// When nodes stopped in good order.
    stops: BTreeMap<NodeIndex, Vec<Stop>>,
    stopping_ms: BTreeMap<NodeIndex, u64>,
    disturbed: Disturbed,
    clients: BTreeMap<ConnectionId, ClientIndex>,
    /// Connections whose clients have said that they go for good.
    bye: BTreeSet<ConnectionId>,
    /// Calls that disconnect somebody.
    kicks: BTreeMap<CallId, Aim>,
    absences: Absences,
    stays: Stays,
    apart: Apart,
}

/// A node stopped in good order.
struct Stop {
    from_ms: u64,
    until_ms: u64,
    /// The nodes to which all was well meanwhile, and for a while before.
    others: Vec<NodeIndex>,
}

/// A moment, and the node that held a session then.
#[derive(Debug, Clone, Copy)]
pub(super) struct Since {
    /// When.
    pub(super) at_ms: u64,
    /// Which node.
    pub(super) node: NodeIndex,
    /// The client was told then that it has everything, or has it in what comes next.
    pub(super) is_told: bool,
}

impl Past {
    /// Nothing has happened.
    pub(super) fn new(settings: &Settings) -> Self {
        let (ended_ms, claims, lost_ms, stops, stopping_ms) = Default::default();
        let (disturbed, clients, bye, kicks, absences, apart) = Default::default();
        Self {
            settings: settings.clone(),
            ended_ms,
            claims,
            lost_ms,
            stops,
            stopping_ms,
            disturbed,
            clients,
            bye,
            kicks,
            absences,
            stays: Stays::default(),
            apart,
        }
    }

    /// The session of a client may be over, with all that it holds.
    pub(super) fn ends(&mut self, client: ClientIndex, now_ms: u64) {
        self.ended_ms.entry(client).or_default().push(now_ms + ENDS_WITHIN_MS);
    }

    /// The client of a connection goes for good.
    fn goes(&mut self, now_ms: u64, connection: ConnectionId) {
        if let Some(client) = self.clients.get(&connection).copied() {
            self.ends(client, now_ms);
        }
    }

    /// A backend disconnects these.
    fn kicked(&mut self, now_ms: u64, aim: Aim) {
        let all: BTreeSet<_> =
            self.clients.values().copied().filter(|client| aim.includes(*client)).collect();
        all.into_iter().for_each(|client| self.ends(client, now_ms));
    }

    /// Something happened.
    pub(super) fn event(&mut self, now_ms: u64, event: &Event) {
        self.absences.event(now_ms, event);
        self.stays.event(now_ms, event);
        self.disturbed.event(now_ms, event);
        match event {
            Event::Dialled { connection, client, .. } => _ = self.clients.insert(*connection, *client),
            Event::Crashed { node } | Event::Failed { node, .. } => {
                self.lost_ms.entry(*node).or_default().push(now_ms);
                self.stopping_ms.remove(node);
            }
            Event::Stopping { node } => _ = self.stopping_ms.insert(*node, now_ms),
            Event::Stopped { node } => {
                if let Some(from_ms) = self.stopping_ms.remove(node) {
                    let others = self.disturbed.well_since(from_ms.saturating_sub(READY_WITHIN_MS));
                    let stop = Stop { from_ms, until_ms: now_ms, others: others.collect() };
                    self.stops.entry(*node).or_default().push(stop);
                }
            }
            Event::Called { call, ask: Ask::Kick(aim), .. } => {
                self.kicks.insert(*call, *aim);
                self.kicked(now_ms, *aim);
            }
            Event::Replied { call, .. } | Event::Lost { call, .. } => {
                if let Some(aim) = self.kicks.remove(call) {
                    self.kicked(now_ms, aim);
                }
            }
            Event::Kept { connection, what: Kept::Bye } => {
                self.bye.insert(*connection);
                self.goes(now_ms, *connection);
            }
            Event::Ended { connection, .. } if self.bye.remove(connection) => self.goes(now_ms, *connection),
            Event::Decided { by, decision: Decision::Claimed { client, .. } } => {
                if let Some(node) = node_of(by.as_str()) {
                    self.claims.entry(*client).or_default().push((now_ms, node));
                }
            }
            Event::Decided {
                decision: Decision::Ended(Ended { client, rival: Rival::OtherDevice, .. }),
                ..
            } => self.ends(*client, now_ms),
            _ => {}
        }
    }

    /// Who reaches whom now.
    pub(super) fn ways(&mut self, now_ms: u64, nodes: usize, reaches: &dyn Fn(NodeIndex, NodeIndex) -> bool) {
        self.apart.look(now_ms, nodes, reaches);
    }

    /// Whether a node has lost in that time what it held.
    fn has_crashed(&self, node: NodeIndex, times_ms: &RangeInclusive<u64>) -> bool {
        self.lost_ms.get(&node).is_some_and(|times| times.iter().any(|at_ms| times_ms.contains(at_ms)))
    }

    /// Whether a message has lost its owner while others held it: each holding is of an owner that followed the one before.
    pub(super) fn is_orphan(&self, holdings: &[Holding]) -> bool {
        let until_ms = |next: usize| holdings.get(next).map_or(u64::MAX, |next| next.at_ms);
        holdings.iter().enumerate().any(|(index, held)| {
            let lost = self.lost_ms.get(&held.owner).into_iter().flatten();
            lost.copied().any(|at_ms| (held.at_ms..until_ms(index + 1)).contains(&at_ms))
        })
    }

    /// The same, or whether it has stopped in good order.
    fn has_gone(&self, node: NodeIndex, times_ms: &RangeInclusive<u64>) -> bool {
        let stops = self.stops.get(&node);
        let stopped = stops.is_some_and(|stops| stops.iter().any(|stop| times_ms.contains(&stop.until_ms)));
        stopped || self.has_crashed(node, times_ms)
    }

    /// Whether what a session has held since then may have been kept for too long until then: its client was away, or an owner did not
    /// hear where it was. An owner that drops it says nothing to whoever follows.
    pub(super) fn may_have_lapsed(&self, until_ms: u64, client: ClientIndex, since: Since) -> bool {
        let owners = self.owners(until_ms, client, since).into_iter().map(|(_, node)| node);
        let owners = owners.chain([since.node]).collect();
        self.is_too_long(until_ms, client, since, [&owners])
    }

    /// Which nodes may have owned the session of a client between then and then, and when they have claimed it.
    fn owners(&self, until_ms: u64, client: ClientIndex, since: Since) -> Vec<(u64, NodeIndex)> {
        // Whoever has claimed it a while ago may hold it still, and nobody knows of that.
        let claims = self.claims.get(&client).into_iter().flatten().filter(|(at_ms, _)| *at_ms <= until_ms);
        let before_ms = since.at_ms.saturating_sub(self.keep_ms(client) + APART_MS_MAX);
        let (earlier, recent): (Vec<_>, Vec<_>) = claims.copied().partition(|(at_ms, _)| *at_ms < before_ms);
        earlier.last().into_iter().copied().chain(recent).collect()
    }

    fn keep_ms(&self, client: ClientIndex) -> u64 {
        u64::from(self.settings.keep_s(client)) * 1_000
    }

    /// Whether the client of a session was away, and those of some of these sets of nodes were apart, for longer than it is kept.
    fn is_too_long<'a>(
        &self,
        until_ms: u64,
        client: ClientIndex,
        since: Since,
        nodes: impl IntoIterator<Item = &'a BTreeSet<NodeIndex>>,
    ) -> bool {
        // The time for which it is kept may have begun before.
        let keep_ms = self.keep_ms(client);
        let from_ms = since.at_ms.saturating_sub(keep_ms);
        let away_ms = self.absences.longest_ms(until_ms, client, from_ms);
        let times_ms = (from_ms.saturating_sub(HANDED_WITHIN_MS), until_ms);
        let apart_ms = nodes.into_iter().map(|nodes| self.apart.total_ms(nodes, times_ms)).max().unwrap_or(0);
        let handed_ms = if apart_ms > 0 { HANDED_WITHIN_MS } else { 0 };
        away_ms + apart_ms + handed_ms + EXPIRES_WITHIN_MS >= keep_ms
    }

    /// Why what a session held at a moment may be lost by now, if there is a reason. `holdings`: who has held it, one after the other.
    ///
    /// What other nodes hold as well is to come while its client stays at a node and no way is cut: what happens later is no reason.
    pub(super) fn excuse(
        &self,
        now_ms: u64,
        client: ClientIndex,
        since: Since,
        holdings: &[Holding],
    ) -> Option<&'static str> {
        let first_ms = holdings.first().map_or(u64::MAX, |first| first.at_ms).max(since.at_ms);
        let from_ms = if since.is_told { since.at_ms } else { 0 };
        for stay in self.stays.of(client, (first_ms, now_ms), STAYS_MS, from_ms) {
            let until_ms = stay.from_ms + STAYS_MS;
            let before: Vec<_> = holdings.iter().filter(|held| held.at_ms <= stay.from_ms).collect();
            let nodes = before.iter().flat_map(|held| held.nodes()).chain([stay.node]).collect();
            let is_quiet = self.apart.total_ms(&nodes, (stay.from_ms, until_ms)) == 0;
            if is_quiet && self.excuse_until(until_ms, client, since, before.last().copied()).is_none() {
                return None;
            }
        }
        self.excuse_until(now_ms, client, since, holdings.last())
    }

    /// The same of what has happened until then. `held`: who has held it last beside its owner.
    fn excuse_until(
        &self,
        now_ms: u64,
        client: ClientIndex,
        since: Since,
        held: Option<&Holding>,
    ) -> Option<&'static str> {
        let later = |times: Option<&Vec<u64>>| {
            times.into_iter().flatten().any(|at_ms| (since.at_ms..=now_ms + ENDS_WITHIN_MS).contains(at_ms))
        };
        if later(self.ended_ms.get(&client)) {
            return Some("the session was ended");
        }
        let claims = self.owners(now_ms, client, since);
        let holders: BTreeSet<_> = claims.iter().map(|(_, node)| *node).chain([since.node]).collect();
        let is_left = |held: &&Holding| held.nodes().any(|node| !self.has_gone(node, &(held.at_ms..=now_ms)));
        let held = held.filter(is_left);
        // Whoever has accepted it keeps it until it hears that the client is elsewhere.
        let owners = holders.clone();
        if held.is_none() && holders.iter().any(|node| self.has_crashed(*node, &(since.at_ms..=now_ms))) {
            return Some("all nodes that may have held it crashed");
        }
        // What others hold as well needs those alone that are left.
        let holders: BTreeSet<_> = match held {
            Some(held) => {
                let all = holders.iter().copied().chain(held.nodes());
                all.filter(|node| !self.has_gone(*node, &(held.at_ms..=now_ms))).collect()
            }
            None => holders,
        };
        if self.is_too_long(now_ms, client, since, [&holders, &owners]) {
            return Some("it was not kept for so long");
        }
        if held.is_some() {
            return None;
        }
        let stops = holders
            .iter()
            .flat_map(|node| self.stops.get(node).into_iter().flatten().map(move |at| (*node, at)));
        for (node, Stop { from_ms, until_ms, others }) in
            stops.filter(|(_, stop)| (since.at_ms..=now_ms).contains(&stop.until_ms))
        {
            // At its end it does not reach anybody.
            let stopping_ms = (*from_ms, until_ms.saturating_sub(1));
            let left = claims.iter().any(|(at_ms, by)| *by != node && (*from_ms..=*until_ms).contains(at_ms));
            let reaches = |other| self.apart.total_ms(&BTreeSet::from([node, other]), stopping_ms) == 0;
            let is_alone = !others.iter().any(|other| reaches(*other));
            let took_too_long = until_ms - from_ms + EXPIRES_WITHIN_MS >= DRAIN_MS;
            // Those that were to hand over, or to take over, and were well.
            let mut there: BTreeSet<_> =
                others.iter().copied().filter(|other| holders.contains(other)).collect();
            there.insert(node);
            let is_cut = self.apart.total_ms(&there, stopping_ms) > 0;
            if !left && is_alone || took_too_long || is_cut {
                return Some("a node that stopped did not find another one for it");
            }
        }
        None
    }
}

/// How long it may take until a session has ended, in milliseconds. Source: a request that is on its way, and a close.
const ENDS_WITHIN_MS: u64 = 3_000;
/// How long a client stays at a node that reaches whoever holds something for it, until it has all of that, in milliseconds. Guess: who
/// is dead is suspected by then, and who has not answered is asked again.
const STAYS_MS: u64 = 10_000;
/// How much sooner than the client knows it is over, in milliseconds. Guess: what is late on its way.
const EXPIRES_WITHIN_MS: u64 = 1_000;
/// How long nodes that reach each other again may take until one hands over to the other, in milliseconds. Guess: a link that is
/// half open is given up, and a new one is dialled.
const HANDED_WITHIN_MS: u64 =
    (limits::LINK_IDLE_TIMEOUT.as_millis() + limits::LINK_IDLE_SUSPECT.as_millis()) as u64;
/// How long ago a node may have claimed a session that others do not know of, beside its keep, in milliseconds. Source: longer than
/// the cuts of a plan last.
const APART_MS_MAX: u64 = 20_000;
/// How long a node runs before all others know that it is ready, in milliseconds. Guess: a start, with its copies, and gossip.
const READY_WITHIN_MS: u64 = 10_000;
/// How long a stop takes at most.
const DRAIN_MS: u64 = limits::DRAIN_TIMEOUT.as_millis() as u64;
