//! The face of a node: HTTP for backends, WebSockets for clients.
//!
//! ```text
//!   serve ──► app: id, head   ──┬─► open: /livez /readyz /metrics /openapi.json
//!   (TCP, TLS)                  ├─► caller: API key ──► api: push, stream, users, sessions, ...
//!                               └─► token ────► clients: ws ──► connection (one task a client)
//! ```
//!
//! Every answer carries `x-request-id`, and every error has the same body, made in `error.rs`. The
//! gateway parses, checks and reports; where a push goes is the router's business, who owns a
//! session the directory's. The routes stand in one table here, and `openapi.json` is tested
//! against it.

use std::sync::Arc;

use axum::http::{HeaderName, header};
use tokio::sync::{Semaphore, watch};
use tracing::debug;

use crate::config::Config;
use crate::handle::NodeHandle;
use crate::handler::Handler;
use crate::id::{Incarnation, NodeName};
use crate::limits;
use crate::membership::overlay::ForgetError;
use crate::membership::roster::Roster;
use crate::metrics::Metrics;
use crate::replica::Replica;
use crate::router::Router;
use crate::session::Registry;
use crate::token::{ResumeKey, TokenVerifier};
use crate::vital::Vitals;
use crate::wire::{Clock, Entropy};

mod api;
mod app;
mod auth;
mod body;
mod bounds;
mod caller;
mod clients;
mod data;
mod error;
mod front;
pub(crate) mod fuzz;
mod head;
mod openapi;
mod request_id;
pub mod schema;
mod serve;
mod tls;
mod url;

pub(crate) use app::App;
pub(crate) use front::Front;
pub(crate) use serve::{Shares, Terms, serve};
pub(crate) use tls::{HttpTlsError, server_config};

use auth::ApiKeys;
use error::ApiError;
pub(crate) use schema::NodeStatus;

/// What the face of a node works with.
pub(crate) struct Gateway {
    pub(crate) config: Arc<Config>,
    pub(crate) router: Arc<Router>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) replica: Arc<Replica>,
    pub(crate) roster: Arc<Roster>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) tokens: TokenVerifier,
    /// The same on all nodes.
    pub(crate) resume: Arc<ResumeKey>,
    pub(crate) handler: Arc<dyn Handler>,
    /// For the handler.
    pub(crate) handle: NodeHandle,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<Entropy>,
    /// Where the node is in its life.
    pub(crate) phase: watch::Receiver<Phase>,
    /// Whether the node works.
    pub(crate) vitals: Vitals,
    /// The members, this node included.
    pub(crate) nodes: Box<dyn Fn() -> Vec<NodeStatus> + Send + Sync>,
    /// Forgets a dead member for good; returns which boot of it that was.
    pub(crate) forget: Box<Forget>,
}

/// Forgets the member of that name.
type Forget = dyn Fn(&NodeName) -> Result<Incarnation, ForgetError> + Send + Sync;

/// Where a node is in its life.
///
/// ```text
///   Joining ──► Ready ──► Draining ──► Stopped
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// It copies the directory. The API answers from what is known, and says where that is not enough; clients
    /// are sent elsewhere.
    Joining,
    /// It serves.
    Ready,
    /// It lets its clients go.
    Draining,
    /// It is about to end.
    Stopped,
}

impl Phase {
    /// The word for this phase in the API.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Phase::Joining => "joining",
            Phase::Ready => "ready",
            Phase::Draining => "draining",
            Phase::Stopped => "stopped",
        }
    }
}

/// The gateway with what its routes share.
struct Face {
    gateway: Arc<Gateway>,
    keys: ApiKeys,
    /// API requests that may be in progress.
    requests: Arc<Semaphore>,
    /// WebSockets that may be opened only to tell the client to come back later.
    farewells: Arc<Semaphore>,
}

impl Face {
    fn new(gateway: Arc<Gateway>) -> Self {
        Self {
            keys: ApiKeys::new(&gateway.config.auth),
            requests: Arc::new(Semaphore::new(limits::API_REQUESTS_MAX)),
            farewells: Arc::new(Semaphore::new(FAREWELLS_MAX)),
            gateway,
        }
    }
}

/// All routes over `face`.
fn routes(face: Arc<Face>) -> axum::Router {
    add(add(axum::Router::new(), api::guarded()), open())
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .with_state(face)
}

/// One method of one path.
struct Route {
    method: &'static str,
    path: &'static str,
    handler: axum::routing::MethodRouter<Arc<Face>>,
}

impl Route {
    fn get<T: 'static>(path: &'static str, handler: impl axum::handler::Handler<T, Arc<Face>>) -> Self {
        Self { method: "get", path, handler: axum::routing::get(handler) }
    }

    fn post<T: 'static>(path: &'static str, handler: impl axum::handler::Handler<T, Arc<Face>>) -> Self {
        Self { method: "post", path, handler: axum::routing::post(handler) }
    }

    /// A call that tools look at before they make it.
    fn probe<T: 'static>(path: &'static str, handler: impl axum::handler::Handler<T, Arc<Face>>) -> Self {
        Self { method: "get", path, handler: axum::routing::get(handler).options(allow_probe) }
    }

    fn delete<T: 'static>(path: &'static str, handler: impl axum::handler::Handler<T, Arc<Face>>) -> Self {
        Self { method: "delete", path, handler: axum::routing::delete(handler) }
    }
}

/// The routes that need no API key. WebSockets bring a token of their own.
fn open() -> Vec<Route> {
    let mut routes = api::open();
    routes.push(Route::probe("/openapi.json", openapi::show));
    // Whatever its method: a HEAD, which a route of GET serves as well, opens no session.
    routes.push(Route {
        method: "get",
        path: "/v1/ws",
        handler: axum::routing::any(clients::transport::ws::open),
    });
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

async fn allow_probe() -> [(HeaderName, &'static str); 1] {
    [(header::ALLOW, "GET,HEAD,OPTIONS")]
}

async fn wrong_method() -> ApiError {
    ApiError::method_not_allowed()
}

/// Guess: a reconnect storm is told to spread out, and costs at most this many sockets.
const FAREWELLS_MAX: usize = 256;
