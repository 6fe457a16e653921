//! Names and numbers with a meaning: every identifier of the system as its own type.
//!
//! Text identifiers are validated when they enter (a flag, a URL, a token, a frame from a peer)
//! and are cheap to clone afterwards. Numbers are newtypes, so that a version cannot be passed
//! where an incarnation is meant. Nothing here does I/O, reads a clock or draws entropy.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};

use crate::limits;

/// Why a text is not a valid identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is empty.
    #[error("a {what} must not be empty")]
    Empty {
        /// The kind of identifier.
        what: &'static str,
    },
    /// The text has more bytes than its kind allows.
    #[error("a {what} has at most {max} bytes, this one has {len}")]
    TooLong {
        /// The kind of identifier.
        what: &'static str,
        /// The bound, in bytes.
        max: usize,
        /// The length found, in bytes.
        len: usize,
    },
    /// The text holds a character that its kind does not allow.
    #[error("a {what} is made of {allowed}; {found:?} is not allowed")]
    Character {
        /// The kind of identifier.
        what: &'static str,
        /// The characters that are allowed, in words.
        allowed: &'static str,
        /// The first offending character.
        found: char,
    },
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:expr, $allowed:literal, $ok:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Validates `text`.
            ///
            /// # Errors
            /// [`IdError`] names the rule that the text breaks.
            pub fn new(text: impl AsRef<str>) -> Result<Self, IdError> {
                let text = text.as_ref();
                if text.is_empty() {
                    return Err(IdError::Empty { what: $what });
                }
                if text.len() > $max {
                    return Err(IdError::TooLong { what: $what, max: $max, len: text.len() });
                }
                let allowed: fn(char) -> bool = $ok;
                if let Some(found) = text.chars().find(|c| !allowed(*c)) {
                    return Err(IdError::Character { what: $what, allowed: $allowed, found });
                }
                Ok(Self(text.into()))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Text(|text: &str| Self::new(text)))
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

/// Reads a text where it stands, without a copy of its own.
struct Text<F>(F);

impl<T, F: FnOnce(&str) -> Result<T, IdError>> Visitor<'_> for Text<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        self.0(text).map_err(E::custom)
    }
}

text_id!(
    /// Stable name of a node, unique in its cluster and proven by the node's certificate.
    NodeName, "node name", limits::NODE_NAME_BYTES_MAX,
    "ASCII letters, digits, '.', '_' and '-'", is_name_char
);

text_id!(
    /// Name of a cluster. Nodes of different clusters refuse each other in the handshake.
    ClusterName, "cluster name", limits::NODE_NAME_BYTES_MAX,
    "ASCII letters, digits, '.', '_' and '-'", is_name_char
);

text_id!(
    /// A user, as the application calls it: the `sub` of its token.
    UserId, "user", limits::USER_BYTES_MAX, "printable characters", is_printable
);

text_id!(
    /// A device of a user. A client that names none is given a random one.
    DeviceId, "device", limits::DEVICE_BYTES_MAX, "printable characters", is_printable
);

text_id!(
    /// A login of a user, as the identity provider calls it: the `sid` of its token.
    LoginId, "sid", limits::LOGIN_BYTES_MAX, "printable characters", is_printable
);

text_id!(
    /// Identifies one push, end to end: chosen by the caller (`id`, `Idempotency-Key`) or by the entry node.
    MessageId, "message id", limits::MESSAGE_ID_BYTES_MAX, "printable ASCII characters",
    |c| c.is_ascii_graphic()
);

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

fn is_printable(c: char) -> bool {
    !c.is_control()
}

/// One boot of a node's process; strictly increasing for each [`NodeName`]. Shape: milliseconds
/// since the Unix epoch, pushed forward when that alone would not increase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
pub struct Incarnation(pub u64);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The owned identity of a session. A client that names its device owns the key exclusively: its
/// next connection, on any node, takes the key over.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionKey {
    /// The user.
    pub user: UserId,
    /// The device of that user.
    pub device: DeviceId,
}

impl SessionKey {
    /// Puts the two parts together.
    #[must_use]
    pub fn new(user: UserId, device: DeviceId) -> Self {
        Self { user, device }
    }
}

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.user, self.device)
    }
}

/// Orders the claims of one session key: 48 bits of milliseconds since the Unix epoch, then 16
/// bits of counter. A greater stamp is a later claim, whatever the clocks of the nodes say,
/// because a claimer goes above every stamp of the key that it can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
pub struct Stamp(u64);

/// The bits of a stamp that count.
const COUNTER: u64 = 0xffff;

impl Stamp {
    /// The stamp for a claim made at `now_ms` (Unix milliseconds) by a claimer that knows `seen`,
    /// the greatest earlier stamp of the same key: the physical time, or just above `seen`.
    #[must_use]
    pub fn next(now_ms: u64, seen: Option<Stamp>) -> Self {
        let physical = now_ms << 16;
        Self(seen.map_or(physical, |s| physical.max(s.0.saturating_add(1))))
    }

    /// The smallest stamp not below this one whose counter is `counter`.
    #[must_use]
    pub fn counted(self, counter: u16) -> Self {
        let counted = (self.0 & !COUNTER) | u64::from(counter);
        Self(if counted < self.0 { counted.saturating_add(COUNTER + 1) } else { counted })
    }

    /// The next one: above this, and above no other that is.
    #[must_use]
    pub fn after(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The last stamp that nodes may give to their claims while they keep a session of this stamp for a client that is away.
    #[must_use]
    pub fn kept_on_until(self) -> Self {
        Self((self.0 | COUNTER).saturating_add(KEPT_ON_WITHIN_MS << 16))
    }

    /// Below every stamp of a claim.
    pub const ZERO: Self = Self(0);

    /// The physical part: milliseconds since the Unix epoch.
    #[must_use]
    pub fn unix_ms(self) -> u64 {
        self.0 >> 16
    }

    /// The raw value, for hashing and for tokens.
    #[must_use]
    pub fn raw(self) -> u64 {
        self.0
    }

    /// The stamp with this raw value.
    #[must_use]
    pub fn from_raw(raw: u64) -> Self {
        Self(raw)
    }
}

/// How far above the stamp of its client's session those are that nodes give one after the other while they keep it. Arithmetic: the
/// counter goes round once in two claims, by mean; so that is enough for thirty nodes.
const KEPT_ON_WITHIN_MS: u64 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_slash_is_refused_and_the_error_says_what_is_allowed() {
        let error = NodeName::new("a/b").expect_err("a slash is not allowed");
        assert_eq!(
            error.to_string(),
            "a node name is made of ASCII letters, digits, '.', '_' and '-'; '/' is not allowed"
        );
    }

    #[test]
    fn bounds_are_inclusive() {
        assert!(UserId::new("x".repeat(limits::USER_BYTES_MAX)).is_ok());
        assert!(UserId::new("x".repeat(limits::USER_BYTES_MAX + 1)).is_err());
        assert_eq!(UserId::new(""), Err(IdError::Empty { what: "user" }));
        assert!(UserId::new("tab\there").is_err());
    }

    #[test]
    fn a_stamp_is_the_physical_time_unless_a_later_one_was_seen() {
        let first = Stamp::next(1_000, None);
        assert_eq!(first.unix_ms(), 1_000);
        let second = Stamp::next(1_000, Some(first));
        assert!(second > first);
        let behind = Stamp::next(10, Some(second));
        assert!(behind > second, "a slow clock still goes above what it saw");
        assert_eq!(Stamp::next(5_000, Some(second)).unix_ms(), 5_000);
    }

    #[test]
    fn a_counter_never_makes_a_stamp_smaller() {
        let at = |ms: u64, counter| Stamp((ms << 16) + counter);
        assert_eq!(at(7, 0).counted(9), at(7, 9));
        assert_eq!(at(7, 9).counted(9), at(7, 9));
        assert_eq!(at(7, 10).counted(9), at(8, 9));
        assert_eq!(at(7, 10).counted(u16::MAX), at(7, 0xffff));
        assert_eq!(Stamp(u64::MAX).counted(0), Stamp(u64::MAX), "nothing is above the greatest");
    }

    #[test]
    fn a_deserialised_id_is_validated() {
        assert!(serde_json::from_str::<NodeName>("\"n1\"").is_ok());
        assert!(serde_json::from_str::<NodeName>("\"n 1\"").is_err());
    }
}
