//! Signing client tokens, as a backend does: for the command `token`, and for tests.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::signature::Ed25519KeyPair;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde::Serialize;

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
pub(crate) fn sign_hs256(secret: &Secret, claims: &Claims) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
    sign("HS256", claims, |text| hmac::sign(&key, text).as_ref().to_vec())
}

/// Signs `claims` with EdDSA; the key is an Ed25519 private key in PKCS#8 PEM.
///
/// # Errors
/// The key is of another kind.
pub(crate) fn sign_eddsa(private_key_pem: &Secret, claims: &Claims) -> Result<String, SignError> {
    let key = PrivatePkcs8KeyDer::from_pem_slice(private_key_pem.expose().as_bytes());
    let key = key.map_err(|_| SignError::Key)?;
    // Keys of openssl are PKCS#8 version 1, without the public key to check against.
    let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.secret_pkcs8_der());
    let key = key.map_err(|_| SignError::Key)?;
    Ok(sign("EdDSA", claims, |text| key.sign(text).as_ref().to_vec()))
}

/// Source: RFC 7515 section 7.1.
fn sign(algorithm: &str, claims: &Claims, signature: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let header = format!(r#"{{"typ":"JWT","alg":"{algorithm}"}}"#);
    let claims = serde_json::to_vec(claims).expect("texts and numbers have a form in JSON");
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(signature(signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// Why a token is not signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SignError {
    /// The private key is of another kind.
    #[error("not an Ed25519 private key in PKCS#8 PEM: `openssl genpkey -algorithm ed25519` makes one")]
    Key,
}
