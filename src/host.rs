//! Hosts with their ports, as the `Host` header and the origins of browsers write them.
//!
//! A host is an address or a DNS name in ASCII. Of what the grammar of URLs allows beside that, user names, percent
//! escapes, punctuation and names in other scripts, nothing names a server, and browsers send none of it. A host is shown
//! in the form that browsers send: in small letters, IPv6 addresses in their shortest form.
//!
//! Source: RFC 9110 section 4.2.3 and 7.2; RFC 3986 section 3.2.2; RFC 5952; the URL standard of WHATWG, host parsing
//! and host serializing.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    /// A DNS name in small letters.
    Name(String),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address.
    V6(Ipv6Addr),
}

impl Host {
    /// Reads `host` or `host:port`; the port of `host:` is the default one.
    pub(crate) fn parse_with_port(text: &str) -> Option<(Self, Option<u16>)> {
        if let Some(rest) = text.strip_prefix('[') {
            let (addr, rest) = rest.split_once(']')?;
            let port = if rest.is_empty() { None } else { port(rest.strip_prefix(':')?)? };
            return Some((Host::V6(addr.parse().ok()?), port));
        }
        match text.split_once(':') {
            None => Some((Self::parse_name(text)?, None)),
            Some((host, rest)) => Some((Self::parse_name(host)?, port(rest)?)),
        }
    }

    fn parse_name(text: &str) -> Option<Self> {
        if text.len() > NAME_BYTES_MAX {
            return None;
        }
        let labels = text.strip_suffix('.').unwrap_or(text).split('.');
        let last = labels.clone().next_back()?;
        // What ends like a number is an address for every browser, or nothing.
        let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
        let numeric = match hex {
            Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
            None => !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()),
        };
        if numeric {
            return text.parse().ok().map(Host::V4);
        }
        let is_label = |label: &str| {
            (1..=LABEL_BYTES_MAX).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        labels.into_iter().all(is_label).then(|| Host::Name(text.to_ascii_lowercase()))
    }
}

/// `None` twice: no port, and none that is one.
fn port(text: &str) -> Option<Option<u16>> {
    if text.is_empty() {
        return Some(None);
    }
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).map(Some)
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::V4(addr) => addr.fmt(f),
            // The standard library writes the end of these with dots, browsers do not.
            Host::V6(addr) if addr.to_ipv4_mapped().is_some() => {
                let [.., high, low] = addr.segments();
                write!(f, "[::ffff:{high:x}:{low:x}]")
            }
            Host::V6(addr) => write!(f, "[{addr}]"),
        }
    }
}

/// Bytes of a DNS name. Source: RFC 1035 section 2.3.4, as text.
const NAME_BYTES_MAX: usize = 254;

/// Bytes of one label of it. Source: the same.
const LABEL_BYTES_MAX: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Option<(String, Option<u16>)> {
        Host::parse_with_port(text).map(|(host, port)| (host.to_string(), port))
    }

    #[test]
    fn a_host_is_shown_as_browsers_send_it() {
        let cases = [
            ("Push.Example", "push.example", None),
            ("push.example:8080", "push.example", Some(8080)),
            ("push.example:", "push.example", None),
            ("push.example.", "push.example.", None),
            ("my_service:00080", "my_service", Some(80)),
            ("localhost", "localhost", None),
            ("127.0.0.1:1", "127.0.0.1", Some(1)),
            ("[::1]:7400", "[::1]", Some(7400)),
            ("[2001:DB8:0:0:1:0:0:1]", "[2001:db8::1:0:0:1]", None),
            ("[0:0:0:0:0:FFFF:192.0.2.1]", "[::ffff:c000:201]", None),
            ("[::192.0.2.1]", "[::c000:201]", None),
            ("[::ffff:c000:201]:", "[::ffff:c000:201]", None),
            ("xn--bcher-kva.example", "xn--bcher-kva.example", None),
            ("7.example", "7.example", None),
            ("0x7f.example", "0x7f.example", None),
        ];
        for (text, host, port) in cases {
            assert_eq!(shown(text), Some((host.to_owned(), port)), "{text}");
        }
    }

    #[test]
    fn what_names_no_server_is_no_host() {
        let long = format!("{}.example", "x".repeat(64));
        let wrong = [
            "",
            ":80",
            ".",
            "a..b",
            ".a",
            "a b",
            "a,b",
            "a/b",
            "a@b",
            "user:secret@a",
            "a:b",
            "a:65536",
            "a:+80",
            "a:-1",
            "a:80:80",
            "::1",
            "[::1",
            "[::1]80",
            "[::1]:x",
            "[fe80::1%25eth0]",
            "[v1.a]",
            "[a]",
            "bücher.example",
            "a%2eb",
            "a%zz",
            "127.0.0.1.1",
            "127.1",
            "256.0.0.1",
            "1.2.3",
            "7",
            "0x7f",
            "a.0x",
            "*.example",
            "a\u{0}",
            &long,
        ];
        for text in wrong {
            assert_eq!(shown(text), None, "{text:?}");
        }
        assert_eq!(shown(&vec!["x".repeat(50); 6].join(".")), None, "too long");
    }
}
