//! Users with one WebSocket each, that check every message which arrives.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use crate::dial::dial;
use crate::envelope::{Acks, Dialect, Envelope};
use crate::jetstream;
use crate::message::{Stamp, Way, elapsed_us};
use crate::nats_protocol::{self, Operation, PONG, Parser};
use crate::server::Failure;
use crate::system::System;
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
    /// How it speaks to pushmesh.
    pub(crate) dialect: Dialect,
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
    pub(crate) async fn connect(self, system: System, addr: SocketAddr) -> Result<(), Failure> {
        let mut socket = open(addr, self.user, self.dialect).await?;
        match system {
            System::Pushmesh | System::Redis => {}
            System::Nats => nats_protocol::subscribe(&mut socket, &format!("u{}", self.user)).await?,
            System::Jetstream => jetstream::consume(&mut socket, self.user).await?,
            System::JetstreamCore => {
                nats_protocol::subscribe(&mut socket, &jetstream::subject(self.user)).await?;
            }
        }
        tokio::spawn(async move {
            self.receive(socket).await;
            self.faults.ended.fetch_add(1, Ordering::Relaxed);
        });
        Ok(())
    }

    async fn receive(&self, mut socket: WebSocketStream<TcpStream>) {
        let (mut next, mut parser, mut acks) = (Next::default(), Parser::default(), Acks::default());
        loop {
            let due = acks.due.unwrap_or_else(Instant::now);
            let message = tokio::select! {
                message = socket.next() => message,
                () = sleep_until(due), if acks.due.is_some() => {
                    if socket.send(acks.take()).await.is_err() {
                        return;
                    }
                    continue;
                }
            };
            let Some(Ok(message)) = message else { return };
            let goes_on = match message {
                Message::Text(text) if self.dialect != Dialect::Plain => match serde_json::from_str(&text) {
                    Ok(Envelope::Message { n, data, .. }) => {
                        n.into_iter().for_each(|n| acks.came(n));
                        self.arrived(&mut next, &data).await
                    }
                    Ok(_) => true,
                    Err(_) => false,
                },
                Message::Text(text) => self.arrived(&mut next, &text).await,
                Message::Binary(bytes) => {
                    parser.push(&bytes);
                    self.operate(&mut socket, &mut next, &mut parser).await
                }
                _ => true,
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Does what a server of NATS says. Returns whether the connection goes on.
    async fn operate(
        &self,
        socket: &mut WebSocketStream<TcpStream>,
        next: &mut Next,
        parser: &mut Parser,
    ) -> bool {
        while let Some(operation) = parser.next() {
            let goes_on = match operation {
                Operation::Message(text) => self.arrived(next, &text).await,
                Operation::Ping => socket.send(Message::binary(PONG)).await.is_ok(),
                Operation::Refused(_) => false,
                Operation::Pong | Operation::Other => true,
            };
            if !goes_on {
                return false;
            }
        }
        true
    }

    /// A message arrived. Returns whether anybody wants to know of the next one.
    async fn arrived(&self, next: &mut Next, text: &str) -> bool {
        let Some(stamp) = Stamp::parse(text) else {
            self.faults.foreign.fetch_add(1, Ordering::Relaxed);
            return true;
        };
        let next = if stamp.way == Way::Push { &mut next.push } else { &mut next.broadcast };
        if stamp.number != *next {
            self.faults.disordered.fetch_add(1, Ordering::Relaxed);
        }
        *next = stamp.number + 1;
        let latency_us = elapsed_us(stamp.sent_us);
        // The bench is over when nobody takes it.
        self.arrivals.send(Arrival { user: self.user, stamp, latency_us }).await.is_ok()
    }
}

/// The numbers that are expected next.
#[derive(Debug, Default)]
struct Next {
    push: u64,
    broadcast: u64,
}

/// Opens the WebSocket of a user, on the one device that it has: the connection replaces a former one.
///
/// # Errors
/// It is not let in.
pub(crate) async fn open(
    addr: SocketAddr,
    user: usize,
    dialect: Dialect,
) -> Result<WebSocketStream<TcpStream>, Failure> {
    open_on(dial(addr).await?, user, dialect, "").await
}

/// The same on a stream that is there. `more` is added to the address.
///
/// # Errors
/// Likewise.
pub(crate) async fn open_on(
    stream: TcpStream,
    user: usize,
    dialect: Dialect,
    more: &str,
) -> Result<WebSocketStream<TcpStream>, Failure> {
    let (addr, asks) = (stream.peer_addr()?, dialect.query());
    let mut request = format!("ws://{addr}/v1/ws?user=u{user}&device=d{asks}{more}").into_client_request()?;
    if let Some(name) = dialect.subprotocol() {
        request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(name));
    }
    upgrade(stream, request).await
}
