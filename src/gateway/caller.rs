//! A backend that may call the API: it has a key, and a place among the requests in progress.
//!
//! The handlers behind the API key get the gateway from here, so that none can forget to ask.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;

use crate::gateway::bounds::InFlight;
use crate::gateway::error::ApiError;
use crate::gateway::face::Face;
use crate::gateway::parts::Gateway;

/// Whoever calls the API.
pub(super) struct Caller {
    /// What it calls.
    pub(super) gateway: Arc<Gateway>,
    /// Its place; free again when this is dropped.
    pub(super) place: InFlight,
}

impl Caller {
    /// Lets whoever sent these headers in.
    pub(super) fn enter(headers: &HeaderMap, face: &Face) -> Result<Self, ApiError> {
        face.gateway.access.get().keys.admit(headers, &face.gateway.metrics)?;
        Ok(Self { gateway: Arc::clone(&face.gateway), place: InFlight::enter(face)? })
    }
}

impl FromRequestParts<Arc<Face>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, face: &Arc<Face>) -> Result<Self, ApiError> {
        Self::enter(&parts.headers, face)
    }
}
