//! The id by which one request is found in answers and logs.
//!
//! A caller may bring its own in `x-request-id`; what is not 1 to 64 printable ASCII characters is
//! replaced, never reflected. It is in the span of everything that is logged for the request.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::{Instrument, debug, info_span};

use crate::gateway::Face;
use crate::gateway::error::ErrorCode;
use crate::wire::Entropy;

/// Gives the request its id, and counts and logs its answer.
pub(super) async fn layer(State(face): State<Arc<Face>>, request: Request, next: Next) -> Response {
    let id = choose(request.headers().get(&NAME), &face.gateway.entropy);
    // The path only: a query may hold a token.
    let span = info_span!(
        "request",
        id = id.to_str().expect("an id is ASCII"),
        method = %request.method(),
        path = request.uri().path()
    );
    async move {
        let mut response = next.run(request).await;
        let status = response.status();
        let code = response.extensions().get::<ErrorCode>().map(|code| code.0);
        debug!(status = status.as_u16(), code, "answered");
        face.gateway.metrics.api_requests.with(class(status.as_u16())).increment(1);
        response.headers_mut().insert(NAME, id);
        response
    }
    .instrument(span)
    .await
}

fn choose(brought: Option<&HeaderValue>, entropy: &Entropy) -> HeaderValue {
    let good = |value: &&HeaderValue| {
        (1..=BYTES_MAX).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    brought.filter(good).cloned().unwrap_or_else(|| {
        HeaderValue::from_str(&format!("{:016x}", entropy.next_u64()))
            .expect("hexadecimal digits are a valid header value")
    })
}

fn class(status: u16) -> &'static str {
    match status / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

const NAME: HeaderName = HeaderName::from_static("x-request-id");
/// Guess: a UUID or a trace id with a prefix fits.
const BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_id_is_kept_and_a_bad_one_replaced() {
        let entropy = Entropy::new([1; 32]);
        let good = HeaderValue::from_static("trace-1");
        assert_eq!(choose(Some(&good), &entropy), good);
        let long = HeaderValue::from_str(&"x".repeat(BYTES_MAX + 1)).unwrap();
        let spaced = HeaderValue::from_static("a b");
        for bad in [None, Some(&long), Some(&spaced), Some(&HeaderValue::from_static(""))] {
            assert_eq!(choose(bad, &entropy).len(), 16);
        }
    }
}
