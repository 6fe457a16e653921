//! One route of the HTTP face, as the tables of routes name it.

use std::sync::Arc;

use axum::http::{HeaderName, header};

use crate::gateway::face::Face;

/// One method of one path.
pub(super) struct Route {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) handler: axum::routing::MethodRouter<Arc<Face>>,
}

impl Route {
    /// A call that reads.
    pub(super) fn get<T: 'static>(
        path: &'static str,
        handler: impl axum::handler::Handler<T, Arc<Face>>,
    ) -> Self {
        Self { method: "get", path, handler: axum::routing::get(handler) }
    }

    /// A call that does something.
    pub(super) fn post<T: 'static>(
        path: &'static str,
        handler: impl axum::handler::Handler<T, Arc<Face>>,
    ) -> Self {
        Self { method: "post", path, handler: axum::routing::post(handler) }
    }

    /// A call that tools look at before they make it.
    pub(super) fn probe<T: 'static>(
        path: &'static str,
        handler: impl axum::handler::Handler<T, Arc<Face>>,
    ) -> Self {
        Self { method: "get", path, handler: axum::routing::get(handler).options(allow_probe) }
    }

    /// A call that takes something away.
    pub(super) fn delete<T: 'static>(
        path: &'static str,
        handler: impl axum::handler::Handler<T, Arc<Face>>,
    ) -> Self {
        Self { method: "delete", path, handler: axum::routing::delete(handler) }
    }
}

async fn allow_probe() -> [(HeaderName, &'static str); 1] {
    [(header::ALLOW, "GET,HEAD,OPTIONS")]
}
