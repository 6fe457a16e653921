//! Key sets: the public keys of an identity provider, as it publishes them.
//!
//! A set has keys for many purposes. One that is of no use here is skipped, as the standard asks, and said in the log at
//! debug; a set without any key of use is an error. Of a token, `alg` and `kid` choose the keys that are tried: those of
//! that algorithm, and of that `kid` where the token has one. A `kid` may be there several times, as while keys change.
//!
//! Source: RFC 7517 section 5; RFC 7515 section 4.1.4.

use serde::Deserialize;
use serde_json::value::RawValue;
use tracing::debug;

use super::key::{Algorithm, Key};
use crate::{json, limits};

mod jwk;
#[cfg(test)]
mod tests;

use jwk::{Jwk, Unusable};

/// The keys of an identity provider that check tokens.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeySet {
    keys: Vec<Jwk>,
    /// Why other keys are not among them, by their places in the document.
    skipped: Vec<(usize, Unusable)>,
}

impl KeySet {
    /// Reads a document.
    ///
    /// # Errors
    /// It is too long, not a JSON Web Key Set, or has too many keys or none of use.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, KeySetError> {
        if text.len() > limits::KEY_SET_BYTES_MAX {
            return Err(KeySetError::TooLong);
        }
        let Document { keys: listed } =
            json::object(text).map_err(|error| KeySetError::Malformed { problem: error.to_string() })?;
        if listed.len() > limits::KEY_SET_KEYS_MAX {
            return Err(KeySetError::TooMany { keys: listed.len() });
        }
        let (mut keys, mut skipped) = (Vec::new(), Vec::new());
        for (place, text) in listed.into_iter().enumerate() {
            match Jwk::read(text.get()) {
                Ok(key) => keys.push(key),
                Err(why) => skipped.push((place, why)),
            }
        }
        if keys.is_empty() {
            let first =
                skipped.first().map_or_else(String::new, |(_, why)| format!("; the first one: {why}"));
            return Err(KeySetError::Unusable { keys: skipped.len(), first });
        }
        Ok(Self { keys, skipped })
    }

    /// How many keys check tokens.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Says in the log which keys are skipped, and why.
    pub(crate) fn log_skipped(&self) {
        for (place, why) in &self.skipped {
            debug!(place, %why, "a key of a key set does not check tokens, and is skipped");
        }
    }

    /// The keys that a token of this `alg` and `kid` may have been signed for.
    pub(super) fn matching<'a>(
        &'a self,
        algorithm: Algorithm,
        kid: Option<&'a str>,
    ) -> impl Iterator<Item = &'a Key> {
        let matches = move |jwk: &&Jwk| {
            jwk.key.algorithm() == algorithm && (kid.is_none() || kid == jwk.kid.as_deref())
        };
        self.keys.iter().filter(matches).map(|jwk| &jwk.key)
    }
}

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

/// Why a document is of no use. Each text goes on from the name of the document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeySetError {
    /// It is longer than [`KEY_SET_BYTES_MAX`](limits::KEY_SET_BYTES_MAX).
    #[error("has more than {} bytes, and no key set is so long", limits::KEY_SET_BYTES_MAX)]
    TooLong,
    /// It is something else.
    #[error("is not a JSON Web Key Set, {{\"keys\":[…]}}: {problem}")]
    Malformed {
        /// What is wrong.
        problem: String,
    },
    /// It has more keys than [`KEY_SET_KEYS_MAX`](limits::KEY_SET_KEYS_MAX).
    #[error("has {keys} keys, and {} are accepted at most", limits::KEY_SET_KEYS_MAX)]
    TooMany {
        /// How many.
        keys: usize,
    },
    /// None of its keys checks tokens.
    #[error("has no key for tokens with RS256, ES256 or EdDSA among its {keys}{first}")]
    Unusable {
        /// How many it has.
        keys: usize,
        /// Why the first of them is none, if there is one.
        first: String,
    },
}
