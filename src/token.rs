//! Client tokens: JSON Web Tokens that a backend signs and a client shows when it connects.
//!
//! `sub` is the user, `device` (optional) binds the token to one device, `exp` is required, and a
//! session ends when it passes. The algorithm that a token names only selects among the keys of
//! that algorithm: a public key is never tried as an HMAC secret, and `none` matches no key. Time is an
//! argument, so that a simulation decides it.
//!
//! Two more claims are honoured where a token has them, as RFC 7519 asks: `nbf`, with some tolerance
//! for clocks that differ, and `aud`, which has to name `pushmesh`. Nothing is revoked here: a
//! token is good until it expires, so issue short ones.
//!
//! What a node signs for a client to come back with is in `resume.rs`.

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Deserializer, Serialize};

use crate::config::{AuthConfig, Secret};
use crate::id::{DeviceId, IdError, UserId};

mod provider;
mod resume;
#[cfg(test)]
mod tests;

pub(crate) use resume::{ResumeKey, Resumed};

/// The keys that client tokens are checked with.
pub(crate) struct TokenVerifier {
    /// For `alg` HS256.
    hs256: Vec<DecodingKey>,
    /// For `alg` EdDSA.
    eddsa: Vec<DecodingKey>,
}

impl TokenVerifier {
    /// Takes the keys of a configuration. None is legal: then no token is accepted.
    ///
    /// # Errors
    /// A public key is not an Ed25519 key in PEM.
    pub(crate) fn new(auth: &AuthConfig) -> Result<Self, TokenKeyError> {
        provider::install();
        let hs256 = auth
            .jwt_secrets
            .iter()
            .map(|secret| DecodingKey::from_secret(secret.expose().as_bytes()))
            .collect();
        let eddsa = auth.jwt_public_keys_pem.iter().map(|pem| public_key(pem)).collect::<Result<_, _>>()?;
        Ok(Self { hs256, eddsa })
    }

    /// What `token` says, if one of the keys signed it and it is good at `now_ms` (Unix
    /// milliseconds).
    ///
    /// # Errors
    /// [`TokenError`] says which check failed. The claims are looked at only after the signature.
    pub(crate) fn verify(&self, token: &str, now_ms: u64) -> Result<ClientToken, TokenError> {
        // An algorithm that the library does not know, `none` among them, makes the header unreadable.
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Malformed)?;
        let keys = match header.alg {
            Algorithm::HS256 => &self.hs256,
            Algorithm::EdDSA => &self.eddsa,
            _ => return Err(TokenError::Algorithm),
        };
        let validation = validation(header.alg);
        for key in keys {
            match jsonwebtoken::decode::<Claims>(token, key, &validation) {
                Ok(data) => return ClientToken::from_claims(data.claims, now_ms),
                // Another key may fit.
                Err(error) if matches!(error.kind(), ErrorKind::InvalidSignature) => {}
                Err(error) => return Err(TokenError::from_library(&error)),
            }
        }
        Err(TokenError::Signature)
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
}

impl ClientToken {
    fn from_claims(claims: Claims, now_ms: u64) -> Result<Self, TokenError> {
        let expires_unix_ms = claims.exp.saturating_mul(1_000);
        if now_ms >= expires_unix_ms {
            return Err(TokenError::Expired { by_ms: now_ms - expires_unix_ms });
        }
        if claims.nbf.is_some_and(|nbf| nbf.saturating_mul(1_000) > now_ms.saturating_add(CLOCK_SKEW_MS)) {
            return Err(TokenError::Claims { problem: "its nbf is in the future".to_owned() });
        }
        let claim = |name: &str, source: IdError| TokenError::Claims { problem: format!("{name}: {source}") };
        Ok(Self {
            user: UserId::new(claims.sub).map_err(|source| claim("sub", source))?,
            device: claims.device.map(DeviceId::new).transpose().map_err(|source| claim("device", source))?,
            expires_unix_ms,
        })
    }
}

/// The claims of a client token. Others may be there and are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    /// The user.
    pub(crate) sub: String,
    /// Binds the token to one device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) device: Option<String>,
    /// When the token expires, in Unix seconds.
    #[serde(deserialize_with = "numeric_date")]
    pub(crate) exp: u64,
    /// When it was issued, in Unix seconds. Not checked.
    #[serde(default, deserialize_with = "optional_numeric_date", skip_serializing_if = "Option::is_none")]
    pub(crate) iat: Option<u64>,
    /// From when on it is good, in Unix seconds.
    #[serde(default, deserialize_with = "optional_numeric_date", skip_serializing_if = "Option::is_none")]
    pub(crate) nbf: Option<u64>,
}

/// Why a token is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    /// It is not a JSON Web Token.
    #[error("the token is malformed: it is not a JSON Web Token signed with HS256 or EdDSA")]
    Malformed,
    /// Its algorithm is not one that is accepted.
    #[error("the token's alg is not accepted: sign it with HS256 or EdDSA")]
    Algorithm,
    /// No configured key of its algorithm made its signature.
    #[error("the token's signature matches no key of this cluster")]
    Signature,
    /// Its time is over.
    #[error("the token expired {} s ago: get a new one", by_ms / 1_000)]
    Expired {
        /// For how long, in milliseconds.
        by_ms: u64,
    },
    /// A claim is missing or wrong.
    #[error("the token's claims are not accepted: {problem}")]
    Claims {
        /// Which claim, and what is wrong.
        problem: String,
    },
}

impl TokenError {
    /// A short word for metrics and for scripts.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            TokenError::Malformed => "malformed",
            TokenError::Algorithm => "algorithm",
            TokenError::Signature => "signature",
            TokenError::Expired { .. } => "expired",
            TokenError::Claims { .. } => "claims",
        }
    }

    /// Translates what the library finds once the signature is right, or before it looks at it.
    fn from_library(error: &jsonwebtoken::errors::Error) -> Self {
        match error.kind() {
            ErrorKind::Json(cause) => TokenError::Claims { problem: cause.to_string() },
            ErrorKind::InvalidAudience => {
                TokenError::Claims { problem: format!("aud is there and does not name {AUDIENCE}") }
            }
            _ => TokenError::Malformed,
        }
    }
}

/// A key that tokens can not be signed or checked with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenKeyError {
    /// A public key is of another kind.
    #[error("not an Ed25519 public key in PEM: `openssl pkey -in PRIVATE.pem -pubout` prints it")]
    Public,
    /// A private key is of another kind.
    #[error("not an Ed25519 private key in PKCS#8 PEM: `openssl genpkey -algorithm ed25519` makes one")]
    Private,
    /// The library refuses to sign.
    #[error("can not sign the token: {problem}")]
    Signing {
        /// What it says.
        problem: String,
    },
}

/// Signs `claims` with HS256.
///
/// # Errors
/// None that a caller can cause.
pub(crate) fn sign_hs256(secret: &Secret, claims: &Claims) -> Result<String, TokenKeyError> {
    sign(Algorithm::HS256, &EncodingKey::from_secret(secret.expose().as_bytes()), claims)
}

/// Signs `claims` with EdDSA; the key is an Ed25519 private key in PKCS#8 PEM.
///
/// # Errors
/// The key is of another kind.
pub(crate) fn sign_eddsa(private_key_pem: &Secret, claims: &Claims) -> Result<String, TokenKeyError> {
    let key =
        EncodingKey::from_ed_pem(private_key_pem.expose().as_bytes()).map_err(|_| TokenKeyError::Private)?;
    sign(Algorithm::EdDSA, &key, claims)
}

fn sign(algorithm: Algorithm, key: &EncodingKey, claims: &Claims) -> Result<String, TokenKeyError> {
    provider::install();
    jsonwebtoken::encode(&Header::new(algorithm), claims, key).map_err(|error| match error.kind() {
        ErrorKind::InvalidEddsaKey => TokenKeyError::Private,
        _ => TokenKeyError::Signing { problem: error.to_string() },
    })
}

fn public_key(pem: &str) -> Result<DecodingKey, TokenKeyError> {
    let key = DecodingKey::from_ed_pem(pem.as_bytes()).map_err(|_| TokenKeyError::Public)?;
    match key.try_get_as_bytes() {
        Ok(bytes) if bytes.len() == ED25519_KEY_BYTES => Ok(key),
        _ => Err(TokenKeyError::Public),
    }
}

/// What the library checks for us: algorithm, signature and audience. Times are ours, because it
/// would read the wall clock.
fn validation(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.set_audience(&[AUDIENCE]);
    validation
}

/// Unix seconds. RFC 7519 allows fractions, and some libraries send them: they are cut off.
fn numeric_date<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a number of Unix seconds")]
    enum Number {
        Whole(u64),
        Fraction(f64),
    }
    match Number::deserialize(from)? {
        Number::Whole(seconds) => Ok(seconds),
        // Saturating: a date before 1970 is 0 and therefore over.
        Number::Fraction(seconds) => Ok(seconds as u64),
    }
}

fn optional_numeric_date<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    numeric_date(from).map(Some)
}

/// What `aud` has to name where a token has it.
const AUDIENCE: &str = "pushmesh";

/// How far ahead of ours the issuer's clock may be for `nbf`. Guess: well above what NTP leaves.
const CLOCK_SKEW_MS: u64 = 60_000;

/// Bytes of an Ed25519 public key. Source: RFC 8032 section 5.1.5.
const ED25519_KEY_BYTES: usize = 32;
