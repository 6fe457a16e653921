//! The rules that the claims of a token are held to, and what it says then.
//!
//! Time is an argument. Who signed the token is somebody else's business, and comes first.
//!
//! Source: RFC 7519 section 4.1.

use std::time::Duration;

use serde_json::Value;

use super::error::TokenError;
use super::read::Claimed;
use crate::config::AuthConfig;
use crate::id::{DeviceId, IdError, LoginId, UserId};

/// What is asked of all tokens.
pub(super) struct Rules {
    /// How far ahead a token may expire.
    lifetime_max: Duration,
    /// What `iss` has to be.
    issuer: Option<String>,
    /// Of these `aud` has to name one. Empty: it may be missing, and otherwise names [`AUDIENCE`].
    audiences: Vec<String>,
}

impl Rules {
    /// Those of a configuration.
    pub(super) fn of(auth: &AuthConfig) -> Self {
        Self {
            lifetime_max: auth.max_token_lifetime,
            issuer: auth.jwt_issuer.clone(),
            audiences: auth.jwt_audiences.clone(),
        }
    }

    /// What a token with these claims says at `now_ms`.
    ///
    /// # Errors
    /// [`TokenError`] names the claim.
    pub(super) fn client(&self, claims: Claimed, now_ms: u64) -> Result<ClientToken, TokenError> {
        let expires_unix_ms = claims.exp.saturating_mul(1_000);
        if now_ms >= expires_unix_ms {
            return Err(TokenError::Expired { by_ms: now_ms - expires_unix_ms });
        }
        let lifetime_max_ms = u64::try_from(self.lifetime_max.as_millis()).unwrap_or(u64::MAX);
        let latest_ms = now_ms.saturating_add(lifetime_max_ms);
        if expires_unix_ms > latest_ms {
            return Err(TokenError::Lifetime { exp: claims.exp, latest: latest_ms / 1_000 });
        }
        if claims.nbf.is_some_and(|nbf| nbf.saturating_mul(1_000) > now_ms.saturating_add(CLOCK_SKEW_MS)) {
            return Err(refused("its nbf is in the future"));
        }
        self.check_issuer(claims.iss.as_ref())?;
        self.check_audience(claims.aud.as_deref())?;
        let claim = |name: &str, source: IdError| refused(format!("{name}: {source}"));
        Ok(ClientToken {
            user: UserId::new(claims.sub).map_err(|source| claim("sub", source))?,
            device: claims.device.map(DeviceId::new).transpose().map_err(|source| claim("device", source))?,
            expires_unix_ms,
            keep: claims.keep,
            login: claims.sid.map(LoginId::new).transpose().map_err(|source| claim("sid", source))?,
        })
    }

    fn check_issuer(&self, iss: Option<&Value>) -> Result<(), TokenError> {
        match (&self.issuer, iss) {
            (None, _) => Ok(()),
            (Some(issuer), Some(Value::String(iss))) if iss == issuer => Ok(()),
            (Some(_), None) => Err(refused("iss is missing, and --jwt-issuer asks for it")),
            (Some(_), Some(_)) => Err(refused("iss is not the text of --jwt-issuer")),
        }
    }

    fn check_audience(&self, aud: Option<&[String]>) -> Result<(), TokenError> {
        let Some(aud) = aud else {
            return match self.audiences.as_slice() {
                [] => Ok(()),
                _ => Err(refused("aud is missing, and --jwt-audience asks for it")),
            };
        };
        let names = |one: &String| match self.audiences.as_slice() {
            [] => one == AUDIENCE,
            audiences => audiences.contains(one),
        };
        match (aud.iter().any(names), self.audiences.as_slice()) {
            (true, _) => Ok(()),
            (false, []) => Err(refused(format!("aud is there and does not name {AUDIENCE}"))),
            (false, _) => Err(refused("aud names none of --jwt-audience")),
        }
    }
}

fn refused(problem: impl Into<String>) -> TokenError {
    TokenError::Claims { problem: problem.into() }
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

/// What `aud` names where it is there and no other one is asked for.
const AUDIENCE: &str = "pushmesh";

/// How far ahead of ours the issuer's clock may be for `nbf`. Guess: well above what NTP leaves.
const CLOCK_SKEW_MS: u64 = 60_000;
