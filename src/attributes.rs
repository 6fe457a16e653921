//! Session attributes: what an application keeps with a session, as one JSON object.
//!
//! They are held and sent as their text, written in one way: without spaces, the names of each object in order. Texts of
//! numbers stay as they came. The tree behind them is in `member.rs`, and only there while something changes.
//!
//! Source: RFC 8259 for JSON, of which an object has each name once here; RFC 7396 for changes.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error};
use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::id::LoginId;
use crate::limits;

mod error;
mod member;

pub use error::{AttributesError, BadAttributes};

use member::{Member, Members};

/// The attributes of a session: a JSON object of at most
/// [`ATTRIBUTES_BYTES_MAX`](crate::limits::ATTRIBUTES_BYTES_MAX) bytes. What a node tells has the session's login beside
/// them, as `sid`.
///
/// ```
/// use pushmesh::{Attributes, MergePatch};
///
/// let attributes = Attributes::parse(r#"{ "theme": "dark", "cart": { "items": 3 } }"#)?;
/// let patch = MergePatch::parse(r#"{"cart":{"items":4},"theme":null}"#)?;
/// assert_eq!(attributes.merged(&patch)?.as_json(), r#"{"cart":{"items":4}}"#);
/// # Ok::<(), pushmesh::attributes::BadAttributes>(())
/// ```
#[derive(Clone)]
pub struct Attributes(Box<RawValue>);

/// A JSON Merge Patch for the [`Attributes`] of a session: an object whose `null` removes a name, whose objects go into what
/// is there, and whose other values replace it. As long as attributes at most.
#[derive(Clone)]
pub struct MergePatch(Box<RawValue>);

/// What is to be done with the attributes of a session.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Change {
    /// Nothing: they are read.
    Read,
    /// These take their place.
    Replace(Attributes),
    /// This goes into them.
    Merge(MergePatch),
}

/// What a session says to that.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Changed {
    /// These they are from now on.
    Are(Attributes),
    /// They would be too long: they are as they were.
    TooLarge,
    /// The change has another `sid` than the session: they are as they were.
    Reserved,
}

impl Attributes {
    /// Reads the text of an object.
    ///
    /// # Errors
    /// [`BadAttributes`].
    pub fn parse(text: &str) -> Result<Self, BadAttributes> {
        Self::written(&member::parse(text)?)
    }

    /// As JSON.
    #[must_use]
    pub fn as_json(&self) -> &str {
        self.0.get()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.as_json() == "{}"
    }

    /// These with a patch.
    ///
    /// # Errors
    /// [`BadAttributes::TooLarge`].
    pub fn merged(&self, patch: &MergePatch) -> Result<Self, BadAttributes> {
        let mut members = self.members();
        member::merge(&mut members, &read(&patch.0));
        Self::written(&members)
    }

    /// These without the name `sid`, and what stood there.
    pub(crate) fn without_login(&self) -> (Self, Option<Said>) {
        let mut members = self.members();
        let said = members.remove(SID).map(|said| Said::of(&said));
        (Self(write(&members)), said)
    }

    /// These, which have no such name, with `sid`.
    pub(crate) fn with_login(&self, login: &LoginId) -> Self {
        let mut members = self.members();
        members.insert(SID.to_owned(), Member::text(login.as_str()));
        Self(write(&members))
    }

    fn written(members: &Members) -> Result<Self, BadAttributes> {
        bounded(write(members), limits::ATTRIBUTES_BYTES_MAX).map(Self)
    }

    fn members(&self) -> Members {
        read(&self.0)
    }
}

impl Default for Attributes {
    fn default() -> Self {
        Self(write(&Members::new()))
    }
}

impl MergePatch {
    /// Reads the text of a patch.
    ///
    /// # Errors
    /// [`BadAttributes`]. A patch that is no object would leave no attributes.
    pub fn parse(text: &str) -> Result<Self, BadAttributes> {
        bounded(write(&member::parse(text)?), limits::ATTRIBUTES_BYTES_MAX).map(Self)
    }

    /// As JSON.
    #[must_use]
    pub fn as_json(&self) -> &str {
        self.0.get()
    }

    /// The same without the name `sid`, and what it does there.
    pub(crate) fn without_login(&self) -> (Self, Option<Said>) {
        let mut members = read(&self.0);
        let said = members.remove(SID).map(|said| Said::of(&said));
        (Self(write(&members)), said)
    }
}

/// What somebody says that `sid` is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said(Option<String>);

impl Said {
    fn of(member: &Member) -> Self {
        Self(member.as_text())
    }

    /// Whether it is that login.
    pub(crate) fn is(&self, login: Option<&LoginId>) -> bool {
        self.0.as_deref().is_some_and(|said| login.is_some_and(|login| login.as_str() == said))
    }
}

fn read(text: &RawValue) -> Members {
    member::parse(text.get()).expect("it was read before it was written")
}

fn write(members: &Members) -> Box<RawValue> {
    serde_json::value::to_raw_value(members).expect("names and texts of values always serialise")
}

fn bounded(text: Box<RawValue>, bytes_max: usize) -> Result<Box<RawValue>, BadAttributes> {
    let len = text.get().len();
    if len > bytes_max { Err(BadAttributes::TooLarge { len }) } else { Ok(text) }
}

/// Between nodes it is a text, and in JSON an object.
fn serialize<S: Serializer>(text: &RawValue, to: S) -> Result<S::Ok, S::Error> {
    if to.is_human_readable() { text.serialize(to) } else { to.serialize_str(text.get()) }
}

/// Reads what another node has written, which is checked as if it came from a caller.
fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Box<RawValue>, D::Error> {
    let text = if from.is_human_readable() {
        Value::deserialize(from)?.to_string()
    } else {
        String::deserialize(from)?
    };
    let members = member::parse(&text).map_err(D::Error::custom)?;
    bounded(write(&members), SHOWN_BYTES_MAX).map_err(D::Error::custom)
}

macro_rules! json_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                serialize(&self.0, to)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                deserialize(from).map(Self)
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.as_json() == other.as_json()
            }
        }

        impl Eq for $name {}

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_json())
            }
        }
    };
}

json_text!(Attributes);
json_text!(MergePatch);

/// The name under which the login of a session stands among its attributes. Source: OpenID Connect Front-Channel Logout
/// 1.0, section 3, which has it as a claim.
const SID: &str = "sid";

/// Bytes of attributes with the login beside them: each of its bytes may need an escape.
pub(crate) const SHOWN_BYTES_MAX: usize =
    limits::ATTRIBUTES_BYTES_MAX + 2 * limits::LOGIN_BYTES_MAX + r#""sid":"","#.len();

#[cfg(test)]
mod tests;
