//! The usual solution, as it is written with axum: every server subscribes to one channel of Redis, a
//! push is published there, every server receives it, and the one that has the session delivers.
//!
//! This program starts itself again as such a server. It does no more than it must: no presence, no
//! receipts, no authentication.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::StreamExt;
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::server::Failure;

/// One server.
struct Fanout {
    sessions: Mutex<HashMap<String, mpsc::Sender<Message>>>,
    redis: MultiplexedConnection,
}

/// Serves on a port of the kernel's choice, which the first line of output tells.
///
/// # Errors
/// Redis is gone.
pub(crate) async fn serve(redis: SocketAddr) -> Result<(), Failure> {
    let client = redis::Client::open(format!("redis://{redis}"))?;
    let fanout = Arc::new(Fanout {
        sessions: Mutex::default(),
        redis: client.get_multiplexed_async_connection().await?,
    });
    let mut channel = client.get_async_pubsub().await?;
    channel.subscribe(CHANNEL).await?;
    let app = Router::new()
        .route("/v1/ws", get(connect))
        .route("/v1/users/{user}/push", post(push))
        .route("/v1/broadcast", post(broadcast))
        .route("/v1/stats", get(stats))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Arc::clone(&fanout));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("listening http={}", listener.local_addr()?);
    tokio::spawn(async move {
        let mut messages = channel.into_on_message();
        while let Some(message) = messages.next().await {
            fanout.deliver(Bytes::copy_from_slice(message.get_payload_bytes()));
        }
        // Without the channel a server delivers nothing, and should not look as if it did.
        std::process::exit(1);
    });
    axum::serve(listener.tap_io(|socket| socket.set_nodelay(true).unwrap_or_default()), app).await?;
    Ok(())
}

impl Fanout {
    /// Publishes a message to one user, or to everybody if the name is empty.
    async fn publish(&self, user: &str, body: &[u8]) -> StatusCode {
        let mut message = BytesMut::with_capacity(2 + user.len() + body.len());
        message.put_u16(user.len() as u16);
        message.put_slice(user.as_bytes());
        message.put_slice(body);
        let published: Result<u64, _> = self.redis.clone().publish(CHANNEL, &message[..]).await;
        published.map_or(StatusCode::BAD_GATEWAY, |_| StatusCode::ACCEPTED)
    }

    /// Gives a published message to the sessions of this server that it is for.
    fn deliver(&self, mut message: Bytes) {
        let user_len = usize::from(u16::from_be_bytes([message[0], message[1]]));
        let user = message.split_to(2 + user_len).split_off(2);
        let sessions = self.sessions.lock().expect(NOT_POISONED);
        let text = |bytes: Bytes| bytes.try_into().map(Message::Text).ok();
        if user.is_empty() {
            let Some(message) = text(message) else { return };
            sessions.values().for_each(|session| drop(session.try_send(message.clone())));
        } else if let Some(session) = std::str::from_utf8(&user).ok().and_then(|user| sessions.get(user))
            && let Some(message) = text(message)
        {
            let _ = session.try_send(message); // A client that does not read loses it.
        }
    }
}

async fn connect(
    State(fanout): State<Arc<Fanout>>,
    Query(params): Query<HashMap<String, String>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let user = params.get("user").cloned().unwrap_or_default();
    // The default is 128 KiB for each connection, which nobody keeps who has many.
    upgrade.read_buffer_size(READ_BUFFER_BYTES).on_upgrade(|socket| session(fanout, user, socket))
}

async fn session(fanout: Arc<Fanout>, user: String, mut socket: WebSocket) {
    let (sender, mut messages) = mpsc::channel(QUEUE_MAX);
    fanout.sessions.lock().expect(NOT_POISONED).insert(user.clone(), sender.clone());
    loop {
        tokio::select! {
            message = messages.recv() => {
                let Some(message) = message else { break };
                if socket.send(message).await.is_err() {
                    break;
                }
            }
            frame = socket.recv() => if !matches!(frame, Some(Ok(_))) {
                break;
            },
        }
    }
    let mut sessions = fanout.sessions.lock().expect(NOT_POISONED);
    if sessions.get(&user).is_some_and(|current| current.same_channel(&sender)) {
        sessions.remove(&user);
    }
}

async fn push(State(fanout): State<Arc<Fanout>>, Path(user): Path<String>, body: Bytes) -> StatusCode {
    fanout.publish(&user, &body).await
}

async fn broadcast(State(fanout): State<Arc<Fanout>>, body: Bytes) -> StatusCode {
    fanout.publish("", &body).await
}

async fn stats(State(fanout): State<Arc<Fanout>>) -> String {
    serde_json::json!({ "sessions": fanout.sessions.lock().expect(NOT_POISONED).len() }).to_string()
}

const CHANNEL: &str = "push";
/// As pushmesh's connections have.
const READ_BUFFER_BYTES: usize = 256;
/// Messages that may wait for a client.
const QUEUE_MAX: usize = 256;
/// More than the largest payload of the bench.
const BODY_BYTES_MAX: usize = 1_024 * 1_024;
const NOT_POISONED: &str = "no panic happens under this lock";
