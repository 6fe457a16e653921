//! One key of a key set.
//!
//! The kind of a key says for which algorithm it is: RSA for RS256, P-256 for ES256, Ed25519 for EdDSA. `alg`, `use` and
//! `key_ops` may only say the same, and a key that says something else is for something else. Certificates (`x5c`) and what
//! else is beside are ignored: the keys are trusted because of where they come from. A symmetric key (`oct`) is no public key,
//! and a set that is published makes it nobody's secret.
//!
//! Source: RFC 7517 section 4; RFC 7518 sections 6.2.1 and 6.3.1; RFC 8037 section 2.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::json;
use crate::token::key::{Algorithm, Key, KeyError};

/// A key that checks tokens.
#[derive(Debug, Clone)]
pub(super) struct Jwk {
    /// What tokens call it.
    pub(super) kid: Option<String>,
    pub(super) key: Key,
}

impl Jwk {
    /// Reads a key.
    ///
    /// # Errors
    /// It is of no use here.
    pub(super) fn read(text: &str) -> Result<Self, Unusable> {
        let fields: Fields = json::object(text.as_bytes())
            .map_err(|error| Unusable::Malformed { problem: error.to_string() })?;
        if fields.purpose.as_ref().is_some_and(|purpose| purpose != "sig") {
            return Err(Unusable::Purpose);
        }
        if fields.key_ops.as_ref().is_some_and(|all| all.iter().all(|one| one != "verify")) {
            return Err(Unusable::Operations);
        }
        let key = fields.key()?;
        if let Some(alg) = fields.alg
            && Algorithm::named(&alg) != Some(key.algorithm())
        {
            return Err(Unusable::Algorithm { alg });
        }
        Ok(Self { kid: fields.kid, key })
    }
}

/// What is read of a key; other fields are ignored.
#[derive(Deserialize)]
struct Fields {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Fields {
    fn key(&self) -> Result<Key, Unusable> {
        Ok(match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => Key::rsa(&number("n", &self.n)?, &number("e", &self.e)?)?,
            ("EC", Some("P-256")) => Key::p256(&number("x", &self.x)?, &number("y", &self.y)?)?,
            ("OKP", Some("Ed25519")) => Key::ed25519(&number("x", &self.x)?)?,
            (kty, crv) => {
                let curve = crv.map_or_else(String::new, |crv| format!(" {crv}"));
                return Err(Unusable::Kind { kind: format!("{kty}{curve}") });
            }
        })
    }
}

/// The bytes of a field that the kind of the key asks for: base64url without padding.
fn number(name: &'static str, field: &Option<String>) -> Result<Vec<u8>, Unusable> {
    let text = field.as_ref().ok_or(Unusable::Field { name })?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Unusable::Field { name })
}

/// Why a key is of no use here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unusable {
    /// It cannot be read.
    #[error("it cannot be read: {problem}")]
    Malformed {
        /// What is wrong.
        problem: String,
    },
    /// It is not for signatures.
    #[error("its use is not sig")]
    Purpose,
    /// It is not for checking.
    #[error("its key_ops have no verify")]
    Operations,
    /// It is a kind of key that no accepted algorithm has.
    #[error("its kind, {kind:?}, is not RSA, EC P-256 or OKP Ed25519")]
    Kind {
        /// Its `kty` and `crv`.
        kind: String,
    },
    /// It is for another algorithm.
    #[error("its alg, {alg:?}, is not the one of RS256, ES256 and EdDSA that goes with its kind")]
    Algorithm {
        /// Its `alg`.
        alg: String,
    },
    /// A field is missing, or cannot be read.
    #[error("its {name} is missing, or is not base64url without padding")]
    Field {
        /// Which one.
        name: &'static str,
    },
    /// Its numbers are none that are accepted.
    #[error("{0}")]
    Key(#[from] KeyError),
}
