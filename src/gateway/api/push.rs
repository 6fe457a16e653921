//! Pushing one message: to a user, to a session, to everybody.
//!
//! The body is the payload. The answer says what happened at each session, and its status follows
//! the most favourable outcome: nothing is called delivered that was not written to a socket.

use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::FutureExt;
use tokio::time::Instant;

use super::contact::joined;
use crate::gateway::body;
use crate::gateway::caller::Caller;
use crate::gateway::error::{ApiError, BadRequest};
use crate::gateway::face::Face;
use crate::gateway::head::{IDEMPOTENCY_KEY, TTL};
use crate::gateway::parts::Gateway;
use crate::gateway::schema::{Accepted, BroadcastAnswer, PushAnswer};
use crate::gateway::url::{self, FromQuery, Params, Query, SessionPath, UserPath};
use crate::id::MessageId;
use crate::metrics::label::Task;
use crate::push::{Message, Outcome, Payload, PayloadKind, PushReport, Tally, Target, Terms, Wait};
use crate::vital::Vitals;

/// The parameters of a push.
pub(super) struct PushParams {
    wait: Waits,
}

impl FromQuery for PushParams {
    const SHARED: bool = false;

    fn from_query(query: &mut Query) -> Result<Self, BadRequest> {
        let wait = match query.take("wait")?.as_deref() {
            None => Waits::AsConfigured,
            Some("none") => Waits::Not,
            Some(word) => Waits::For(word.parse().map_err(|_| BadRequest::new(WAIT_WORDS))?),
        };
        Ok(Self { wait })
    }
}

/// What the answer waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waits {
    /// Nothing: 202 at once.
    Not,
    /// What the configuration says, because the caller does not.
    AsConfigured,
    /// This.
    For(Wait),
}

impl Waits {
    /// The level that the message travels with. Where nobody waits for the answer, owners do not wait either.
    fn level(self, configured: Wait) -> Wait {
        match self {
            Waits::Not => Wait::Receipt,
            Waits::AsConfigured => configured,
            Waits::For(wait) => wait,
        }
    }
}

/// `POST /v1/users/{user}/push`
pub(super) async fn user(
    caller: Caller,
    UserPath(user): UserPath,
    Params(params): Params<PushParams>,
    request: Request,
) -> Result<Response, ApiError> {
    push(caller, Target::User(user), params.wait, request).await
}

/// `POST /v1/users/{user}/devices/{device}/push`
pub(super) async fn session(
    caller: Caller,
    SessionPath(key): SessionPath,
    Params(params): Params<PushParams>,
    request: Request,
) -> Result<Response, ApiError> {
    push(caller, Target::Session(key), params.wait, request).await
}

/// The same two calls, from the [fast path](crate::gateway::fast_path).
pub(in crate::gateway) fn fast(
    face: &Face,
    target: Target,
    request: Request,
) -> Result<impl Future<Output = Result<Response, ApiError>> + Send + use<>, ApiError> {
    let caller = Caller::enter(request.headers(), face)?;
    let params: PushParams = url::params(request.uri())?;
    Ok(push(caller, target, params.wait, request))
}

/// `POST /v1/broadcast`
pub(super) async fn broadcast(
    caller: Caller,
    Params(params): Params<PushParams>,
    request: Request,
) -> Result<Response, ApiError> {
    let Caller { gateway, place } = caller;
    let message = read(&gateway, request, params.wait).await?;
    joined(&gateway)?;
    let id = message.id.clone();
    let started = Instant::now();
    let report = gateway.router.broadcast(message);
    let vitals = gateway.vitals.clone();
    let answer = report.map(move |report| {
        note_broadcast(&gateway, started);
        drop(place);
        report
    });
    if params.wait == Waits::Not {
        go_on(&vitals, answer);
        return Ok(accepted(id));
    }
    let answer = BroadcastAnswer::from(answer.await);
    let Tally { delivered, buffered, id_reused, acked, queued, .. } = answer.total;
    if id_reused > 0 && delivered + buffered + acked + queued == 0 {
        return Err(ApiError::id_reused().with_details(&answer));
    }
    Ok(Json(answer).into_response())
}

async fn push(caller: Caller, target: Target, wait: Waits, request: Request) -> Result<Response, ApiError> {
    let Caller { gateway, place } = caller;
    let message = read(&gateway, request, wait).await?;
    let id = message.id.clone();
    let started = Instant::now();
    let report = gateway.router.push(target, message);
    let vitals = gateway.vitals.clone();
    let answer = report.map(move |report| {
        note(&gateway, &report, started);
        drop(place);
        report
    });
    if wait == Waits::Not {
        // Somebody has to follow the session if it moved.
        go_on(&vitals, answer);
        return Ok(accepted(id));
    }
    let report = answer.await;
    let refusal = if report.is_not_stored() { Some(ApiError::not_stored()) } else { refusal(&report.best()) };
    let answer = PushAnswer::from(report);
    match refusal {
        None => Ok(Json(answer).into_response()),
        Some(error) => Err(error.with_details(&answer)),
    }
}

/// Works on after the answer, which nobody waits for. The place among the requests is the work's own, and free again
/// however that ends.
fn go_on<T: Send + 'static>(vitals: &Vitals, work: impl Future<Output = T> + Send + 'static) {
    tokio::spawn(vitals.contained(Task::Request, work));
}

fn accepted(id: MessageId) -> Response {
    (StatusCode::ACCEPTED, Json(Accepted { id })).into_response()
}

/// Counts a push that was answered.
pub(super) fn note(gateway: &Gateway, report: &PushReport, started: Instant) {
    if report.sessions.is_empty() {
        gateway.metrics.pushed(&report.best()); // The router counts by session, and there was none.
    }
    gateway.metrics.answered(started.elapsed());
}

/// Counts a broadcast that was answered.
pub(super) fn note_broadcast(gateway: &Gateway, started: Instant) {
    gateway.metrics.broadcasts.increment(1);
    gateway.metrics.answered(started.elapsed());
}

/// The error that an outcome is, unless it is none.
pub(super) fn refusal(outcome: &Outcome) -> Option<ApiError> {
    match outcome {
        Outcome::Acked
        | Outcome::Delivered
        | Outcome::Queued
        | Outcome::Buffered
        | Outcome::Copied { .. } => None,
        // The router follows those that moved; one that it could not follow is gone.
        Outcome::NoSession | Outcome::Moved { .. } => Some(ApiError::no_session()),
        Outcome::Overloaded => Some(ApiError::overloaded(
            "a queue on the way to the client is full, or as much waits for a client that is away as may: try again in a second, \
             or once it is back, and push less at once",
        )),
        Outcome::Interrupted => Some(ApiError::interrupted()),
        Outcome::Unreachable => Some(ApiError::unreachable()),
        Outcome::Unknown => Some(ApiError::isolated()),
        Outcome::NotReady => Some(ApiError::joining()),
        Outcome::IdReused => Some(ApiError::id_reused()),
    }
}

/// Reads the message of a request.
async fn read(gateway: &Gateway, request: Request, wait: Waits) -> Result<Message, ApiError> {
    let (parts, body) = request.into_parts();
    let id = idempotency_key(&parts.headers)?;
    let terms = Terms { ttl: ttl(&parts.headers)?, wait: wait.level(gateway.config.wait_default) };
    let bytes = body::read(body, gateway.config.limits.max_payload_bytes).await?;
    let payload = payload(&parts.headers, bytes)?;
    let trace = gateway.router.tracer().parent(&parts.headers);
    Ok(gateway.router.message(id, payload).on(terms).traced(trace))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<MessageId>, ApiError> {
    let Some(key) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let key = key
        .to_str()
        .map_err(|_| ApiError::bad_request("the Idempotency-Key is made of printable ASCII characters"))?;
    Ok(Some(MessageId::new(key)?))
}

/// How long the message may wait for a client that is away, in seconds.
fn ttl(headers: &HeaderMap) -> Result<Option<u32>, ApiError> {
    let Some(ttl) = headers.get(TTL) else { return Ok(None) };
    let digits = ttl.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let seconds = digits.and_then(|digits| digits.parse().ok());
    let message = "the TTL header is a number of whole seconds, below 4294967296: how long the message may wait for a \
                   client that is away";
    seconds.map(Some).ok_or_else(|| ApiError::bad_request(message))
}

fn payload(headers: &HeaderMap, bytes: Bytes) -> Result<Payload, ApiError> {
    let content_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/octet-stream") {
        return Ok(Payload::binary(bytes));
    }
    if std::str::from_utf8(&bytes).is_err() {
        let message = "the body is not UTF-8: for binary data set `Content-Type: application/octet-stream`";
        return Err(ApiError::bad_request(message));
    }
    Ok(Payload { kind: PayloadKind::Text, bytes })
}

/// What is said to a caller whose `wait` is none of these.
const WAIT_WORDS: &str = "wait is `none`, `receipt`, `stored` or `acked`";

#[cfg(test)]
pub(super) mod described;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::push::Reached;

    fn headers(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, header::HeaderValue::from_static(value))])
    }

    #[test]
    fn the_content_type_decides_how_the_payload_is_framed() {
        let kind = |value, bytes: &'static [u8]| {
            payload(&headers(header::CONTENT_TYPE, value), Bytes::from_static(bytes))
                .map(|payload| payload.kind)
        };
        assert_eq!(kind("application/octet-stream", b"\xff").unwrap(), PayloadKind::Binary);
        assert_eq!(kind("Application/Octet-Stream; x=y", b"").unwrap(), PayloadKind::Binary);
        assert_eq!(kind("application/json", b"{}").unwrap(), PayloadKind::Text);
        assert_eq!(kind("", b"hi").unwrap(), PayloadKind::Text);
        assert_eq!(kind("text/plain", b"\xff").unwrap_err().code(), "bad_request");
    }

    #[test]
    fn an_idempotency_key_is_an_id() {
        let name = IDEMPOTENCY_KEY;
        assert_eq!(idempotency_key(&HeaderMap::new()).unwrap(), None);
        let key = idempotency_key(&headers(name.clone(), "order-7")).unwrap();
        assert_eq!(key, Some(MessageId::new("order-7").unwrap()));
        assert_eq!(idempotency_key(&headers(name.clone(), "")).unwrap_err().code(), "bad_request");
        assert_eq!(idempotency_key(&headers(name, "a b")).unwrap_err().code(), "bad_request");
    }

    #[test]
    fn each_outcome_has_its_error_or_none() {
        let code = |outcome| refusal(&outcome).map(|error| error.code());
        assert_eq!(code(Outcome::Delivered), None);
        assert_eq!(code(Outcome::Buffered), None);
        assert_eq!(code(Outcome::Copied { reached: Reached::Buffered, copies: 1 }), None);
        assert_eq!(code(Outcome::NoSession), Some("no_session"));
        assert_eq!(code(Outcome::Overloaded), Some("overloaded"));
        assert_eq!(code(Outcome::Interrupted), Some("interrupted"));
        assert_eq!(code(Outcome::Unreachable), Some("unreachable"));
        assert_eq!(code(Outcome::Unknown), Some("isolated"));
        assert_eq!(code(Outcome::NotReady), Some("not_ready"));
        assert_eq!(code(Outcome::IdReused), Some("id_reused"));
    }
}
