//! What a backend asks of a node over HTTP, and how that is said. docs/PROTOCOL.md, section 2.

use hyper::Method;
use pushmesh::Wait;

use crate::aim::Aim;
use crate::id::{ClientIndex, PushId, device_name, user_name, user_of};

/// One call of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ask {
    /// A push.
    Push(Aim, Terms),
    /// A push that may be made again, in the same words or in others under the same id.
    Repeat {
        /// Whom it is for.
        client: ClientIndex,
        /// Of pushes of this kind.
        number: u64,
        /// Which words.
        words: u8,
    },
    /// Many pushes over one request.
    Batch(Vec<Aim>),
    /// Disconnect a session or a user; never everybody.
    Kick(Aim),
    /// All sessions, in pages of that length.
    List {
        /// Entries of a page.
        limit: usize,
    },
    /// Whether that user is online.
    Who(usize),
    /// Why that user is where the node says.
    Explain(usize),
    /// Exact counts.
    Stats,
    /// The members.
    Nodes,
}

impl Ask {
    /// How many pushes it makes.
    pub(crate) fn pushes(&self) -> usize {
        match self {
            Ask::Push(..) => 1,
            Ask::Batch(aims) => aims.len(),
            _ => 0,
        }
    }

    /// Whom each of its pushes is for.
    pub(crate) fn aims(&self) -> Vec<Aim> {
        match self {
            Ask::Push(aim, _) => vec![*aim],
            Ask::Batch(aims) => aims.clone(),
            _ => Vec::new(),
        }
    }

    /// The method of the request.
    pub(crate) fn method(&self) -> Method {
        match self {
            Ask::Push(..) | Ask::Repeat { .. } | Ask::Batch(_) => Method::POST,
            Ask::Kick(_) => Method::DELETE,
            _ => Method::GET,
        }
    }

    /// The path and the query. `cursor` continues a list.
    pub(crate) fn path(&self, cursor: Option<&str>) -> String {
        let of = |aim: &Aim| match aim {
            Aim::Client(client) => {
                format!("/v1/users/{}/devices/{}", user_name(user_of(*client)), device_name(*client))
            }
            Aim::User(user) => format!("/v1/users/{}", user_name(*user)),
            Aim::All => "/v1".to_owned(),
        };
        match self {
            Ask::Push(Aim::All, _) => "/v1/broadcast".to_owned(),
            Ask::Push(aim, Terms { wait, .. }) => {
                let wait = match wait {
                    Wait::Receipt => "",
                    Wait::Stored => "?wait=stored",
                    Wait::Acked => "?wait=acked",
                };
                format!("{}/push{wait}", of(aim))
            }
            Ask::Repeat { client, .. } => format!("{}/push", of(&Aim::Client(*client))),
            Ask::Batch(_) => "/v1/push".to_owned(),
            Ask::Kick(aim) => of(aim),
            Ask::List { limit } => {
                let cursor = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
                format!("/v1/sessions?limit={limit}{cursor}")
            }
            Ask::Who(user) => format!("/v1/users/{}", user_name(*user)),
            Ask::Explain(user) => format!("/v1/explain/users/{}", user_name(*user)),
            Ask::Stats => "/v1/stats".to_owned(),
            Ask::Nodes => "/v1/nodes".to_owned(),
        }
    }

    /// The message id that it has, if it makes one push; `pushes` are their numbers.
    pub(crate) fn message_id(&self, pushes: &[PushId]) -> Option<String> {
        match self {
            Ask::Push(..) => pushes.first().map(|push| message_id(*push)),
            Ask::Repeat { number, .. } => Some(repeated_id(*number)),
            _ => None,
        }
    }

    /// The time to live that it names, in seconds.
    pub(crate) fn ttl_s(&self) -> Option<u32> {
        match self {
            Ask::Push(aim, terms) if *aim != Aim::All => terms.ttl_s,
            _ => None,
        }
    }

    /// The body, with the numbers of its pushes.
    pub(crate) fn body(&self, pushes: &[PushId]) -> String {
        debug_assert_eq!(pushes.len(), self.pushes(), "every push has a number");
        match self {
            Ask::Push(..) => pushes.iter().map(|push| payload(*push)).collect(),
            Ask::Repeat { number, words, .. } => repeated(*number, *words),
            Ask::Batch(aims) => aims.iter().zip(pushes).map(|(aim, push)| line(*aim, *push)).collect(),
            _ => String::new(),
        }
    }
}

/// What a backend says of a message to sessions that are kept. A broadcast has no such words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Terms {
    /// How long the message may wait, in seconds.
    pub(crate) ttl_s: Option<u32>,
    /// What the answer waits for.
    pub(crate) wait: Wait,
}

/// What a client receives of a push.
pub(crate) fn payload(push: PushId) -> String {
    format!("m{push}")
}

/// What a client receives of a push that may be made again.
fn repeated(number: u64, words: u8) -> String {
    format!("{}.{words}", repeated_id(number))
}

/// Its message id.
pub(crate) fn repeated_id(number: u64) -> String {
    format!("r{number}")
}

/// The number and the words of what a client received, if it is a push that may be made again.
pub(crate) fn repeated_of(text: &str) -> Option<(u64, u8)> {
    let (number, words) = text.strip_prefix('r')?.split_once('.')?;
    Some((number.parse().ok()?, words.parse().ok()?))
}

/// The message id that a backend gives to a push.
pub(crate) fn message_id(push: PushId) -> String {
    format!("p{push}")
}

fn line(aim: Aim, push: PushId) -> String {
    let to = match aim {
        Aim::Client(client) => {
            format!(r#"{{"user":"{}","device":"{}"}}"#, user_name(user_of(client)), device_name(client))
        }
        Aim::User(user) => format!(r#"{{"user":"{}"}}"#, user_name(user)),
        Aim::All => r#""all""#.to_owned(),
    };
    format!("{{\"to\":{to},\"data\":\"{}\",\"id\":\"{}\"}}\n", payload(push), message_id(push))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_said_as_documented() {
        assert_eq!(Ask::Push(Aim::Client(4), Terms::default()).path(None), "/v1/users/u2/devices/d4/push");
        assert_eq!(Ask::Kick(Aim::User(2)).path(None), "/v1/users/u2");
        assert_eq!(Ask::List { limit: 7 }.path(Some("x")), "/v1/sessions?limit=7&cursor=x");
        let lines = Ask::Batch(vec![Aim::All, Aim::User(2)]).body(&[8, 9]);
        let expected = "{\"to\":\"all\",\"data\":\"m8\",\"id\":\"p8\"}\n{\"to\":{\"user\":\"u2\"},\"data\":\"m9\",\"id\":\"p9\"}\n";
        assert_eq!(lines, expected);
        let again = Ask::Repeat { client: 4, number: 7, words: 1 };
        assert_eq!(
            (again.path(None), again.message_id(&[])),
            (Ask::Push(Aim::Client(4), Terms::default()).path(None), Some("r7".to_owned()))
        );
        assert_eq!(
            (repeated_of(&again.body(&[])), repeated_of("m7"), repeated_of("s1-7")),
            (Some((7, 1)), None, None)
        );
    }
}
