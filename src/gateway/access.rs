//! Whom the node lets in: what an operator may change while it runs.

use std::sync::Arc;

use axum::http::HeaderValue;

use crate::config::{AuthConfig, Origin};
use crate::gateway::auth::ApiKeys;
use crate::gateway::login_keys::LoginKeys;
use crate::token::{ClientToken, TokenError, TokenKeyError, TokenVerifier};

/// Whom the node lets in.
pub(crate) struct Access {
    /// Development: neither keys nor tokens are needed.
    pub(super) dev: bool,
    /// Those of backends.
    pub(super) keys: ApiKeys,
    /// Checks the tokens of clients.
    tokens: TokenVerifier,
    /// Where the pages come from whose browsers may connect; empty means anywhere.
    pub(super) origins: Vec<Origin>,
}

impl Access {
    /// As a configuration says, with the keys that are fetched for it.
    ///
    /// # Errors
    /// A key for client tokens is of no use.
    pub(crate) fn new(auth: &AuthConfig, fetched: Option<&LoginKeys>) -> Result<Self, TokenKeyError> {
        let tokens = TokenVerifier::new(auth)?;
        Ok(Self {
            dev: auth.dev,
            keys: ApiKeys::new(auth),
            tokens: match fetched {
                Some(fetched) => tokens.with_fetched(Arc::clone(fetched.keys())),
                None => tokens,
            },
            origins: auth.origins.clone(),
        })
    }

    /// What a client's token says at `now_ms`. A key that is not known may be one that the provider has begun to use: the set is
    /// fetched again before the token is refused for that, if it can be.
    ///
    /// # Errors
    /// [`TokenError`] says which check failed.
    pub(super) async fn client_token(
        &self,
        token: &str,
        now_ms: u64,
        fetched: Option<&LoginKeys>,
    ) -> Result<ClientToken, TokenError> {
        let verified = self.tokens.verify(token, now_ms);
        let (Err(TokenError::UnknownKey), Some(keys)) = (&verified, fetched) else { return verified };
        keys.renewed().await;
        self.tokens.verify(token, now_ms)
    }

    /// Whether a page of that origin may connect.
    pub(super) fn allows(&self, origin: &HeaderValue) -> bool {
        let sent = origin.to_str().ok().and_then(|sent| sent.parse::<Origin>().ok());
        let listed = |sent: &Origin| self.origins.iter().any(|listed| listed.allows(sent));
        self.origins.is_empty() || sent.is_some_and(|sent| listed(&sent))
    }
}
