//! Never do both lose: a connection is closed with 4001 only because of a claim that takes its place. And
//! nobody is refused for what the policy allows, and nobody lives on whose claim is over.
//!
//! Which claims there were is known exactly ([`Claims`]), and so is which node asked which question, and what it was answered
//! ([`Questions`]). Each node logs why it ends a session for another claim, and each of these reasons is judged by those
//! histories:
//!
//! - *replaced*: the same node has claimed the session anew, and under `reject-newer` for a client that has shown a token;
//! - *lost*: the other claim takes its place by the policy, and its node saw that claim stand then: its copy of the other's
//!   section had the claim, whatever became of the claim elsewhere by then;
//! - *disputed*: the owner of the other claim has just confirmed it;
//! - *asked*: a question that is on its way names the session, and was asked for a claim or for a token that was shown.
//!
//! Who is closed with 4001 without such an end of its session is found, too, and so is who is closed for an earlier session of
//! its own. All of this is exact: what is seen within one millisecond counts as seen together, and no other time is allowed.
//!
//! Some things take time, because they are done by tasks and packets, and each span is made of the timeouts that the
//! nodes run with. A connection whose claim is over ends within the time that a close takes. A claim is gone within the time
//! that a close and the release take from when its node ends its session, tells another node that the session is over, or is told
//! by the owner of an older claim that that one stands. And of two claims of which one excludes the other the loser is gone, once
//! their nodes have reached each other for so long that each must have heard of the other's. The last span is long, because
//! it is one of links, subscriptions and gossip and not of takeovers: that a node lets go of a claim from when its own replica
//! shows the winner is looked at on its own ([`displaced`](super::displaced)), and only that the winner gets there is left to
//! this one. Nothing is due by it while the nodes have no working path between them, or while one of them holds still,
//! stops or is down.
//!
//! Not checked: how soon `reject-newer` settles two claims of one session, because the owner of the winner is asked for as long
//! as it does not answer. That all agree at the end is [`convergence`](super::convergence)'s.
//!
//! Whose claim is whose: a client of `pushmesh.v1` is told the stamp of its session. Any other has one of those that its node
//! made for it between the begin of its connection and its answer; where there are several, because it connected twice at
//! once, each of them counts.

use std::collections::{BTreeMap, BTreeSet};

use pushmesh::NodeName;
use pushmesh::config::Takeover as Policy;
use pushmesh::internals::{Answer, Question, Rival};
use pushmesh::limits;

use crate::checkers::bounds::{CLOSE_MS_MAX, LETS_GO_MS};
use crate::checkers::checker::Checker;
use crate::checkers::claims::{Claim, Claims};
use crate::checkers::contended::Contended;
use crate::checkers::disturbed::Disturbed;
use crate::checkers::paths::Paths;
use crate::checkers::questions::Questions;
use crate::checkers::reach::REACHED_MS;
use crate::decision::{Asked, Decision, Ended, Why};
use crate::event::{End, Event};
use crate::host::Boot;
use crate::id::{ClientIndex, ConnectionId, NodeIndex, node_of, user_of};
use crate::network::FAIR_DELAY_MAX;
use crate::plan::LATENCY_MS_MAX;
use crate::settings::Settings;

/// Watches who is closed for whom.
pub(super) struct Takeover {
    policy: Policy,
    claims: Claims,
    questions: Questions,
    /// What nodes have decided since the last look.
    decided: Vec<(NodeName, Decision)>,
    /// The sessions that ended for another claim, with the stamp of that one.
    ended: BTreeMap<Session, u64>,
    /// The sessions whose owners were told in this millisecond that an older claim stands: by which node, with which stamp.
    told: BTreeSet<(Session, NodeName, u64)>,
    /// The claims that have to be over soon, and since when.
    over_ms: BTreeMap<Session, u64>,
    /// The claims of clients that are about to go: they have to be over soon, or kept for clients that are away.
    going_ms: BTreeMap<Session, u64>,
    connections: BTreeMap<ConnectionId, Connection>,
    contended: Contended,
    /// Those that were closed with 4001 since the last look.
    closed: Vec<ConnectionId>,
    disturbed: Disturbed,
    paths: Paths,
    compared: u64,
}

/// The node of a session, its client, and the stamp of its claim.
type Session = (NodeName, ClientIndex, u64);

struct Connection {
    client: ClientIndex,
    node: NodeIndex,
    dialled_ms: u64,
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
            questions: Questions::new(settings.takeover),
            decided: Vec::new(),
            ended: BTreeMap::new(),
            told: BTreeSet::new(),
            over_ms: BTreeMap::new(),
            going_ms: BTreeMap::new(),
            connections: BTreeMap::new(),
            contended: Contended::default(),
            closed: Vec::new(),
            disturbed: Disturbed::default(),
            paths: Paths::default(),
            compared: 0,
        }
    }

    /// Judges what the nodes have decided in the last millisecond.
    fn judge(&mut self, now_ms: u64) -> Result<(), String> {
        let decided = std::mem::take(&mut self.decided);
        for (by, decision) in &decided {
            match decision {
                Decision::Claimed { client, stamp, resumed, .. } => {
                    self.claims.claimed(now_ms, by, *client, *stamp, *resumed);
                    if !self.questions.is_shown(&self.claims, *client, by, *resumed) {
                        return Err(format!(
                            "{by} believes client {client} a token that it was not shown: {resumed:?}"
                        ));
                    }
                }
                Decision::KeepsOn { client, stamp, owner } => {
                    self.left_behind(now_ms, by, (*client, owner, *stamp)).map_err(|why| {
                        format!("{by} keeps the session {stamp} of client {client} at {owner} on: {why}")
                    })?;
                    self.questions.keeps_on(*client, by, *stamp);
                }
                _ => {}
            }
        }
        self.told.clear();
        for (by, decision) in decided {
            self.compared += 1;
            match decision {
                Decision::Claimed { .. }
                | Decision::HandedOver(_)
                | Decision::Sealed { .. }
                | Decision::KeepsOn { .. }
                | Decision::KeptOn { .. }
                | Decision::Stored(_) => {}
                Decision::Asked(asked) => self.questions.asked(&self.claims, &by, &asked)?,
                Decision::Heard { asked, answer } => self.heard(now_ms, by, &asked, &answer)?,
                Decision::Answered { by: asker, user, question, held, answer } => {
                    let is_over = |client, stamp| self.ended.contains_key(&(by.clone(), client, stamp));
                    let ends = self.questions.answered(
                        (now_ms, &self.claims),
                        &by,
                        (asker.as_ref(), user, question),
                        (held, &answer),
                        is_over,
                    )?;
                    if let Some((client, stamp)) = ends {
                        let yields = matches!(question, Question::Yield { .. });
                        let since_ms = if yields { &mut self.over_ms } else { &mut self.going_ms };
                        since_ms.entry((by, client, stamp)).or_insert(now_ms);
                    }
                }
                Decision::Ended(ended) => {
                    self.justified(now_ms, &by, &ended)
                        .map_err(|why| format!("{by} ends a session, {ended:?}: {why}"))?;
                    let session = (by, ended.client, ended.stamp);
                    self.over_ms.entry(session.clone()).or_insert(now_ms);
                    self.ended.insert(session, ended.winner_stamp);
                }
            }
        }
        Ok(())
    }

    /// Whether the owner of a session may be gone for a node that keeps it on.
    fn left_behind(
        &self,
        now_ms: u64,
        keeper: &NodeName,
        (client, owner, stamp): (ClientIndex, &NodeName, u64),
    ) -> Result<(), &'static str> {
        let claim = self.claims.find(client, owner, stamp).ok_or("its owner has made no such claim")?;
        // Whoever was not let in before its node was gone is away still.
        let let_in = |at: &Connection| at.opened_ms.is_some_and(|opened_ms| opened_ms >= claim.made_ms);
        let mut its_own = self.connections.values().filter(|at| at.client == client && at.node == claim.node);
        if !claim.parked && its_own.any(let_in) {
            return Err("its client was never away");
        }
        let keeper = node_of(keeper.as_str()).ok_or("there is no such node")?;
        let then_ms = now_ms.saturating_sub(GONE_FOR_MS);
        let is_reached = self.paths.since(claim.node, keeper).is_some_and(|since_ms| since_ms <= then_ms);
        let was_well = self.disturbed.is_well_since(claim.node, claim.made_ms.min(then_ms));
        if is_reached && was_well && self.disturbed.is_well_since(keeper, then_ms) {
            return Err("its owner is there");
        }
        Ok(())
    }

    /// A node has heard an answer, or none.
    fn heard(&mut self, now_ms: u64, by: NodeName, asked: &Asked, answer: &Answer) -> Result<(), String> {
        self.questions.heard(&by, asked, answer)?;
        // At the door nobody has anything to lose yet.
        if let (Some(stamp), Question::Confirm { stamp: confirmed, .. }, Answer::Yes) =
            (asked.stamp, asked.question, answer)
        {
            let session = (by, asked.client, stamp);
            self.over_ms.entry(session.clone()).or_insert(now_ms);
            self.told.insert((session, asked.owner.clone(), confirmed.raw()));
        }
        Ok(())
    }

    /// Whether a node ends a session for a claim that takes its place.
    fn justified(&self, now_ms: u64, node: &NodeName, ended: &Ended) -> Result<(), &'static str> {
        let Ended { client, stamp, why, winner, winner_stamp, rival } = ended;
        let own = self.claims.find(*client, node, *stamp).ok_or("it has made no such claim")?;
        let of_client = self.claims.find(*client, winner, *winner_stamp);
        match why {
            Why::Asked => self.questions.ends(&self.claims, node, ended),
            Why::Lost if *rival == Rival::OtherDevice => self.is_crowded_out(node, own, ended),
            _ if *rival == Rival::OtherDevice => Err("another device takes no place so"),
            Why::Replaced => {
                let newer = of_client.filter(|newer| winner == node && newer.made_ms == now_ms);
                let newer = newer.ok_or("the node has claimed it for nobody else")?;
                // A session whose client is away keeps nobody out.
                let may = self.policy != Policy::RejectNewer || newer.resumed.is_some() || own.parked;
                if may && newer.stamp > own.stamp { Ok(()) } else { Err("that claim does not win") }
            }
            Why::Lost => {
                let other = of_client.ok_or("there was no such claim")?;
                if self.policy == Policy::RejectNewer || !self.questions.beats(other, own) {
                    return Err("that claim does not win");
                }
                if self.sees(node, other) { Ok(()) } else { Err("it did not see that claim any more") }
            }
            Why::Disputed => {
                let session = (node.clone(), *client, *stamp);
                let told = self.told.contains(&(session, winner.clone(), *winner_stamp));
                if told { Ok(()) } else { Err("nobody has told it that the other one stands") }
            }
        }
    }

    /// Whether a node sees so many other devices of a user with newer sessions that the policy leaves no room for this one.
    fn is_crowded_out(&self, node: &NodeName, own: &Claim, ended: &Ended) -> Result<(), &'static str> {
        let most = self.policy.sessions_max().ok_or("no other device has to go")?;
        let others = self.claims.clients_of(user_of(ended.client)).filter(|other| *other != ended.client);
        let newer = |claim: &Claim| claim.stamp >= own.stamp && self.sees(node, claim);
        let others: Vec<_> = others.filter(|other| self.claims.of(*other).iter().any(newer)).collect();
        let winner = |other: &ClientIndex| self.claims.find(*other, &ended.winner, ended.winner_stamp);
        match others.iter().find_map(winner) {
            Some(winner) if newer(winner) && others.len() >= most => Ok(()),
            Some(_) => Err("there is room for it"),
            None => Err("it sees no such claim"),
        }
    }

    fn sees(&self, node: &NodeName, claim: &Claim) -> bool {
        self.claims.sight(node).is_some_and(|sight| claim.may_be_seen(sight))
    }

    /// Whether the session of a connection that was closed with 4001 has ended for another claim.
    fn closed_rightly(&self, closed: &Connection) -> Result<(), String> {
        let mut own = closed.own(&self.claims).peekable();
        if own.peek().is_none() {
            return Err("no claim was its own".to_owned());
        }
        let winners = own.filter_map(|own| {
            let session = (own.boot.0.clone(), closed.client, own.stamp);
            self.ended.get(&session).copied()
        });
        let winners: Vec<_> = winners.collect();
        if winners.iter().any(|winner| closed.resumed.is_none_or(|earlier| *winner > earlier)) {
            return Ok(());
        }
        let claims = closed.own(&self.claims).map(told).collect::<Vec<_>>().join(", ");
        let others = self.claims.of(closed.client).iter().map(told).collect::<Vec<_>>().join(", ");
        Err(format!("its claim is {claims}, which ended for {winners:?}, among {others}"))
    }

    /// Nobody's claim stands on that has to be over.
    fn lets_go(&mut self, now_ms: u64) -> Result<(), String> {
        let claims = &self.claims;
        let standing = |(node, client, stamp): &Session| {
            claims.find(*client, node, *stamp).filter(|claim| claim.end.is_none())
        };
        self.over_ms.retain(|session, _| standing(session).is_some());
        self.going_ms.retain(|session, _| standing(session).is_some_and(|claim| !claim.parked));
        let mut all = self.over_ms.iter().chain(&self.going_ms);
        let late = all.find(|(_, since_ms)| **since_ms + LETS_GO_MS + LOOK_EVERY_MS < now_ms);
        match late {
            Some(((node, client, stamp), since_ms)) => {
                Err(format!("{node} holds {stamp} of client {client}, which is over since {since_ms} ms"))
            }
            None => Ok(()),
        }
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
    let resumed = resumed.map(|earlier| format!(" after {earlier}")).unwrap_or_default();
    format!("{stamp}@{name}/{incarnation}{resumed} from {made_ms} ms to {end}")
}

impl Checker for Takeover {
    fn name(&self) -> &'static str {
        "a session is taken over by another one, and never do both lose"
    }

    fn event(&mut self, now_ms: u64, event: &Event) -> Result<(), String> {
        self.disturbed.event(now_ms, event);
        match event {
            Event::Decided { by, decision } => self.decided.push((by.clone(), decision.clone())),
            Event::Stopping { node } | Event::Failed { node, .. } => self.questions.left(*node),
            Event::Dialled { connection, client, node, resumed } => {
                self.claims.follow(*client);
                resumed.iter().for_each(|token| self.questions.shown(*client, *node, *token));
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
                    "429" => self.contended.may_wait(*client, now_ms),
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
        self.judge(now_ms)?;
        for id in std::mem::take(&mut self.closed) {
            let Some(closed) = self.connections.get(&id) else { continue };
            self.compared += 1;
            self.contended.displaced(closed.client, now_ms);
            self.closed_rightly(closed).map_err(|what| {
                let client = closed.client;
                format!("connection {id} of client {client} was closed with 4001 for no other one: {what}")
            })?;
        }
        if now_ms.is_multiple_of(LOOK_EVERY_MS) {
            self.lives_on(now_ms)?;
            self.lets_go(now_ms)?;
            self.excluded(now_ms)?;
        }
        Ok(())
    }

    fn paths(&mut self, now_ms: u64, nodes: usize, reaches: &dyn Fn(NodeIndex, NodeIndex) -> bool) {
        self.paths.look(now_ms, nodes, reaches);
    }

    fn compared(&self) -> (&'static str, u64) {
        ("decisions about sessions, and closes for another one", self.compared)
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
/// How long a claim is on its way to a node that follows its section, in milliseconds. Arithmetic: changes are gathered, and a
/// fair path is slow and loses the acknowledgement that they wait for.
const HEARD_MS: u64 =
    limits::COALESCE_MAX.as_millis() as u64 + 2 * FAIR_DELAY_MAX.as_millis() as u64 + LATENCY_MS_MAX;
/// For how long a node that is reached is not called gone, in milliseconds. Arithmetic: until each shows what the other claims.
const GONE_FOR_MS: u64 = LINKED_MS;
/// Time between two looks at all claims and connections, in milliseconds.
const LOOK_EVERY_MS: u64 = 100;

#[cfg(test)]
mod tests;
