//! All routes of the HTTP face in one table, and what is told where there is none.
//!
//! `openapi.json` is made of it.

use std::sync::Arc;

use tracing::debug;

use crate::gateway::clients::transport::ws;
use crate::gateway::error::ApiError;
use crate::gateway::face::Face;
use crate::gateway::route::{Route, routes};
use crate::gateway::{api, openapi};

/// All routes over `face`.
pub(super) fn all(face: Arc<Face>) -> axum::Router {
    add(add(axum::Router::new(), api::guarded()), open())
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .with_state(face)
}

/// The routes that need no API key. WebSockets bring a token of their own.
pub(super) fn open() -> Vec<Route> {
    let mut routes = api::open();
    routes.extend(routes![
        probe "/openapi.json" => openapi::show,
        upgrade "/v1/ws" => ws::open,
    ]);
    routes
}

fn add(router: axum::Router<Arc<Face>>, routes: Vec<Route>) -> axum::Router<Arc<Face>> {
    routes.into_iter().fold(router, |router, route| {
        debug!(method = route.method, path = route.path, "serving");
        router.route(route.path, route.handler)
    })
}

async fn unknown_route() -> ApiError {
    ApiError::not_found()
}

async fn wrong_method() -> ApiError {
    ApiError::method_not_allowed()
}
