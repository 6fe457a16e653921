//! What a URL says: ids in the path, parameters in the query.
//!
//! Ids are percent-decoded and validated here, so that handlers get typed values. A text that is
//! not an id is a 400 with the rule that it breaks.

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::Uri;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::gateway::error::ApiError;
use crate::id::{DeviceId, SessionKey, UserId};

/// `/v1/users/{user}…`
pub(super) struct UserPath(pub(super) UserId);

/// `/v1/users/{user}/devices/{device}…`
pub(super) struct SessionPath(pub(super) SessionKey);

/// The parameters of the query.
pub(super) struct Params<T>(pub(super) T);

impl<S: Send + Sync> FromRequestParts<S> for UserPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let user = path::<String, S>(parts, state).await?;
        Ok(Self(UserId::new(user)?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for SessionPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let (user, device) = path::<(String, String), S>(parts, state).await?;
        Ok(Self(SessionKey::new(UserId::new(user)?, DeviceId::new(device)?)))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        params(&parts.uri).map(Self)
    }
}

/// Reads the query of `uri`.
pub(super) fn params<T: DeserializeOwned>(uri: &Uri) -> Result<T, ApiError> {
    match Query::try_from_uri(uri) {
        Ok(Query(params)) => Ok(params),
        Err(error) => {
            Err(ApiError::bad_request(format!("the query is not understood: {}", error.body_text())))
        }
    }
}

async fn path<T: DeserializeOwned + Send, S: Send + Sync>(
    parts: &mut Parts,
    state: &S,
) -> Result<T, ApiError> {
    match Path::<T>::from_request_parts(parts, state).await {
        Ok(Path(ids)) => Ok(ids),
        Err(error) => {
            Err(ApiError::bad_request(format!("the path is not understood: {}", error.body_text())))
        }
    }
}
