//! The body of a request, which tells when nobody read it to its end, and whether the caller is waited for.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};

use axum::http::{Request, header};
use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::task::yield_now;

use super::pace::Pace;
use super::stage::Stage;

/// A body as it arrives.
pub(super) struct Arrival {
    /// Until it is dropped.
    body: Option<Incoming>,
    pace: Arc<Pace>,
    rest: Arc<Rest>,
    /// The caller waits for a word before it sends.
    asks: bool,
    /// It was read to its end.
    ended: bool,
    /// It is not as HTTP has it, and whatever follows cannot be understood.
    broken: bool,
}

/// What nobody has read of a body.
#[derive(Default)]
pub(super) struct Rest(Mutex<Option<Incoming>>);

impl Rest {
    /// Reads what is there already, and tells whether that was the rest of it: a small body that nobody wants costs no
    /// connection.
    pub(super) async fn skim(&self) -> bool {
        let Some(mut body) = self.lock().take() else { return false };
        let (mut left, mut yielded) = (SKIM_BYTES_MAX, false);
        loop {
            match body.frame().now_or_never() {
                // The connection brings a part whenever it has its turn.
                None if !yielded => {
                    yield_now().await;
                    yielded = true;
                }
                None | Some(Some(Err(_))) => return false,
                Some(None) => return true,
                Some(Some(Ok(frame))) => {
                    let bytes = frame.data_ref().map_or(0, Bytes::len);
                    let Some(fewer) = left.checked_sub(bytes) else { return false };
                    (left, yielded) = (fewer, false);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Incoming>> {
        self.0.lock().expect("no panic happens under this lock")
    }
}

impl Arrival {
    /// The body of a request, as the routes take it, and what they leave of it, if there is one.
    pub(super) fn body(
        request: Request<Incoming>,
        pace: &Arc<Pace>,
    ) -> (Request<axum::body::Body>, Option<Arc<Rest>>) {
        pace.set_stage(Stage::Working);
        if request.body().is_end_stream() {
            return (request.map(|_| axum::body::Body::empty()), None);
        }
        let asks = request.headers().contains_key(header::EXPECT);
        let rest = Arc::new(Rest::default());
        let (pace, shared) = (Arc::clone(pace), Arc::clone(&rest));
        let arrival = |body| Self { body: Some(body), pace, rest: shared, asks, ended: false, broken: false };
        (request.map(|body| axum::body::Body::new(arrival(body))), Some(rest))
    }
}

impl Body for Arrival {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = Pin::new(body).poll_frame(cx);
        self.pace.set_stage(if frame.is_ready() { Stage::Working } else { Stage::Body });
        let frame = ready!(frame);
        self.ended = frame.is_none();
        self.broken |= matches!(frame, Some(Err(_)));
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Incoming::size_hint).unwrap_or_default()
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        if self.broken || !(self.ended || self.is_end_stream()) {
            self.pace.leave_unread();
            // Reading would tell a caller that asks to go on.
            if !self.asks && !self.broken {
                *self.rest.lock() = self.body.take();
            }
        }
        self.pace.set_stage(Stage::Working);
    }
}

/// Bytes that are read though nobody wants them. Source: what hyper has read with the head, at most.
const SKIM_BYTES_MAX: usize = crate::limits::HTTP_BUFFER_BYTES;
