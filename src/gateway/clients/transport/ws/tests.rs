//! A WebSocket over a pipe, with a client of the library at the other end. Time is virtual.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

use crate::gateway::clients::connection::tests::fixture::{
    FixedClock, OwnCodes, Recorder, Served, Terms, push, resume_key, serve, text,
};
use crate::gateway::clients::dialect::{self, Dialect};
use crate::gateway::clients::run;
use crate::gateway::clients::transport::ws::shared_stream::SharedStream;
use crate::gateway::clients::transport::ws::socket::WebSocket;
use crate::gateway::clients::transport::ws::upgrade::socket_config;
use crate::id::{DeviceId, Stamp, UserId};
use crate::limits;
use crate::metrics::Metrics;
use crate::push::{Outcome, Payload};
use crate::session::{CloseReason, Session};
use crate::token::Resumed;

mod direct;
mod enveloped;

struct Options {
    dialect: &'static dyn Dialect,
    /// Whether messages may be written directly.
    direct: bool,
    pipe_bytes: usize,
    idle: Option<Duration>,
    expires_unix_ms: Option<u64>,
    handler: Recorder,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            dialect: dialect::named(None),
            direct: true,
            pipe_bytes: 64 << 10,
            idle: None,
            expires_unix_ms: None,
            handler: Recorder::default(),
        }
    }
}

struct Fixture {
    session: Arc<Session>,
    client: WebSocketStream<DuplexStream>,
    task: JoinHandle<()>,
    handler: Arc<Recorder>,
    clock: Arc<FixedClock>,
    metrics: Arc<Metrics>,
}

async fn connect(options: Options) -> Fixture {
    let (server, client) = tokio::io::duplex(options.pipe_bytes);
    let config = socket_config(MESSAGE_BYTES_MAX);
    let server = SharedStream::new(server);
    let direct = options.direct.then(|| server.direct());
    let server = WebSocketStream::from_raw_socket(server, Role::Server, Some(config)).await;
    let client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
    let Options { dialect, idle, expires_unix_ms, handler, .. } = options;
    let terms = Terms { dialect, idle, expires_unix_ms, handler };
    let Served { session, task, handler, clock, metrics } = serve(WebSocket::new(server, direct), terms);
    Fixture { session, client, task, handler, clock, metrics }
}

impl Fixture {
    /// Pushes, and gives what the pusher is going to learn.
    fn push(&self, id: &str, payload: Payload) -> oneshot::Receiver<Outcome> {
        push(&self.session, id, payload)
    }

    async fn receive(&mut self) -> Frame {
        self.client.next().await.unwrap().unwrap()
    }

    async fn receive_json(&mut self) -> serde_json::Value {
        serde_json::from_str(self.receive().await.to_text().unwrap()).unwrap()
    }

    async fn receive_close(&mut self) -> (u16, String) {
        loop {
            if let Frame::Close(Some(CloseFrame { code, reason })) = self.receive().await {
                return (code.into(), reason.to_string());
            }
        }
    }

    async fn send(&mut self, frame: impl Into<Frame>) {
        self.client.send(frame.into()).await.unwrap();
    }

    /// The client closes its side and the task comes to its end.
    async fn ended(self) -> Vec<String> {
        drop(self.client);
        self.task.await.unwrap();
        self.handler.calls.lock().unwrap().clone()
    }
}

/// What every client costs beside its socket, its read buffer and its place in the directory.
#[test]
fn the_task_of_a_session_has_room_for_what_it_always_needs_only() {
    let bytes = run::future_bytes::<WebSocket<TokioIo<Upgraded>>>();
    assert!((512..=1_024).contains(&bytes), "{bytes}");
}

#[tokio::test(start_paused = true)]
async fn a_payload_arrives_as_it_was_pushed_and_counts_as_delivered() {
    let mut fixture = connect(Options::default()).await;
    let first = fixture.push("m1", Payload::text("hi"));
    let second = fixture.push("m2", Payload::binary(vec![0, 255]));
    assert_eq!(fixture.receive().await, Frame::text("hi"));
    assert_eq!(fixture.receive().await, Frame::binary(vec![0, 255]));
    assert_eq!(first.await, Ok(Outcome::Delivered));
    assert_eq!(second.await, Ok(Outcome::Delivered));
}

#[tokio::test(start_paused = true)]
async fn what_the_socket_does_not_take_is_buffered_and_still_arrives() {
    let mut fixture = connect(Options { pipe_bytes: 1_000, ..Options::default() }).await;
    let started = Instant::now();
    let stuck = fixture.push("m1", text(5_000));
    tokio::task::yield_now().await;
    let behind = fixture.push("m2", text(10));
    assert_eq!(stuck.await, Ok(Outcome::Buffered));
    assert_eq!(behind.await, Ok(Outcome::Buffered));
    assert_eq!(started.elapsed().as_secs(), limits::BUFFERED_AFTER.as_secs());
    assert_eq!(fixture.receive().await.len(), 5_000);
    assert_eq!(fixture.receive().await.len(), 10);
    assert_eq!(fixture.push("m3", text(1)).await, Ok(Outcome::Delivered));
}

#[tokio::test(start_paused = true)]
async fn a_close_ends_a_stalled_write_and_the_client_may_still_learn_why() {
    let mut fixture = connect(Options { pipe_bytes: 1_000, ..Options::default() }).await;
    let stuck = fixture.push("m1", text(5_000));
    tokio::task::yield_now().await;
    let queued = fixture.push("m2", text(10));
    fixture.session.close(CloseReason::SlowConsumer);
    assert_eq!(queued.await, Ok(Outcome::Overloaded));
    assert_eq!(stuck.await, Ok(Outcome::Interrupted), "it may or may not arrive");
    assert_eq!(fixture.receive_close().await, (4004, "slow consumer".to_owned()));
    assert_eq!(fixture.ended().await.last().unwrap(), "disconnect 4004");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_reads_can_not_hold_a_closed_connection() {
    let fixture = connect(Options { pipe_bytes: 1_000, ..Options::default() }).await;
    let stuck = fixture.push("m1", text(5_000));
    tokio::task::yield_now().await;
    let started = Instant::now();
    fixture.session.close(CloseReason::Kicked);
    assert_eq!(stuck.await, Ok(Outcome::Buffered), "a kick lets the write go on for a moment");
    fixture.task.await.unwrap();
    assert!(
        started.elapsed() <= 2 * limits::CLOSE_TIMEOUT + Duration::from_millis(10),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_kick_comes_after_what_was_pushed_before_it() {
    let mut fixture = connect(Options::default()).await;
    let pushed = fixture.push("m1", Payload::text("last words"));
    fixture.session.close(CloseReason::Kicked);
    assert_eq!(fixture.receive().await, Frame::text("last words"));
    assert_eq!(fixture.receive_close().await, (4002, "kicked".to_owned()));
    assert_eq!(pushed.await, Ok(Outcome::Delivered));
    assert_eq!(fixture.push("m2", text(1)).await, Ok(Outcome::NoSession));
}

#[tokio::test(start_paused = true)]
async fn a_dialect_has_its_own_close_codes_and_the_handler_learns_the_documented_one() {
    let mut fixture = connect(Options { dialect: &OwnCodes, ..Options::default() }).await;
    fixture.session.close(CloseReason::Kicked);
    assert_eq!(fixture.receive_close().await, (4999, "bye: kicked".to_owned()));
    assert_eq!(fixture.ended().await.last().unwrap(), "disconnect 4002");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_too_big_is_answered_with_1009_although_it_is_never_read() {
    let fixture = connect(Options { pipe_bytes: 2_000, ..Options::default() }).await;
    let (mut write, mut read) = fixture.client.split();
    let big = tokio::spawn(async move { write.send(Frame::binary(vec![0; 100_000])).await });
    let close = loop {
        if let Frame::Close(close) = read.next().await.unwrap().unwrap() {
            break close.unwrap();
        }
    };
    assert_eq!(u16::from(close.code), 1009);
    assert!(big.await.unwrap().is_ok(), "the rest is read and thrown away");
    assert!(fixture.metrics.render().contains("pushmesh_client_errors_total{code=\"too_big\"} 1"));
    drop(read);
    fixture.task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_not_websocket_and_what_is_not_text_have_their_codes() {
    // A text frame of one byte that is not UTF-8, and a frame with a reserved bit; masked with 0.
    for (bytes, code) in [([0x81, 0x81, 0, 0, 0, 0, 0xff], 1007), ([0xc1, 0x81, 0, 0, 0, 0, b'x'], 1002)] {
        let mut fixture = connect(Options::default()).await;
        tokio::io::AsyncWriteExt::write_all(fixture.client.get_mut(), &bytes).await.unwrap();
        assert_eq!(fixture.receive_close().await.0, code);
        assert_eq!(fixture.ended().await.last().unwrap(), &format!("disconnect {code}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_with_a_code_that_nobody_may_send_is_an_error_of_the_protocol() {
    for (code, good) in [
        (0, false),
        (999, false),
        (1000, true),
        (1001, true),
        (1002, true),
        (1004, false),
        (1005, false),
        (1006, false),
        (1015, false),
        (1016, false),
        (2999, false),
        (3000, true),
        (4999, true),
        (5000, false),
        (65535, false),
    ] {
        let mut fixture = connect(Options::default()).await;
        let [high, low] = u16::to_be_bytes(code);
        let frame = [0x88, 0x82, 0, 0, 0, 0, high, low];
        tokio::io::AsyncWriteExt::write_all(fixture.client.get_mut(), &frame).await.unwrap();
        let answer = fixture.receive_close().await.0;
        assert_eq!(answer, if good { code } else { 1002 }, "{code}");
        let metrics = Arc::clone(&fixture.metrics);
        let told = if good { 1000 } else { 1002 };
        assert_eq!(fixture.ended().await.last().unwrap(), &format!("disconnect {told}"), "{code}");
        let errors = format!("pushmesh_client_errors_total{{code=\"protocol_error\"}} {}", u8::from(!good));
        assert!(metrics.render().contains(&errors), "{code}");
        let gone = format!("pushmesh_connections_closed_total{{reason=\"client_gone\"}} {}", u8::from(good));
        assert!(metrics.render().contains(&gone), "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_pings_stays_and_a_silent_one_does_not() {
    let mut fixture = connect(Options::default()).await;
    let awake = timeout(Duration::from_secs(200), async {
        loop {
            assert!(matches!(fixture.receive().await, Frame::Ping(_)));
        }
    });
    assert!(awake.await.is_err(), "it was never closed");
    let started = Instant::now();
    fixture.session.closed().await; // The client is not polled, and answers nothing.
    assert!(started.elapsed() <= Duration::from_secs(60));
    assert_eq!(fixture.receive_close().await, (1008, "heartbeat timeout".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_is_alive_and_one_that_does_not_read_is_not() {
    let mut fixture = connect(Options { pipe_bytes: 100, ..Options::default() }).await;
    let _slow = fixture.push("m1", text(100_000));
    let mut some = [0; 100];
    for _ in 0..200 {
        tokio::io::AsyncReadExt::read(fixture.client.get_mut(), &mut some).await.unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert_eq!(fixture.session.closing(), None);
    let started = Instant::now();
    fixture.session.closed().await;
    assert_eq!(fixture.session.closing(), Some(CloseReason::HeartbeatTimeout));
    assert!(started.elapsed() <= Duration::from_secs(62));
}

#[tokio::test(start_paused = true)]
async fn a_ping_that_is_due_while_a_message_is_being_written_follows_it() {
    let mut fixture = connect(Options { pipe_bytes: 1_000, ..Options::default() }).await;
    let (opened, second) = (Instant::now(), Duration::from_secs(1));
    sleep_until(opened + 25 * second - second / 2).await;
    let outcome = fixture.push("m1", text(5_000));
    sleep_until(opened + 25 * second + second / 4).await;
    assert_eq!(fixture.receive().await.len(), 5_000);
    assert_eq!(outcome.await, Ok(Outcome::Delivered));
    assert_eq!(fixture.receive().await, Frame::Ping(Bytes::new()));
    assert!(opened.elapsed() < 26 * second, "the next one would be due at 50 s");
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_when_its_token_expires_by_the_wall_clock() {
    let mut fixture = connect(Options { expires_unix_ms: Some(90_000), ..Options::default() }).await;
    // 90 s pass, but the wall clock stands still: the token is still good.
    let early =
        timeout(Duration::from_secs(95), async { while let Frame::Ping(_) = fixture.receive().await {} });
    assert!(early.await.is_err());
    // Clients whose tokens expire together are not closed together.
    fixture.clock.0.store(90_000 + 5_000, Ordering::Relaxed);
    let (code, reason) = fixture.receive_close().await;
    assert!(code == 4003 && reason.starts_with("{\"retry_ms\":"), "{code} {reason}");
}

#[tokio::test(start_paused = true)]
async fn a_handler_sees_the_session_from_its_begin_to_its_end() {
    let mut fixture = connect(Options::default()).await;
    fixture.send("a").await;
    fixture.send(vec![0, 255]).await;
    fixture.client.close(None).await.unwrap();
    while fixture.client.next().await.is_some() {}
    let expected = ["connect 42/phone", "message b\"a\"", "message b\"\\0\\xff\"", "disconnect 1000"];
    assert_eq!(fixture.ended().await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_ends_its_session_and_no_more() {
    for (panics, code, calls) in [
        ("connect", 1011, &["connect 42/phone"][..]),
        ("message", 1011, &["connect 42/phone", "message b\"m\"", "disconnect 1011"]),
        ("disconnect", 1000, &["connect 42/phone", "message b\"m\"", "disconnect 1000"]),
    ] {
        let handler = Recorder { panics: Some(panics), ..Recorder::default() };
        let mut fixture = connect(Options { handler, ..Options::default() }).await;
        if panics != "connect" {
            fixture.client.send(Frame::text("m")).await.unwrap();
        }
        if panics == "disconnect" {
            fixture.client.close(None).await.unwrap();
        }
        let mut seen = None;
        let reading = async {
            while let Some(Ok(frame)) = fixture.client.next().await {
                if let Frame::Close(frame) = frame {
                    seen = frame.map(|frame| (u16::from(frame.code), frame.reason.to_string()));
                }
            }
        };
        timeout(Duration::from_secs(9), reading).await.expect("the connection ends");
        if code == 1011 {
            assert_eq!(seen, Some((1011, "internal error".to_owned())), "{panics}");
        }
        fixture.task.await.expect("the task of the session ends well");
        assert_eq!(*fixture.handler.calls.lock().unwrap(), calls);
        let counted = fixture.metrics.render();
        assert!(counted.contains("pushmesh_tasks_failed_total{task=\"handler\"} 1"), "{counted}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_the_handler_refuses_is_closed_with_its_reason() {
    let handler = Recorder { refuses: Some("not today"), ..Recorder::default() };
    let mut fixture = connect(Options { handler, ..Options::default() }).await;
    let pushed = fixture.push("m1", Payload::text("secret"));
    assert_eq!(fixture.receive_close().await, (1008, "not today".to_owned()));
    assert_eq!(pushed.await, Ok(Outcome::NoSession));
    assert_eq!(fixture.ended().await, ["connect 42/phone"]);
}

#[tokio::test(start_paused = true)]
async fn pushes_and_a_close_do_not_wait_for_a_slow_handler_that_is_never_cancelled() {
    let handler = Recorder { gate: Some(Notify::new()), ..Recorder::default() };
    let mut fixture = connect(Options { handler, ..Options::default() }).await;
    fixture.send("a").await;
    assert_eq!(fixture.push("m1", Payload::text("hi")).await, Ok(Outcome::Delivered));
    fixture.session.close(CloseReason::Kicked);
    assert_eq!(fixture.receive_close().await.0, 4002);
    fixture.handler.gate.as_ref().unwrap().notify_one();
    assert_eq!(fixture.ended().await, ["connect 42/phone", "message b\"a\"", "disconnect 4002"]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_vanishes_ends_the_session_and_interrupts_what_was_being_written() {
    let fixture = connect(Options { pipe_bytes: 1_000, ..Options::default() }).await;
    let stuck = fixture.push("m1", text(5_000));
    tokio::task::yield_now().await;
    assert_eq!(fixture.ended().await, ["connect 42/phone", "disconnect 1000"]);
    assert_eq!(stuck.await, Ok(Outcome::Interrupted));
}

/// The limit of the client's messages in these tests.
const MESSAGE_BYTES_MAX: usize = 1_000;
