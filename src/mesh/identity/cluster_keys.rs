//! The cluster keys of a node: one, or several while one takes the place of another.
//!
//! ```text
//! # A comment.
//! pmk1_…      signs the certificate of this node
//! pmk1_…      is believed as well, when peers show certificates that it has signed
//! pmh1_…      the hash key, from which follows all that nodes have to agree on
//! ```
//!
//! The hash key cannot change while nodes run, because the directory keeps sessions under hashes that follow from it. So it is
//! that of the first cluster key that the cluster has had, and has a line of its own once there is a second one.

use super::cluster_key::{ClusterKey, ClusterKeyError, Root};
use super::hash_key::{HashKey, HashKeyError};

/// What a file of cluster keys holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterKeys {
    /// The one that signs comes first. Never empty.
    keys: Vec<ClusterKey>,
    hash_key: Option<HashKey>,
}

impl ClusterKeys {
    /// Reads the text of such a file: a key a line. Lines that are empty or begin with `#` are skipped.
    ///
    /// # Errors
    /// [`ClusterKeysError`] says what is wrong without repeating the text, which may be a secret.
    pub fn parse(text: &str) -> Result<Self, ClusterKeysError> {
        let (mut keys, mut hash_key) = (Vec::new(), None);
        for (index, line) in text.lines().enumerate() {
            let (number, line) = (index + 1, line.trim());
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if line.starts_with(HashKey::PREFIX) {
                let key =
                    HashKey::parse(line).map_err(|error| ClusterKeysError::HashKey { number, error })?;
                if hash_key.replace(key).is_some() {
                    return Err(ClusterKeysError::HashKeys { number });
                }
                continue;
            }
            let key = ClusterKey::parse(line).map_err(|error| ClusterKeysError::Key { number, error })?;
            if keys.contains(&key) {
                return Err(ClusterKeysError::Twice { number });
            }
            keys.push(key);
        }
        match keys.len() {
            0 => Err(ClusterKeysError::Empty),
            2.. if hash_key.is_none() => Err(ClusterKeysError::NoHashKey),
            len if len > CLUSTER_KEYS_MAX => Err(ClusterKeysError::TooMany),
            _ => Ok(Self { keys, hash_key }),
        }
    }

    /// The same, and a new key that peers are to believe before anyone signs with it: the first step of replacing the one that there is.
    ///
    /// # Errors
    /// [`ClusterKeysError::UnderWay`] when there are several already, and [`ClusterKeysError::New`] without randomness.
    pub fn with_next(&self) -> Result<Self, ClusterKeysError> {
        if self.keys.len() > 1 {
            return Err(ClusterKeysError::UnderWay);
        }
        let new = ClusterKey::generate().map_err(ClusterKeysError::New)?;
        Ok(Self { keys: vec![self.signing().clone(), new], hash_key: Some(self.hash_key()) })
    }

    /// The key that signs the certificate of this node.
    #[must_use]
    pub fn signing(&self) -> &ClusterKey {
        &self.keys[0]
    }

    /// All that are believed, the one that signs first.
    pub fn all(&self) -> impl Iterator<Item = &ClusterKey> {
        self.keys.iter()
    }

    /// The key from which follows what nodes have to agree on.
    #[must_use]
    pub fn hash_key(&self) -> HashKey {
        self.hash_key.clone().unwrap_or_else(|| HashKey::of(self.signing()))
    }

    /// The text of the file, to be kept as a secret.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut lines: Vec<_> = self.keys.iter().map(ClusterKey::to_text).collect();
        lines.extend(self.hash_key.as_ref().map(HashKey::to_text));
        lines.join("\n")
    }

    /// The root of what nodes derive alike.
    pub(super) fn shared_root(&self) -> Root {
        self.hash_key().root()
    }
}

/// Why a text holds no cluster keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClusterKeysError {
    /// There is no cluster key in it.
    #[error("there is no cluster key: write one a line, as `pushmesh keygen` prints them")]
    Empty,
    /// A line is no key.
    #[error("line {number}: {error}")]
    Key {
        /// The line, from 1.
        number: usize,
        /// What is wrong with it.
        error: ClusterKeyError,
    },
    /// A line begins like a hash key and is none.
    #[error("line {number}: {error}")]
    HashKey {
        /// The line, from 1.
        number: usize,
        /// What is wrong with it.
        error: HashKeyError,
    },
    /// There are two hash keys.
    #[error("line {number}: a cluster has one hash key, and this one is the second: leave out the wrong one")]
    HashKeys {
        /// The line of the second one, from 1.
        number: usize,
    },
    /// A key stands there twice.
    #[error("line {number}: this cluster key stands above already: leave out one")]
    Twice {
        /// The line of the second one, from 1.
        number: usize,
    },
    /// Nothing says which of the keys the cluster began with.
    #[error(
        "several cluster keys need a line with the hash key that the cluster has had from its beginning: write such a file \
         with `pushmesh keygen --after FILE`"
    )]
    NoHashKey,
    /// More than anyone needs.
    #[error("there are more than {} cluster keys: leave out those that no node signs with", CLUSTER_KEYS_MAX)]
    TooMany,
    /// No new key could be made.
    #[error("{0}")]
    New(ClusterKeyError),
    /// A key is being replaced.
    #[error(
        "there are several cluster keys: one is being replaced, and that has to end before the next one can be"
    )]
    UnderWay,
}

/// A stranger's certificate is checked against each. Arithmetic: the old, the new, and as many of a rotation that went wrong.
const CLUSTER_KEYS_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "pmk1_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    const NEW: &str = "pmk1_IAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    const HASH: &str = "pmh1_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

    fn check(text: &str) -> Result<[u8; 32], ClusterKeysError> {
        Ok(ClusterKeys::parse(text)?.shared_root().derive("check", &[]))
    }

    #[test]
    fn what_nodes_agree_on_stays_the_same_while_one_key_takes_the_place_of_another() {
        let before = check(OLD).unwrap();
        let first = ClusterKeys::parse(&format!("{OLD}\n")).unwrap().with_next().unwrap();
        let [old, new, hash] =
            first.to_text().lines().map(str::to_owned).collect::<Vec<_>>().try_into().unwrap();
        assert_eq!((old.as_str(), hash.as_str()), (OLD, HASH));
        assert_eq!(ClusterKeys::parse(&first.to_text()), Ok(first.clone()));
        for step in [first.to_text(), format!("{new}\n{old}\n{hash}\n"), format!("{new}\n{hash}")] {
            assert_eq!(check(&step).unwrap(), before);
        }
        assert_ne!(check(&new).unwrap(), before, "without its line the hash key is that of the only key");
        let second = ClusterKeys::parse(&format!("{new}\n{hash}")).unwrap().with_next().unwrap();
        assert_eq!(check(&second.to_text()).unwrap(), before, "and again");
    }

    #[test]
    fn the_first_key_signs_and_all_are_believed() {
        let keys = ClusterKeys::parse(&format!("# the next one\r\n\n  {NEW} \r\n{OLD}\n{HASH}")).unwrap();
        assert_eq!(keys.signing().to_text(), NEW);
        assert_eq!(keys.all().map(ClusterKey::to_text).collect::<Vec<_>>(), [NEW, OLD]);
    }

    #[test]
    fn a_file_that_says_nothing_usable_is_refused_with_the_line() {
        let refused = |text: &str| ClusterKeys::parse(text).unwrap_err();
        assert_eq!(refused(""), ClusterKeysError::Empty);
        assert_eq!(refused(&format!("# nothing\n{HASH}")), ClusterKeysError::Empty);
        assert_eq!(
            refused(&format!("{OLD}\n{HASH}\nhunter2")),
            ClusterKeysError::Key { number: 3, error: ClusterKeyError::Prefix }
        );
        assert_eq!(
            refused(&format!("{OLD}\n{}", &HASH[..40])),
            ClusterKeysError::HashKey { number: 2, error: HashKeyError::Length { len: 35 } }
        );
        assert_eq!(refused(&format!("{OLD}\n{HASH}\n{HASH}")), ClusterKeysError::HashKeys { number: 3 });
        assert_eq!(refused(&format!("{OLD}\n{OLD}\n{HASH}")), ClusterKeysError::Twice { number: 2 });
        assert_eq!(refused(&format!("{OLD}\n{NEW}")), ClusterKeysError::NoHashKey);
        assert!(!refused(&format!("{OLD}\n{HASH}\nhunter2")).to_string().contains("hunter2"));
        let many: Vec<_> =
            (0..=CLUSTER_KEYS_MAX).map(|_| ClusterKey::generate().unwrap().to_text()).collect();
        assert_eq!(refused(&format!("{}\n{HASH}", many.join("\n"))), ClusterKeysError::TooMany);
    }

    #[test]
    fn a_key_is_not_replaced_before_the_last_one_is() {
        let keys = ClusterKeys::parse(&format!("{OLD}\n{NEW}\n{HASH}")).unwrap();
        assert_eq!(keys.with_next(), Err(ClusterKeysError::UnderWay));
    }
}
