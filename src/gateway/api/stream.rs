//! `POST /v1/push`: many pushes over one request, as lines of JSON in both directions.
//!
//! ```text
//!   body ──► Splitter ──► line ──► Router::push ──► window of answers, in order ──► chunks ──► response
//! ```
//!
//! A line is dispatched when it is read and answered when its turn comes; a bad line is answered
//! with an error and does not end the stream. At most [`NDJSON_WINDOW`](limits::NDJSON_WINDOW)
//! lines and [`WINDOW_BYTES_MAX`] of payload wait for their answer, then the body is not read.
//!
//! Answers begin before the body ends. A caller that reads only after it has sent everything is
//! served as well while the answers fit [`ANSWER_CHUNKS_MAX`] chunks, 4 MiB or some 25,000 lines;
//! beyond that both sides would wait for the other, so that a caller with more lines has to read
//! while it sends. A caller that goes away ends the stream; what was dispatched is delivered.
//!
//! The node ends the stream when nothing has come for [`STALL_MAX`], when the body breaks off, and when it drains.
//! What was read is answered first; the last line says why, with the number of the first line that was not taken.

use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesOrdered, poll_fn};
use futures_util::{FutureExt, StreamExt};
use http_body_util::BodyExt;
use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Sleep, sleep};

use super::contact::joined;
use super::push::{note, note_broadcast};
use crate::gateway::body::STALL_MAX;
use crate::gateway::bounds::InFlight;
use crate::gateway::caller::Caller;
use crate::gateway::error::ApiError;
use crate::gateway::head::{IDEMPOTENCY_KEY, TTL};
use crate::gateway::parts::Gateway;
use crate::gateway::phase::Phase;
use crate::gateway::schema::{BroadcastAnswer, LineAnswer, LineRefused, PushAnswer, PushOutcome};
use crate::limits;
use crate::metrics::label::Task;
use crate::push::TraceContext;
use crate::vital::Vitals;

pub(super) mod fuzz;
mod line;
mod splitter;

use line::{Line, Recipients};
use splitter::{Split, Splitter};

/// `POST /v1/push`
pub(super) async fn push(Caller { gateway, place }: Caller, request: Request) -> Result<Response, ApiError> {
    let phase = *gateway.phase.borrow();
    if phase >= Phase::Draining {
        return Err(ApiError::not_ready(phase.as_str()));
    }
    says_nothing_for_all(&request)?;
    let vitals = gateway.vitals.clone();
    let payload_bytes_max = gateway.config.limits.max_payload_bytes;
    let stream = |chunks| Stream {
        phase: gateway.phase.clone(),
        trace: gateway.router.tracer().parent(request.headers()),
        gateway,
        body: request.into_body(),
        splitter: Splitter::new(line_bytes_max(payload_bytes_max)),
        window: FuturesOrdered::new(),
        window_bytes: 0,
        ready: BytesMut::new(),
        last: None,
        heard: Instant::now(),
        pause: Box::pin(sleep(STALL_MAX)),
        chunks,
        _place: place,
    };
    let body = handed_over(vitals, |chunks| stream(chunks).run());
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

/// What single pushes say in the query and in headers is a mistake here, that nobody would see.
fn says_nothing_for_all(request: &Request) -> Result<(), ApiError> {
    let query = request.uri().query().is_some_and(|query| !query.is_empty());
    let headers = [IDEMPOTENCY_KEY, TTL].iter().any(|name| request.headers().contains_key(name));
    if query || headers {
        return Err(ApiError::bad_request(
            "each line says its `wait`, `ttl` and `id` for itself: a request of many pushes has no parameters, no TTL and no \
             Idempotency-Key",
        ));
    }
    Ok(())
}

/// A body of what `work` hands over, in a task of its own. Where that panics the body breaks off: without a sign of
/// it, the answers so far would look like all of them.
fn handed_over<F>(vitals: Vitals, work: impl FnOnce(mpsc::Sender<Chunk>) -> F) -> Body
where
    F: Future<Output = ()> + Send + 'static,
{
    let (chunks, mut answers) = mpsc::channel(ANSWER_CHUNKS_MAX);
    let last = chunks.clone();
    let work = work(chunks);
    tokio::spawn(async move {
        if vitals.contained(Task::Request, work).await.is_err() {
            let _ = last.send(Err(BrokenOff)).await;
        }
    });
    Body::from_stream(poll_fn(move |cx| answers.poll_recv(cx)))
}

/// A piece of the answers.
type Chunk = Result<Bytes, BrokenOff>;

/// The answers end before their time.
#[derive(Debug, thiserror::Error)]
#[error("this node failed while it answered")]
struct BrokenOff;

/// Twice the largest payload: base64 needs a third more, JSON with quotes and line breaks up to
/// twice the text. A text of control characters would need six times, and is refused when that long.
fn line_bytes_max(payload_bytes_max: usize) -> usize {
    2 * payload_bytes_max + limits::NDJSON_LINE_OVERHEAD_BYTES
}

/// One request in progress.
struct Stream {
    gateway: Arc<Gateway>,
    /// The span of the caller.
    trace: Option<TraceContext>,
    body: Body,
    splitter: Splitter,
    /// The lines that wait for their answer.
    window: FuturesOrdered<BoxFuture<'static, Answered>>,
    /// Their payloads together.
    window_bytes: usize,
    /// Answers that are not handed over yet.
    ready: BytesMut,
    /// Why this node ends the stream. It takes no more lines, and says so when all are answered.
    last: Option<ApiError>,
    /// When something came, or when this node began to wait for it.
    heard: Instant,
    /// Runs out some time after that, and then looks again.
    pause: Pin<Box<Sleep>>,
    phase: watch::Receiver<Phase>,
    chunks: mpsc::Sender<Chunk>,
    _place: InFlight,
}

/// The answer of a line.
struct Answered {
    json: Vec<u8>,
    payload_bytes: usize,
}

/// The caller is gone.
struct Gone;

impl Stream {
    async fn run(mut self) {
        // When the caller goes away there is nobody left to tell.
        let _ = self.answer_all().await;
    }

    async fn answer_all(&mut self) -> Result<(), Gone> {
        loop {
            self.dispatch();
            if self.window.is_empty() {
                if let Some(why) = self.last.take() {
                    return self.say_goodbye(&why).await;
                }
                if self.splitter.is_done() {
                    return Ok(());
                }
            }
            // With room in the window the splitter has given all it has.
            let reads = self.has_room() && !self.splitter.is_ended() && self.last.is_none();
            if !reads {
                self.heard = Instant::now(); // The caller may be waiting for us.
            }
            tokio::select! {
                Some(answered) = self.window.next(), if !self.window.is_empty() => self.collect(answered),
                frame = self.body.frame(), if reads => match frame {
                    Some(Ok(frame)) => {
                        self.heard = Instant::now();
                        self.splitter.push(frame.into_data().unwrap_or_default());
                    }
                    Some(Err(_)) => self.last = Some(ApiError::bad_request("the body ended early or is not valid HTTP")),
                    None => self.splitter.end(),
                },
                () = &mut self.pause, if reads => self.paused(),
                phase = draining(&mut self.phase), if self.last.is_none() => {
                    self.last = Some(ApiError::not_ready(phase.as_str()));
                }
                () = self.chunks.closed() => return Err(Gone),
            }
            self.hand_over().await?;
        }
    }

    /// The timer ran out: either something came meanwhile, or the caller is given up.
    fn paused(&mut self) {
        let due = self.heard + STALL_MAX;
        if Instant::now() < due {
            self.pause.as_mut().reset(due);
        } else {
            let message =
                "the stream stalled: end it, or send spaces or blank lines while there is nothing to push";
            self.last = Some(ApiError::bad_request(message));
        }
    }

    /// Says why nothing is taken any more, from which line on.
    async fn say_goodbye(&mut self, why: &ApiError) -> Result<(), Gone> {
        let line = self.splitter.next_number();
        self.ready.extend_from_slice(&encode(&LineRefused { line, error: why.body() }));
        self.ready.extend_from_slice(b"\n");
        self.hand_over().await
    }

    fn has_room(&self) -> bool {
        self.window.len() < limits::NDJSON_WINDOW && self.window_bytes < WINDOW_BYTES_MAX
    }

    /// Sends off the lines that are complete, while there is room for their answers.
    fn dispatch(&mut self) {
        while self.has_room() && self.last.is_none() {
            let Some((number, split)) = self.splitter.next() else { return };
            let limits = &self.gateway.config.limits;
            let parsed = match split {
                Split::Line(text) => {
                    line::parse(&text, limits.max_payload_bytes, self.gateway.config.wait_default)
                }
                Split::TooLong => Err(ApiError::line_too_large(line_bytes_max(limits.max_payload_bytes))),
            };
            let answer = match parsed {
                Ok(line) => self.send(number, line),
                Err(error) => self.refused(number, &error),
            };
            self.window.push_back(answer);
        }
    }

    /// The answer of a line that is not sent off.
    fn refused(&self, number: u64, error: &ApiError) -> BoxFuture<'static, Answered> {
        self.gateway.metrics.lines_refused.increment(1);
        let json = encode(&LineRefused { line: number, error: error.body() });
        ready(Answered { json, payload_bytes: 0 }).boxed()
    }

    fn send(&mut self, number: u64, line: Line) -> BoxFuture<'static, Answered> {
        let Line { to, payload, id, terms } = line;
        let payload_bytes = payload.bytes.len();
        let target = match to {
            Recipients::Of(target) => Some(target),
            Recipients::All => match joined(&self.gateway) {
                Ok(()) => None,
                Err(error) => return self.refused(number, &error),
            },
        };
        self.window_bytes += payload_bytes;
        let gateway = Arc::clone(&self.gateway);
        let started = Instant::now();
        let message = gateway.router.message(id, payload).on(terms).traced(self.trace);
        let Some(target) = target else {
            let report = gateway.router.broadcast(message);
            let answered = report.map(move |report| {
                note_broadcast(&gateway, started);
                let answer = BroadcastAnswer::from(report);
                let json = encode(&LineAnswer { line: number, outcome: None, answer });
                Answered { json, payload_bytes }
            });
            return answered.boxed();
        };
        let report = gateway.router.push(target, message);
        // Not an async block: that would have room for the work twice.
        let answered = report.map(move |report| {
            note(&gateway, &report, started);
            let outcome = Some(PushOutcome::of(&report).into());
            let json = encode(&LineAnswer { line: number, outcome, answer: PushAnswer::from(report) });
            Answered { json, payload_bytes }
        });
        answered.boxed()
    }

    fn collect(&mut self, answered: Answered) {
        self.window_bytes -= answered.payload_bytes;
        self.ready.extend_from_slice(&answered.json);
        self.ready.extend_from_slice(b"\n");
    }

    /// Hands over the answers that are ready, together with those that follow at once.
    async fn hand_over(&mut self) -> Result<(), Gone> {
        while self.ready.len() < CHUNK_BYTES
            && !self.window.is_empty()
            && let Some(Some(answered)) = self.window.next().now_or_never()
        {
            self.collect(answered);
        }
        if self.ready.is_empty() {
            return Ok(());
        }
        let chunk = self.ready.split().freeze();
        self.chunks.send(Ok(chunk)).await.map_err(|_| Gone)
    }
}

/// Waits until the node lets everybody go.
async fn draining(phase: &mut watch::Receiver<Phase>) -> Phase {
    phase.wait_for(|phase| *phase >= Phase::Draining).await.map_or(Phase::Stopped, |phase| *phase)
}

fn encode(answer: &impl Serialize) -> Vec<u8> {
    let mut json = Vec::with_capacity(ANSWER_BYTES);
    serde_json::to_writer(&mut json, answer).expect("texts and numbers always serialise");
    json
}

/// Bytes of payload whose answers are awaited at once. Guess: 16 payloads of the default limit.
const WINDOW_BYTES_MAX: usize = 16 << 20;
/// The answer of a push to one session mostly fits.
const ANSWER_BYTES: usize = 256;
/// Answers are handed over in pieces of about this size when there are many. Guess.
const CHUNK_BYTES: usize = 16 << 10;
/// Pieces that wait for a caller who does not read: 4 MiB.
const ANSWER_CHUNKS_MAX: usize = 256;

#[cfg(test)]
pub(super) mod described;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[tokio::test]
    async fn answers_break_off_where_their_task_panics() {
        let metrics = Arc::new(Metrics::new());
        let answers = |panics: bool| {
            let work = move |chunks: mpsc::Sender<Chunk>| async move {
                chunks.send(Ok(Bytes::from_static(b"{}\n"))).await.unwrap();
                assert!(!panics, "on purpose");
            };
            handed_over(Vitals::new(Arc::clone(&metrics)), work).collect()
        };
        assert_eq!(answers(false).await.unwrap().to_bytes(), "{}\n");
        assert!(answers(true).await.is_err(), "a caller must not take them for all");
        let counted = metrics.render();
        assert!(counted.contains("pushmesh_tasks_failed_total{task=\"request\"} 1"), "{counted}");
    }
}
