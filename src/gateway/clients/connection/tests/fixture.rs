//! What the tests of a connection have in common, whatever its transport is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use crate::config::{AuthConfig, Rate, Secret};
use crate::current::Current;
use crate::gateway::access::Access;
use crate::gateway::clients::connection::{Connection, Setup};
use crate::gateway::clients::dialect::{self, Dialect};
use crate::gateway::clients::transport::Transport;
use crate::gateway::fights::Fights;
use crate::gateway::parts::ConnectionParts;
use crate::handle::NodeHandle;
use crate::handler::{Handler, SessionInfo};
use crate::id::{DeviceId, MessageId, NodeName, SessionKey, Stamp, UserId};
use crate::key::KeyHasher;
use crate::metrics::Metrics;
use crate::push::{Message, Outcome, Payload};
use crate::receipt::{Answer, replying};
use crate::session::{CloseReason, HeartbeatTimers, OutboxLimits, Place, Session};
use crate::token::ResumeKey;
use crate::vital::Vitals;
use crate::wire::{Clock, Threads};

/// Writes down what it is called with.
#[derive(Default)]
pub(in crate::gateway::clients) struct Recorder {
    pub(in crate::gateway::clients) calls: Mutex<Vec<String>>,
    pub(in crate::gateway::clients) refuses: Option<&'static str>,
    /// If there, `on_message` waits for it.
    pub(in crate::gateway::clients) gate: Option<Notify>,
    /// The call that panics once it is noted.
    pub(in crate::gateway::clients) panics: Option<&'static str>,
}

impl Recorder {
    fn note(&self, call: String) {
        let panics = self.panics.is_some_and(|panics| call.starts_with(panics));
        self.calls.lock().unwrap().push(call);
        assert!(!panics, "on purpose");
    }
}

#[async_trait]
impl Handler for Recorder {
    async fn on_connect(&self, _: &NodeHandle, session: &SessionInfo) -> Result<(), &'static str> {
        self.note(format!("connect {}", session.key));
        self.refuses.map_or(Ok(()), Err)
    }

    async fn on_message(&self, _: &NodeHandle, _: &SessionInfo, message: Payload) {
        if let Some(gate) = &self.gate {
            gate.notified().await;
        }
        self.note(format!("message {:?}", message.bytes));
    }

    async fn on_disconnect(&self, _: &NodeHandle, _: &SessionInfo, code: u16) {
        self.note(format!("disconnect {code}"));
    }
}

/// A wall clock that is set by hand.
#[derive(Default)]
pub(in crate::gateway::clients) struct FixedClock(pub(in crate::gateway::clients) AtomicU64);

impl Clock for FixedClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Bare payloads, and an end that has a code of its own.
pub(in crate::gateway::clients) struct OwnCodes;

impl Dialect for OwnCodes {
    fn subprotocol(&self) -> Option<&'static str> {
        None
    }

    fn welcome(&self, _: &Session, _: &SessionInfo, _: &ResumeKey) -> Option<Payload> {
        None
    }

    fn message(&self, pushed: &Message, _: Option<&Place>) -> Payload {
        pushed.payload.clone()
    }

    fn heard(&self, payload: Payload) -> dialect::Heard {
        dialect::Heard::Message(payload)
    }

    fn close(&self, reason: &CloseReason) -> dialect::Close {
        dialect::Close { code: 4999, text: format!("bye: {}", reason.as_str()) }
    }
}

/// A connection and what it works with.
pub(in crate::gateway::clients) struct Served {
    pub(in crate::gateway::clients) session: Arc<Session>,
    pub(in crate::gateway::clients) task: JoinHandle<()>,
    pub(in crate::gateway::clients) handler: Arc<Recorder>,
    pub(in crate::gateway::clients) clock: Arc<FixedClock>,
    pub(in crate::gateway::clients) metrics: Arc<Metrics>,
}

/// How a connection is set up.
pub(in crate::gateway::clients) struct Terms {
    pub(in crate::gateway::clients) dialect: &'static dyn Dialect,
    pub(in crate::gateway::clients) idle: Option<Duration>,
    pub(in crate::gateway::clients) expires_unix_ms: Option<u64>,
    pub(in crate::gateway::clients) handler: Recorder,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            dialect: dialect::named(None),
            idle: None,
            expires_unix_ms: None,
            handler: Recorder::default(),
        }
    }
}

/// Runs the connection of `42/phone`, whose stamp is 7.
pub(in crate::gateway::clients) fn serve<T: Transport + 'static>(transport: T, terms: Terms) -> Served {
    let key = SessionKey::new(UserId::new("42").unwrap(), DeviceId::new("phone").unwrap());
    let limits = OutboxLimits { messages_max: 8, bytes_max: 1 << 20 };
    let session = Arc::new(Session::new(
        key.clone(),
        KeyHasher::new(&[0; 32]).key(&key),
        Stamp::from_raw(7),
        None,
        limits,
        None,
    ));
    let Terms { dialect, idle, expires_unix_ms, handler } = terms;
    let handler = Arc::new(handler);
    let clock = Arc::new(FixedClock::default());
    let metrics = Arc::new(Metrics::new());
    let seconds = Duration::from_secs;
    let parts = ConnectionParts {
        resume: resume_key(),
        message_rate: None,
        timers: HeartbeatTimers { interval: seconds(25), timeout: seconds(60), idle },
        handler: handler.clone(),
        handle: NodeHandle::new(NodeName::new("n1").unwrap(), 1, Weak::new()),
        clock: clock.clone(),
        access: Arc::new(Current::new(Access::new(&auth(), None).expect("the secret is a key"))),
        login_keys: None,
        fights: Fights::new(Rate::TAKEOVERS),
        metrics: Arc::clone(&metrics),
        vitals: Vitals::new(Arc::clone(&metrics)),
        _threads: Threads::current(),
    };
    let setup = Setup { dialect, expires_unix_ms, parts: Arc::new(parts) };
    let mut connection = Connection::new(transport, Arc::clone(&session), setup);
    let task = tokio::spawn(async move {
        connection.run().await;
        connection.end().await;
    });
    Served { session, task, handler, clock, metrics }
}

/// The secret that tokens of clients are signed with.
pub(in crate::gateway::clients) const SECRET: &str = "a secret of tokens that is long enough";

fn auth() -> AuthConfig {
    AuthConfig { jwt_secrets: vec![Secret::new(SECRET)], ..AuthConfig::default() }
}

/// Signs the resume tokens of these connections.
pub(in crate::gateway::clients) fn resume_key() -> ResumeKey {
    ResumeKey::new(&[7; 32])
}

/// Pushes, and gives what the pusher is going to learn.
pub(in crate::gateway::clients) fn push(
    session: &Session,
    id: &str,
    payload: Payload,
) -> oneshot::Receiver<Outcome> {
    let (done, outcome) = oneshot::channel();
    let reply = replying(move |answer| {
        let Answer::Outcomes(mut outcomes) = answer else { panic!("one outcome was asked for") };
        let _ = done.send(outcomes.remove(0));
    });
    let message = Message::new(MessageId::new(id).unwrap(), false, payload);
    session.offer(&Arc::new(message), reply);
    outcome
}

/// A text of that length.
pub(in crate::gateway::clients) fn text(bytes: usize) -> Payload {
    Payload::text("x".repeat(bytes))
}
