//! What happens to requests before and after their handlers: one layer around everything, one around
//! what needs an API key.
//!
//! Every layer costs each request a few allocations, so that there are no more than two.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::{Instrument, debug, debug_span};

use crate::gateway::bounds::{InFlight, check_head};
use crate::gateway::error::{ApiError, ErrorCode};
use crate::gateway::{Face, auth, request_id};

/// Gives a request its id, refuses a head that is too long, and counts and logs the answer.
pub(super) async fn every(State(face): State<Arc<Face>>, request: Request, next: Next) -> Response {
    let id = request_id::choose(request.headers().get(&request_id::NAME), &face.gateway.entropy);
    // The path only: a query may hold a token.
    let span = debug_span!(
        "request",
        id = id.to_str().expect("an id is ASCII"),
        method = %request.method(),
        path = request.uri().path()
    );
    async move {
        let mut response = match check_head(&request) {
            Ok(()) => next.run(request).await,
            Err(error) => error.into_response(),
        };
        let status = response.status();
        let code = response.extensions().get::<ErrorCode>().map(|code| code.0);
        debug!(status = status.as_u16(), code, "answered");
        face.gateway.metrics.api_requests.with(class(status.as_u16())).increment(1);
        response.headers_mut().insert(request_id::NAME, id);
        response
    }
    .instrument(span)
    .await
}

/// Lets callers with an API key pass, as many at a time as may be in progress.
pub(super) async fn guarded(
    State(face): State<Arc<Face>>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    auth::api_key(&face, request.headers())?;
    let place = InFlight::enter(&face)?;
    request.extensions_mut().insert(place.clone());
    let response = next.run(request).await;
    drop(place);
    Ok(response)
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
