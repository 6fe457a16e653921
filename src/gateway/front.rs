//! The face of a node from its first moment on, while its parts do not exist yet.
//!
//! A node asks its peers before it has any part, and a probe that meets silence meanwhile is no sign of what is
//! wrong. So the port is open at once: probes are answered, and everybody else is told to come back.

use std::sync::{Arc, OnceLock};

use axum::extract::Request;
use axum::http::Method;
use axum::response::{IntoResponse, Response};

use crate::gateway::app::App;
use crate::gateway::error::ApiError;
use crate::gateway::phase::Phase;
use crate::gateway::request_id;
use crate::gateway::schema::{Ready, ReadyPhase};
use crate::gateway::surface::Surface;
use crate::wire::Entropy;

/// What answers requests.
pub(crate) struct Front {
    /// Once the parts of the node exist.
    app: OnceLock<Arc<App>>,
    entropy: Arc<Entropy>,
}

impl Front {
    /// The face of a node that has no parts.
    pub(crate) fn new(entropy: Arc<Entropy>) -> Arc<Self> {
        Arc::new(Self { app: OnceLock::new(), entropy })
    }

    /// The parts exist: from now on `app` answers.
    pub(crate) fn open(&self, app: App) {
        let opened = self.app.set(Arc::new(app));
        debug_assert!(opened.is_ok(), "a node has one face");
    }

    /// Answers a request that came to a port of that kind.
    pub(crate) async fn answer(self: Arc<Self>, request: Request, surface: Surface) -> Response {
        match self.app.get() {
            Some(app) => Arc::clone(app).answer(request, surface).await,
            None => self.early(&request),
        }
    }

    fn early(&self, request: &Request) -> Response {
        let probe = matches!(*request.method(), Method::GET | Method::HEAD);
        let refusal = ApiError::not_ready(Phase::Joining.as_str());
        let mut response = match request.uri().path() {
            "/livez" if probe => "ok".into_response(),
            "/readyz" if probe => {
                refusal.with_details(&Ready { phase: ReadyPhase::Joining.into() }).into_response()
            }
            _ => refusal.into_response(),
        };
        let id = request_id::choose(request.headers().get(&request_id::NAME), &self.entropy);
        response.headers_mut().insert(request_id::NAME, id);
        response
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use serde_json::{Value, json};

    use super::*;
    use crate::gateway::route::Route;
    use crate::gateway::schema::ErrorCode;
    use crate::gateway::{api, routes};

    async fn ask(method: &str, path: &str) -> (u16, String, Value) {
        let front = Front::new(Arc::new(Entropy::new([1; 32])));
        let request = Request::builder().method(method).uri(path).header("x-request-id", "r1");
        let surface = Surface::Clients { api_apart: false, admin_apart: false };
        let response = front.answer(request.body(Body::empty()).unwrap(), surface).await;
        assert_eq!(response.headers()["x-request-id"], "r1");
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        let json = serde_json::from_str(&text).unwrap_or_default();
        (status, text, json)
    }

    #[tokio::test]
    async fn a_node_without_parts_is_alive_and_not_ready_and_nothing_else() {
        assert_eq!(ask("GET", "/livez").await.1, "ok");
        let (status, _, ready) = ask("GET", "/readyz").await;
        assert_eq!((status, &ready["phase"]), (503, &json!("joining")));
        for (method, path) in [("POST", "/livez"), ("GET", "/nowhere")] {
            assert!(is_refused(method, path).await, "{method} {path}");
        }
    }

    async fn is_refused(method: &str, path: &str) -> bool {
        let (status, _, answer) = ask(method, path).await;
        (status, &answer["error"]["code"]) == (503, &json!("not_ready"))
    }

    #[tokio::test]
    async fn the_calls_that_a_node_without_parts_refuses_are_described_so() {
        for Route { method, path, call, .. } in api::guarded().into_iter().chain(routes::open()) {
            let refused = is_refused(&method.to_uppercase(), path).await;
            assert_eq!(call.is_refused_with(ErrorCode::NotReady), refused, "{method} {path}");
        }
    }
}
