//! The tree of attributes while they are read or changed: objects by their names, lists, and everything else as its text.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::{RawValue, to_raw_value};

use super::error::BadAttributes;
use crate::limits;

/// The members of an object.
pub(super) type Members = BTreeMap<String, Member>;

/// A value in an object.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(super) enum Member {
    /// An object.
    Object(Members),
    /// A list.
    List(Vec<Member>),
    /// A text, a number, a truth value or `null`.
    Other(Box<RawValue>),
}

impl Member {
    /// A text.
    pub(super) fn text(text: &str) -> Self {
        Self::Other(to_raw_value(text).expect("a text always serialises"))
    }

    /// The text, if it is one.
    pub(super) fn as_text(&self) -> Option<String> {
        match self {
            Member::Other(text) => serde_json::from_str(text.get()).ok(),
            Member::Object(_) | Member::List(_) => None,
        }
    }

    fn is_null(&self) -> bool {
        matches!(self, Member::Other(text) if text.get() == "null")
    }

    fn read(text: &RawValue, depth: usize) -> Result<Self, BadAttributes> {
        match text.get().as_bytes() {
            [b'{', ..] => object(text.get(), depth + 1).map(Member::Object),
            [b'[', ..] => list(text.get(), depth + 1).map(Member::List),
            // Written anew, so that two texts that say the same are the same.
            [b'"', ..] => serde_json::from_str::<String>(text.get())
                .map(|text| Member::text(&text))
                .map_err(|error| not_understood(&error)),
            _ => Ok(Member::Other(text.to_owned())),
        }
    }
}

/// Reads the text of an object.
pub(super) fn parse(text: &str) -> Result<Members, BadAttributes> {
    if !text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{') {
        // Whether it is JSON at all is worth telling apart.
        let problem = serde_json::from_str::<&RawValue>(text)
            .map_or_else(|error| error.to_string(), |_| "it is JSON, and no object".to_owned());
        return Err(BadAttributes::NotUnderstood { problem });
    }
    object(text, 1)
}

/// Puts a patch into an object, as RFC 7396, section 2, says.
pub(super) fn merge(members: &mut Members, patch: &Members) {
    for (name, member) in patch {
        match member {
            member if member.is_null() => drop(members.remove(name)),
            Member::Object(patch) => {
                let slot = members.entry(name.clone()).or_insert_with(|| Member::Object(Members::new()));
                if !matches!(slot, Member::Object(_)) {
                    *slot = Member::Object(Members::new());
                }
                let Member::Object(members) = slot else { unreachable!("it is one now") };
                merge(members, patch);
            }
            member => drop(members.insert(name.clone(), member.clone())),
        }
    }
}

fn object(text: &str, depth: usize) -> Result<Members, BadAttributes> {
    let Fields(fields) = bounded(text, depth)?;
    fields.into_iter().map(|(name, value)| Ok((name, Member::read(value, depth)?))).collect()
}

fn list(text: &str, depth: usize) -> Result<Vec<Member>, BadAttributes> {
    let items: Vec<&RawValue> = bounded(text, depth)?;
    items.into_iter().map(|item| Member::read(item, depth)).collect()
}

fn bounded<'de, T: Deserialize<'de>>(text: &'de str, depth: usize) -> Result<T, BadAttributes> {
    if depth > limits::ATTRIBUTES_DEPTH_MAX {
        return Err(BadAttributes::TooDeep);
    }
    serde_json::from_str(text).map_err(|error| not_understood(&error))
}

fn not_understood(error: &serde_json::Error) -> BadAttributes {
    BadAttributes::NotUnderstood { problem: error.to_string() }
}

/// An object one level deep, each of whose names is there once.
struct Fields<'a>(BTreeMap<String, &'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Names).map(Self)
    }
}

struct Names;

impl<'de> Visitor<'de> for Names {
    type Value = BTreeMap<String, &'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = BTreeMap::new();
        while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
            if fields.contains_key(&name) {
                let shown: String = name.chars().take(NAME_CHARS_SHOWN).collect();
                return Err(A::Error::custom(format_args!("the name {shown:?} is there twice")));
            }
            fields.insert(name, value);
        }
        Ok(fields)
    }
}

/// How much of a name that is there twice is repeated. Guess: enough to find it.
const NAME_CHARS_SHOWN: usize = 32;
