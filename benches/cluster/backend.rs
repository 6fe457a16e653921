//! One connection of a backend to one server, whatever that speaks.

use crate::api::Api;
use crate::nats_protocol::Publisher;
use crate::server::Failure;
use crate::system::{Node, System};

/// The connection.
pub(crate) struct Backend {
    system: System,
    line: Line,
}

enum Line {
    Http(Api),
    Nats(Publisher),
}

impl Backend {
    /// Connects.
    ///
    /// # Errors
    /// The server does not listen, or refuses.
    pub(crate) async fn connect(system: System, node: &Node) -> Result<Self, Failure> {
        let line = match system {
            System::Pushmesh | System::Redis => Line::Http(Api::connect(node.backends).await?),
            System::Nats => Line::Nats(Publisher::connect(node.backends).await?),
        };
        Ok(Self { system, line })
    }

    /// Pushes to a user. Where there are receipts it is delivered then.
    ///
    /// # Errors
    /// It is refused.
    pub(crate) async fn push(&mut self, user: usize, payload: &str) -> Result<(), Failure> {
        let api = match &mut self.line {
            Line::Http(api) => api,
            Line::Nats(publisher) => return publisher.publish(user, payload).await,
        };
        let answer = api.call("POST", &format!("/v1/users/u{user}/push"), payload.as_bytes()).await?;
        let taken = match self.system {
            System::Pushmesh => answer.status == 200 && is_delivered(answer.body),
            System::Redis | System::Nats => answer.status == 202,
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
        match &mut self.line {
            Line::Http(api) => Ok(api),
            Line::Nats(_) => Err("NATS has no such call".into()),
        }
    }
}

/// Whether an answer of pushmesh says that a push was delivered.
pub(crate) fn is_delivered(answer: &[u8]) -> bool {
    answer.windows(DELIVERED.len()).any(|window| window == DELIVERED)
}

const DELIVERED: &[u8] = b"\"delivered\":1";
