//! Signing client tokens, as a backend does: for the command `token`, and for tests.

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

use super::provider;
use crate::config::Secret;

/// The claims of a client token, to be signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Claims {
    /// The user.
    pub(crate) sub: String,
    /// Binds the token to one device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) device: Option<String>,
    /// When the token expires, in Unix seconds.
    pub(crate) exp: u64,
    /// When it was issued, in Unix seconds. Not checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) iat: Option<u64>,
    /// From when on it is good, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) nbf: Option<u64>,
    /// The login that it is issued for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sid: Option<String>,
}

/// Signs `claims` with HS256.
///
/// # Errors
/// None that a caller can cause.
pub(crate) fn sign_hs256(secret: &Secret, claims: &Claims) -> Result<String, SignError> {
    sign(Algorithm::HS256, &EncodingKey::from_secret(secret.expose().as_bytes()), claims)
}

/// Signs `claims` with EdDSA; the key is an Ed25519 private key in PKCS#8 PEM.
///
/// # Errors
/// The key is of another kind.
pub(crate) fn sign_eddsa(private_key_pem: &Secret, claims: &Claims) -> Result<String, SignError> {
    let key = EncodingKey::from_ed_pem(private_key_pem.expose().as_bytes()).map_err(|_| SignError::Key)?;
    sign(Algorithm::EdDSA, &key, claims)
}

fn sign(algorithm: Algorithm, key: &EncodingKey, claims: &Claims) -> Result<String, SignError> {
    provider::install();
    jsonwebtoken::encode(&Header::new(algorithm), claims, key).map_err(|error| match error.kind() {
        ErrorKind::InvalidEddsaKey => SignError::Key,
        _ => SignError::Library { problem: error.to_string() },
    })
}

/// Why a token is not signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SignError {
    /// A private key is of another kind.
    #[error("not an Ed25519 private key in PKCS#8 PEM: `openssl genpkey -algorithm ed25519` makes one")]
    Key,
    /// The library refuses to sign.
    #[error("cannot sign the token: {problem}")]
    Library {
        /// What it says.
        problem: String,
    },
}
