//! Keys that the signatures of tokens are checked with, and the algorithms that go with them.
//!
//! A key is of one algorithm, and checks nothing else: the bytes of a public key are never taken for those of a secret.
//! The cryptography is ring's, and nothing of it is installed for the process.
//!
//! Source: RFC 7518 sections 3.2 to 3.4 for HS256, RS256 and ES256, RFC 8037 section 3.1 for EdDSA.

use std::fmt;
use std::ops::Range;

use ring::hmac;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;

/// How a token is signed: `alg` of its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA on the curve P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// The one of that name, if it is accepted.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "HS256" => Some(Self::Hs256),
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
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
    /// The modulus and the exponent of an RSA public key, without leading zeros.
    Rs256(RsaPublicKeyComponents<Vec<u8>>),
    /// A point on the curve, in the uncompressed form of SEC 1 section 2.3.3.
    Es256(Vec<u8>),
    /// An Ed25519 public key.
    EdDsa([u8; ED25519_KEY_BYTES]),
}

impl Key {
    /// A secret for HS256.
    pub(super) fn secret(secret: &[u8]) -> Self {
        Self::Hs256(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// A public key for RS256, by its modulus and its exponent. Leading zeros are allowed, because some issuers write one.
    ///
    /// # Errors
    /// The numbers are none of an RSA key, or the key is too short.
    pub(super) fn rsa(n: &[u8], e: &[u8]) -> Result<Self, KeyError> {
        let (n, e) = (without_zeros(n), without_zeros(e));
        let bits = 8 * n.len() - n.first().map_or(0, |first| first.leading_zeros() as usize);
        if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) {
            return Err(KeyError::RsaBits { bits });
        }
        let exponent = e.iter().fold(0_u64, |sum, byte| sum.saturating_mul(1 << 8) | u64::from(*byte));
        let is_odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
        if !is_odd(n) || !is_odd(e) || !RSA_EXPONENTS.contains(&exponent) {
            return Err(KeyError::RsaNumbers);
        }
        Ok(Self::Rs256(RsaPublicKeyComponents { n: n.to_vec(), e: e.to_vec() }))
    }

    /// A public key for ES256, by its coordinates. Whether the point is on the curve is seen when a signature is checked.
    ///
    /// # Errors
    /// A coordinate has another length.
    pub(super) fn p256(x: &[u8], y: &[u8]) -> Result<Self, KeyError> {
        if [x, y].iter().any(|coordinate| coordinate.len() != COORDINATE_BYTES) {
            return Err(KeyError::Coordinate);
        }
        Ok(Self::Es256([&[UNCOMPRESSED], x, y].concat()))
    }

    /// A public key for EdDSA.
    ///
    /// # Errors
    /// It has another length.
    pub(super) fn ed25519(x: &[u8]) -> Result<Self, KeyError> {
        x.try_into().map(Self::EdDsa).map_err(|_| KeyError::Coordinate)
    }

    /// The public key for EdDSA whose PEM this is. `None`: it is another text, or a key of another kind.
    pub(super) fn ed25519_pem(pem: &str) -> Option<Self> {
        let info = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).ok()?;
        Self::ed25519(info.strip_prefix(&ED25519_SPKI_PREFIX)?).ok()
    }

    /// What it checks.
    pub(super) fn algorithm(&self) -> Algorithm {
        match self {
            Self::Hs256(_) => Algorithm::Hs256,
            Self::Rs256(_) => Algorithm::Rs256,
            Self::Es256(_) => Algorithm::Es256,
            Self::EdDsa(_) => Algorithm::EdDsa,
        }
    }

    /// Whether `signature` was made of `signed` by the owner of this key.
    pub(super) fn has_signed(&self, signed: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Hs256(key) => hmac::verify(key, signed, signature).is_ok(),
            Self::Rs256(key) => key.verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature).is_ok(),
            Self::Es256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed, signature).is_ok()
            }
            Self::EdDsa(key) => UnparsedPublicKey::new(&ED25519, key).verify(signed, signature).is_ok(),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?})", self.algorithm())
    }
}

/// Why numbers are no key that is accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeyError {
    /// The modulus of an RSA key is too short or too long.
    #[error("its modulus has {bits} bits, and {RSA_BITS_MIN} to {RSA_BITS_MAX} are accepted")]
    RsaBits {
        /// Bits of the modulus.
        bits: usize,
    },
    /// The numbers of an RSA key cannot be such.
    #[error("its modulus or its exponent is not one of an RSA key")]
    RsaNumbers,
    /// A coordinate of a point has another length than those of the curve.
    #[error("a coordinate has not {COORDINATE_BYTES} bytes")]
    Coordinate,
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

/// Whether this is the PEM of a public key that checks EdDSA.
pub(crate) fn is_ed25519_public_key(pem: &str) -> bool {
    Key::ed25519_pem(pem).is_some()
}

/// Bits of a modulus. Source: RFC 7518 section 3.3.
const RSA_BITS_MIN: usize = 2_048;
/// Bits of a modulus. Source: what ring accepts.
const RSA_BITS_MAX: usize = 8_192;
/// Exponents that ring accepts. Source: RFC 8017 section 3.1 for the least, FIPS 186-4 and other libraries for the greatest.
const RSA_EXPONENTS: Range<u64> = 3..1 << 33;

/// Bytes of a coordinate of P-256. Source: RFC 7518 section 6.2.1.2.
const COORDINATE_BYTES: usize = 32;
/// What an uncompressed point begins with. Source: SEC 1 section 2.3.3.
const UNCOMPRESSED: u8 = 4;

/// Bytes of an Ed25519 public key. Source: RFC 8032 section 5.1.5.
const ED25519_KEY_BYTES: usize = 32;

/// What comes before the key in its SubjectPublicKeyInfo. Source: RFC 8410 section 4.
const ED25519_SPKI_PREFIX: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
