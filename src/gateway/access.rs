//! Whom the node lets in: what an operator may change while it runs.

use crate::config::{AuthConfig, Origin};
use crate::gateway::auth::ApiKeys;
use crate::token::{TokenKeyError, TokenVerifier};

/// Whom the node lets in.
pub(crate) struct Access {
    /// Development: neither keys nor tokens are needed.
    pub(super) dev: bool,
    /// Those of backends.
    pub(super) keys: ApiKeys,
    /// Checks the tokens of clients.
    pub(super) tokens: TokenVerifier,
    /// Where the pages come from whose browsers may connect; empty means anywhere.
    pub(super) origins: Vec<Origin>,
}

impl Access {
    /// As a configuration says.
    ///
    /// # Errors
    /// A key for client tokens is of no use.
    pub(crate) fn new(auth: &AuthConfig) -> Result<Self, TokenKeyError> {
        Ok(Self {
            dev: auth.dev,
            keys: ApiKeys::new(auth),
            tokens: TokenVerifier::new(auth)?,
            origins: auth.origins.clone(),
        })
    }
}
