//! The one secret of a cluster, and everything that is derived from it.
//!
//! HKDF (RFC 5869) turns the key into independent keys, one a purpose, so that knowing one of them
//! says nothing about another. The authority that signs the nodes' certificates is derived too:
//! every node computes the same one, and nothing has to be distributed but the key. It reads no
//! file and stores nothing.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hkdf;
use ring::rand::{SecureRandom, SystemRandom};

/// The secret that all nodes of a cluster share. Text form: `pmk1_` and 43 characters of base64url
/// without padding. It never prints itself.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterKey([u8; KEY_BYTES]);

impl ClusterKey {
    /// A new key from the operating system's randomness.
    ///
    /// # Errors
    /// [`ClusterKeyError::NoRandomness`] when the operating system gives none.
    pub fn generate() -> Result<Self, ClusterKeyError> {
        let mut bytes = [0; KEY_BYTES];
        SystemRandom::new().fill(&mut bytes).map_err(|_| ClusterKeyError::NoRandomness)?;
        Ok(Self(bytes))
    }

    /// Reads the text form; white space around it is ignored.
    ///
    /// # Errors
    /// [`ClusterKeyError`] says what is wrong without repeating the text, which may be a secret.
    pub fn parse(text: &str) -> Result<Self, ClusterKeyError> {
        decode(PREFIX, text).map(Self).map_err(|problem| match problem {
            TextProblem::Prefix => ClusterKeyError::Prefix,
            TextProblem::Length { len } => ClusterKeyError::Length { len },
            TextProblem::Characters => ClusterKeyError::Characters,
        })
    }

    /// What it is made of.
    pub(super) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// The text form, to be kept as a secret.
    #[must_use]
    pub fn to_text(&self) -> String {
        encode(PREFIX, &self.0)
    }

    /// The root of what is derived from this key.
    pub(super) fn root(&self) -> Root {
        Root::new(&self.0)
    }
}

impl fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterKey(..)")
    }
}

/// Why a text is not a cluster key, or why none could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClusterKeyError {
    /// The text does not begin like a key.
    #[error("a cluster key starts with {PREFIX}; make one with `pushmesh keygen`")]
    Prefix,
    /// The text has the wrong length, so that a part of it may be missing.
    #[error(
        "a cluster key has {ENCODED_BYTES} characters after {PREFIX}, this one has {len}; copy it whole \
         or make one with `pushmesh keygen`"
    )]
    Length {
        /// The length found, in bytes.
        len: usize,
    },
    /// The text is not base64url of a key.
    #[error(
        "a cluster key is made of letters, digits, '-' and '_' as `pushmesh keygen` printed them; \
         this one was changed: copy it again or make a new one"
    )]
    Characters,
    /// The operating system gave no random bytes.
    #[error("the operating system gives no random bytes; try again once it has started completely")]
    NoRandomness,
}

/// Why a text is not a key, whichever kind was looked for.
pub(super) enum TextProblem {
    /// It begins otherwise.
    Prefix,
    /// So many bytes follow the prefix.
    Length { len: usize },
    /// It is not base64url.
    Characters,
}

/// The text form of a key.
pub(super) fn encode(prefix: &str, key: &[u8; KEY_BYTES]) -> String {
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(key))
}

/// Reads the text form of a key; white space around it is ignored.
pub(super) fn decode(prefix: &str, text: &str) -> Result<[u8; KEY_BYTES], TextProblem> {
    let encoded = text.trim().strip_prefix(prefix).ok_or(TextProblem::Prefix)?;
    if encoded.len() != ENCODED_BYTES {
        return Err(TextProblem::Length { len: encoded.len() });
    }
    // The engine refuses spare bits that are not zero, so that a key has exactly one text form.
    let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| TextProblem::Characters)?;
    bytes.try_into().map_err(|_| TextProblem::Characters)
}

/// A secret of high entropy from which keys are derived by purpose: HKDF-SHA256.
#[derive(Clone)]
pub(super) struct Root(hkdf::Prk);

impl Root {
    /// The root of `secret`: a cluster key, a hash key, or the private key of a node with files of its own.
    pub(super) fn new(secret: &[u8]) -> Self {
        assert!(!secret.is_empty(), "nothing can be derived from nothing");
        Self(hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(secret))
    }

    /// The key for `purpose` in `context`, an ordered list of names: HKDF-Expand with the
    /// purpose and the names as info, each followed by a zero byte. No name holds a zero byte, so
    /// that two different lists never read the same.
    pub(super) fn derive(&self, purpose: &str, context: &[&str]) -> [u8; DERIVED_BYTES] {
        let separator: &[u8] = &[0];
        let mut info = vec![purpose.as_bytes(), separator];
        for name in context {
            debug_assert!(!name.as_bytes().contains(&0), "the separator is not part of a name");
            info.extend([name.as_bytes(), separator]);
        }
        let mut derived = [0; DERIVED_BYTES];
        self.0
            .expand(&info, hkdf::HKDF_SHA256)
            .and_then(|output| output.fill(&mut derived))
            .expect("HKDF-SHA256 gives 32 bytes");
        derived
    }

    /// The same as [`Root::derive`], as the root of further keys.
    pub(super) fn child(&self, purpose: &str, context: &[&str]) -> Root {
        Self::new(&self.derive(purpose, context))
    }

    /// Encrypts quinn's address validation tokens.
    pub(super) fn into_token_key(self) -> hkdf::Prk {
        self.0
    }
}

/// Bytes of a key. Source: 256 bits, the strength of the strongest part that is derived from it.
const KEY_BYTES: usize = 32;

/// Bytes of a derived key: what Ed25519 seeds and HMAC-SHA256 keys have.
pub(super) const DERIVED_BYTES: usize = 32;

/// Characters of a key after its prefix: base64 of [`KEY_BYTES`] without padding.
pub(super) const ENCODED_BYTES: usize = (KEY_BYTES * 4).div_ceil(3);

/// How a key begins: names what it is, for people and for scanners of leaked secrets, and the
/// version of its derivation.
const PREFIX: &str = "pmk1_";

/// HKDF's salt: separates this use from any other of the same bytes. A change makes a new cluster.
const SALT: &[u8] = b"pushmesh identity 1";

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "pmk1_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

    #[test]
    fn a_key_keeps_its_text_form() {
        let key = ClusterKey::parse(TEXT).unwrap();
        assert_eq!(key.0[..3], [0, 1, 2]);
        assert_eq!(key.to_text(), TEXT);
        assert_eq!(ClusterKey::parse(&format!(" \t{TEXT}\r\n")), Ok(key));
    }

    #[test]
    fn a_generated_key_parses_and_is_never_the_same() {
        let key = ClusterKey::generate().unwrap();
        assert_eq!(ClusterKey::parse(&key.to_text()), Ok(key.clone()));
        assert_ne!(ClusterKey::generate(), Ok(key));
    }

    #[test]
    fn a_wrong_text_is_refused_with_what_to_do_and_without_repeating_it() {
        let refused = |text: &str| ClusterKey::parse(text).unwrap_err();
        assert_eq!(
            refused("hunter2").to_string(),
            "a cluster key starts with pmk1_; make one with `pushmesh keygen`"
        );
        assert_eq!(refused(""), ClusterKeyError::Prefix);
        assert_eq!(refused(&TEXT[..TEXT.len() - 1]), ClusterKeyError::Length { len: 42 });
        assert_eq!(refused(&format!("{TEXT}=")), ClusterKeyError::Length { len: 44 });
        assert_eq!(refused(&TEXT.replace('Q', "+")), ClusterKeyError::Characters);
        for text in ["hunter2", &TEXT[..20], &TEXT.replace('Q', "+")] {
            assert!(!refused(text).to_string().contains(text), "{text}");
        }
    }

    #[test]
    fn a_key_has_one_text_form_only() {
        // The last character carries two spare bits: `9` decodes like `8` where they are ignored.
        let twin = TEXT.replace("Hh8", "Hh9");
        assert_ne!(twin, TEXT);
        assert_eq!(ClusterKey::parse(&twin), Err(ClusterKeyError::Characters));
    }

    #[test]
    fn a_key_does_not_print_itself() {
        assert_eq!(format!("{:?}", ClusterKey::parse(TEXT).unwrap()), "ClusterKey(..)");
    }

    #[test]
    fn derived_keys_depend_on_the_secret_the_purpose_and_every_name() {
        let root = Root::new(b"secret");
        let key = root.derive("purpose", &["a", "b"]);
        assert_eq!(Root::new(b"secret").derive("purpose", &["a", "b"]), key);
        assert_ne!(Root::new(b"Secret").derive("purpose", &["a", "b"]), key);
        assert_ne!(root.derive("Purpose", &["a", "b"]), key);
        assert_ne!(root.derive("purpose", &["ab"]), key);
        assert_ne!(root.derive("purpose", &["a", "c"]), key);
        assert_ne!(root.derive("purpose", &["a", "b", ""]), key);
    }
}
