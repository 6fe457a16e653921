//! What a URL says: ids in the path, parameters in the query.
//!
//! Ids are percent-decoded and validated here, so that handlers get typed values. A text that is
//! not an id is a 400 with the rule that it breaks. Nothing is guessed: a byte that is not UTF-8 is an error and no
//! replacement character, which would make one user of two.

use std::borrow::Cow;

use axum::extract::{FromRequestParts, Path};
use axum::http::Uri;
use axum::http::request::Parts;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;

use crate::gateway::error::{ApiError, BadRequest};
use crate::id::{DeviceId, NodeName, SessionKey, UserId};

/// `/v1/users/{user}…`
pub(super) struct UserPath(pub(super) UserId);

/// `/v1/users/{user}/devices/{device}…`
pub(super) struct SessionPath(pub(super) SessionKey);

/// `/v1/nodes/{node}`
pub(super) struct NodePath(pub(super) NodeName);

/// The parameters of the query.
pub(super) struct Params<T>(pub(super) T);

impl<S: Send + Sync> FromRequestParts<S> for UserPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let user = path::<String, S>(parts, state).await?;
        Ok(Self(UserId::new(user)?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for SessionPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let (user, device) = path::<(String, String), S>(parts, state).await?;
        Ok(Self(SessionKey::new(UserId::new(user)?, DeviceId::new(device)?)))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for NodePath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let node = path::<String, S>(parts, state).await?;
        Ok(Self(NodeName::new(node)?))
    }
}

impl<S: Send + Sync, T: FromQuery> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Ok(Self(params(&parts.uri)?))
    }
}

async fn path<T: DeserializeOwned + Send, S: Send + Sync>(
    parts: &mut Parts,
    state: &S,
) -> Result<T, ApiError> {
    match Path::<T>::from_request_parts(parts, state).await {
        Ok(Path(ids)) => Ok(ids),
        Err(error) => {
            Err(ApiError::bad_request(format!("the path is not understood: {}", error.body_text())))
        }
    }
}

/// Parameters that a query can say.
pub(super) trait FromQuery: Sized {
    /// Whether a parameter that is not known belongs to somebody else. Otherwise it is a mistake.
    const SHARED: bool;

    /// Takes the known ones.
    fn from_query(query: &mut Query) -> Result<Self, BadRequest>;
}

/// Reads the query of `uri`.
pub(super) fn params<T: FromQuery>(uri: &Uri) -> Result<T, BadRequest> {
    let mut query = Query::parse(uri.query().unwrap_or_default())?;
    let params = T::from_query(&mut query)?;
    match query.given.first() {
        Some((name, _)) if !T::SHARED => {
            Err(not_understood(format!("there is no parameter {:?}", shortened(name))))
        }
        _ => Ok(params),
    }
}

/// The parameters of a query, decoded, in their order.
#[derive(Debug)]
#[cfg_attr(test, derive(Default))]
pub(super) struct Query {
    given: Vec<(String, String)>,
    /// The names of the parameters that were asked for.
    #[cfg(test)]
    taken: Vec<String>,
}

impl Query {
    fn parse(text: &str) -> Result<Self, BadRequest> {
        let decoded = |text: &str| {
            // The form encoding, which browsers and libraries use, writes a space as a plus.
            let text = decode(text).map(Cow::into_owned);
            text.ok_or_else(|| not_understood("an escape is broken, or a value is not UTF-8".to_owned()))
        };
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let pair = pair.replace('+', " ");
            let (name, value) = pair.split_once('=').unwrap_or((&pair, ""));
            Ok((decoded(name)?, decoded(value)?))
        });
        let given = pairs.collect::<Result<_, BadRequest>>()?;
        Ok(Self {
            given,
            #[cfg(test)]
            taken: Vec::new(),
        })
    }

    /// Takes the value of a parameter, which may be there once.
    pub(super) fn take(&mut self, name: &str) -> Result<Option<String>, BadRequest> {
        #[cfg(test)]
        self.taken.push(name.to_owned());
        let mut found = self.given.extract_if(.., |(given, _)| given == name).map(|(_, value)| value);
        match (found.next(), found.next()) {
            (_, Some(_)) => Err(not_understood(format!("{name} is there twice"))),
            (value, None) => Ok(value),
        }
    }

    /// The names of the parameters that were asked for, in that order.
    #[cfg(test)]
    pub(super) fn names_taken(&self) -> &[String] {
        &self.taken
    }
}

fn not_understood(problem: String) -> BadRequest {
    BadRequest::new(format!("the query is not understood: {problem}"))
}

fn shortened(name: &str) -> String {
    name.chars().take(NAME_CHARS_SHOWN).collect()
}

/// `text` with its percent escapes replaced by what they stand for; `None` where one is no escape, or where all
/// together are not UTF-8.
pub(super) fn decode(text: &str) -> Option<Cow<'_, str>> {
    let is_escape = |after: &str| {
        after.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    // The library would leave what is no escape as it is.
    let all_are = text.split('%').skip(1).all(is_escape);
    percent_decode_str(text).decode_utf8().ok().filter(|_| all_are)
}

/// How much of a name that is not known is repeated. Guess: enough to find it.
const NAME_CHARS_SHOWN: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq)]
    struct Strict(Option<String>);

    impl FromQuery for Strict {
        const SHARED: bool = false;

        fn from_query(query: &mut Query) -> Result<Self, BadRequest> {
            query.take("a").map(Self)
        }
    }

    struct Lax(Option<String>);

    impl FromQuery for Lax {
        const SHARED: bool = true;

        fn from_query(query: &mut Query) -> Result<Self, BadRequest> {
            query.take("a").map(Self)
        }
    }

    fn strict(query: &str) -> Result<Option<String>, &'static str> {
        let uri: Uri = format!("/?{query}").parse().unwrap();
        params(&uri).map(|Strict(a)| a).map_err(|BadRequest(_)| "bad_request")
    }

    #[test]
    fn a_value_is_decoded_and_nothing_is_guessed() {
        let cases = [
            ("", None),
            ("&&", None),
            ("a", Some("")),
            ("a=", Some("")),
            ("a=b=c", Some("b=c")),
            ("a=b+c%2Bd%20e", Some("b c+d e")),
            ("%61=%C3%BC", Some("ü")),
            ("&a=%25zz&", Some("%zz")),
            ("a=%00", Some("\0")),
        ];
        for (query, value) in cases {
            assert_eq!(strict(query), Ok(value.map(str::to_owned)), "{query}");
        }
        for query in ["a=%FF", "a=%C3", "a=%zz", "a=%", "a=%4", "a=%+1", "%FF=a", "a=%C3%28", "a=%ED%A0%80"] {
            assert_eq!(strict(query), Err("bad_request"), "{query}");
        }
    }

    #[test]
    fn a_parameter_is_there_once_and_known_or_somebody_elses() {
        assert_eq!(strict("a=1&a=2"), Err("bad_request"));
        assert_eq!(strict("a=1&%61=1"), Err("bad_request"));
        assert_eq!(strict("a=1&b=2"), Err("bad_request"));
        let lax = |query: &str| params(&format!("/?{query}").parse().unwrap()).map(|Lax(a)| a);
        assert_eq!(lax("b=2&a=1&b=3").unwrap(), Some("1".to_owned()));
        assert!(lax("a=1&b=2&a=1").is_err());
    }
}
