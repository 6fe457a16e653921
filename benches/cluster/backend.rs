//! One connection of a backend to one server, whatever that speaks.

use crate::api::Api;
use crate::nats_protocol::Publisher;
use crate::server::Failure;
use crate::system::{Node, System};

/// The connection.
pub(crate) enum Backend {
    /// To a node of pushmesh.
    Pushmesh(Api),
    /// To a server of the fan-out.
    Fanout(Api),
    /// To a server of NATS.
    Nats(Publisher),
}

impl Backend {
    /// Connects.
    ///
    /// # Errors
    /// The server does not listen, or refuses.
    pub(crate) async fn connect(system: System, node: &Node) -> Result<Self, Failure> {
        let addr = node.backends;
        Ok(match system {
            System::Pushmesh => Self::Pushmesh(Api::connect(addr).await?),
            System::Redis => Self::Fanout(Api::connect(addr).await?),
            System::Nats => Self::Nats(Publisher::connect(addr).await?),
        })
    }

    /// Pushes to a user. Where there are receipts it is delivered then.
    ///
    /// # Errors
    /// It is refused.
    pub(crate) async fn push(&mut self, user: usize, payload: &str) -> Result<(), Failure> {
        let has_receipts = matches!(self, Self::Pushmesh(_));
        let api = match self {
            Self::Pushmesh(api) | Self::Fanout(api) => api,
            Self::Nats(publisher) => return publisher.publish(user, payload).await,
        };
        let answer = api.call("POST", &format!("/v1/users/u{user}/push"), payload.as_bytes()).await?;
        let taken = if has_receipts {
            answer.status == 200 && is_delivered(answer.body)
        } else {
            answer.status == 202
        };
        if !taken {
            let body = String::from_utf8_lossy(answer.body);
            return Err(format!("a push was answered with {}: {body}", answer.status).into());
        }
        Ok(())
    }

    /// The connection for calls that only servers with an HTTP API have.
    ///
    /// # Errors
    /// This one has none.
    pub(crate) fn http(&mut self) -> Result<&mut Api, Failure> {
        match self {
            Self::Pushmesh(api) | Self::Fanout(api) => Ok(api),
            Self::Nats(_) => Err("NATS has no such call".into()),
        }
    }
}

/// Whether an answer of pushmesh says that a push was delivered.
pub(crate) fn is_delivered(answer: &[u8]) -> bool {
    answer.windows(DELIVERED.len()).any(|window| window == DELIVERED)
}

const DELIVERED: &[u8] = b"\"delivered\":1";
