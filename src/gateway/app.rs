//! What happens to every request before and after its handler.
//!
//! A plain function around the routes, and not a layer of theirs: a layer costs each request some
//! allocations.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tower::ServiceExt;
use tracing::{Instrument, debug, debug_span};

use crate::gateway::bounds::{check_head, check_place};
use crate::gateway::cors::Page;
use crate::gateway::face::Face;
use crate::gateway::parts::Gateway;
use crate::gateway::phase::Phase;
use crate::gateway::schema::ErrorCode;
use crate::gateway::surface::Surface;
use crate::gateway::{api, fast_path, head, request_id, routes};
use crate::metrics::label::StatusClass;

/// The HTTP face of a node.
pub(crate) struct App {
    face: Arc<Face>,
    routes: axum::Router,
}

impl App {
    /// All routes over `gateway`.
    pub(crate) fn new(gateway: Arc<Gateway>) -> Self {
        let face = Arc::new(Face::new(gateway));
        Self { routes: routes::all(Arc::clone(&face)), face }
    }

    /// Gives a request its id, refuses a head that is too long or not understood, and what its port does not serve, and counts
    /// and logs the answer.
    pub(crate) async fn answer(self: Arc<Self>, request: Request, surface: Surface) -> Response {
        let gateway = &self.face.gateway;
        let id = request_id::choose(request.headers().get(&request_id::NAME), &gateway.entropy);
        // The path only: a query may hold a token.
        let span = debug_span!(
            "request",
            id = id.to_str().expect("an id is ASCII"),
            method = %request.method(),
            path = request.uri().path()
        );
        let page = Page::of(&request);
        async {
            let mut response = match check_head(&request)
                .and_then(|()| head::check(&request))
                .and_then(|()| surface.check(request.uri().path()))
                .and_then(|()| check_place(&request))
            {
                Ok(()) => match fast_path::target(&request) {
                    // In a box: each connection has room for what is kept while it is answered.
                    Some(target) => match api::push(&self.face, target, request).map(Box::pin) {
                        Ok(push) => push.await.into_response(),
                        Err(error) => error.into_response(),
                    },
                    None => match self.routes.clone().oneshot(request).await {
                        Ok(response) => response,
                        Err(never) => match never {},
                    },
                },
                Err(error) => error.into_response(),
            };
            let status = response.status();
            let code = response.extensions().get::<ErrorCode>().map(|code| code.as_str());
            debug!(status = status.as_u16(), code, "answered");
            gateway.metrics.api_requests.with(class(status.as_u16())).increment(1);
            response.headers_mut().insert(request_id::NAME, id);
            if let Some(page) = page {
                page.may_read(&gateway.access.get(), &mut response);
            }
            // A pool should not send its next request here, to meet a port that is closed.
            if *gateway.phase.borrow() >= Phase::Draining && status != StatusCode::SWITCHING_PROTOCOLS {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            response
        }
        .instrument(span)
        .await
    }
}

fn class(status: u16) -> StatusClass {
    match status / 100 {
        1 => StatusClass::Informational,
        2 => StatusClass::Success,
        3 => StatusClass::Redirection,
        4 => StatusClass::ClientError,
        _ => StatusClass::ServerError,
    }
}
