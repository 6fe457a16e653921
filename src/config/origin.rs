//! Origins that browsers may connect from, and how they are compared.
//!
//! A browser sends `scheme://host`, or `scheme://host:port` unless the port is the default one, in small letters and in
//! ASCII; or `null`, where the page has no origin that means something. What an operator writes is brought into that form
//! once, so that `https://APP.example:443/` is `https://app.example`; what could never be sent is refused then.
//!
//! Source: RFC 6454 sections 6.1 and 7; the HTML standard of WHATWG, ASCII serialization of an origin.

use std::fmt;
use std::str::FromStr;

use crate::host::Host;

/// An origin that browsers may connect from, or one that a browser has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// Pages without an origin: sandboxed frames, files.
    Null,
    /// Pages of one server.
    Server {
        /// In small letters.
        scheme: String,
        /// Whether one label, whatever it is, stands before the host.
        any_label: bool,
        host: Host,
        /// `None` for the default port.
        port: Option<u16>,
    },
}

impl Origin {
    /// Whether this, an origin that an operator has listed, allows the one that a browser has `sent`.
    #[must_use]
    pub fn allows(&self, sent: &Origin) -> bool {
        let Kind::Server { scheme, any_label: true, host, port } = &self.0 else { return self == sent };
        let Kind::Server { scheme: s, any_label: false, host: Host::Name(name), port: p } = &sent.0 else {
            return false;
        };
        let rest = name.split_once('.').map(|(_, rest)| rest);
        scheme == s && port == p && matches!(host, Host::Name(host) if Some(host.as_str()) == rest)
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    /// Reads an origin; white space around it and one slash at its end do not count. `*` as the first label of the
    /// host stands for any one label.
    ///
    /// # Errors
    /// [`OriginError`] says what is wrong with the text.
    fn from_str(text: &str) -> Result<Self, OriginError> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("null") {
            return Ok(Self(Kind::Null));
        }
        let (scheme, rest) = text.split_once("://").ok_or(OriginError::Shape)?;
        let scheme = scheme.to_ascii_lowercase();
        let first = scheme.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
        if !first || !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) {
            return Err(OriginError::Shape);
        }
        if scheme == "ws" || scheme == "wss" {
            return Err(OriginError::Scheme);
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.is_empty() {
            return Err(if scheme == "file" { OriginError::File } else { OriginError::Shape });
        }
        if rest.contains(['/', '?', '#', '@', '\\']) {
            return Err(OriginError::More);
        }
        if !rest.is_ascii() {
            return Err(OriginError::Unicode);
        }
        let (any_label, host) = match rest.strip_prefix("*.") {
            Some(host) => (true, host),
            None => (false, rest),
        };
        if host.contains('*') {
            return Err(OriginError::Wildcard);
        }
        let (host, port) = Host::parse_with_port(host).ok_or(OriginError::Host)?;
        if any_label && !matches!(host, Host::Name(_)) {
            return Err(OriginError::Wildcard);
        }
        if port == Some(0) {
            return Err(OriginError::Host);
        }
        let port = port.filter(|port| default_port(&scheme) != Some(*port));
        Ok(Self(Kind::Server { scheme, any_label, host, port }))
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Kind::Server { scheme, any_label, host, port } = &self.0 else { return f.write_str("null") };
        write!(f, "{scheme}://{}{host}", if *any_label { "*." } else { "" })?;
        port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// Why a text is not an origin that a browser could send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// It is not `scheme://host`.
    #[error("an origin is a scheme and a host, such as https://app.example; leave it out to allow any")]
    Shape,
    /// It has the scheme of the WebSocket.
    #[error("browsers send the origin of the page and not of the WebSocket: write https:// or http://")]
    Scheme,
    /// It stands for files.
    #[error("browsers send `null` for pages of the file system: list null, if those may connect")]
    File,
    /// There is more than scheme, host and port.
    #[error("an origin has neither path nor user: only a scheme, a host and perhaps a port")]
    More,
    /// The host is not in ASCII.
    #[error("browsers send the ASCII form of a host, whose labels begin with xn--: write that")]
    Unicode,
    /// A `*` stands where it means nothing.
    #[error(
        "`*` stands for one label, the first of a name: https://*.app.example; leave the origin out to allow any"
    )]
    Wildcard,
    /// The host or the port is none.
    #[error("its host is neither a DNS name nor an address, or its port is none")]
    Host,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Origin {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn an_origin_is_brought_into_the_form_that_browsers_send() {
        let cases = [
            ("https://app.example", "https://app.example"),
            ("https://app.example:443", "https://app.example"),
            ("https://app.example:", "https://app.example"),
            ("HTTPS://App.Example/", "https://app.example"),
            (" http://localhost:80 ", "http://localhost"),
            ("http://localhost:443", "http://localhost:443"),
            ("https://localhost:0080", "https://localhost:80"),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
            ("https://[2001:DB8::0:1]:443", "https://[2001:db8::1]"),
            ("http://[::FFFF:127.0.0.1]", "http://[::ffff:7f00:1]"),
            ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
            ("https://*.App.example:8443/", "https://*.app.example:8443"),
            ("https://*.localhost", "https://*.localhost"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("chrome-extension://abcdefghijklmnop", "chrome-extension://abcdefghijklmnop"),
            ("null", "null"),
            ("Null", "null"),
        ];
        for (text, form) in cases {
            assert_eq!(origin(text).to_string(), form, "{text}");
            assert_eq!(origin(form).to_string(), form, "{text}");
        }
    }

    #[test]
    fn what_no_browser_sends_is_refused_with_the_reason() {
        use OriginError::{File, Host, More, Scheme, Shape, Unicode, Wildcard};
        let cases = [
            ("", Shape),
            ("*", Shape),
            ("app.example", Shape),
            ("app.example:443", Shape),
            ("//app.example", Shape),
            ("https:app.example", Shape),
            ("https://", Shape),
            ("https:///", Shape),
            ("1s://a", Shape),
            ("wss://app.example", Scheme),
            ("ws://localhost:8080", Scheme),
            ("file://", File),
            ("file:///", File),
            ("https://app.example/path", More),
            ("https://app.example//", More),
            ("https://app.example?x", More),
            ("https://app.example#x", More),
            ("https://user@app.example", More),
            ("https://bücher.example", Unicode),
            ("https://*", Wildcard),
            ("https://*:443", Wildcard),
            ("https://a*.example", Wildcard),
            ("https://*a.example", Wildcard),
            ("https://*.*.example", Wildcard),
            ("https://app.*", Wildcard),
            ("https://*.127.0.0.1", Wildcard),
            ("https://*.[::1]", Wildcard),
            ("https://*.", Host),
            ("https://app.example:0", Host),
            ("https://app.example:65536", Host),
            ("https://app.example:x", Host),
            ("https://127.1", Host),
            ("https://::1", Host),
            ("https://a b", Host),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<Origin>(), Err(error), "{text}");
        }
    }

    #[test]
    fn an_origin_allows_itself_in_whatever_form_and_nothing_else() {
        let allows = |listed: &str, sent: &str| origin(listed).allows(&origin(sent));
        assert!(allows("https://app.example:443", "https://app.example"));
        assert!(allows("https://app.example", "https://app.example:443"));
        assert!(allows("null", "null"));
        for other in [
            "http://app.example",
            "https://app.example:444",
            "https://app.example.",
            "https://app.example.evil",
            "https://a.app.example",
            "null",
        ] {
            assert!(!allows("https://app.example", other), "{other}");
        }
        assert!(!allows("null", "https://app.example"));
    }

    #[test]
    fn a_wildcard_stands_for_exactly_one_label() {
        let allows = |sent: &str| origin("https://*.app.example:8443").allows(&origin(sent));
        assert!(allows("https://a.app.example:8443"));
        assert!(allows("https://xn--bcher-kva.app.example:8443"));
        for other in [
            "https://app.example:8443",
            "https://b.a.app.example:8443",
            "https://a.app.example",
            "http://a.app.example:8443",
            "https://aapp.example:8443",
            "https://*.app.example:8443",
            "null",
        ] {
            assert!(!allows(other), "{other}");
        }
    }
}
