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
//! session the directory's.

mod access;
mod address;
mod api;
mod app;
mod auth;
mod body;
mod bounds;
mod caller;
mod clients;
mod connects;
mod cors;
mod data;
mod error;
mod face;
mod fast_path;
mod fights;
mod front;
pub(crate) mod fuzz;
mod head;
mod login_keys;
mod openapi;
mod parts;
mod phase;
mod remembered;
mod request_id;
mod route;
mod routes;
pub mod schema;
mod serve;
mod surface;
mod tls;
mod url;

pub(crate) use access::Access;
pub(crate) use app::App;
pub(crate) use connects::Connects;
pub(crate) use fights::Fights;
pub(crate) use front::Front;
pub(crate) use login_keys::LoginKeys;
pub(crate) use parts::{ConnectionParts, Gateway};
pub(crate) use phase::Phase;
pub(crate) use schema::NodeStatus;
pub(crate) use serve::{Proxied, Shares, Terms, serve};
pub(crate) use surface::Surface;
pub(crate) use tls::{Certificate, HttpTlsError, server_config};
