//! The secret that all nodes share where an authority of the operator's own says who they are.
//!
//! What must be the same on all nodes and unknown to users follows from it: the hashes under which the directory
//! keeps sessions, and the codes of resume tokens. A cluster with a cluster key has the same bytes as that one for it, and keeps them when the
//! cluster key is replaced.

use std::fmt;

use ring::rand::{SecureRandom, SystemRandom};

use super::cluster_key::{ClusterKey, DERIVED_BYTES, ENCODED_BYTES, Root, TextProblem, decode, encode};

/// The hash key. Text form: `pmh1_` and 43 characters of base64url without padding. It never prints itself.
#[derive(Clone, PartialEq, Eq)]
pub struct HashKey([u8; DERIVED_BYTES]);

impl HashKey {
    /// How a hash key begins, so that it is not taken for a cluster key; the number is that of its use.
    pub(super) const PREFIX: &str = "pmh1_";

    /// The hash key of a cluster that began with this cluster key: the same bytes, from which a cluster key derives it.
    pub(super) fn of(key: &ClusterKey) -> Self {
        Self(*key.bytes())
    }

    /// A new key from the operating system's randomness.
    ///
    /// # Errors
    /// [`HashKeyError::NoRandomness`] when the operating system gives none.
    pub fn generate() -> Result<Self, HashKeyError> {
        let mut bytes = [0; DERIVED_BYTES];
        SystemRandom::new().fill(&mut bytes).map_err(|_| HashKeyError::NoRandomness)?;
        Ok(Self(bytes))
    }

    /// Reads the text form; white space around it is ignored.
    ///
    /// # Errors
    /// [`HashKeyError`] says what is wrong without repeating the text, which may be a secret.
    pub fn parse(text: &str) -> Result<Self, HashKeyError> {
        decode(Self::PREFIX, text).map(Self).map_err(|problem| match problem {
            TextProblem::Prefix => HashKeyError::Prefix,
            TextProblem::Length { len } => HashKeyError::Length { len },
            TextProblem::Characters => HashKeyError::Characters,
        })
    }

    /// The text form, to be kept as a secret.
    #[must_use]
    pub fn to_text(&self) -> String {
        encode(Self::PREFIX, &self.0)
    }

    /// The root of what is derived from this key.
    pub(super) fn root(&self) -> Root {
        Root::new(&self.0)
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey(..)")
    }
}

/// Why a text is not a hash key, or why none could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HashKeyError {
    /// The text does not begin like a key.
    #[error("a hash key starts with {}; make one with `pushmesh keygen --kind hash`", HashKey::PREFIX)]
    Prefix,
    /// The text has the wrong length, so that a part of it may be missing.
    #[error(
        "a hash key has {ENCODED_BYTES} characters after {}, this one has {len}; copy it whole \
         or make one with `pushmesh keygen --kind hash`",
        HashKey::PREFIX
    )]
    Length {
        /// The length found, in bytes.
        len: usize,
    },
    /// The text is not base64url of a key.
    #[error(
        "a hash key is made of letters, digits, '-' and '_' as `pushmesh keygen` printed them; \
         this one was changed: copy it again or make a new one"
    )]
    Characters,
    /// The operating system gave no random bytes.
    #[error("the operating system gives no random bytes; try again once it has started completely")]
    NoRandomness,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_key_keeps_its_text_form_and_is_no_cluster_key() {
        let key = HashKey::generate().unwrap();
        assert_eq!(HashKey::parse(&format!(" {}\n", key.to_text())), Ok(key.clone()));
        assert_ne!(HashKey::generate().unwrap(), key);
        assert_eq!(format!("{key:?}"), "HashKey(..)");
        let cluster_key = key.to_text().replace("pmh1_", "pmk1_");
        assert_eq!(HashKey::parse(&cluster_key), Err(HashKeyError::Prefix));
        assert_eq!(HashKey::parse(&key.to_text()[..40]), Err(HashKeyError::Length { len: 35 }));
        let changed = format!("{}{}", HashKey::PREFIX, "+".repeat(ENCODED_BYTES));
        assert_eq!(HashKey::parse(&changed), Err(HashKeyError::Characters));
    }
}
