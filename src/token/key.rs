//! Keys that the signatures of tokens are checked with, and the algorithms that go with them.
//!
//! A key is of one algorithm, and checks nothing else: the bytes of a public key are never taken for those of a secret.
//! The cryptography is ring's, and nothing of it is installed for the process.
//!
//! Source: RFC 7518 section 3.2 for HS256, RFC 8037 section 3.1 for EdDSA.

use std::fmt;

use ring::hmac;
use ring::signature::{ED25519, UnparsedPublicKey};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;

/// How a token is signed: `alg` of its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// The one of that name, if it is accepted.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "HS256" => Some(Self::Hs256),
            "EdDSA" => Some(Self::EdDsa),
            _ => None,
        }
    }
}

/// A key of one algorithm. It does not print itself: it may be a secret.
#[derive(Clone)]
pub(super) enum Key {
    /// The secret of whoever signs and whoever checks.
    Hs256(hmac::Key),
    /// An Ed25519 public key.
    EdDsa([u8; ED25519_KEY_BYTES]),
}

impl Key {
    /// A secret for HS256.
    pub(super) fn secret(secret: &[u8]) -> Self {
        Self::Hs256(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// The public key for EdDSA whose PEM this is. `None`: it is another text, or a key of another kind.
    pub(super) fn ed25519(pem: &str) -> Option<Self> {
        let info = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).ok()?;
        let key = info.strip_prefix(&ED25519_SPKI_PREFIX)?;
        key.try_into().ok().map(Self::EdDsa)
    }

    /// What it checks.
    pub(super) fn algorithm(&self) -> Algorithm {
        match self {
            Self::Hs256(_) => Algorithm::Hs256,
            Self::EdDsa(_) => Algorithm::EdDsa,
        }
    }

    /// Whether `signature` was made of `signed` by the owner of this key.
    pub(super) fn has_signed(&self, signed: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Hs256(key) => hmac::verify(key, signed, signature).is_ok(),
            Self::EdDsa(key) => UnparsedPublicKey::new(&ED25519, key).verify(signed, signature).is_ok(),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?})", self.algorithm())
    }
}

/// Whether this is the PEM of a public key that checks EdDSA.
pub(crate) fn is_ed25519_public_key(pem: &str) -> bool {
    Key::ed25519(pem).is_some()
}

/// Bytes of an Ed25519 public key. Source: RFC 8032 section 5.1.5.
const ED25519_KEY_BYTES: usize = 32;

/// What comes before the key in its SubjectPublicKeyInfo. Source: RFC 8410 section 4.
const ED25519_SPKI_PREFIX: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
