//! What a node answers over HTTP, read strictly: a field that is not documented is an error, and so is
//! one that is missing. docs/PROTOCOL.md, section 2.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU8;

use pushmesh::internals::schema::{
    Accepted, AnyLine, BroadcastAnswer, DisconnectAnswer, Disconnected, DisconnectedSession, Explanation,
    LineAnswer, LineRefused, Nodes, Presence, PushAnswer, PushOutcome, PushSession, Refused, Session,
    SessionPage, Stats, User,
};
use pushmesh::{DeviceId, MessageId, NodeName, Outcome};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::aim::Aim;
use crate::answer::Answer;
use crate::ask::{Ask, message_id};
use crate::id::{ClientIndex, PushId, client_of};

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// What became of each push of the call, in order.
    Pushed(Vec<Fate>),
    /// What became of the sessions that were to be disconnected.
    Kicked(Vec<Answer>),
    /// A page of sessions.
    Listed {
        /// The sessions.
        sessions: Vec<Seat>,
        /// What continues the list.
        cursor: Option<String>,
        /// The nodes that could not be asked.
        silent: Vec<String>,
    },
    /// A user.
    Present {
        /// Its sessions.
        sessions: Vec<Seat>,
        /// The word for the best of them.
        state: String,
        /// The nodes that could not be asked.
        silent: Vec<String>,
    },
    /// What is held of a user.
    Explained {
        /// The rows that pushes follow.
        winning: Vec<Seat>,
        /// How many rows there are.
        rows: usize,
        /// How many ways there are.
        ways: usize,
    },
    /// Counts.
    Counted {
        /// All sessions.
        sessions: u64,
        /// All users with a session.
        users: u64,
        /// Sessions by node.
        nodes: BTreeMap<String, u64>,
    },
    /// The members, with their states.
    Members(BTreeMap<String, String>),
    /// An error, by its code.
    Refused(String),
    /// Nothing that is documented.
    Odd(String),
}

/// A session of a list, and its node. In a trace it is `client@node`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seat {
    /// Whose; `None` if its node did not tell.
    pub(crate) client: Option<ClientIndex>,
    /// The name of the node.
    pub(crate) node: String,
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.client {
            Some(client) => write!(f, "{client}@{}", self.node),
            None => write!(f, "?@{}", self.node),
        }
    }
}

/// What became of one push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fate {
    /// At each session; empty for a broadcast.
    pub(crate) sessions: Vec<Answer>,
    /// How many sessions were written to.
    pub(crate) delivered: u64,
    /// The code of the error, or the word for the best outcome of a line.
    pub(crate) word: Option<String>,
}

/// Reads the answer to a call.
pub(crate) fn read(ask: &Ask, pushes: &[PushId], status: u16, body: &[u8]) -> Reply {
    let read = match ask {
        Ask::Push(..) | Ask::Repeat { .. } => one(ask, pushes, status, body),
        Ask::Batch(_) if status == 200 => lines(body, pushes),
        Ask::Kick(_) => kicked(status, body),
        _ if status != 200 => refused(body),
        Ask::Batch(_) => unreachable!("both cases of its status are above"),
        Ask::List { .. } => strict(body).and_then(listed),
        Ask::Who(_) => strict(body).and_then(present),
        Ask::Explain(_) => strict(body).map(explained),
        Ask::Stats => strict(body).map(counted),
        Ask::Nodes => strict(body).map(members),
    };
    read.unwrap_or_else(|why| Reply::Odd(format!("{why}: {status} {}", String::from_utf8_lossy(body))))
}

/// Reads what has all that is documented and nothing else: written again it is the same.
fn strict<T: Serialize + DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    let value: Value = serde_json::from_slice(body).map_err(odd)?;
    let read = T::deserialize(&value).map_err(odd)?;
    let written = serde_json::to_value(&read).map_err(odd)?;
    if written == value { Ok(read) } else { Err(format!("what is documented of it is {written}")) }
}

/// An error that says nothing beside its code.
fn refused(body: &[u8]) -> Result<Reply, String> {
    let refused: Refused<Value> = strict(body)?;
    let nothing = refused.details.is_none_or(|details| details.as_object().is_some_and(Map::is_empty));
    if nothing { Ok(Reply::Refused(refused.error.code.to_string())) } else { Err("it says more".to_owned()) }
}

fn one(ask: &Ask, pushes: &[PushId], status: u16, body: &[u8]) -> Result<Reply, String> {
    if let Ok(refused) = refused(body) {
        return Ok(refused);
    }
    let id = ask.message_id(pushes);
    let (error, mut fate) = match (ask, status) {
        (_, 202) => (None, Fate::accepted(strict(body)?, id.as_deref())?),
        (Ask::Push(Aim::All, _), 200) => (None, Fate::broadcast(strict(body)?, id.as_deref())?),
        (Ask::Push(Aim::All, _), _) => told(body, |answer| Fate::broadcast(answer, id.as_deref()))?,
        (_, 200) => (None, Fate::pushed(strict(body)?, id.as_deref())?),
        _ => told(body, |answer| Fate::pushed(answer, id.as_deref()))?,
    };
    fate.word = error;
    Ok(Reply::Pushed(vec![fate]))
}

/// An error with an answer beside it.
fn told<T: Serialize + DeserializeOwned, F>(
    body: &[u8],
    read: impl Fn(T) -> Result<F, String>,
) -> Result<(Option<String>, F), String> {
    let Refused { error, details } = strict::<Refused<T>>(body)?;
    let details = details.ok_or("an error without what became of it")?;
    Ok((Some(error.code.to_string()), read(details)?))
}

fn lines(body: &[u8], pushes: &[PushId]) -> Result<Reply, String> {
    let text = std::str::from_utf8(body).map_err(|error| error.to_string())?;
    let mut fates = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let id = pushes.get(index).map(|push| message_id(*push));
        let (number, fate) = match strict::<AnyLine>(line.as_bytes())? {
            AnyLine::Refused(LineRefused { line, error }) => (line, Fate::refused(error.code.to_string())),
            AnyLine::Broadcast(LineAnswer { line, outcome: None, answer }) => {
                (line, Fate::broadcast(answer, id.as_deref())?)
            }
            AnyLine::Pushed(LineAnswer { line, outcome: Some(outcome), answer }) => {
                let fate = Fate::pushed(answer, id.as_deref())?;
                (line, Fate { word: Some(outcome.to_string()), ..fate })
            }
            other => return Err(format!("{other:?} has an outcome and counts, or neither")),
        };
        if number != index as u64 + 1 {
            return Err(format!("line {number} is where line {} should be", index + 1));
        }
        fates.push(fate);
    }
    // A node that drains ends the stream: the last line is the first that was not taken.
    if fates.last().is_some_and(|last| last.word.as_deref() == Some("not_ready"))
        && let Some(last) = fates.pop()
    {
        fates.resize(fates.len().max(pushes.len()), last);
    }
    if fates.len() == pushes.len() { Ok(Reply::Pushed(fates)) } else { Err("lines are missing".to_owned()) }
}

impl Fate {
    fn accepted(Accepted { id }: Accepted, expected: Option<&str>) -> Result<Self, String> {
        same(&id, expected)?;
        Ok(Self { sessions: Vec::new(), delivered: 0, word: None })
    }

    fn refused(code: String) -> Self {
        Self { sessions: Vec::new(), delivered: 0, word: Some(code) }
    }

    fn pushed(answer: PushAnswer, expected: Option<&str>) -> Result<Self, String> {
        let PushAnswer { id, delivered, sessions } = answer;
        same(&id, expected)?;
        let answer = |PushSession { device, node, outcome, copies, .. }: PushSession| {
            let outcome = match outcome.known() {
                Some(PushOutcome::Acked) => Outcome::Acked,
                Some(PushOutcome::Queued) => Outcome::Queued,
                Some(PushOutcome::Delivered) => Outcome::Delivered,
                Some(PushOutcome::Buffered) => Outcome::Buffered,
                Some(PushOutcome::IdReused) => Outcome::IdReused,
                Some(PushOutcome::NoSession) => Outcome::NoSession,
                Some(PushOutcome::Overloaded) => Outcome::Overloaded,
                Some(PushOutcome::Interrupted) => Outcome::Interrupted,
                Some(PushOutcome::Unreachable) => Outcome::Unreachable,
                Some(PushOutcome::Unknown | PushOutcome::NotReady | PushOutcome::NotStored) | None => {
                    return Err(format!("{outcome} is no outcome of a session"));
                }
            };
            Ok(Answer {
                copies: copies.map_or(0, NonZeroU8::get),
                ..at(device.as_ref(), node.as_ref(), outcome)
            })
        };
        let sessions: Vec<_> = sessions.into_iter().map(answer).collect::<Result<_, String>>()?;
        let reached = |at: &&Answer| matches!(at.outcome, Outcome::Delivered | Outcome::Acked);
        written(sessions.iter().filter(reached).count() as u64, delivered)?;
        Ok(Self { sessions, delivered, word: None })
    }

    fn broadcast(answer: BroadcastAnswer, expected: Option<&str>) -> Result<Self, String> {
        let BroadcastAnswer { id, total, nodes } = answer;
        same(&id, expected)?;
        if nodes.iter().any(|node| node.outcome.known().is_none()) {
            return Err("a node of a broadcast has another outcome".to_owned());
        }
        written(nodes.iter().map(|node| node.tally.delivered).sum(), total.delivered)?;
        Ok(Self { sessions: Vec::new(), delivered: total.delivered, word: None })
    }
}

fn same(id: &MessageId, expected: Option<&str>) -> Result<(), String> {
    if Some(id.as_str()) == expected { Ok(()) } else { Err(format!("the id is {id} and not {expected:?}")) }
}

fn written(to: u64, said: u64) -> Result<(), String> {
    if to == said { Ok(()) } else { Err(format!("{to} sessions were written to, and it says {said}")) }
}

fn at(device: Option<&DeviceId>, node: Option<&NodeName>, outcome: Outcome) -> Answer {
    let client = device.and_then(|device| client_of(device.as_str()));
    Answer { client, node: node.map(NodeName::to_string), outcome, copies: 0 }
}

fn kicked(status: u16, body: &[u8]) -> Result<Reply, String> {
    if let Ok(refused) = refused(body) {
        return Ok(refused);
    }
    if status == 200 {
        return disconnected(strict(body)?);
    }
    let (_, reply) = told(body, disconnected)?;
    Ok(reply)
}

fn disconnected(answer: DisconnectAnswer) -> Result<Reply, String> {
    let read = |session: DisconnectedSession| {
        let DisconnectedSession { device, node, outcome } = session;
        let outcome = match outcome.known() {
            Some(Disconnected::Disconnected) => Outcome::Delivered,
            Some(Disconnected::NoSession) => Outcome::NoSession,
            Some(Disconnected::Overloaded) => Outcome::Overloaded,
            Some(Disconnected::Interrupted) => Outcome::Interrupted,
            Some(Disconnected::Unreachable) => Outcome::Unreachable,
            None => return Err(format!("{outcome} is no outcome of a session")),
        };
        Ok(at(device.as_ref(), node.as_ref(), outcome))
    };
    let sessions: Vec<_> = answer.sessions.into_iter().map(read).collect::<Result<_, String>>()?;
    let done = sessions.iter().filter(|answer| answer.outcome == Outcome::Delivered).count() as u64;
    if done != answer.disconnected {
        return Err(format!("{done} sessions are not {}", answer.disconnected));
    }
    Ok(Reply::Kicked(sessions))
}

fn odd(error: serde_json::Error) -> String {
    error.to_string()
}

fn seat(device: Option<&DeviceId>, node: &NodeName) -> Seat {
    Seat { client: device.and_then(|device| client_of(device.as_str())), node: node.to_string() }
}

fn listed(page: SessionPage) -> Result<Reply, String> {
    let read = |session: Session| {
        if session.user.is_some() != session.device.is_some() {
            return Err("half of a name".to_owned());
        }
        Ok(seat(session.device.as_ref(), &session.node))
    };
    let sessions = page.sessions.into_iter().map(read).collect::<Result<_, _>>()?;
    Ok(Reply::Listed { sessions, cursor: page.cursor, silent: page.silent.into_iter().collect() })
}

fn present(user: User) -> Result<Reply, String> {
    let best = user.sessions.iter().filter_map(|session| session.state.known()).min();
    let is_online = matches!(best, Some(Presence::Online | Presence::Suspect));
    if user.state != *best.unwrap_or(&Presence::Offline) || user.online != is_online {
        return Err("the state is not that of the best session".to_owned());
    }
    let sessions = user.sessions.iter().map(|at| seat(at.device.as_ref(), &at.node)).collect();
    Ok(Reply::Present { sessions, state: user.state.to_string(), silent: user.silent.into_iter().collect() })
}

fn explained(explanation: Explanation) -> Reply {
    let (rows, ways) = (explanation.rows.len(), explanation.route.len());
    let winning = explanation.rows.iter().filter(|row| row.wins);
    Reply::Explained {
        winning: winning.map(|row| seat(row.device.as_ref(), &row.node)).collect(),
        rows,
        ways,
    }
}

fn counted(stats: Stats) -> Reply {
    let nodes = stats.nodes.into_iter().map(|count| (count.node.to_string(), count.sessions)).collect();
    Reply::Counted { sessions: stats.sessions, users: stats.users, nodes }
}

fn members(nodes: Nodes) -> Reply {
    Reply::Members(nodes.nodes.into_iter().map(|node| (node.name, node.state)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::Terms;

    fn pushed(body: &str) -> Reply {
        read(&Ask::Push(Aim::Client(0), Terms::default()), &[7], 200, body.as_bytes())
    }

    #[test]
    fn an_answer_that_is_not_documented_is_odd() {
        let session = r#"{"device":"d0","node":"n1","outcome":"delivered"}"#;
        let good = format!(r#"{{"id":"p7","delivered":1,"sessions":[{session}]}}"#);
        assert!(matches!(pushed(&good), Reply::Pushed(fates) if fates[0].sessions[0].client == Some(0)));
        for (wrong, why) in
            [("p7", "p8"), ("\"delivered\":1", "\"delivered\":2"), ("\"id\"", "\"x\":1,\"id\"")]
        {
            assert!(matches!(pushed(&good.replace(wrong, why)), Reply::Odd(_)), "{wrong} as {why}");
        }
        assert!(matches!(pushed(&good.replace("\"delivered\"}", "\"moved\"}")), Reply::Odd(_)));
    }

    #[test]
    fn lines_are_answered_one_by_one_and_in_their_order() {
        let ask = Ask::Batch(vec![Aim::User(0), Aim::All]);
        let first = r#"{"line":1,"outcome":"no_session","id":"p1","delivered":0,"sessions":[]}"#;
        let second = r#"{"line":2,"id":"p2","delivered":0,"buffered":0,"overloaded":0,"interrupted":0,"id_reused":0,"acked":0,"queued":0,"nodes":[]}"#;
        let read = |body: String| read(&ask, &[1, 2], 200, body.as_bytes());
        assert!(matches!(read(format!("{first}\n{second}\n")), Reply::Pushed(fates) if fates.len() == 2));
        assert!(matches!(read(format!("{second}\n{first}\n")), Reply::Odd(_)));
        let refused = r#"{"line":2,"error":{"code":"not_ready","message":"…"}}"#;
        let word = |fates: &[Fate]| fates[1].word.clone();
        let answer = read(format!("{first}\n{refused}\n"));
        assert!(matches!(answer, Reply::Pushed(fates) if word(&fates).as_deref() == Some("not_ready")));
        assert!(matches!(read(format!("{first}\n")), Reply::Odd(_)));
        let all = refused.replace("\"line\":2", "\"line\":1");
        let answer = read(format!("{all}\n"));
        assert!(matches!(answer, Reply::Pushed(fates) if word(&fates).as_deref() == Some("not_ready")));
        let behind = refused.replace("\"line\":2", "\"line\":3");
        let answer = read(format!("{first}\n{second}\n{behind}\n"));
        assert!(matches!(answer, Reply::Pushed(fates) if fates.len() == 2 && word(&fates).is_none()));
    }

    #[test]
    fn an_error_that_says_what_is_not_documented_is_odd() {
        let body = r#"{"error":{"code":"isolated","message":"…","later":1}}"#;
        assert!(matches!(read(&Ask::Stats, &[], 503, body.as_bytes()), Reply::Odd(_)));
    }

    #[test]
    fn an_error_has_its_code() {
        let body = r#"{"error":{"code":"isolated","message":"…"}}"#;
        assert_eq!(read(&Ask::Stats, &[], 503, body.as_bytes()), Reply::Refused("isolated".to_owned()));
    }
}
