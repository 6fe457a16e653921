//! A connection by a transport that is no WebSocket: lines of text over a pipe, which a client cannot answer by itself.
//! Time is virtual.

use std::io;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines};
use tokio::time::{Instant, timeout};

use crate::gateway::clients::dialect::{self, Close};
use crate::gateway::clients::transport::{AtOnce, End, Incoming, Transport};
use crate::limits;
use crate::push::{Outcome, Payload, PayloadKind};
use crate::session::{CloseReason, Taken};

pub(in crate::gateway::clients) mod fixture;

use fixture::{Recorder, Served, Terms, push, serve, text};

/// A payload is a line, a probe an empty one. The end is a line with its code, and then the end of the stream. What the
/// client sends are lines as well.
struct Plaintext {
    read: Lines<BufReader<tokio::io::ReadHalf<DuplexStream>>>,
    write: tokio::io::WriteHalf<DuplexStream>,
    queue: BytesMut,
}

/// Nobody but the task writes lines.
enum Nobody {}

impl AtOnce for Nobody {
    fn write(&self, _: Payload) -> Taken {
        match *self {}
    }
}

impl Transport for Plaintext {
    type Direct = Nobody;

    const ANSWERS_PROBES: bool = false;

    fn queue(&mut self, payload: Payload) {
        self.queue.extend_from_slice(&payload.bytes);
        self.queue.extend_from_slice(b"\n");
    }

    fn queue_probe(&mut self) {
        self.queue.extend_from_slice(b"\n");
    }

    fn is_written(&self) -> bool {
        self.queue.is_empty()
    }

    fn bytes_left(&self) -> usize {
        self.queue.remaining()
    }

    async fn write(&mut self) -> io::Result<()> {
        self.write.write_all_buf(&mut self.queue).await?;
        self.write.flush().await
    }

    async fn incoming(&mut self) -> Incoming {
        match self.read.next_line().await {
            Ok(Some(line)) => Incoming::Message(Payload { kind: PayloadKind::Text, bytes: line.into() }),
            Ok(None) => Incoming::End(End::Closed { bye: true }),
            Err(_) => Incoming::End(End::Gone),
        }
    }

    fn direct(&self) -> Option<Nobody> {
        None
    }

    fn take_over(&mut self) {}

    async fn close(&mut self, close: &Close) {
        let _ = self.write.write_all(format!("{} {}\n", close.code, close.text).as_bytes()).await;
    }

    async fn answer_close(&mut self) {}

    async fn linger(&mut self, _: bool) -> Option<u16> {
        if self.write.shutdown().await.is_ok() {
            while let Ok(Some(_)) = self.read.next_line().await {}
        }
        None
    }
}

/// The client's side.
struct Client {
    served: Served,
    pipe: BufReader<DuplexStream>,
}

fn connect(pipe_bytes: usize, terms: Terms) -> Client {
    let (server, client) = tokio::io::duplex(pipe_bytes);
    let (read, write) = tokio::io::split(server);
    let transport = Plaintext { read: BufReader::new(read).lines(), write, queue: BytesMut::new() };
    Client { served: serve(transport, terms), pipe: BufReader::new(client) }
}

impl Client {
    async fn line(&mut self) -> String {
        let mut line = String::new();
        self.pipe.read_line(&mut line).await.unwrap();
        assert_eq!(line.pop(), Some('\n'), "the stream has ended");
        line
    }

    async fn json(&mut self) -> serde_json::Value {
        serde_json::from_str(&self.line().await).unwrap()
    }

    /// The client closes, and the task comes to its end. What the handler was called with.
    async fn ended(self) -> Vec<String> {
        drop(self.pipe);
        self.served.task.await.unwrap();
        self.served.handler.calls.lock().unwrap().clone()
    }
}

#[tokio::test(start_paused = true)]
async fn bare_payloads_and_a_close_with_its_code_travel_by_any_transport() {
    let mut client = connect(1_000, Terms::default());
    let first = push(&client.served.session, "m1", Payload::text("one"));
    let second = push(&client.served.session, "m2", Payload::text("two"));
    assert_eq!([client.line().await, client.line().await], ["one", "two"]);
    assert_eq!((first.await, second.await), (Ok(Outcome::Delivered), Ok(Outcome::Delivered)));
    client.pipe.write_all(b"hello\n").await.unwrap();
    client.served.session.close(CloseReason::Kicked);
    assert_eq!(client.line().await, "4002 kicked");
    let mut rest = Vec::new();
    client.pipe.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty(), "nothing follows the close");
    assert_eq!(client.ended().await.last().unwrap(), "disconnect 4002");
}

#[tokio::test(start_paused = true)]
async fn envelopes_travel_by_any_transport() {
    let terms = Terms { dialect: dialect::named(Some("pushmesh.v1")), ..Terms::default() };
    let mut client = connect(1_000, terms);
    let welcome = client.json().await;
    assert_eq!((&welcome["type"], &welcome["session"]), (&"welcome".into(), &"7".into()));
    let pushed = push(&client.served.session, "m1", Payload::text("hi"));
    let message = client.json().await;
    assert_eq!((&message["id"], &message["data"]), (&"m1".into(), &"hi".into()));
    assert_eq!(pushed.await, Ok(Outcome::Delivered));
    client.pipe.write_all(b"{\"type\":\"ping\"}\n{\"type\":\"message\",\"data\":\"ho\"}\n").await.unwrap();
    assert_eq!(client.json().await["type"], "pong");
    client.served.session.close(CloseReason::TryLater { retry_ms: 7 });
    assert_eq!(client.line().await, "1013 {\"retry_ms\":7}");
    assert_eq!(client.ended().await, ["connect 42/phone", "message b\"ho\"", "disconnect 1013"]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_can_not_answer_is_there_while_its_line_takes_probes() {
    let mut client = connect(8, Terms::default());
    let awake = timeout(Duration::from_secs(600), async {
        loop {
            assert_eq!(client.line().await, "", "a probe");
        }
    });
    assert!(awake.await.is_err(), "it was never closed");
    let started = Instant::now();
    let stuck = push(&client.served.session, "m1", text(100));
    assert_eq!(stuck.await, Ok(Outcome::Buffered));
    client.served.session.closed().await; // The line takes no more than a part.
    assert_eq!(client.served.session.closing(), Some(CloseReason::HeartbeatTimeout));
    assert!(started.elapsed() <= Duration::from_secs(62), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_closes_ends_its_session_and_one_that_does_not_is_not_waited_for_for_ever() {
    let client = connect(1_000, Terms::default());
    tokio::task::yield_now().await;
    assert_eq!(client.ended().await, ["connect 42/phone", "disconnect 1000"]);

    let handler = Recorder { refuses: Some("not today"), ..Recorder::default() };
    let mut client = connect(1_000, Terms { handler, ..Terms::default() });
    let started = Instant::now();
    assert_eq!(client.line().await, "1008 not today");
    client.served.task.await.unwrap();
    assert_eq!(started.elapsed().as_secs(), limits::CLOSE_TIMEOUT.as_secs());
}
