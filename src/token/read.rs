//! What a token says, read strictly: header and claims, and nothing that nobody understands.
//!
//! A claim or a header field that is listed here has to have its type; any other is ignored, whatever its type. An
//! array is no object, and a field that is listed is there once at most. A header that demands an extension (`crit`),
//! or signs something else than the encoded claims (`b64`), makes a token that is not checked as its signer meant it. Keys that
//! a header brings or points to (`jwk`, `jku`, `x5c`, `x5u`) are ignored like all that is not listed: nobody vouches for them.
//!
//! Source: RFC 7515 sections 4.1.11 and 5.2; RFC 7519 sections 4.1 and 7.2; RFC 7797.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::error::TokenError;
use super::key::Algorithm;
use crate::json;

/// The three parts of a token.
pub(super) struct Parts<'a> {
    /// What is signed: header and claims as they are in the token.
    pub(super) signed: &'a str,
    /// What its header says.
    pub(super) algorithm: Algorithm,
    /// What its header calls the key that signed it.
    pub(super) kid: Option<String>,
    claims: &'a str,
    pub(super) signature: Vec<u8>,
}

impl<'a> Parts<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// It is not three parts in base64url, or its header is not one that can be honoured.
    pub(super) fn of(token: &'a str) -> Result<Self, TokenError> {
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        if claims.contains('.') {
            return Err(TokenError::Malformed);
        }
        let signature = decode(signature)?;
        let header = decode(header)?;
        let header: Header = json::object(&header).map_err(|_| TokenError::Malformed)?;
        if let Some(crit) = header.crit {
            return Err(TokenError::Header { problem: format!("crit {crit} is not understood") });
        }
        if header.b64.is_some_and(|b64| b64 != Value::Bool(true)) {
            return Err(TokenError::Header { problem: "b64 is not true".to_owned() });
        }
        let kid = match header.kid {
            None => None,
            Some(Value::String(kid)) => Some(kid),
            Some(_) => return Err(TokenError::Header { problem: "kid is not a text".to_owned() }),
        };
        let algorithm = Algorithm::named(&header.alg).ok_or(TokenError::Algorithm)?;
        Ok(Self { signed, algorithm, kid, claims, signature })
    }

    /// What the claims say. To be called once the signature is right.
    ///
    /// # Errors
    /// They are not an object, or a listed one is not what it has to be.
    pub(super) fn claims(&self) -> Result<Claimed, TokenError> {
        let claims = decode(self.claims)?;
        json::object(&claims).map_err(|error| TokenError::Claims { problem: error.to_string() })
    }
}

/// The user of a token that nobody has verified, if it says one. For whoever shows the token, not for whoever is shown it.
#[cfg(feature = "cli")]
pub(crate) fn unverified_user(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Sub {
        sub: String,
    }
    let claims = decode(Parts::of(token).ok()?.claims).ok()?;
    json::object::<Sub>(&claims).ok().map(|claims| claims.sub)
}

/// Base64url without padding, as RFC 7515 section 2 has it.
fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed)
}

/// The fields of a header that mean something here.
#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default, deserialize_with = "present")]
    kid: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    crit: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    b64: Option<Value>,
}

/// The claims that mean something here.
#[derive(Deserialize)]
pub(super) struct Claimed {
    /// The user.
    #[serde(deserialize_with = "sub")]
    pub(super) sub: String,
    /// The device that the token is bound to.
    #[serde(default, deserialize_with = "device")]
    pub(super) device: Option<String>,
    /// When it expires, in Unix seconds.
    #[serde(deserialize_with = "exp")]
    pub(super) exp: u64,
    /// From when on it is good, in Unix seconds.
    #[serde(default, deserialize_with = "nbf")]
    pub(super) nbf: Option<u64>,
    /// How long a session may be kept, in seconds.
    #[serde(default, deserialize_with = "keep")]
    pub(super) keep: Option<u64>,
    /// The login that it was issued for.
    #[serde(default, deserialize_with = "sid")]
    pub(super) sid: Option<String>,
    /// For whom it is.
    #[serde(default, deserialize_with = "aud")]
    pub(super) aud: Option<Vec<String>>,
    /// Who issued it. Of any type: it is looked at only where an issuer is asked for.
    #[serde(default, deserialize_with = "present")]
    pub(super) iss: Option<Value>,
}

/// A `null` is there, too.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    value(from).map(Some)
}

/// A value, as its text has it: [`Value`] itself takes an object with a key of its library's own for what it holds. Of
/// objects, and of lists in a list, it is only said that they are such.
fn value<'de, D: Deserializer<'de>>(from: D) -> Result<Value, D::Error> {
    let raw = Box::<RawValue>::deserialize(from)?;
    let inner = |item: &RawValue| match item.get().as_bytes() {
        [b'{', ..] => Ok(Value::Object(Map::new())),
        [b'[', ..] => Ok(Value::Array(Vec::new())),
        _ => serde_json::from_str(item.get()),
    };
    let read = if raw.get().starts_with('[') {
        let list = serde_json::from_str::<Vec<&RawValue>>(raw.get());
        list.and_then(|list| list.into_iter().map(inner).collect())
    } else {
        inner(&raw)
    };
    read.map_err(D::Error::custom)
}

fn sub<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    text("sub", value(from)?)
}

fn device<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    text("device", value(from)?).map(Some)
}

fn sid<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    text("sid", value(from)?).map(Some)
}

fn exp<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    numeric_date("exp", &value(from)?)
}

fn nbf<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    numeric_date("nbf", &value(from)?).map(Some)
}

fn keep<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let seconds = value(from)?.as_u64();
    seconds.map(Some).ok_or_else(|| D::Error::custom("keep is not a number of whole seconds"))
}

/// One text or a list of texts.
fn aud<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<String>>, D::Error> {
    let listed = match value(from)? {
        Value::Array(list) => list,
        one => vec![one],
    };
    let texts = listed.into_iter().map(|one| text::<D::Error>("aud", one)).collect::<Result<_, _>>();
    texts.map(Some).map_err(|_| D::Error::custom("aud is neither a text nor a list of texts"))
}

fn text<E: Error>(claim: &str, value: Value) -> Result<String, E> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(E::custom(format_args!("{claim} is not a text"))),
    }
}

/// Unix seconds. RFC 7519 allows fractions, and some libraries send them: they are cut off. A date before
/// 1970 is 0, and one that no number holds the greatest.
fn numeric_date<E: Error>(claim: &str, value: &Value) -> Result<u64, E> {
    let seconds = value.as_u64().or_else(|| value.as_f64().map(|seconds| seconds as u64));
    seconds.ok_or_else(|| E::custom(format_args!("{claim} is not a number of Unix seconds")))
}
