//! The history of questions: which node asked which, for which claim or token, and what it was answered.
//!
//! A question is asked for a claim that its node has made, or for a client that has shown a token, and names what ends by
//! exactly that. It is answered once at most, by the node that was asked, as the policy says, and what is heard is what was
//! answered. None of this takes time: a question may be on its way for as long as it wants.

use std::collections::BTreeSet;

use pushmesh::NodeName;
use pushmesh::config::Takeover as Policy;
use pushmesh::internals::{Answer, Question, Rival};

use crate::checkers::claims::{Claim, Claims};
use crate::decision::{Asked, Ended};
use crate::id::{ClientIndex, NodeIndex, node_of, user_of};

/// All questions of a run.
pub(super) struct Questions {
    policy: Policy,
    /// Those that were not answered yet.
    open: Vec<Put>,
    /// Answers that were not heard yet.
    given: Vec<(Put, Answer)>,
    /// The resume tokens that clients have shown to nodes, by the stamps of their sessions.
    shown: BTreeSet<(ClientIndex, NodeIndex, u64)>,
    /// Nodes that have stopped: they may have left the sessions that they kept to others, which are told the stamps.
    left: BTreeSet<NodeIndex>,
    /// Sessions of owners that are gone, which nodes keep on.
    kept_on: BTreeSet<(ClientIndex, NodeName, u64)>,
}

/// A question on its way.
#[derive(Debug, Clone, PartialEq)]
struct Put {
    /// Who asks. Only a question to let go says that.
    by: Option<NodeName>,
    owner: NodeName,
    user: usize,
    question: Question,
}

impl Put {
    fn new(by: &NodeName, owner: &NodeName, user: usize, question: Question) -> Self {
        let by = matches!(question, Question::Yield { .. }).then(|| by.clone());
        Self { by, owner: owner.clone(), user, question }
    }
}

impl Questions {
    /// Nobody has asked anything.
    pub(super) fn new(policy: Policy) -> Self {
        let (shown, left, kept_on) = Default::default();
        Self { policy, open: Vec::new(), given: Vec::new(), shown, left, kept_on }
    }

    /// A client has shown a node the token of its session with that stamp.
    pub(super) fn shown(&mut self, client: ClientIndex, node: NodeIndex, token: u64) {
        self.shown.insert((client, node, token));
    }

    /// A node was left the stamp of a session by its owner, which is gone.
    pub(super) fn keeps_on(&mut self, client: ClientIndex, node: &NodeName, stamp: u64) {
        self.kept_on.insert((client, node.clone(), stamp));
    }

    /// A node stops.
    pub(super) fn left(&mut self, node: NodeIndex) {
        self.left.insert(node);
    }

    /// Whether a node was shown that token by that client, or told its stamp by the owner, which stops or is gone. Nothing needs to be
    /// proven without one.
    pub(super) fn is_shown(
        &self,
        claims: &Claims,
        client: ClientIndex,
        node: &NodeName,
        token: Option<u64>,
    ) -> bool {
        token.is_none_or(|token| {
            let mut left = claims.of(client).iter().filter(|claim| self.left.contains(&claim.node));
            let shown = |node| self.shown.contains(&(client, node, token));
            node_of(node.as_str()).is_some_and(shown)
                || left.any(|claim| claim.stamp == token)
                || self.kept_on.contains(&(client, node.clone(), token))
        })
    }

    /// A node asks.
    pub(super) fn asked(&mut self, claims: &Claims, by: &NodeName, asked: &Asked) -> Result<(), String> {
        self.is_justified(claims, by, asked).map_err(|why| format!("{by} asks {asked:?}: {why}"))?;
        self.open.push(Put::new(by, &asked.owner, user_of(asked.client), asked.question));
        Ok(())
    }

    fn is_justified(&self, claims: &Claims, by: &NodeName, asked: &Asked) -> Result<(), &'static str> {
        let Asked { client, stamp, resumed, owner, question } = asked;
        if !self.is_shown(claims, *client, by, *resumed) {
            return Err("nobody has shown that token there");
        }
        let claim = match stamp {
            Some(stamp) => Some(claims.find(*client, by, *stamp).ok_or("it has made no such claim")?),
            None => None,
        };
        let about = claims.client(user_of(*client), question.device()).ok_or("nobody has that device")?;
        match (*question, claim) {
            (Question::Yield { rival: Rival::SameDevice, .. }, _) if about != *client => {
                Err("that is another device")
            }
            (Question::Yield { rival: Rival::SameDevice, below, .. }, claim) => {
                let by_claim = claim
                    .is_some_and(|claim| self.policy != Policy::RejectNewer && below.raw() == claim.stamp);
                let by_token = resumed.is_some_and(|token| below.raw() == token + 1);
                // A session whose client is away keeps nobody of the same device out.
                let is_away = |away: &Claim| away.parked && below.raw() == away.stamp + 1;
                let is_kept = self.policy == Policy::RejectNewer && claims.of(*client).iter().any(is_away);
                let is_right = by_claim || by_token || is_kept;
                is_right.then_some(()).ok_or("neither its claim nor a token says so, and nobody is away")
            }
            (Question::Yield { rival: Rival::OtherDevice, below, .. }, Some(claim))
                if below.raw() == claim.stamp =>
            {
                let most = self.policy.sessions_max().ok_or("no other device has to go")?;
                if self.excludes(claims, (*client, claim), about, most) {
                    Ok(())
                } else {
                    Err("there is room for that device")
                }
            }
            (Question::Yield { .. }, _) => Err("its claim does not say so"),
            (Question::Confirm { .. }, _) if about != *client => Err("that is another device"),
            (Question::Confirm { stamp, .. }, claim) => {
                let rival = claims.find(about, owner, stamp.raw()).ok_or("there was no such claim")?;
                if !claims.sight(by).is_some_and(|sight| rival.may_be_seen(sight)) {
                    return Err("it does not see that claim any more");
                }
                let in_the_way = match claim {
                    // The token is of a later session.
                    None => resumed.is_some_and(|token| token > rival.stamp),
                    Some(claim) => self.beats(rival, claim),
                };
                if in_the_way { Ok(()) } else { Err("that claim is not in the way") }
            }
        }
    }

    /// Whether a claim of a client leaves no room for another device of its user, as its node saw it when it made the claim:
    /// with the claimed one there are as many devices whose sessions are newer than one of that device as there may be.
    fn excludes(
        &self,
        claims: &Claims,
        (client, claim): (ClientIndex, &Claim),
        device: ClientIndex,
        most: usize,
    ) -> bool {
        let is_third = |other: &ClientIndex| ![client, device].contains(other);
        let seen = |client| claims.of(client).iter().filter(|other| claim.saw(other));
        device != client
            && seen(device).any(|lost| {
                let newer = |other: &ClientIndex| seen(*other).any(|other| other.rank() > lost.rank());
                1 + claims.clients_of(user_of(client)).filter(is_third).filter(newer).count() >= most
            })
    }

    /// Whether of two claims of one session the first one excludes the second one.
    pub(super) fn beats(&self, one: &Claim, other: &Claim) -> bool {
        match self.policy {
            // A session whose client is away keeps nobody out.
            Policy::RejectNewer => one.rank() < other.rank() || other.parked,
            _ => one.rank() > other.rank(),
        }
    }

    /// Whether a session ends for a question to let go that is on its way to its node, and that names it.
    pub(super) fn ends(&self, claims: &Claims, node: &NodeName, ended: &Ended) -> Result<(), &'static str> {
        let Ended { client, stamp, winner, winner_stamp, rival, .. } = ended;
        let names = |put: &Put| {
            let is_by = put.by.as_ref() == Some(winner) && put.owner == *node && put.user == user_of(*client);
            is_by
                && matches!(put.question, Question::Yield { device, below, rival: of }
                    if claims.client(put.user, device) == Some(*client) && below.raw() == *winner_stamp && of == *rival)
        };
        if !self.open.iter().any(names) {
            return Err("nobody has asked for that");
        }
        if self.yields((*stamp, node), (*winner_stamp, winner)) {
            Ok(())
        } else {
            Err("it is not below that")
        }
    }

    /// The rule of the policy for a session that another node asks for.
    fn yields(&self, held: (u64, &NodeName), asked: (u64, &NodeName)) -> bool {
        match self.policy {
            Policy::RejectNewer => asked.0 > held.0,
            _ => asked > held,
        }
    }

    /// A node answers. `is_over` tells whether it ended a session with that stamp for another claim. Returns whose session it
    /// says to be over, and the session's stamp, if it does. One that it does not confirm may be kept for a client that is away.
    pub(super) fn answered(
        &mut self,
        (now_ms, claims): (u64, &Claims),
        node: &NodeName,
        (by, user, question): (Option<&NodeName>, usize, Question),
        (held, answer): (Option<u64>, &Answer),
        is_over: impl Fn(ClientIndex, u64) -> bool,
    ) -> Result<Option<(ClientIndex, u64)>, String> {
        let told = || format!("{node} answers {question:?} of {by:?} about {held:?} with {answer:?}");
        let put = Put { by: by.cloned(), owner: node.clone(), user, question };
        let Some(open) = self.open.iter().position(|open| *open == put) else {
            return Err(format!("{}: nobody waits for that", told()));
        };
        self.open.remove(open);
        self.given.push((put, answer.clone()));
        let client = claims.client(user, question.device());
        let Some((client, held)) = client.zip(held) else {
            let stands =
                |claim: &Claim| claim.boot.0 == *node && claim.made_ms < now_ms && claim.end.is_none();
            let claimed = client.and_then(|client| claims.of(client).iter().find(|claim| stands(claim)));
            return match claimed {
                Some(claim) => Err(format!("{}: it claims that with {}", told(), claim.stamp)),
                None => Ok(None),
            };
        };
        if claims.find(client, node, held).is_none() {
            return Err(format!("{}: it has made no such claim", told()));
        }
        let (right, over) = match question {
            Question::Yield { below, rival, .. } => {
                let by = by.ok_or_else(told)?;
                let goes = self.yields((held, node), (below.raw(), by));
                let said = match answer {
                    Answer::Moved { owner, stamp } if owner == node => {
                        !goes && stamp.raw() == held && rival == Rival::SameDevice
                    }
                    Answer::No => !goes && rival == Rival::OtherDevice,
                    _ => goes,
                };
                (said, goes)
            }
            Question::Confirm { stamp, .. } => {
                let is_it = stamp.raw() == held;
                let said = match answer {
                    Answer::Yes => is_it && !is_over(client, held),
                    answer => *answer == Answer::No,
                };
                (said, is_it && *answer == Answer::No)
            }
        };
        if right { Ok(over.then_some((client, held))) } else { Err(told()) }
    }

    /// A node has heard an answer, or none.
    pub(super) fn heard(&mut self, by: &NodeName, asked: &Asked, answer: &Answer) -> Result<(), String> {
        if *answer == Answer::Silent {
            return Ok(());
        }
        let put = Put::new(by, &asked.owner, user_of(asked.client), asked.question);
        let given = self.given.iter().position(|(given, said)| *given == put && said == answer);
        let given =
            given.ok_or_else(|| format!("{by} has heard {answer:?} to {asked:?}: nobody has said that"))?;
        self.given.remove(given);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
