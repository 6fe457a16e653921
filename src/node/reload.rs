//! What a node takes over from a new configuration while it runs: whom it lets in, and its certificate for https.

use tracing::info;

use crate::config::{AuthConfig, HttpTls};
use crate::gateway::{Access, HttpTlsError};
use crate::metrics::label::Reloaded;
use crate::node::Node;
use crate::token::TokenKeyError;

/// Why a node goes on with the keys and the certificate that it has. Nothing of the new ones is in effect.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The keys for client tokens are of no use.
    #[error("{0}")]
    TokenKeys(String),
    /// The certificate or the key for https is of no use.
    #[error("{0}")]
    HttpTls(String),
    /// A node serves http or https for as long as it runs.
    #[error("a node changes between http and https only by a restart: it was started {0} a certificate")]
    Scheme(&'static str),
    /// A node that lets everybody in does so for as long as it runs.
    #[error("a node becomes one for development, or ceases to be one, only by a restart")]
    Dev,
}

impl From<TokenKeyError> for ReloadError {
    fn from(error: TokenKeyError) -> Self {
        ReloadError::TokenKeys(error.to_string())
    }
}

impl From<HttpTlsError> for ReloadError {
    fn from(error: HttpTlsError) -> Self {
        ReloadError::HttpTls(error.to_string())
    }
}

impl Node {
    /// Lets in whom `auth` says from now on, and shows new connections the certificate of `tls`: all of it, or nothing. Sessions and
    /// requests that there are stay, whatever they have shown. Keys are fetched again from the URL that the node was started with.
    ///
    /// # Errors
    /// [`ReloadError`]: what was in effect before stays so.
    pub fn reload(&self, auth: &AuthConfig, tls: Option<&HttpTls>) -> Result<(), ReloadError> {
        let reloads = &self.shared.metrics.reloads;
        let done = self.try_reload(auth, tls);
        reloads.with(if done.is_ok() { Reloaded::Done } else { Reloaded::Failed }).increment(1);
        done
    }

    /// Counts a reload whose files could not even be read.
    #[cfg(feature = "cli")]
    pub(crate) fn reload_failed(&self) {
        self.shared.metrics.reloads.with(Reloaded::Failed).increment(1);
    }

    fn try_reload(&self, auth: &AuthConfig, tls: Option<&HttpTls>) -> Result<(), ReloadError> {
        if auth.dev != self.shared.config.auth.dev {
            return Err(ReloadError::Dev);
        }
        let access = Access::new(auth, self.shared.login_keys.as_deref())?;
        match (&self.shared.certificate, tls) {
            (None, None) => {}
            (Some(certificate), Some(tls)) => certificate.replace(tls)?,
            (Some(_), None) => return Err(ReloadError::Scheme("with")),
            (None, Some(_)) => return Err(ReloadError::Scheme("without")),
        }
        self.shared.access.replace(access);
        if let Some(keys) = &self.shared.login_keys {
            keys.fetch();
        }
        info!(node = %self.name(), "API keys, token keys, origins and the certificate are as they are configured now");
        Ok(())
    }
}
