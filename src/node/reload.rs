//! What a node takes over from a new configuration while it runs: whom it lets in, its certificate for https, and how it proves
//! itself to its peers.

use std::sync::PoisonError;

use tracing::info;

use crate::config::Config;
use crate::gateway::{Access, HttpTlsError};
use crate::mesh::identity::{Identity, IdentityError};
use crate::metrics::label::Reloaded;
use crate::node::Node;
use crate::node::shared::Shared;
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
    /// What is to prove this node to its peers is of no use, or of another cluster.
    #[error("{0}")]
    Identity(String),
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

impl From<IdentityError> for ReloadError {
    fn from(error: IdentityError) -> Self {
        ReloadError::Identity(error.to_string())
    }
}

impl Node {
    /// Lets in whom [`Config::auth`] says from now on, shows new connections the certificate of [`Config::tls`], and peers that of
    /// [`Config::mesh_identity`]: all of it, or nothing. Everything else of `new` is left aside. Sessions and requests that there are
    /// stay, whatever they have shown; a link to a peer that has shown a certificate which is not trusted any more is replaced by a new
    /// one, or closed. Keys are fetched again from the URL that the node was started with.
    ///
    /// # Errors
    /// [`ReloadError`]: what was in effect before stays so.
    pub fn reload(&self, new: &Config) -> Result<(), ReloadError> {
        let reloads = &self.shared.metrics.reloads;
        let done = self.try_reload(new);
        reloads.with(if done.is_ok() { Reloaded::Done } else { Reloaded::Failed }).increment(1);
        done
    }

    /// Counts a reload whose files could not even be read.
    #[cfg(feature = "cli")]
    pub(crate) fn reload_failed(&self) {
        self.shared.metrics.reloads.with(Reloaded::Failed).increment(1);
    }

    fn try_reload(&self, new: &Config) -> Result<(), ReloadError> {
        // Of two at once one comes after the other: each is in effect as a whole.
        let mut proof = self.shared.proof.lock().unwrap_or_else(PoisonError::into_inner);
        let Shared { config, login_keys, certificate, links, access, .. } = &*self.shared;
        if new.auth.dev != config.auth.dev {
            return Err(ReloadError::Dev);
        }
        let now = Access::new(&new.auth, login_keys.as_deref())?;
        // What is in effect stays so, also where it could not be taken up any more, such as a certificate that has expired.
        let identity = match new.mesh_identity != *proof {
            true => Some(Identity::new(&config.cluster, &config.name, &new.mesh_identity)?),
            false => None,
        };
        identity.iter().try_for_each(|identity| identity.may_follow(links.identity()))?;
        match (certificate, &new.tls) {
            (None, None) => {}
            (Some(certificate), Some(tls)) => certificate.replace(tls)?,
            (Some(_), None) => return Err(ReloadError::Scheme("with")),
            (None, Some(_)) => return Err(ReloadError::Scheme("without")),
        }
        if let Some(identity) = &identity {
            links.replace_identity(identity);
            *proof = new.mesh_identity.clone();
        }
        access.replace(now);
        if let Some(keys) = login_keys {
            keys.fetch();
        }
        info!(
            node = %self.name(), trusted = ?links.identity().trusted(),
            "API keys, token keys, origins, the certificate and how this node proves itself to peers are as they are configured now"
        );
        Ok(())
    }
}
