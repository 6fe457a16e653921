//! The protocol of NATS as its clients speak it, as far as the bench needs it: one subject for each user.
//!
//! Operations are lines that end with CR LF; `MSG` and `PUB` are followed by a payload of the length that they name.

use std::net::SocketAddr;

use futures_util::SinkExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::dial::dial;
use crate::server::Failure;

/// What a server says.
#[derive(Debug, PartialEq)]
pub(crate) enum Operation {
    /// A message of a subscription.
    Message(String),
    /// It wants a [`PONG`].
    Ping,
    /// Our ping is answered: what was sent before it is done.
    Pong,
    /// It refuses something, and closes the connection.
    Refused(String),
    /// What a client may ignore.
    Other,
}

/// Cuts what arrives into operations.
#[derive(Debug, Default)]
pub(crate) struct Parser(Vec<u8>);

impl Parser {
    /// More has arrived.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next operation, once it is complete.
    pub(crate) fn next(&mut self) -> Option<Operation> {
        let end = self.0.windows(2).position(|pair| pair == b"\r\n")?;
        let line = String::from_utf8_lossy(&self.0[..end]).into_owned();
        let (operation, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let mut whole = end + 2;
        let operation = match operation {
            "MSG" => {
                let len: usize = rest.rsplit(' ').next()?.parse().ok()?;
                let payload = self.0.get(whole..whole + len + 2)?;
                whole += len + 2;
                Operation::Message(String::from_utf8_lossy(&payload[..len]).into_owned())
            }
            "PING" => Operation::Ping,
            "PONG" => Operation::Pong,
            "-ERR" => Operation::Refused(rest.to_owned()),
            _ => Operation::Other,
        };
        self.0.drain(..whole);
        Some(operation)
    }
}

/// A connection of a backend.
pub(crate) struct Publisher {
    stream: TcpStream,
    request: Vec<u8>,
}

impl Publisher {
    /// Connects, and waits until the server has taken that.
    ///
    /// # Errors
    /// Nobody listens there, or it refuses.
    pub(crate) async fn connect(addr: SocketAddr) -> Result<Self, Failure> {
        let mut stream = dial(addr).await?;
        stream.write_all(format!("{CONNECT}{PING}").as_bytes()).await?;
        let (mut parser, mut buffer) = (Parser::default(), Vec::new());
        loop {
            match parser.next() {
                Some(Operation::Pong) => return Ok(Self { stream, request: Vec::new() }),
                Some(Operation::Refused(why)) => return Err(format!("nats-server says {why}").into()),
                Some(_) => {}
                None => {
                    buffer.clear();
                    if stream.read_buf(&mut buffer).await? == 0 {
                        return Err(format!("{addr} closed the connection").into());
                    }
                    parser.push(&buffer);
                }
            }
        }
    }

    /// Publishes to a user. Nobody says whether it arrives.
    ///
    /// # Errors
    /// The connection broke.
    pub(crate) async fn publish(&mut self, user: usize, payload: &str) -> Result<(), Failure> {
        self.request.clear();
        let head = format!("PUB u{user} {}\r\n", payload.len());
        for part in [head.as_bytes(), payload.as_bytes(), b"\r\n"] {
            self.request.extend_from_slice(part);
        }
        Ok(self.stream.write_all(&self.request).await?)
    }
}

/// Subscribes to what is published to a user.
///
/// # Errors
/// The connection broke.
pub(crate) async fn subscribe(socket: &mut WebSocketStream<TcpStream>, user: usize) -> Result<(), Failure> {
    let hello = format!("{CONNECT}SUB u{user} 1\r\n");
    Ok(socket.send(Message::binary(hello.into_bytes())).await?)
}

/// The answer to a [ping](Operation::Ping).
pub(crate) const PONG: &str = "PONG\r\n";
const PING: &str = "PING\r\n";
/// Without acknowledgements of each operation, and without headers in messages.
const CONNECT: &str = "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":false,\"lang\":\"rust\",\"version\":\"0\",\"protocol\":1}\r\n";
