//! JetStream on a cluster of NATS: one stream in memory, on three servers, that takes what is published to users.
//!
//! A publisher is answered once a majority has the message: the leader of the stream and one more server, as a push of
//! pushmesh that waits for `stored` is answered once the owner and one more node have it. One stream has one leader for all: that
//! takes fewer groups of Raft, and so less CPU, than one stream for each server.
//!
//! Users get messages in one of two ways. With an *ordered consumer* each, as the libraries of NATS make one, which lives in the memory of
//! one server and starts again at any number of the stream: so that a user who was away gets what it has missed. Or by a plain
//! subscription to the subject: that is the least that JetStream can do, and a user who was away asks for what it missed by other means. Neither
//! acknowledges anything, and messages stay for as long as sessions are kept here. Heartbeats and the flow control of consumers are off.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{Duration, Instant, sleep, timeout};
use tokio_tungstenite::WebSocketStream;

use crate::nats_protocol::{Publisher, ask, subscribe};
use crate::server::Failure;

/// Creates the stream, and waits until all its servers have it.
///
/// # Errors
/// The servers refuse it, or do not get ready.
pub(crate) async fn create(server: SocketAddr, servers: usize) -> Result<(), Failure> {
    let mut publisher = Publisher::asking(server).await?;
    let config = json!({
        "name": STREAM, "subjects": [format!("{STREAM}.*")], "storage": "memory", "num_replicas": REPLICAS,
        "retention": "limits", "max_age": KEPT.as_nanos() as u64, "max_consumers": CONSUMERS_MAX,
    });
    let deadline = Instant::now() + READY_WITHIN;
    let mut subject = format!("$JS.API.STREAM.CREATE.{STREAM}");
    let mut payload = config.to_string();
    loop {
        // Whoever is asked while the leader changes says nothing.
        let told: Value = match timeout(ASKED_AGAIN_AFTER, publisher.request(&subject, &payload)).await {
            Ok(told) => serde_json::from_str(&told?)?,
            Err(_) => {
                publisher = Publisher::asking(server).await?;
                json!({ "error": "nobody answers" })
            }
        };
        let replicas = told["cluster"]["replicas"].as_array().map(Vec::as_slice).unwrap_or_default();
        let current = replicas.iter().filter(|replica| replica["current"] == true).count();
        if told["error"].is_null() {
            // It is there: from now on this only asks how it is.
            (subject, payload) = (format!("$JS.API.STREAM.INFO.{STREAM}"), String::new());
            if told["cluster"]["leader"].is_string() && current + 1 == REPLICAS.min(servers) {
                return Ok(());
            }
        }
        if Instant::now() > deadline {
            return Err(format!("JetStream has no stream in time: {told}").into());
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Publishes to a user, and waits until the message is stored.
///
/// # Errors
/// It is not.
pub(crate) async fn publish(publisher: &mut Publisher, user: usize, payload: &str) -> Result<(), Failure> {
    let ack = publisher.request(&subject(user), payload).await?;
    if !ack.contains("\"seq\":") || ack.contains("\"error\":") {
        return Err(format!("JetStream answers {ack}").into());
    }
    Ok(())
}

/// Gives a user an ordered consumer of its messages.
///
/// # Errors
/// The servers refuse it.
pub(crate) async fn consume(socket: &mut WebSocketStream<TcpStream>, user: usize) -> Result<(), Failure> {
    let (subject, deliver) = (subject(user), format!("delivered.u{user}"));
    subscribe(socket, &deliver).await?;
    let name = format!("u{user}");
    let asked = format!("$JS.API.CONSUMER.CREATE.{STREAM}.{name}.{subject}");
    let config = json!({ "stream_name": STREAM, "action": "create", "config": {
        "name": name, "filter_subject": subject, "deliver_subject": deliver, "deliver_policy": "all",
        "ack_policy": "none", "max_deliver": 1, "num_replicas": 1, "mem_storage": true,
        "inactive_threshold": KEPT.as_nanos() as u64,
    }});
    let answer = ask(socket, &format!("_INBOX.u{user}"), &asked, &config.to_string()).await?;
    let answer: Value = serde_json::from_str(&answer)?;
    if answer["error"].is_null() { Ok(()) } else { Err(format!("JetStream answers {answer}").into()) }
}

/// What is published to a user.
pub(crate) fn subject(user: usize) -> String {
    format!("{STREAM}.u{user}")
}

/// Servers that hold the stream.
pub(crate) const REPLICAS: usize = 3;
const STREAM: &str = "kept";
/// More than there are users. Without it a stream has 1,000 at most.
const CONSUMERS_MAX: usize = 1_000_000;
/// For how long messages stay, as clients of pushmesh ask for.
const KEPT: Duration = Duration::from_secs(60);
/// Guess: far above what the elections take on a slow machine.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// Guess: far above what an answer takes.
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(2);
