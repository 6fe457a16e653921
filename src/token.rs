//! Client tokens: JSON Web Tokens that a backend or an identity provider signs and a client shows when it connects.
//!
//! `sub` is the user, `device` (optional) binds the token to one device, `exp` is required, not too far
//! ahead, and a session ends when it passes. The algorithm that a token names only selects among the keys of
//! that algorithm: a public key is never tried as an HMAC secret, and `none` matches no key. Time is an
//! argument, so that a simulation decides it.
//!
//! Some more claims are honoured where a token has them, as RFC 7519 asks: `nbf`, with some tolerance
//! for clocks that differ, `aud`, which has to name `pushmesh` or what is configured instead, and `iss`, if one is
//! configured. And `keep` bounds how long the session is kept while the client is away, and `sid` names the login that the
//! session is of, as in OpenID Connect Back-Channel Logout. Nothing is revoked here: a token is good until it expires, so
//! issue short ones.
//!
//! What a token says is read in `read.rs`, who signed it is found out by the keys of `key.rs`, those of an identity provider
//! among them (`key_set.rs`), and what it has to say stands in `rules.rs`. What a node signs for a client to come back with
//! is in `resume.rs`. Client tokens are signed by the command `token` and by tests only, in `sign.rs`.

use std::sync::Arc;

use crate::config::AuthConfig;
use crate::current::Current;
use crate::limits;

mod error;
pub(crate) mod fuzz;
mod key;
mod key_set;
mod read;
mod resume;
mod rules;
#[cfg(any(test, feature = "cli"))]
mod sign;
#[cfg(test)]
mod tests;

pub(crate) use error::TokenError;
pub(crate) use key::is_ed25519_public_key;
pub(crate) use key_set::{KeySet, KeySetError};
#[cfg(feature = "cli")]
pub(crate) use read::unverified_user;
#[cfg(test)]
pub(crate) use resume::TOKEN_BYTES_MAX as RESUME_TOKEN_BYTES_MAX;
pub(crate) use resume::{ResumeKey, Resumed};
pub(crate) use rules::ClientToken;
#[cfg(any(test, feature = "cli"))]
pub(crate) use sign::{Claims, sign_eddsa, sign_hs256};

use key::{Algorithm, Key};
use read::Parts;
use rules::Rules;

/// The keys that client tokens are checked with, and what is asked of all tokens.
pub(crate) struct TokenVerifier {
    /// Those that are given one by one. They have no names: each is tried.
    keys: Vec<Key>,
    sets: Vec<KeySet>,
    /// One that changes by itself.
    fetched: Option<Arc<Current<KeySet>>>,
    rules: Rules,
}

impl TokenVerifier {
    /// Takes the keys of a configuration. None is legal: then no token is accepted.
    ///
    /// # Errors
    /// A public key is not an Ed25519 key in PEM, or a key set is of no use.
    pub(crate) fn new(auth: &AuthConfig) -> Result<Self, TokenKeyError> {
        let secrets = auth.jwt_secrets.iter().map(|secret| Ok(Key::secret(secret.expose().as_bytes())));
        let public =
            auth.jwt_public_keys_pem.iter().map(|pem| Key::ed25519_pem(pem).ok_or(TokenKeyError::Public));
        let keys = secrets.chain(public).collect::<Result<_, _>>()?;
        let sets =
            auth.jwks.iter().map(|text| KeySet::parse(text.as_bytes())).collect::<Result<Vec<_>, _>>()?;
        sets.iter().for_each(KeySet::log_skipped);
        Ok(Self { keys, sets, fetched: None, rules: Rules::of(auth) })
    }

    /// The same with the keys of one more set, as they are when a token is checked.
    pub(crate) fn with_fetched(self, keys: Arc<Current<KeySet>>) -> Self {
        Self { fetched: Some(keys), ..self }
    }

    /// What `token` says, if one of the keys signed it and it is good at `now_ms` (Unix
    /// milliseconds).
    ///
    /// # Errors
    /// [`TokenError`] says which check failed. The claims are looked at only after the signature.
    pub(crate) fn verify(&self, token: &str, now_ms: u64) -> Result<ClientToken, TokenError> {
        let parts = Parts::of(token)?;
        let Parts { algorithm, kid, .. } = &parts;
        let unnamed = self.keys.iter().filter(|key| key.algorithm() == *algorithm);
        let fetched = self.fetched.as_ref().map(|keys| keys.get());
        let sets = || self.sets.iter().chain(fetched.as_deref());
        let in_sets = sets().flat_map(|set| set.matching(*algorithm, kid.as_deref()));
        let mut in_sets = in_sets.take(limits::TOKEN_KEYS_TRIED_MAX).peekable();
        let is_public = *algorithm != Algorithm::Hs256;
        let is_unknown = is_public && sets().next().is_some() && in_sets.peek().is_none();
        let has_signed = |key: &Key| key.has_signed(parts.signed.as_bytes(), &parts.signature);
        if !unnamed.chain(in_sets).any(has_signed) {
            return Err(if is_unknown { TokenError::UnknownKey } else { TokenError::Signature });
        }
        self.rules.client(parts.claims()?, now_ms)
    }
}

/// A key that tokens cannot be checked with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenKeyError {
    /// A public key is of another kind.
    #[error("not an Ed25519 public key in PEM: `openssl pkey -in PRIVATE.pem -pubout` prints it")]
    Public,
    /// A key set is of no use.
    #[error("a key set {0}")]
    Set(#[from] KeySetError),
}
