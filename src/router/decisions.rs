//! The log of what is decided about sessions, at level `debug` under one target: every claim, every question with its
//! answer at both ends, every session that ends for another claim, with the reason, and every hand-over of what a session
//! owes its client.
//!
//! Read together the lines of all nodes say for whom a client was closed with 4001, and who asked for that. No push
//! comes here.

use tracing::debug;

use crate::directory::Rival;
use crate::id::{NodeName, SessionKey, Stamp, UserId};
use crate::key::DeviceHash;
use crate::ownership::{Answer, Ask, Question};
use crate::push::Outcome;
use crate::session::Session;

/// For whom a question is asked.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    /// The session.
    pub(super) names: SessionKey,
    /// With which stamp this node claims it; `None` at the door, before the claim.
    pub(super) stamp: Option<Stamp>,
    /// The stamp that its client has proven.
    pub(super) resumed: Option<Stamp>,
}

/// Why a session of this node ends for another claim.
#[derive(Debug, Clone, Copy)]
pub(super) enum Why {
    /// A later claim of this node has taken its key.
    Replaced,
    /// The directory shows a claim that excludes it.
    Lost,
    /// A dispute is settled: the owner of the other claim has confirmed its session.
    Disputed,
    /// The node of the other claim has asked for it.
    Asked,
}

impl Why {
    fn as_str(self) -> &'static str {
        match self {
            Self::Replaced => "replaced",
            Self::Lost => "lost",
            Self::Disputed => "disputed",
            Self::Asked => "asked",
        }
    }
}

/// The node `me` has claimed a session.
pub(super) fn claimed(me: &NodeName, session: &Session) {
    let (stamp, resumed) = (session.stamp().raw(), session.succeeds().map(Stamp::raw));
    let away = session.is_away();
    debug!(target: TARGET, node = %me, key = %session.names(), stamp, resumed, away, "a session is claimed");
}

/// The node `me` is about to take over the session of a client that is away, which that owner has claimed, and is gone.
pub(super) fn keeps_on(me: &NodeName, names: &SessionKey, owner: &NodeName, stamp: Stamp) {
    debug!(target: TARGET, node = %me, key = %names, %owner, stamp = stamp.raw(), "a session is to be kept on");
}

/// The node `me` has tried to.
pub(super) fn kept_on(me: &NodeName, names: &SessionKey, outcome: &Outcome) {
    debug!(target: TARGET, node = %me, key = %names, outcome = outcome.as_str(), "a session is kept on");
}

/// The node `me` asks an owner.
pub(super) fn asked(me: &NodeName, asker: &Asker, Ask { owner, question, .. }: &Ask) {
    let Asker { names, stamp, resumed } = asker;
    let (stamp, resumed) = (stamp.map(Stamp::raw), resumed.map(Stamp::raw));
    let (question, device, bound, rival) = parts(question);
    debug!(
        target: TARGET, node = %me, key = %names, stamp, resumed, owner = owner.as_str(), question, %device, bound, rival,
        "an owner is asked"
    );
}

/// The node `me` knows the answer to its question. It is `silent` also of an owner that was not asked, because it may be gone.
pub(super) fn heard(me: &NodeName, asker: &Asker, Ask { owner, question, .. }: &Ask, answer: &Answer) {
    let stamp = asker.stamp.map(Stamp::raw);
    let (question, device, bound, rival) = parts(question);
    let (answer, next, next_stamp) = said(answer);
    debug!(
        target: TARGET, node = %me, key = %asker.names, stamp, owner = owner.as_str(), question, %device, bound, rival,
        answer, next, next_stamp, "an owner's answer is known"
    );
}

/// The node `me` answers a question about a session of `user`. `by` is who asks, where the question says that, and `held`
/// the stamp of the session that is here.
pub(super) fn answered(
    me: &NodeName,
    user: &UserId,
    (by, question): (Option<&NodeName>, &Question),
    held: Option<Stamp>,
    answer: &Answer,
) {
    let (by, held) = (by.map(NodeName::as_str), held.map(Stamp::raw));
    let (question, device, bound, rival) = parts(question);
    let (answer, next, next_stamp) = said(answer);
    debug!(
        target: TARGET, node = %me, %user, by, question, %device, bound, rival, held, answer, next, next_stamp,
        "a question is answered"
    );
}

/// A session of the node `me` ends for the claim that `winner` made with that stamp.
pub(super) fn ended(me: &NodeName, session: &Session, why: Why, rival: Rival, winner: (&NodeName, Stamp)) {
    let (stamp, why, rival) = (session.stamp().raw(), why.as_str(), rival_word(rival));
    let (owner, bound) = (winner.0.as_str(), winner.1.raw());
    debug!(
        target: TARGET, node = %me, key = %session.names(), stamp, why, owner, bound, rival,
        "a session ends for another claim"
    );
}

/// The node `me` has tried to hand over so many messages that a session owes its client: to which node, over a third node
/// or not, and with which outcome.
pub(super) fn handed_over(
    me: &NodeName,
    session: &Session,
    messages: usize,
    (to, relayed): (&NodeName, bool),
    outcome: &Outcome,
) {
    let (stamp, owner, outcome) = (session.stamp().raw(), to.as_str(), outcome.as_str());
    debug!(
        target: TARGET, node = %me, key = %session.names(), stamp, messages, owner, relayed, outcome,
        "what a session owes is handed over"
    );
}

/// What is asked, about which device, with which stamp, and for which session.
fn parts(question: &Question) -> (&'static str, DeviceHash, u64, Option<&'static str>) {
    let (stamp, rival) = match question {
        Question::Yield { below, rival, .. } => (below, Some(rival_word(*rival))),
        Question::Confirm { stamp, .. } => (stamp, None),
    };
    (question.as_str(), question.device(), stamp.raw(), rival)
}

fn rival_word(rival: Rival) -> &'static str {
    match rival {
        Rival::SameDevice => "same_device",
        Rival::OtherDevice => "other_device",
    }
}

/// An answer, and where the session is.
fn said(answer: &Answer) -> (&'static str, Option<&str>, Option<u64>) {
    let next = match answer {
        Answer::Moved { owner, stamp } => Some((owner.as_str(), stamp.raw())),
        Answer::Yes | Answer::No | Answer::Silent => None,
    };
    (answer.as_str(), next.map(|(owner, _)| owner), next.map(|(_, stamp)| stamp))
}

/// What `RUST_LOG` calls these lines.
const TARGET: &str = "pushmesh::ownership";
