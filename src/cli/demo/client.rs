//! A WebSocket client of the demo, as simple as a user's own.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use futures_util::StreamExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::patience::PATIENCE;

/// A connected client.
pub(super) struct Client {
    user: &'static str,
    socket: WebSocketStream<TcpStream>,
}

impl Client {
    /// Connects to a node as this user and device.
    pub(super) async fn connect(node: SocketAddr, user: &'static str, device: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(node).await.with_context(|| format!("{node} does not answer"))?;
        stream.set_nodelay(true)?;
        let url = format!("ws://{node}/v1/ws?user={user}&device={device}");
        let (socket, _) = client_async(url, stream).await.with_context(|| format!("{user} was refused"))?;
        Ok(Self { user, socket })
    }

    /// Who it is.
    pub(super) fn user(&self) -> &'static str {
        self.user
    }

    /// The next text message.
    pub(super) async fn next_text(&mut self) -> anyhow::Result<String> {
        loop {
            match self.socket.next().await.context("the connection ended")?? {
                Message::Text(text) => return Ok(text.to_string()),
                Message::Ping(_) | Message::Pong(_) => {}
                other => bail!("{} received {other:?} for a text", self.user),
            }
        }
    }

    /// Waits for the server to close; gives code and reason.
    pub(super) async fn closed(&mut self) -> anyhow::Result<(u16, String)> {
        let closed = async {
            while let Some(message) = self.socket.next().await {
                if let Message::Close(Some(frame)) = message? {
                    return Ok((frame.code.into(), frame.reason.to_string()));
                }
            }
            bail!("the connection ended without a close frame")
        };
        timeout(PATIENCE, closed).await.context("the connection was not closed")?
    }
}
