//! A client of the demo whose session is kept: it speaks `pushmesh.v1`, and comes back with what it knows.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::patience::PATIENCE;
use crate::gateway::schema::Envelope;
use crate::json;

/// A connected client.
pub(super) struct KeptClient {
    user: &'static str,
    socket: WebSocketStream<TcpStream>,
    resume: String,
    segment: String,
    /// What became of what it had missed.
    pub(super) resumed: String,
}

/// What a client knows that is away.
pub(super) struct Away {
    user: &'static str,
    resume: String,
    position: String,
}

impl KeptClient {
    /// Connects to a node as this user.
    pub(super) async fn connect(node: SocketAddr, user: &'static str) -> anyhow::Result<Self> {
        Self::open(node, user, "").await
    }

    /// Breaks the connection, as a tunnel does. The client has everything up to the message with that number.
    pub(super) fn lose(self, number: u64) -> Away {
        Away { user: self.user, resume: self.resume, position: format!("{}.{number}", self.segment) }
    }

    async fn open(node: SocketAddr, user: &'static str, query: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(node).await.with_context(|| format!("{node} does not answer"))?;
        stream.set_nodelay(true)?;
        let url = format!("ws://{node}/v1/ws?user={user}&device=phone&keep=60{query}");
        let mut request = url.into_client_request()?;
        let protocol = HeaderValue::from_static("pushmesh.v1");
        request.headers_mut().insert("sec-websocket-protocol", protocol);
        let (mut socket, _) =
            client_async(request, stream).await.with_context(|| format!("{user} was refused"))?;
        let text = next_text(&mut socket).await?;
        let Ok(Envelope::Welcome {
            resume: Some(resume),
            segment: Some(segment),
            resumed: Some(resumed),
            ..
        }) = json::object::<Envelope<'_>>(text.as_bytes())
        else {
            bail!("{user} received {text} for the welcome of a session that is kept");
        };
        let (resume, segment) = (resume.into_owned(), segment.into_owned());
        Ok(Self { user, resume, segment, resumed: resumed.into_owned(), socket })
    }

    /// The number and the text of the next message, which the client acknowledges.
    pub(super) async fn next(&mut self) -> anyhow::Result<(u64, String)> {
        let text = next_text(&mut self.socket).await?;
        let Ok(Envelope::Message { n: Some(number), data: Some(data), segment, .. }) =
            json::object::<Envelope<'_>>(text.as_bytes())
        else {
            bail!("{} received {text} for a message", self.user);
        };
        let segment = segment.map(|segment| format!(r#","segment":"{segment}""#)).unwrap_or_default();
        let ack = format!(r#"{{"type":"ack","n":{number}{segment}}}"#);
        self.socket.send(Message::text(ack)).await.context("the connection ended")?;
        Ok((number, data.into_owned()))
    }
}

impl Away {
    /// Comes back, to any node.
    pub(super) async fn back(self, node: SocketAddr) -> anyhow::Result<KeptClient> {
        let query = format!("&resume={}&after={}", self.resume, self.position);
        KeptClient::open(node, self.user, &query).await
    }
}

async fn next_text(socket: &mut WebSocketStream<TcpStream>) -> anyhow::Result<String> {
    let text = async {
        loop {
            match socket.next().await.context("the connection ended")?? {
                Message::Text(text) => return Ok(text.to_string()),
                Message::Ping(_) | Message::Pong(_) => {}
                other => bail!("received {other:?} for a text"),
            }
        }
    };
    timeout(PATIENCE, text).await.context("nothing was received")?
}
