//! Where an identity provider publishes its keys.
//!
//! Whoever can change them on their way can connect as anybody. So the URL is one of https, or of http on this very machine.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use axum::http::uri::{Scheme, Uri};

use super::http_url;

/// The URL of a key set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwksUrl(Uri);

impl JwksUrl {
    /// As a client needs it.
    pub(crate) fn uri(&self) -> &Uri {
        &self.0
    }
}

impl FromStr for JwksUrl {
    type Err = JwksUrlError;

    /// Reads a URL.
    ///
    /// # Errors
    /// [`JwksUrlError`] says what is wrong with the text.
    fn from_str(text: &str) -> Result<Self, JwksUrlError> {
        let uri = http_url::read(text).ok_or(JwksUrlError::Shape)?;
        let is_safe = uri.scheme() == Some(&Scheme::HTTPS) || uri.host().is_some_and(is_loopback);
        if is_safe { Ok(Self(uri)) } else { Err(JwksUrlError::Plain) }
    }
}

impl fmt::Display for JwksUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn is_loopback(host: &str) -> bool {
    let addr = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    addr.map_or(host.eq_ignore_ascii_case("localhost"), |addr| addr.is_loopback())
}

/// Why a text is no URL of a key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JwksUrlError {
    /// It is something else.
    #[error("a key set is at a URL such as https://id.example/.well-known/jwks.json, without a user")]
    Shape,
    /// Anybody between could replace the keys.
    #[error(
        "http is for this machine only (127.0.0.1, [::1], localhost): whoever can change the keys on their way can connect as \
         anybody; use https"
    )]
    Plain,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_by_https_or_from_this_machine() {
        for good in [
            "https://id.example/keys",
            "https://id.example:8443/realms/a/protocol/openid-connect/certs?x=y",
            "https://192.0.2.1/keys",
            "HTTPS://id.example/keys",
            " http://127.0.0.1:8080/keys ",
            "http://[::1]:8080/keys",
            "http://localhost/keys",
        ] {
            assert!(good.parse::<JwksUrl>().is_ok(), "{good}");
        }
        for plain in ["http://id.example/keys", "http://192.0.2.1/keys", "http://localhost.example/keys"] {
            assert_eq!(plain.parse::<JwksUrl>(), Err(JwksUrlError::Plain), "{plain}");
        }
        for wrong in
            ["", "id.example", "/keys", "https://", "https:///keys", "ftp://a/b", "https://u:p@a/b", "a b"]
        {
            assert_eq!(wrong.parse::<JwksUrl>(), Err(JwksUrlError::Shape), "{wrong}");
        }
    }
}
