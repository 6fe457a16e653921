//! The body of a request, which tells when nobody read it to its end, and whether the caller is waited for.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use axum::http::{Request, header};
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::pace::Pace;

/// A body as it arrives.
pub(super) struct Arrival {
    body: Incoming,
    pace: Arc<Pace>,
    /// The caller waits for a word before it sends.
    asks: bool,
    /// It was read to its end.
    ended: bool,
    /// It is not as HTTP has it, and whatever follows can not be understood.
    broken: bool,
}

impl Arrival {
    /// The body of a request, as the routes take it.
    pub(super) fn body(request: Request<Incoming>, pace: &Arc<Pace>) -> Request<axum::body::Body> {
        pace.set_at_work(true);
        let asks = request.headers().contains_key(header::EXPECT);
        request.map(|body| {
            if body.is_end_stream() {
                return axum::body::Body::empty();
            }
            axum::body::Body::new(Self { body, pace: Arc::clone(pace), asks, ended: false, broken: false })
        })
    }

    /// Reads what is there already: a small body that nobody wants costs no connection.
    fn skim(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        while !self.is_read() && matches!(Pin::new(&mut *self).poll_frame(&mut cx), Poll::Ready(Some(Ok(_))))
        {
        }
    }

    fn is_read(&self) -> bool {
        !self.broken && (self.ended || self.body.is_end_stream())
    }
}

impl Body for Arrival {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.pace.set_at_work(frame.is_ready());
        let frame = ready!(frame);
        self.ended = frame.is_none();
        self.broken |= matches!(frame, Some(Err(_)));
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        // Reading would tell a caller that asks to go on.
        if !self.asks {
            self.skim();
        }
        if !self.is_read() {
            self.pace.leave_unread();
        }
        self.pace.set_at_work(true);
    }
}
