//! WebSocket clients of the bench.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::dial::dial;
use crate::server::Failure;
use crate::upgrade;

/// An open WebSocket. Dropping it breaks the connection.
pub(crate) type Socket = WebSocketStream<TcpStream>;

/// Opens the WebSocket of a device.
///
/// # Errors
/// The node refuses it, or takes too long.
pub(crate) async fn open(stream: TcpStream, user: &str, device: &str) -> Result<Socket, Failure> {
    let url = format!("ws://{}/v1/ws?user={user}&device={device}", stream.peer_addr()?);
    upgrade::upgrade(stream, url).await
}

/// Says goodbye and waits for the answer, so that the node has closed the session.
pub(crate) async fn close(mut socket: Socket) {
    let farewell = async {
        // What fails here has broken, and is closed for that.
        let _ = socket.close(None).await;
        while let Some(Ok(_)) = socket.next().await {}
    };
    let _ = timeout(CLOSE_WITHIN, farewell).await;
}

/// Clients that stay connected, and count what arrives. Dropping them breaks their connections.
pub(crate) struct Crowd {
    readers: JoinSet<()>,
    seen: Arc<Seen>,
}

/// What became of a crowd so far.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Messages that arrived.
    pub(crate) messages: AtomicU64,
    /// Connections that the nodes ended, or that broke.
    pub(crate) ended: AtomicU64,
}

impl Crowd {
    /// Nobody yet.
    pub(crate) fn new() -> Self {
        Self { readers: JoinSet::new(), seen: Arc::default() }
    }

    /// Connects these users, one after the other, each with one device.
    ///
    /// # Errors
    /// One of them was refused.
    pub(crate) async fn join(
        &mut self,
        users: impl IntoIterator<Item = (String, SocketAddr)>,
    ) -> Result<(), Failure> {
        for (user, addr) in users {
            let mut socket = open(dial(addr).await?, &user, "phone").await?;
            let seen = Arc::clone(&self.seen);
            self.readers.spawn(async move {
                // Reading also answers the pings of the node.
                while let Some(Ok(message)) = socket.next().await {
                    if matches!(message, Message::Text(_)) {
                        seen.messages.fetch_add(1, Ordering::Relaxed);
                    }
                }
                seen.ended.fetch_add(1, Ordering::Relaxed);
            });
        }
        Ok(())
    }

    /// What they saw.
    pub(crate) fn seen(&self) -> &Seen {
        &self.seen
    }
}

/// As long as the node itself waits for a closing handshake.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);
