//! One connection of a backend to one server, whatever that speaks.

use crate::api::Api;
use crate::envelope::Dialect;
use crate::jetstream;
use crate::nats_protocol::Publisher;
use crate::server::Failure;
use crate::system::{Node, System};

/// The connection.
pub(crate) enum Backend {
    /// To a node of pushmesh, with what is added to the address of a push.
    Pushmesh(Api, &'static str),
    /// To a server of the fan-out.
    Fanout(Api),
    /// To a server of NATS.
    Nats(Publisher),
    /// To a server of NATS that has JetStream.
    Jetstream(Publisher),
}

impl Backend {
    /// Connects, to push to users of that dialect.
    ///
    /// # Errors
    /// The server does not listen, or refuses.
    pub(crate) async fn connect(system: System, node: &Node, dialect: Dialect) -> Result<Self, Failure> {
        let addr = node.backends;
        Ok(match system {
            System::Pushmesh => Self::Pushmesh(Api::connect(addr).await?, dialect.push_query()),
            System::Redis => Self::Fanout(Api::connect(addr).await?),
            System::Nats => Self::Nats(Publisher::connect(addr).await?),
            System::Jetstream | System::JetstreamCore => Self::Jetstream(Publisher::asking(addr).await?),
        })
    }

    /// Pushes to a user. Where there are receipts it is delivered then, and where that is waited for it is stored.
    ///
    /// # Errors
    /// It is refused, or not stored.
    pub(crate) async fn push(&mut self, user: usize, payload: &str) -> Result<Told, Failure> {
        let (api, query) = match self {
            Self::Pushmesh(api, query) => (api, Some(*query)),
            Self::Fanout(api) => (api, None),
            Self::Nats(publisher) => {
                publisher.publish(&format!("u{user}"), payload).await?;
                return Ok(Told::Taken);
            }
            Self::Jetstream(publisher) => {
                jetstream::publish(publisher, user, payload).await?;
                return Ok(Told::Copied);
            }
        };
        let path = format!("/v1/users/u{user}/push{}", query.unwrap_or_default());
        let answer = api.call("POST", &path, payload.as_bytes()).await?;
        let told = match query {
            Some(query) => {
                told(answer.status, answer.body).filter(|told| query.is_empty() || told.is_stored())
            }
            None => (answer.status == 202).then_some(Told::Taken),
        };
        told.ok_or_else(|| {
            let body = String::from_utf8_lossy(answer.body);
            format!("a push was answered with {}: {body}", answer.status).into()
        })
    }

    /// The connection for calls that only servers with an HTTP API have.
    ///
    /// # Errors
    /// This one has none.
    pub(crate) fn http(&mut self) -> Result<&mut Api, Failure> {
        match self {
            Self::Pushmesh(api, _) | Self::Fanout(api) => Ok(api),
            Self::Nats(_) | Self::Jetstream(_) => Err("NATS has no such call".into()),
        }
    }
}

/// What a publisher is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// The server has it.
    Taken,
    /// It is delivered.
    Delivered,
    /// The client has acknowledged it.
    Acknowledged,
    /// Another server has it.
    Copied,
}

impl Told {
    /// Whether it is not lost with one server.
    fn is_stored(self) -> bool {
        matches!(self, Self::Acknowledged | Self::Copied)
    }
}

/// What an answer of pushmesh says, unless that is that the push is neither delivered nor stored.
fn told(status: u16, answer: &[u8]) -> Option<Told> {
    let told = if has(answer, b"\"copies\":") {
        Told::Copied
    } else if !is_delivered(answer) {
        return None;
    } else if has(answer, b"\"acked\"") {
        Told::Acknowledged
    } else {
        Told::Delivered
    };
    (status == 200).then_some(told)
}

/// Whether an answer of pushmesh says that a push was delivered.
pub(crate) fn is_delivered(answer: &[u8]) -> bool {
    has(answer, b"\"delivered\":1")
}

/// Whether an answer has that text in it.
pub(crate) fn has(answer: &[u8], text: &[u8]) -> bool {
    answer.windows(text.len()).any(|window| window == text)
}
