//! The protocol of NATS as its clients speak it, as far as the bench needs it: one subject for each user.
//!
//! Operations are lines that end with CR LF; `MSG` and `PUB` are followed by a payload of the length that they name. Who asks
//! something names a subject of its own for the answer, its inbox.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
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
    answers: Parser,
    buffer: Vec<u8>,
    /// Where answers to requests arrive.
    inbox: Option<String>,
}

impl Publisher {
    /// Connects, and waits until the server has taken that.
    ///
    /// # Errors
    /// Nobody listens there, or it refuses.
    pub(crate) async fn connect(addr: SocketAddr) -> Result<Self, Failure> {
        let mut stream = dial(addr).await?;
        stream.write_all(format!("{CONNECT}{PING}").as_bytes()).await?;
        let (request, answers, buffer) = Default::default();
        let mut publisher = Self { stream, request, answers, buffer, inbox: None };
        while publisher.next().await? != Operation::Pong {}
        Ok(publisher)
    }

    /// The same, for [requests](Self::request).
    ///
    /// # Errors
    /// Likewise.
    pub(crate) async fn asking(addr: SocketAddr) -> Result<Self, Failure> {
        let mut publisher = Self::connect(addr).await?;
        // The ports of a connection are those of no other one.
        let inbox = format!("_INBOX.{}.{}", publisher.stream.local_addr()?.port(), addr.port());
        publisher.stream.write_all(format!("SUB {inbox} 1\r\n").as_bytes()).await?;
        publisher.inbox = Some(inbox);
        Ok(publisher)
    }

    /// Publishes to a subject. Nobody says whether it arrives.
    ///
    /// # Errors
    /// The connection broke.
    pub(crate) async fn publish(&mut self, subject: &str, payload: &str) -> Result<(), Failure> {
        self.send(&format!("PUB {subject} {}\r\n", payload.len()), payload).await
    }

    /// Publishes to a subject, and returns the answer; of a connection that is [asking](Self::asking).
    ///
    /// # Errors
    /// The connection broke, or there is no answer.
    pub(crate) async fn request(&mut self, subject: &str, payload: &str) -> Result<String, Failure> {
        let inbox = self.inbox.as_deref().ok_or("this connection has no inbox")?;
        let head = format!("PUB {subject} {inbox} {}\r\n", payload.len());
        self.send(&head, payload).await?;
        let answer = async {
            loop {
                if let Operation::Message(answer) = self.next().await? {
                    return Ok(answer);
                }
            }
        };
        timeout(ANSWERS_WITHIN, answer).await.map_err(|_| format!("nobody answers to {subject}"))?
    }

    async fn send(&mut self, head: &str, payload: &str) -> Result<(), Failure> {
        self.request.clear();
        for part in [head.as_bytes(), payload.as_bytes(), b"\r\n"] {
            self.request.extend_from_slice(part);
        }
        Ok(self.stream.write_all(&self.request).await?)
    }

    /// What the server says next, but for its pings.
    async fn next(&mut self) -> Result<Operation, Failure> {
        loop {
            match self.answers.next() {
                Some(Operation::Refused(why)) => return Err(format!("nats-server says {why}").into()),
                Some(Operation::Ping) => self.stream.write_all(PONG.as_bytes()).await?,
                Some(operation) => return Ok(operation),
                None => {
                    self.buffer.clear();
                    if self.stream.read_buf(&mut self.buffer).await? == 0 {
                        return Err("nats-server closed a connection".into());
                    }
                    self.answers.push(&self.buffer);
                }
            }
        }
    }
}

/// Subscribes to a subject.
///
/// # Errors
/// The connection broke.
pub(crate) async fn subscribe(socket: &mut WebSocketStream<TcpStream>, subject: &str) -> Result<(), Failure> {
    let hello = format!("{CONNECT}SUB {subject} 1\r\n");
    Ok(socket.send(Message::binary(hello.into_bytes())).await?)
}

/// Asks something after [`subscribe`], and returns the answer. Nothing else may arrive meanwhile.
///
/// # Errors
/// The connection broke, or there is no answer.
pub(crate) async fn ask(
    socket: &mut WebSocketStream<TcpStream>,
    inbox: &str,
    subject: &str,
    payload: &str,
) -> Result<String, Failure> {
    let len = payload.len();
    let asked = format!("SUB {inbox} 2\r\nUNSUB 2 1\r\nPUB {subject} {inbox} {len}\r\n{payload}\r\n");
    socket.send(Message::binary(asked.into_bytes())).await?;
    let mut parser = Parser::default();
    let answer = async {
        while let Some(message) = socket.next().await {
            if let Message::Binary(bytes) = message? {
                parser.push(&bytes);
            }
            while let Some(operation) = parser.next() {
                match operation {
                    Operation::Message(answer) => return Ok(answer),
                    Operation::Refused(why) => return Err(format!("nats-server says {why}").into()),
                    _ => {}
                }
            }
        }
        Err("nats-server closed a connection".into())
    };
    timeout(ANSWERS_WITHIN, answer).await.map_err(|_| format!("nobody answers to {subject}"))?
}

/// The answer to a [ping](Operation::Ping).
pub(crate) const PONG: &str = "PONG\r\n";
const PING: &str = "PING\r\n";
/// Without acknowledgements of each operation, and without headers in messages.
const CONNECT: &str = "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":false,\"lang\":\"rust\",\"version\":\"0\",\"protocol\":1}\r\n";
/// Guess: far above what it takes on a slow machine.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
