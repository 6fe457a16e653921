//! What a node holds in memory as a member: for messages that another one has accepted, and for sessions that owe nothing.
//!
//! The owner is a process, and the member is in this one: bytes are those that this process has allocated and not freed, counted by its
//! allocator. The clients are in this process as well, but away whenever messages are counted. Pushes to them are answered `queued`: with
//! one other node in the cluster, that says that the member holds them.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt, TryStreamExt};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use crate::ALLOCATOR;
use crate::client::Socket;
use crate::dial::dial;
use crate::http::Http;
use crate::member::Member;
use crate::server::{Failure, Server};
use crate::table::{Table, Verdict};
use crate::upgrade::upgrade;

/// Measures sessions with one message each, and with many.
///
/// # Errors
/// A node does not start, or a push is not held.
pub(crate) fn run() -> Result<Vec<Table>, Failure> {
    let mut table = Table::new("Memory of a member, for what another node has accepted");
    // What is allocated once, whoever asks first for it.
    each(Shape { sessions: 100, messages: 1 }, 1)?;
    let idle = Shape { messages: 0, ..SHAPES[0] };
    let (with, without) = (each(idle, 1)?, each(idle, 0)?);
    let more = with.connected - without.connected;
    let met = Verdict::speed(more.abs() < NOISE_BYTES);
    let what = "bytes an idle session whose client is connected";
    table.goal(what, "0 bytes", format!("{more:.1} bytes"), met);
    let more = with.away - without.away;
    table.tell("bytes a session whose client is away and is owed nothing", format!("{more:.1} bytes"));
    for shape in SHAPES {
        let Shape { sessions, messages } = shape;
        let Held { message, acknowledged, .. } = each(shape, 1)?;
        let beside = message - PAYLOAD_BYTES as f64;
        table.goal(
            format!("bytes a message beside the payload, {sessions} sessions with {messages} each"),
            format!("<= {MESSAGE_BYTES_MAX} bytes"),
            format!("{beside:.1} bytes"),
            Verdict::speed(beside <= MESSAGE_BYTES_MAX),
        );
        let what = "bytes a session whose messages are acknowledged, until it is forgotten";
        table.tell(what, format!("{acknowledged:.1} bytes"));
    }
    Ok(vec![table])
}

/// How many sessions, and messages of each.
#[derive(Debug, Clone, Copy)]
struct Shape {
    sessions: usize,
    messages: usize,
}

/// Bytes at the member.
#[derive(Debug)]
struct Held {
    /// For each session that nothing was ever pushed to, while its client is connected.
    connected: f64,
    /// The same, once it is away.
    away: f64,
    /// More, for each message.
    message: f64,
    /// More for each session than when nothing was pushed, once its messages are acknowledged.
    acknowledged: f64,
}

/// What such sessions cost, at an owner that has so many others hold copies.
fn each(Shape { sessions, messages }: Shape, copies: usize) -> Result<Held, Failure> {
    let member = Member::start("member", &[])?;
    member.ready();
    let flags = ["--copies".to_owned(), copies.to_string()];
    let mesh = member.node.mesh_addr();
    let mut owner = Server::start("owner", &[mesh], &flags, None, Stdio::null())?;
    owner.ready()?;
    let http = owner.http;
    let count = || {
        member.rest(AT_REST_AFTER);
        ALLOCATOR.allocated() as f64
    };
    let empty = count();
    let sockets = member.run(open_all(http, sessions))?;
    let connected = count();
    member.run(async {
        drop(sockets);
        all_away(http, sessions).await
    })?;
    let away = count();
    member.run(for_each(sessions, |number| push(http, number, messages)))?;
    let full = count();
    if messages > 0 {
        member.run(for_each(sessions, |number| acknowledge(http, number, messages)))?;
        member.run(all_away(http, sessions))?;
    }
    let acknowledged = count();
    member.end();
    let (sessions, all) = (sessions as f64, (sessions * messages) as f64);
    Ok(Held {
        connected: (connected - empty) / sessions,
        away: (away - empty) / sessions,
        message: (full - away) / all,
        acknowledged: (acknowledged - away) / sessions,
    })
}

/// Does something for each session, for some at a time.
async fn for_each<F: Future<Output = Result<(), Failure>>>(
    sessions: usize,
    work: impl FnMut(usize) -> F,
) -> Result<(), Failure> {
    let numbers = futures_util::stream::iter((0..sessions).map(Ok));
    numbers.try_for_each_concurrent(AT_A_TIME, work).await
}

/// Connects all clients.
async fn open_all(addr: SocketAddr, sessions: usize) -> Result<Vec<Socket>, Failure> {
    let opened = futures_util::stream::iter(0..sessions).map(|number| open(addr, number));
    opened.buffer_unordered(AT_A_TIME).try_collect().await
}

/// Connects a client.
async fn open(addr: SocketAddr, number: usize) -> Result<Socket, Failure> {
    let url = format!("ws://{addr}/v1/ws?user=u{number:06}&device=phone&keep=300");
    let mut request = url.into_client_request()?;
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("pushmesh.v1"));
    upgrade(dial(addr).await?, request).await
}

/// Waits until all sessions are there, and their clients away.
async fn all_away(addr: SocketAddr, sessions: usize) -> Result<(), Failure> {
    let deadline = Instant::now() + WITHIN;
    let mut http = Http::open(addr).await?;
    loop {
        let stats = http.get("/v1/stats").await?;
        if stats["sessions"] == sessions && stats["parked"] == sessions {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("{sessions} sessions are not all parked: {stats}").into());
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Pushes so many messages to a session whose client is away.
async fn push(addr: SocketAddr, number: usize, messages: usize) -> Result<(), Failure> {
    let mut http = Http::open(addr).await?;
    for _ in 0..messages {
        let path = format!("/v1/users/u{number:06}/push");
        let (status, answer) = http.post(&path, ".".repeat(PAYLOAD_BYTES)).await?;
        if status != 200 || answer["sessions"][0]["outcome"] != "queued" {
            return Err(format!("a push was answered with {status}: {answer}").into());
        }
    }
    Ok(())
}

/// Connects a client until it has got so many messages and has acknowledged them.
async fn acknowledge(addr: SocketAddr, number: usize, messages: usize) -> Result<(), Failure> {
    let mut socket = open(addr, number).await?;
    let mut got = 0;
    let all = async {
        while let Some(message) = socket.next().await {
            let Message::Text(text) = message? else { continue };
            let frame: Value = serde_json::from_str(&text)?;
            match frame["type"].as_str() {
                Some("message") => {
                    got += 1;
                    let ack =
                        serde_json::json!({ "type": "ack", "n": frame["n"], "segment": frame["segment"] });
                    socket.send(Message::text(ack.to_string())).await?;
                }
                // The segment that was before: all of it is acknowledged.
                Some("closed") if got == messages => return Ok(()),
                _ => {}
            }
        }
        Err(Failure::from("a client's connection ended"))
    };
    timeout(WITHIN, all).await.map_err(|_| "a client has not got its messages in time")?
}

/// Most sessions are owed one message at a time; one that is away for long is owed many.
const SHAPES: [Shape; 2] = [Shape { sessions: 4_000, messages: 1 }, Shape { sessions: 1_000, messages: 32 }];
const PAYLOAD_BYTES: usize = 128;
/// Source: the design's goal.
const MESSAGE_BYTES_MAX: f64 = 80.0;
/// By how much two runs without any difference differ for each session. Measured.
const NOISE_BYTES: f64 = 4.0;
/// Clients that connect, or are pushed to, at a time.
const AT_A_TIME: usize = 32;
/// What a request has allocated, and what waits for a timer, is freed by then.
const AT_REST_AFTER: Duration = Duration::from_secs(3);
/// Guess: far above what it takes on a slow machine.
const WITHIN: Duration = Duration::from_secs(30);
