//! Users with one WebSocket each, that check every message which arrives.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::StreamExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc::Sender;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::dial::dial;
use crate::message::{Stamp, Way, now_us};
use crate::server::Failure;
use crate::upgrade::upgrade;

/// A message that arrived.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    /// At whom.
    pub(crate) user: usize,
    /// Which one.
    pub(crate) stamp: Stamp,
    /// How long it took.
    pub(crate) latency_us: u32,
}

/// What must not happen, counted over all clients.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// Messages that were not the next ones: others before them are missing, or they came twice.
    pub(crate) disordered: AtomicU64,
    /// Messages that the bench did not send.
    pub(crate) foreign: AtomicU64,
    /// Connections that ended.
    pub(crate) ended: AtomicU64,
}

/// A client in the making.
pub(crate) struct Client {
    /// Its user's number.
    pub(crate) user: usize,
    /// Who is told of arrivals.
    pub(crate) arrivals: Sender<Arrival>,
    /// Where what must not happen is counted.
    pub(crate) faults: Arc<Faults>,
}

impl Client {
    /// Connects, and then receives until the connection ends.
    ///
    /// # Errors
    /// It is not let in.
    pub(crate) async fn connect(self, addr: SocketAddr) -> Result<(), Failure> {
        let socket = open(addr, self.user).await?;
        tokio::spawn(async move {
            self.receive(socket).await;
            self.faults.ended.fetch_add(1, Ordering::Relaxed);
        });
        Ok(())
    }

    async fn receive(&self, mut socket: WebSocketStream<TcpStream>) {
        let (mut pushes, mut broadcasts) = (0, 0);
        while let Some(Ok(message)) = socket.next().await {
            let Message::Text(text) = message else { continue };
            let Some(stamp) = Stamp::parse(&text) else {
                self.faults.foreign.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            let next = if stamp.way == Way::Push { &mut pushes } else { &mut broadcasts };
            if stamp.number != *next {
                self.faults.disordered.fetch_add(1, Ordering::Relaxed);
            }
            *next = stamp.number + 1;
            let latency_us = u32::try_from(now_us().saturating_sub(stamp.sent_us)).unwrap_or(u32::MAX);
            let arrival = Arrival { user: self.user, stamp, latency_us };
            if self.arrivals.send(arrival).await.is_err() {
                return; // The bench is over.
            }
        }
    }
}

/// Opens the WebSocket of a user, on the one device that it has: the connection replaces a former one.
///
/// # Errors
/// It is not let in.
pub(crate) async fn open(addr: SocketAddr, user: usize) -> Result<WebSocketStream<TcpStream>, Failure> {
    let url = format!("ws://{addr}/v1/ws?user=u{user}&device=d");
    upgrade(dial(addr).await?, url).await
}
