//! Never do both lose: a connection is closed with 4001 only because of a claim that takes its place. And
//! nobody is refused for what the policy allows, and nobody lives on whose claim is over.
//!
//! Which claims there were is known exactly ([`Claims`]), and so is what the node of each knew when it was made. A claim takes
//! the place of another one if the policy says so by their stamps, and if
//!
//! - both stood at one time, or
//! - the newer claim was over before the older one was made, and the node of the older one could not know that: what it held of the
//!   other's section was from before. Then it closes its session for a claim that it hears of too late; or
//! - the newer claim's question may still have been on its way. Its node asks the one where it finds an earlier session to let go of
//!   it, and the question names what ends by a greatest stamp: where clocks differ that is also a session that the client has
//!   opened there since.
//!
//! Under `reject-newer` the node of the winner is asked before a session is closed for it, so that both must have stood at one
//! time; or the client has shown a token that makes its own earlier session end, on a connection that was there at that time, or
//! whose question may still have been on its way.
//!
//! Nothing else of this needs a span of time. Three things do, because they are done by tasks and packets, and each span is made of the
//! timeouts that the nodes run with: a connection whose claim is over ends within the time that a close takes; a claim that its
//! node knows to have lost is let go of ([`displaced`](super::displaced)); and of two claims of which one excludes the other
//! the loser is gone, once their nodes have reached each other for so long that each must have heard of the other's. Nothing is
//! due while they have no working path between them, or while one of them holds still, stops or is down. What is dead to a node
//! when it makes a claim takes no place of that one.
//!
//! Not checked: how soon `reject-newer` settles two claims of one session, because the owner of the winner is asked for as long
//! as it does not answer. That all agree at the end is [`convergence`](super::convergence)'s.
//!
//! Whose claim is whose: a client of `pushmesh.v1` is told the stamp of its session. Any other has one of those that its node
//! made for it between the begin of its connection and its answer; where there are several, because it connected twice at
//! once, each of them counts.

use std::collections::{BTreeMap, BTreeSet};

use pushmesh::config::Takeover as Policy;
use pushmesh::limits;

use crate::checkers::bounds::{CLOSE_MS_MAX, LETS_GO_MS};
use crate::checkers::checker::Checker;
use crate::checkers::claims::{Claim, Claims};
use crate::checkers::disturbed::Disturbed;
use crate::checkers::paths::Paths;
use crate::checkers::reach::REACHED_MS;
use crate::event::{End, Event};
use crate::host::Boot;
use crate::id::{ClientIndex, ConnectionId, NodeIndex, user_of};
use crate::network::FAIR_DELAY_MAX;
use crate::plan::LATENCY_MS_MAX;
use crate::settings::Settings;

/// Watches who is closed for whom.
pub(super) struct Takeover {
    policy: Policy,
    claims: Claims,
    connections: BTreeMap<ConnectionId, Connection>,
    /// Those that were closed with 4001 since the last look.
    closed: Vec<ConnectionId>,
    disturbed: Disturbed,
    paths: Paths,
    compared: u64,
}

struct Connection {
    client: ClientIndex,
    node: NodeIndex,
    dialled_ms: u64,
    /// When it was open.
    opened_ms: Option<u64>,
    /// When it was over, or was refused.
    ended_ms: Option<u64>,
    /// The stamp of its session, if it was told.
    stamp: Option<u64>,
    /// The stamp of the session whose resume token it has shown.
    resumed: Option<u64>,
    /// Its client did not read for a while.
    stalled: bool,
    /// Until when its socket was full last.
    full_ms: u64,
}

impl Connection {
    /// The claims that may be its own.
    fn own<'a>(&self, claims: &'a Claims) -> impl Iterator<Item = &'a Claim> + use<'a> {
        let (node, stamp) = (self.node, self.stamp);
        let during = self.dialled_ms..=self.opened_ms.unwrap_or(u64::MAX);
        let own = move |claim: &&Claim| {
            claim.node == node
                && during.contains(&claim.made_ms)
                && stamp.is_none_or(|stamp| stamp == claim.stamp)
        };
        claims.of(self.client).iter().filter(own)
    }
}

impl Takeover {
    /// Nobody is connected.
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            policy: settings.takeover,
            claims: Claims::default(),
            connections: BTreeMap::new(),
            closed: Vec::new(),
            disturbed: Disturbed::default(),
            paths: Paths::default(),
            compared: 0,
        }
    }

    /// Whether that connection was closed for a claim that takes its place.
    fn justified(&self, closed: &Connection) -> Result<(), String> {
        // A ring that is short may have lost a claim that came and went within a millisecond.
        if self.claims.may_lack(closed.dialled_ms..=closed.ended_ms.unwrap_or(u64::MAX)) {
            return Ok(());
        }
        let mut own = closed.own(&self.claims).peekable();
        if own.peek().is_none() {
            return Err("no claim was its own".to_owned());
        }
        if own.any(|own| self.has_lost(closed, own)) {
            return Ok(());
        }
        let claims = closed.own(&self.claims).map(told).collect::<Vec<_>>().join(", ");
        let others = self.claims.of(closed.client).iter().map(told).collect::<Vec<_>>().join(", ");
        Err(format!("its claim is {claims}, among {others}"))
    }

    fn has_lost(&self, closed: &Connection, own: &Claim) -> bool {
        let ended_ms = closed.ended_ms.unwrap_or(u64::MAX);
        let rivals = |client| self.claims.of(client).iter().filter(move |other| other.made_ms <= ended_ms);
        let met = |other: &Claim| other.stands_after(own.made_ms);
        if self.policy == Policy::RejectNewer {
            let wins = |other: &&Claim| {
                (other.resumed || other.rank() < own.rank())
                    && closed.resumed.is_none_or(|own| other.stamp > own)
            };
            let is_other = |other: &&Claim| other.rank() != own.rank();
            let by_token = |other: &Connection| {
                other.client == closed.client
                    && other.resumed.is_some_and(|resumed| resumed >= own.stamp)
                    && other.ended_ms.is_none_or(|at_ms| at_ms + ASKED_MS >= own.made_ms)
            };
            return rivals(closed.client).filter(is_other).filter(wins).any(met)
                || self.connections.values().any(by_token);
        }
        let asks = |other: &Claim| {
            let found_ms = other.made_ms.saturating_sub(FOUND_MS);
            let earlier = |held: &&Claim| held.node == own.node && held.made_ms < own.made_ms;
            let mut found = self.claims.of(closed.client).iter().filter(earlier);
            other.stands_after(own.made_ms.saturating_sub(ASKED_MS))
                && found.any(|held| held.stands_after(found_ms))
        };
        let stood = |other: &Claim| met(other) || own.believed_in(other) || asks(other);
        if rivals(closed.client).any(|other| other.rank() > own.rank() && stood(other)) {
            return true;
        }
        // So many other devices of the user have newer sessions, as far as anybody could know.
        let Some(most) = self.policy.sessions_max() else { return false };
        let devices: BTreeSet<_> = self.connections.values().map(|other| other.client).collect();
        let others = devices.into_iter().filter(|other| {
            *other != closed.client
                && user_of(*other) == user_of(closed.client)
                && rivals(*other).any(|other| other.stamp >= own.stamp && stood(other))
        });
        others.count() >= most
    }

    /// Nobody's claim stands beside one that excludes it, once their nodes have had the time to hear of each other.
    fn excluded(&self, now_ms: u64) -> Result<(), String> {
        // The owner of the winner is asked first, as long as it does not answer.
        if self.policy == Policy::RejectNewer {
            return Ok(());
        }
        let mut users = BTreeMap::<_, Vec<_>>::new();
        for (client, claim) in self.claims.standing() {
            users.entry(user_of(client)).or_default().push((client, claim));
        }
        for (client, loser) in users.values().flatten() {
            let due = |winner: &Claim| {
                let since_ms = self.paths.since(loser.node, winner.node);
                due_ms(loser, winner, since_ms).is_some_and(|due_ms| due_ms < now_ms)
            };
            let winners = users[&user_of(*client)].iter().filter(|(_, other)| other.rank() > loser.rank());
            let winners: Vec<_> = winners.filter(|(_, winner)| due(winner)).collect();
            let others: BTreeSet<_> =
                winners.iter().map(|(other, _)| *other).filter(|other| other != client).collect();
            let own = winners.iter().find(|(other, _)| other == client);
            let too_many = self.policy.sessions_max().is_some_and(|most| others.len() >= most);
            if let Some((_, winner)) = own.or_else(|| winners.first().filter(|_| too_many)) {
                let (loser, winner) = (told(loser), told(winner));
                return Err(format!("{loser} of client {client} stands, and so does {winner}"));
            }
        }
        Ok(())
    }

    /// Nobody lives on whose claim is over.
    fn lives_on(&self, now_ms: u64) -> Result<(), String> {
        for (id, open) in &self.connections {
            if open.opened_ms.is_none() || open.ended_ms.is_some() || open.stalled {
                continue;
            }
            let mut own = open.own(&self.claims);
            let (Some(claim), None) = (own.next(), own.next()) else { continue };
            let Some(end) = claim.end else { continue };
            let well = self.disturbed.is_well_since(open.node, end.at_ms);
            if well && now_ms > end.at_ms.max(open.full_ms) + CLOSE_MS_MAX {
                let client = open.client;
                return Err(format!(
                    "connection {id} of client {client} lives, and its claim is {}",
                    told(claim)
                ));
            }
        }
        Ok(())
    }
}

/// When a claim has to be gone at the latest that has lost against another one, if both stand and their nodes have reached
/// each other since that time; `None` if they do not.
fn due_ms(loser: &Claim, winner: &Claim, since_ms: Option<u64>) -> Option<u64> {
    let both_ms = loser.made_ms.max(winner.made_ms);
    // A node always hears of itself.
    let linked_ms = since_ms.map(|since_ms| if since_ms == 0 { 0 } else { since_ms + LINKED_MS })?;
    Some(both_ms.max(linked_ms) + HEARD_MS + LETS_GO_MS)
}

/// A claim, as it is told.
fn told(claim: &Claim) -> String {
    let Claim { boot: (name, incarnation), stamp, made_ms, end, resumed, .. } = claim;
    let end = end.map(|end| format!("{} ms", end.at_ms)).unwrap_or_default();
    let resumed = if *resumed { " resumed" } else { "" };
    format!("{stamp}@{name}/{incarnation}{resumed} from {made_ms} ms to {end}")
}

impl Checker for Takeover {
    fn name(&self) -> &'static str {
        "a session is taken over by another one, and never do both lose"
    }

    fn event(&mut self, now_ms: u64, event: &Event) -> Result<(), String> {
        self.disturbed.event(now_ms, event);
        match event {
            Event::Dialled { connection, client, node, resumed } => {
                self.claims.follow(*client);
                let dialled = Connection {
                    client: *client,
                    node: *node,
                    dialled_ms: now_ms,
                    opened_ms: None,
                    ended_ms: None,
                    stamp: None,
                    resumed: *resumed,
                    stalled: false,
                    full_ms: 0,
                };
                self.connections.insert(*connection, dialled);
            }
            Event::Opened { connection, .. } => {
                self.connections.entry(*connection).and_modify(|at| at.opened_ms = Some(now_ms));
            }
            Event::Welcomed { connection, welcome } => {
                self.connections.entry(*connection).and_modify(|at| at.stamp = Some(welcome.session));
            }
            Event::Refused { connection, client, why, .. } => {
                self.connections.entry(*connection).and_modify(|at| at.ended_ms = Some(now_ms));
                let allowed = |status: &str| match status {
                    "409" => self.policy == Policy::RejectNewer,
                    "503" => true,
                    _ => false,
                };
                if let Some(status) = why.strip_prefix(STATUS).map(|why| why.get(..3).unwrap_or_default())
                    && !allowed(status)
                {
                    return Err(format!("client {client} was refused with {status}"));
                }
            }
            Event::Stalled { connection, .. } => {
                self.connections.entry(*connection).and_modify(|at| at.stalled = true);
            }
            Event::Full { connection, for_ms } => {
                self.connections.entry(*connection).and_modify(|at| at.full_ms = now_ms + for_ms);
            }
            Event::Ended { connection, end } => {
                self.connections.entry(*connection).and_modify(|at| at.ended_ms = Some(now_ms));
                if matches!(end, End::Closed(Some(SUPERSEDED))) {
                    self.closed.push(*connection);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn tick(&mut self, now_ms: u64, boots: &[Option<Boot>]) -> Result<(), String> {
        self.claims.tick(now_ms, boots);
        for id in std::mem::take(&mut self.closed) {
            let Some(closed) = self.connections.get(&id) else { continue };
            self.compared += 1;
            self.justified(closed).map_err(|what| {
                let client = closed.client;
                format!("connection {id} of client {client} was closed with 4001 for no other one: {what}")
            })?;
        }
        if now_ms.is_multiple_of(LOOK_EVERY_MS) {
            self.lives_on(now_ms)?;
            self.excluded(now_ms)?;
        }
        Ok(())
    }

    fn paths(&mut self, now_ms: u64, nodes: usize, reaches: &dyn Fn(NodeIndex, NodeIndex) -> bool) {
        self.paths.look(now_ms, nodes, reaches);
    }

    fn compared(&self) -> (&'static str, u64) {
        ("connections closed for another one", self.compared)
    }
}

/// The close code of a session whose place was taken: section 3.5 of docs/PROTOCOL.md.
const SUPERSEDED: u16 = 4001;
/// What tungstenite says before the status of a refused handshake.
const STATUS: &str = "HTTP error: ";
/// How long it takes at most from when two nodes reach each other until each shows what the other claims and believes it, in
/// milliseconds. Arithmetic: they call each other alive, they subscribe, and a member that was hidden proves its claims.
const LINKED_MS: u64 = REACHED_MS
    + limits::SUBSCRIBE_AGAIN_MAX.as_millis() as u64
    + limits::RETURN_BELIEVED_AFTER.as_millis() as u64;
/// How long a question whether a session may end is on its way after its client has given up, in milliseconds. Arithmetic: the node
/// asks over the link and then over a relay, and what was sent arrives for as long as a link that lost it is not given up.
const ASKED_MS: u64 =
    2 * limits::TAKEOVER_TIMEOUT.as_millis() as u64 + limits::LINK_IDLE_TIMEOUT.as_millis() as u64;
/// For how long a session that is over may be found by whoever claims it anew, in milliseconds. Arithmetic: the session that it
/// was superseded by, or that superseded it, is told of while it lingers, and its end is on its way.
const FOUND_MS: u64 = limits::RELEASE_LINGER.as_millis() as u64 + HEARD_MS;
/// How long a claim is on its way to a node that follows its section, in milliseconds. Arithmetic: changes are gathered, and a
/// fair path is slow and loses the acknowledgement that they wait for.
const HEARD_MS: u64 =
    limits::COALESCE_MAX.as_millis() as u64 + 2 * FAIR_DELAY_MAX.as_millis() as u64 + LATENCY_MS_MAX;
/// Time between two looks at all claims and connections, in milliseconds.
const LOOK_EVERY_MS: u64 = 100;

#[cfg(test)]
mod tests;
