//! Which backends may call: those with an API key.
//!
//! An API key is compared by its SHA-256 and in constant time, against all keys in turn, so that
//! neither its content nor its length nor its place in the list shows in the time of the answer.
//! What clients show is checked in [`admission`](crate::gateway::clients::admission). Credentials are
//! never logged.

use axum::http::{HeaderMap, header};
use ring::digest::{Digest, SHA256, digest};
use subtle::{Choice, ConstantTimeEq};

use crate::config::AuthConfig;
use crate::gateway::error::ApiError;
use crate::metrics::Metrics;
use crate::metrics::label::Credential;

/// The API keys of a node.
pub(super) struct ApiKeys {
    /// Development: no key is needed.
    dev: bool,
    digests: Vec<Digest>,
}

impl ApiKeys {
    /// Takes the keys of a configuration.
    pub(super) fn new(auth: &AuthConfig) -> Self {
        let digests = auth.api_keys.iter().map(|key| digest(&SHA256, key.expose().as_bytes())).collect();
        Self { dev: auth.dev, digests }
    }

    /// Lets only callers with an API key pass, and counts the others.
    pub(super) fn admit(&self, headers: &HeaderMap, metrics: &Metrics) -> Result<(), ApiError> {
        self.check(headers).map_err(|(kind, message)| {
            metrics.auth_failures.with(kind).increment(1);
            ApiError::unauthorized(message)
        })
    }

    /// Whether a caller with these headers may use the API; else what to count and what to say.
    fn check(&self, headers: &HeaderMap) -> Result<(), (Credential, &'static str)> {
        if self.dev {
            return Ok(());
        }
        let Some(key) = bearer(headers) else {
            return Err((
                Credential::KeyMissing,
                "the API needs a key: send it as `Authorization: Bearer KEY`",
            ));
        };
        if !self.accepts(key) {
            return Err((
                Credential::KeyWrong,
                "the API key is not one of this node's: compare it with --api-key-file",
            ));
        }
        Ok(())
    }

    fn accepts(&self, key: &str) -> bool {
        let shown = digest(&SHA256, key.as_bytes());
        let equal = |known: &Digest| known.as_ref().ct_eq(shown.as_ref());
        self.digests.iter().fold(Choice::from(0), |any, known| any | equal(known)).into()
    }
}

/// The credential of an `Authorization: Bearer` header.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, credential) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| credential.trim())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;
    use crate::config::Secret;

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap())])
    }

    fn keys(dev: bool) -> ApiKeys {
        let api_keys = vec![Secret::new("first"), Secret::new("second")];
        ApiKeys::new(&AuthConfig { dev, api_keys, ..AuthConfig::default() })
    }

    #[test]
    fn any_of_the_api_keys_is_accepted_and_nothing_else() {
        for accepted in ["Bearer first", "bearer second", "BEARER  second "] {
            assert!(keys(false).check(&headers(accepted)).is_ok(), "{accepted}");
        }
        for refused in ["Bearer", "Bearer ", "Bearer firs", "Bearer firstsecond", "Basic first", "first"] {
            assert!(keys(false).check(&headers(refused)).is_err(), "{refused}");
        }
        assert_eq!(keys(false).check(&HeaderMap::new()).unwrap_err().0, Credential::KeyMissing);
        assert!(keys(true).check(&HeaderMap::new()).is_ok(), "development needs no key");
    }

    #[test]
    fn a_node_without_api_keys_accepts_none() {
        let keys = ApiKeys::new(&AuthConfig::default());
        assert_eq!(keys.check(&headers("Bearer x")).unwrap_err().0, Credential::KeyWrong);
    }
}
