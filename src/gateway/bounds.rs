//! The bounds that every request meets before anybody reads it.
//!
//! The server refuses heads beyond [`HTTP_BUFFER_BYTES`](limits::HTTP_BUFFER_BYTES) or with more
//! than 100 headers by itself, with an empty body; the smaller bounds here come first for all but
//! hostile callers, and say what to do.

use std::sync::Arc;

use axum::http::{Request, header};
use tokio::sync::OwnedSemaphorePermit;

use crate::gateway::error::ApiError;
use crate::gateway::face::Face;
use crate::gateway::serve::Crowded;
use crate::limits;

/// Refuses long URLs and headers.
pub(super) fn check_head<B>(request: &Request<B>) -> Result<(), ApiError> {
    let url = request.uri().path_and_query().map_or(0, |url| url.as_str().len());
    if url > limits::URL_BYTES_MAX {
        return Err(ApiError::uri_too_long(limits::URL_BYTES_MAX));
    }
    let headers: usize =
        request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers > limits::HEADER_BYTES_MAX {
        return Err(ApiError::headers_too_large(limits::HEADER_BYTES_MAX));
    }
    Ok(())
}

/// Refuses what would stay, where there is no place for it.
pub(super) fn check_place<B>(request: &Request<B>) -> Result<(), ApiError> {
    let stays = request.headers().contains_key(header::UPGRADE) || request.uri().path() == "/v1/push";
    if stays && request.extensions().get::<Crowded>().is_some() {
        return Err(ApiError::overloaded(
            "this node has as many connections as it may have: use another node, or try again in a second",
        ));
    }
    Ok(())
}

/// A place among the API requests in progress. Whoever works on after the answer has begun (a
/// stream, a push that nobody waits for) takes it along.
pub(super) struct InFlight {
    _permit: OwnedSemaphorePermit,
}

impl InFlight {
    /// A place, unless all are taken.
    pub(super) fn enter(face: &Face) -> Result<Self, ApiError> {
        match Arc::clone(&face.requests).try_acquire_owned() {
            Ok(permit) => Ok(Self { _permit: permit }),
            Err(_) => Err(ApiError::overloaded(
                "this node works on as many requests as it may: try again in a second",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url_bytes: usize, header_bytes: usize) -> Option<&'static str> {
        let request = Request::builder()
            .uri(format!("/{}", "x".repeat(url_bytes - 1)))
            .header("a", "y".repeat(header_bytes - 1))
            .body(())
            .unwrap();
        check_head(&request).err().map(|error| error.code())
    }

    #[test]
    fn without_a_place_a_request_may_not_stay() {
        let refusal = |path: &str, headers: &[&str], crowded| {
            let mut request = Request::builder().uri(path);
            for name in headers {
                request = request.header(*name, "x");
            }
            let mut request = request.body(()).unwrap();
            if crowded {
                request.extensions_mut().insert(Crowded);
            }
            check_place(&request).err().map(|error| error.code())
        };
        assert_eq!(refusal("/v1/ws", &["upgrade"], false), None);
        assert_eq!(refusal("/v1/ws", &["upgrade"], true), Some("overloaded"));
        assert_eq!(refusal("/v1/push", &[], false), None);
        assert_eq!(refusal("/v1/push?x", &[], true), Some("overloaded"));
        assert_eq!(refusal("/livez", &[], true), None);
        assert_eq!(refusal("/v1/users/u/push", &[], true), None);
    }

    #[test]
    fn the_bounds_of_url_and_headers_are_inclusive() {
        let (url, headers) = (limits::URL_BYTES_MAX, limits::HEADER_BYTES_MAX);
        assert_eq!(refusal(url, headers), None);
        assert_eq!(refusal(url + 1, headers), Some("uri_too_long"));
        assert_eq!(refusal(url, headers + 1), Some("headers_too_large"));
    }
}
