//! Client tokens: JSON Web Tokens that a backend signs and a client shows when it connects.
//!
//! `sub` is the user, `device` (optional) binds the token to one device, `exp` is required, not too far
//! ahead, and a session ends when it passes. The algorithm that a token names only selects among the keys of
//! that algorithm: a public key is never tried as an HMAC secret, and `none` matches no key. Time is an
//! argument, so that a simulation decides it.
//!
//! Two more claims are honoured where a token has them, as RFC 7519 asks: `nbf`, with some tolerance
//! for clocks that differ, and `aud`, which has to name `pushmesh`. And `keep` bounds how long the session is kept while
//! the client is away, and `sid` names the login that the session is of, as in OpenID Connect Back-Channel Logout. Nothing
//! is revoked here: a token is good until it expires, so issue short ones.
//!
//! What a token says is read in `read.rs`, who signed it is found out by the keys of `key.rs`. What a node signs for a
//! client to come back with is in `resume.rs`. Client tokens are signed by the command `token` and by tests only, in
//! `sign.rs`.

use std::time::Duration;

use crate::config::AuthConfig;
use crate::id::{DeviceId, IdError, LoginId, UserId};

mod error;
pub(crate) mod fuzz;
mod key;
mod read;
mod resume;
#[cfg(any(test, feature = "cli"))]
mod sign;
#[cfg(test)]
mod tests;

pub(crate) use error::TokenError;
pub(crate) use key::is_ed25519_public_key;
#[cfg(feature = "cli")]
pub(crate) use read::unverified_user;
#[cfg(test)]
pub(crate) use resume::TOKEN_BYTES_MAX as RESUME_TOKEN_BYTES_MAX;
pub(crate) use resume::{ResumeKey, Resumed};
#[cfg(any(test, feature = "cli"))]
pub(crate) use sign::{Claims, sign_eddsa, sign_hs256};

use key::Key;
use read::{Claimed, Parts};

/// The keys that client tokens are checked with.
pub(crate) struct TokenVerifier {
    keys: Vec<Key>,
    /// How far ahead a token may expire.
    lifetime_max: Duration,
}

impl TokenVerifier {
    /// Takes the keys of a configuration. None is legal: then no token is accepted.
    ///
    /// # Errors
    /// A public key is not an Ed25519 key in PEM.
    pub(crate) fn new(auth: &AuthConfig) -> Result<Self, TokenKeyError> {
        let secrets = auth.jwt_secrets.iter().map(|secret| Ok(Key::secret(secret.expose().as_bytes())));
        let public =
            auth.jwt_public_keys_pem.iter().map(|pem| Key::ed25519(pem).ok_or(TokenKeyError::Public));
        let keys = secrets.chain(public).collect::<Result<_, _>>()?;
        Ok(Self { keys, lifetime_max: auth.max_token_lifetime })
    }

    /// What `token` says, if one of the keys signed it and it is good at `now_ms` (Unix
    /// milliseconds).
    ///
    /// # Errors
    /// [`TokenError`] says which check failed. The claims are looked at only after the signature.
    pub(crate) fn verify(&self, token: &str, now_ms: u64) -> Result<ClientToken, TokenError> {
        let parts = Parts::of(token)?;
        let mut keys = self.keys.iter().filter(|key| key.algorithm() == parts.algorithm);
        if !keys.any(|key| key.has_signed(parts.signed.as_bytes(), &parts.signature)) {
            return Err(TokenError::Signature);
        }
        ClientToken::from_claims(parts.claims()?, now_ms, self.lifetime_max)
    }
}

/// What a good token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientToken {
    /// The user (`sub`).
    pub(crate) user: UserId,
    /// The device that the token is bound to, where it names one.
    pub(crate) device: Option<DeviceId>,
    /// When it expires (`exp`): the first Unix millisecond at which it is no longer good.
    pub(crate) expires_unix_ms: u64,
    /// How long its session may be kept while the client is away, in seconds (`keep`), where it says so.
    pub(crate) keep: Option<u64>,
    /// The login that it was issued for (`sid`), where it names one.
    pub(crate) login: Option<LoginId>,
}

impl ClientToken {
    fn from_claims(claims: Claimed, now_ms: u64, lifetime_max: Duration) -> Result<Self, TokenError> {
        let expires_unix_ms = claims.exp.saturating_mul(1_000);
        if now_ms >= expires_unix_ms {
            return Err(TokenError::Expired { by_ms: now_ms - expires_unix_ms });
        }
        let latest_ms = now_ms.saturating_add(u64::try_from(lifetime_max.as_millis()).unwrap_or(u64::MAX));
        if expires_unix_ms > latest_ms {
            return Err(TokenError::Lifetime { exp: claims.exp, latest: latest_ms / 1_000 });
        }
        if claims.nbf.is_some_and(|nbf| nbf.saturating_mul(1_000) > now_ms.saturating_add(CLOCK_SKEW_MS)) {
            return Err(TokenError::Claims { problem: "its nbf is in the future".to_owned() });
        }
        let claim = |name: &str, source: IdError| TokenError::Claims { problem: format!("{name}: {source}") };
        Ok(Self {
            user: UserId::new(claims.sub).map_err(|source| claim("sub", source))?,
            device: claims.device.map(DeviceId::new).transpose().map_err(|source| claim("device", source))?,
            expires_unix_ms,
            keep: claims.keep,
            login: claims.sid.map(LoginId::new).transpose().map_err(|source| claim("sid", source))?,
        })
    }
}

/// A key that tokens cannot be checked with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenKeyError {
    /// A public key is of another kind.
    #[error("not an Ed25519 public key in PEM: `openssl pkey -in PRIVATE.pem -pubout` prints it")]
    Public,
}

/// How far ahead of ours the issuer's clock may be for `nbf`. Guess: well above what NTP leaves.
const CLOCK_SKEW_MS: u64 = 60_000;
