//! Reading the body of a request, up to a bound.
//!
//! The bound holds while reading: nothing beyond it is kept. What is left of a body that is too long, or that
//! nobody wants, is thrown away by the connection after the answer.
//!
//! `Limited` of http-body-util has the bound, but gathers whatever the pauses are, and its error has to be told from
//! others by a downcast: more code than the comparison here.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::time::timeout;

use crate::gateway::data;
use crate::gateway::error::ApiError;
use crate::limits;

/// The whole body, of at most `bytes_max` bytes, which are those of a payload.
pub(super) async fn read(body: Body, bytes_max: usize) -> Result<Bytes, ApiError> {
    read_bounded(body, bytes_max, |_| ApiError::payload_too_large(bytes_max)).await
}

/// The whole body, of at most `bytes_max` bytes. One that has more is refused as `too_large` says, by how many it has as far
/// as that is known.
pub(super) async fn read_bounded(
    mut body: Body,
    bytes_max: usize,
    too_large: impl FnOnce(usize) -> ApiError,
) -> Result<Bytes, ApiError> {
    // The lower bound is the Content-Length, where there is one.
    let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if declared > bytes_max {
        return Err(too_large(declared));
    }
    let mut first = Bytes::new();
    let mut gathered = BytesMut::new();
    while let Some(chunk) = next(&mut body).await? {
        let len = first.len() + gathered.len() + chunk.len();
        if len > bytes_max {
            return Err(too_large(len));
        }
        if first.is_empty() && gathered.is_empty() {
            first = chunk;
        } else {
            if gathered.is_empty() {
                gathered.reserve(declared.max(first.len() + chunk.len()));
                gathered.extend_from_slice(&std::mem::take(&mut first));
            }
            gathered.extend_from_slice(&chunk);
        }
    }
    Ok(if gathered.is_empty() { data::compact(first) } else { gathered.freeze() })
}

/// The next piece of the body that is not empty.
async fn next(body: &mut Body) -> Result<Option<Bytes>, ApiError> {
    loop {
        let frame = timeout(STALL_MAX, body.frame()).await;
        let frame =
            frame.map_err(|_| ApiError::bad_request("the body stalled: send it without long pauses"))?;
        match frame.transpose() {
            Ok(None) => return Ok(None),
            Ok(Some(frame)) => match frame.into_data() {
                Ok(data) if !data.is_empty() => return Ok(Some(data)),
                _ => {} // Trailers say nothing to us.
            },
            Err(_) => return Err(ApiError::bad_request("the body ended early or is not valid HTTP")),
        }
    }
}

/// The longest pause within a body. Source: the same as for a head.
pub(super) const STALL_MAX: Duration = limits::HTTP_HEADER_TIMEOUT;

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;

    fn chunked(chunks: &[&'static str]) -> Body {
        let chunks: Vec<_> = chunks.iter().map(|chunk| Ok::<_, std::convert::Infallible>(*chunk)).collect();
        Body::from_stream(stream::iter(chunks))
    }

    async fn code(body: Body, bytes_max: usize) -> Result<Bytes, &'static str> {
        read(body, bytes_max).await.map_err(|error| error.code())
    }

    #[tokio::test]
    async fn the_bound_is_inclusive_with_and_without_a_declared_length() {
        assert_eq!(code(Body::from("abcd"), 4).await, Ok(Bytes::from("abcd")));
        assert_eq!(code(Body::from("abcde"), 4).await, Err("payload_too_large"));
        assert_eq!(code(chunked(&["ab", "", "cd"]), 4).await, Ok(Bytes::from("abcd")));
        assert_eq!(code(chunked(&["ab", "cd", "e"]), 4).await, Err("payload_too_large"));
        assert_eq!(code(Body::empty(), 4).await, Ok(Bytes::new()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_is_given_up() {
        let stalled = Body::from_stream(stream::pending::<Result<Bytes, std::convert::Infallible>>());
        assert_eq!(code(stalled, 4).await, Err("bad_request"));
    }
}
