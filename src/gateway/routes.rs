//! All routes of the HTTP face in one table, and what is told where there is none.
//!
//! `openapi.json` is made of it.

use std::panic::resume_unwind;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;
use tower::util::MapFutureLayer;
use tracing::{Instrument, debug};

use crate::gateway::clients::transport::ws;
use crate::gateway::error::ApiError;
use crate::gateway::face::Face;
use crate::gateway::route::{Route, routes};
use crate::gateway::{api, openapi};

/// All routes over `face`.
pub(super) fn all(face: Arc<Face>) -> axum::Router {
    let routes = api::guarded().into_iter().chain(open());
    let control = face.gateway.threads.control();
    routes
        .fold(axum::Router::new(), |router, route| add(router, route, control))
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

fn add(router: axum::Router<Arc<Face>>, route: Route, control: &Handle) -> axum::Router<Arc<Face>> {
    let Route { method, path, handler, aside, .. } = route;
    debug!(method, path, "serving");
    router.route(path, if aside { handler.layer(on(control.clone())) } else { handler })
}

/// Handles requests on that thread.
fn on<F>(thread: Handle) -> MapFutureLayer<impl Fn(F) -> BoxFuture<'static, F::Output> + Clone>
where
    F: Future<Output: Send> + Send + 'static,
{
    MapFutureLayer::new(move |work: F| {
        let work = AbortOnDropHandle::new(thread.spawn(work.in_current_span()));
        async move {
            match work.await.map_err(JoinError::try_into_panic) {
                Ok(done) => done,
                Err(Ok(panic)) => resume_unwind(panic),
                // Its thread has ended, and the node with it.
                Err(Err(_)) => std::future::pending().await,
            }
        }
        .boxed()
    })
}

async fn unknown_route() -> ApiError {
    ApiError::not_found()
}

async fn wrong_method() -> ApiError {
    ApiError::method_not_allowed()
}

#[cfg(test)]
mod tests {
    use std::thread;

    use axum::body::{Body, to_bytes};
    use axum::extract::Request;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;
    use crate::wire::Threads;

    async fn where_am_i() -> String {
        thread::current().name().unwrap_or_default().to_owned()
    }

    async fn fail() -> String {
        panic!("on purpose")
    }

    #[tokio::test]
    async fn what_reads_much_is_handled_beside_the_threads_that_carry_pushes() {
        let threads = Threads::start(1).unwrap();
        let router = axum::Router::new()
            .route("/push", get(where_am_i))
            .route("/survey", get(where_am_i).layer(on(threads.control().clone())))
            .route("/panics", get(fail).layer(on(threads.control().clone())));
        let ask = |path| {
            let request = Request::builder().uri(path).body(Body::empty()).unwrap();
            threads.push()[0].spawn(router.clone().oneshot(request))
        };
        let mut names = Vec::new();
        for path in ["/push", "/survey"] {
            let response = ask(path).await.unwrap().unwrap();
            names.push(to_bytes(response.into_body(), 99).await.unwrap());
        }
        assert_eq!(names, ["push-0".to_owned(), where_am_i().await]);
        assert!(ask("/panics").await.unwrap_err().is_panic(), "whoever waits for it is told");
    }
}
