//! What a node answers over HTTP, read strictly: a field that is not documented is an error, and so is
//! one that is missing. docs/PROTOCOL.md, section 2.

use std::collections::BTreeMap;
use std::fmt;

use pushmesh::Outcome;
use serde::Deserialize;

use crate::ask::{Ask, message_id};
use crate::event::{Answer, ClientIndex, PushId, client_of};

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
        unasked: Vec<String>,
    },
    /// A user.
    Present {
        /// Its sessions.
        sessions: Vec<Seat>,
        /// The word for the best of them.
        state: String,
        /// The nodes that could not be asked.
        unasked: Vec<String>,
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
        Ask::Push(_) | Ask::Repeat { .. } => one(body, ask.message_id(pushes).as_deref()),
        Ask::Batch(_) if status == 200 => lines(body, pushes),
        Ask::Kick(_) => kicked(body),
        _ if status != 200 => refused(body),
        Ask::Batch(_) => unreachable!("both cases of its status are above"),
        Ask::List { .. } => serde_json::from_slice::<List>(body).map_err(odd).and_then(List::read),
        Ask::Who(_) => serde_json::from_slice::<User>(body).map_err(odd).and_then(User::read),
        Ask::Explain(_) => serde_json::from_slice::<Explain>(body).map_err(odd).map(Explain::read),
        Ask::Stats => serde_json::from_slice::<Stats>(body).map_err(odd).map(Stats::read),
        Ask::Nodes => serde_json::from_slice::<Nodes>(body).map_err(odd).map(Nodes::read),
    };
    read.unwrap_or_else(|why| Reply::Odd(format!("{why}: {status} {}", String::from_utf8_lossy(body))))
}

/// An error that says nothing beside its code.
fn refused(body: &[u8]) -> Result<Reply, String> {
    let bare: Bare = serde_json::from_slice(body).map_err(odd)?;
    Ok(Reply::Refused(bare.error.code))
}

fn one(body: &[u8], id: Option<&str>) -> Result<Reply, String> {
    if let Ok(Reply::Refused(code)) = refused(body) {
        return Ok(Reply::Refused(code));
    }
    let push: Pushed = serde_json::from_slice(body).map_err(odd)?;
    Ok(Reply::Pushed(vec![push.read(id)?]))
}

fn lines(body: &[u8], pushes: &[PushId]) -> Result<Reply, String> {
    let text = std::str::from_utf8(body).map_err(|error| error.to_string())?;
    let mut fates = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line: Pushed = serde_json::from_str(line).map_err(odd)?;
        if line.line != Some(index + 1) {
            return Err(format!(
                "line {} is where line {} should be",
                line.line.unwrap_or_default(),
                index + 1
            ));
        }
        fates.push(line.read(pushes.get(index).map(|push| message_id(*push)).as_deref())?);
    }
    // A node that drains ends the stream: the last line is the first that was not taken.
    if fates.last().is_some_and(|last| last.word.as_deref() == Some("not_ready"))
        && let Some(last) = fates.pop()
    {
        fates.resize(fates.len().max(pushes.len()), last);
    }
    if fates.len() == pushes.len() { Ok(Reply::Pushed(fates)) } else { Err("lines are missing".to_owned()) }
}

fn kicked(body: &[u8]) -> Result<Reply, String> {
    if let Ok(Reply::Refused(code)) = refused(body) {
        return Ok(Reply::Refused(code));
    }
    let kick: Kick = serde_json::from_slice(body).map_err(odd)?;
    let sessions = answers(kick.sessions)?;
    let done = sessions.iter().filter(|answer| answer.outcome == Outcome::Delivered).count();
    if done != kick.disconnected {
        return Err(format!("{done} sessions are not {}", kick.disconnected));
    }
    Ok(Reply::Kicked(sessions))
}

fn answers(sessions: Vec<Session>) -> Result<Vec<Answer>, String> {
    let read = |session: Session| {
        let client = session.device.as_deref().and_then(client_of);
        Ok(Answer { client, node: session.node, outcome: outcome(&session.outcome)? })
    };
    sessions.into_iter().map(read).collect()
}

/// The outcome of a session with that word.
fn outcome(word: &str) -> Result<Outcome, String> {
    Ok(match word {
        "delivered" | "disconnected" => Outcome::Delivered,
        "buffered" => Outcome::Buffered,
        "overloaded" => Outcome::Overloaded,
        "interrupted" => Outcome::Interrupted,
        "unreachable" => Outcome::Unreachable,
        "no_session" => Outcome::NoSession,
        "id_reused" => Outcome::IdReused,
        _ => return Err(format!("{word} is no outcome of a session")),
    })
}

fn odd(error: serde_json::Error) -> String {
    error.to_string()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fault {
    code: String,
    #[serde(rename = "message")]
    _message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bare {
    error: Fault,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Session {
    device: Option<String>,
    node: Option<String>,
    outcome: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Kick {
    disconnected: usize,
    sessions: Vec<Session>,
    #[serde(default, rename = "error")]
    _error: Option<Fault>,
}

/// The answer to a push, to a broadcast, or to a line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pushed {
    line: Option<usize>,
    outcome: Option<String>,
    error: Option<Fault>,
    id: Option<String>,
    #[serde(default)]
    delivered: u64,
    #[serde(default)]
    sessions: Vec<Session>,
    #[serde(default, rename = "buffered")]
    _buffered: u64,
    #[serde(default, rename = "overloaded")]
    _overloaded: u64,
    #[serde(default, rename = "interrupted")]
    _interrupted: u64,
    #[serde(default, rename = "id_reused")]
    _id_reused: u64,
    nodes: Option<Vec<Tally>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tally {
    #[serde(rename = "node")]
    _node: String,
    outcome: String,
    delivered: u64,
    #[serde(rename = "buffered")]
    _buffered: u64,
    #[serde(rename = "overloaded")]
    _overloaded: u64,
    #[serde(rename = "interrupted")]
    _interrupted: u64,
    #[serde(rename = "id_reused")]
    _id_reused: u64,
}

impl Pushed {
    fn read(self, id: Option<&str>) -> Result<Fate, String> {
        // A line that was not sent off is an error and nothing else.
        let refused = self.line.is_some() && self.error.is_some() && self.id.is_none();
        if self.id.as_deref() != id && !refused {
            return Err(format!("the id is {:?} and not {id:?}", self.id));
        }
        let (delivered, word) = (self.delivered, self.error.map(|error| error.code).or(self.outcome));
        let sessions = answers(self.sessions)?;
        let written = match &self.nodes {
            Some(nodes) => nodes.iter().map(|node| node.delivered).sum(),
            // Both words mean that the call did what it should.
            None => sessions.iter().filter(|at| at.outcome == Outcome::Delivered).count() as u64,
        };
        let answered = |node: &Tally| node.outcome == "answered" || node.outcome == "unreachable";
        if !self.nodes.iter().flatten().all(answered) {
            return Err("a node of a broadcast has another outcome".to_owned());
        }
        if written != delivered {
            return Err(format!("{written} sessions were written to, and it says {delivered}"));
        }
        Ok(Fate { sessions, delivered, word })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    sessions: Vec<Entry>,
    cursor: Option<String>,
    unasked: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    user: Option<String>,
    device: Option<String>,
    node: String,
    #[serde(rename = "since_ms")]
    _since_ms: u64,
}

impl List {
    fn read(self) -> Result<Reply, String> {
        let seat = |entry: Entry| {
            if entry.user.is_some() != entry.device.is_some() {
                return Err("half of a name".to_owned());
            }
            Ok(Seat { client: entry.device.as_deref().and_then(client_of), node: entry.node })
        };
        let sessions = self.sessions.into_iter().map(seat).collect::<Result<_, _>>()?;
        Ok(Reply::Listed { sessions, cursor: self.cursor, unasked: self.unasked })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct User {
    #[serde(rename = "user")]
    _user: String,
    online: bool,
    state: String,
    #[serde(rename = "as_of_ms")]
    _as_of_ms: u64,
    sessions: Vec<Device>,
    unasked: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Device {
    device: Option<String>,
    node: String,
    #[serde(rename = "incarnation")]
    _incarnation: u64,
    #[serde(rename = "since_ms")]
    _since_ms: u64,
    state: String,
    #[serde(rename = "as_of_ms")]
    _as_of_ms: u64,
}

impl User {
    fn read(self) -> Result<Reply, String> {
        let best = |word: &str| self.sessions.iter().any(|session| session.state == word);
        let state = ["online", "suspect"].into_iter().find(|word| best(word)).unwrap_or("offline");
        if state != self.state || self.online == self.sessions.is_empty() {
            return Err("the state is not that of the best session".to_owned());
        }
        let seat = |at: Device| Seat { client: at.device.as_deref().and_then(client_of), node: at.node };
        let sessions = self.sessions.into_iter().map(seat).collect();
        Ok(Reply::Present { sessions, state: self.state, unasked: self.unasked })
    }
}

/// Not read to the last field: the product has a test of them.
#[derive(Deserialize)]
struct Explain {
    rows: Vec<Row>,
    route: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Row {
    device: Option<String>,
    node: String,
    wins: bool,
}

impl Explain {
    fn read(self) -> Reply {
        let (rows, ways) = (self.rows.len(), self.route.len());
        let winning = self.rows.into_iter().filter(|row| row.wins);
        let seat = |row: Row| Seat { client: row.device.as_deref().and_then(client_of), node: row.node };
        Reply::Explained { winning: winning.map(seat).collect(), rows, ways }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stats {
    sessions: u64,
    users: u64,
    nodes: Vec<Count>,
    #[serde(rename = "as_of_ms")]
    _as_of_ms: u64,
    #[serde(rename = "unasked")]
    _unasked: Vec<String>,
    #[serde(rename = "self")]
    _own: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Count {
    node: String,
    sessions: u64,
}

impl Stats {
    fn read(self) -> Reply {
        let nodes = self.nodes.into_iter().map(|count| (count.node, count.sessions)).collect();
        Reply::Counted { sessions: self.sessions, users: self.users, nodes }
    }
}

#[derive(Deserialize)]
struct Nodes {
    nodes: Vec<Member>,
}

#[derive(Deserialize)]
struct Member {
    name: String,
    state: String,
}

impl Nodes {
    fn read(self) -> Reply {
        Reply::Members(self.nodes.into_iter().map(|node| (node.name, node.state)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Aim;

    fn pushed(body: &str) -> Reply {
        read(&Ask::Push(Aim::Client(0)), &[7], 200, body.as_bytes())
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
        let second =
            r#"{"line":2,"id":"p2","delivered":0,"buffered":0,"overloaded":0,"interrupted":0,"nodes":[]}"#;
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
    fn an_error_has_its_code() {
        let body = r#"{"error":{"code":"isolated","message":"…"}}"#;
        assert_eq!(read(&Ask::Stats, &[], 503, body.as_bytes()), Reply::Refused("isolated".to_owned()));
    }
}
