//! What the head of every request has to be, whatever it asks for.
//!
//! A head that two readers could understand in two ways is refused before anybody looks at it: a proxy in front of the
//! node may have read it the other way. The length of heads is looked at in `bounds.rs`; what the server itself refuses,
//! such as two lengths of the body, does not come here.
//!
//! Source: RFC 9110 sections 5.3, 7.2 and 8.4; RFC 9112 sections 3.2, 6.1 and 6.3; RFC 3986 section 2.1.

use axum::http::{HeaderMap, HeaderName, Method, Request, Version, header};

use crate::gateway::error::ApiError;
use crate::gateway::url;
use crate::host::Host;

/// Refuses a head that is not understood.
pub(super) fn check<B>(request: &Request<B>) -> Result<(), ApiError> {
    check_transfer(request.headers())?;
    check_host(request)?;
    check_single(request.headers())?;
    check_url(request)?;
    check_coding(request)
}

/// Whether a header that is a list of tokens has one that is `wanted`.
pub(super) fn lists(headers: &HeaderMap, name: HeaderName, wanted: impl Fn(&str) -> bool) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|listed| wanted(listed.trim()))
}

/// A request that HTTP/1.0 has made may be without a host; every other one has one, and it is one.
fn check_host<B>(request: &Request<B>) -> Result<(), ApiError> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let message = match (hosts.next(), hosts.next()) {
        (None, _) if request.version() == Version::HTTP_10 => return Ok(()),
        (None, _) => "the Host header is missing: HTTP/1.1 demands it",
        (Some(_), Some(_)) => "there are two Host headers: send one",
        (Some(host), None) if host.to_str().is_ok_and(|host| Host::parse_with_port(host).is_some()) => {
            return Ok(());
        }
        (Some(_), None) => "the Host header is not a host: send a name or an address, perhaps with a port",
    };
    Err(ApiError::bad_request(message))
}

/// Of a header that has one value there is one.
fn check_single(headers: &HeaderMap) -> Result<(), ApiError> {
    if headers.len() == headers.keys_len() {
        return Ok(()); // Each of them is there once.
    }
    for name in SINGLE {
        if headers.get_all(&name).iter().nth(1).is_some() {
            return Err(ApiError::bad_request(format!("there are two {name} headers: send one")));
        }
    }
    Ok(())
}

/// The escapes of path and query are escapes, and what they stand for is UTF-8.
fn check_url<B>(request: &Request<B>) -> Result<(), ApiError> {
    let uri = request.uri();
    for (what, text) in [("path", uri.path()), ("query", uri.query().unwrap_or_default())] {
        if url::decode(text).is_none() {
            return Err(ApiError::bad_request(format!(
                "the {what} is not understood: a percent sign and two hexadecimal digits stand for a byte, and all \
                 bytes together are UTF-8"
            )));
        }
    }
    Ok(())
}

/// A body comes as it is, or in chunks.
fn check_transfer(headers: &HeaderMap) -> Result<(), ApiError> {
    let mut chunked = 0;
    for coding in elements(headers, &header::TRANSFER_ENCODING) {
        if !coding.eq_ignore_ascii_case("chunked") {
            return Err(ApiError::unsupported_transfer_encoding());
        }
        chunked += 1;
    }
    if chunked > 1 {
        return Err(ApiError::bad_request("the body is chunked twice: apply `chunked` once"));
    }
    Ok(())
}

/// A body is what it says, and not something that it has to be unpacked from.
fn check_coding<B>(request: &Request<B>) -> Result<(), ApiError> {
    let plain = |coding: &str| coding.eq_ignore_ascii_case("identity");
    if elements(request.headers(), &header::CONTENT_ENCODING).all(plain) || !has_body(request) {
        return Ok(());
    }
    Err(ApiError::unsupported_encoding())
}

/// Whether a body follows the head. That of a POST may be empty and is one.
fn has_body<B>(request: &Request<B>) -> bool {
    let length = request.headers().get(header::CONTENT_LENGTH);
    request.method() == Method::POST
        || request.headers().contains_key(header::TRANSFER_ENCODING)
        || length.is_some_and(|length| length.as_bytes().iter().any(|digit| *digit != b'0'))
}

/// The elements of a header that is a list, over all its lines. One that is not text is an element of its own.
fn elements<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).iter().map(|line| line.to_str().unwrap_or("?"));
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|element| !element.is_empty())
}

/// The header with the id of a message. Source: draft-ietf-httpapi-idempotency-key-header.
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The header with how long a message may wait. Source: RFC 8030 section 5.2.
pub(super) const TTL: HeaderName = HeaderName::from_static("ttl");
/// Headers with one value.
const SINGLE: [HeaderName; 7] = [
    TTL,
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    IDEMPOTENCY_KEY,
    header::ORIGIN,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
];

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn refusal(method: &str, uri: &str, headers: &[(&str, &str)]) -> Option<&'static str> {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(&request.body(()).unwrap()).err().map(|error| error.code())
    }

    #[test]
    fn a_request_names_one_host() {
        let host = |headers: &[(&str, &str)]| refusal("GET", "/livez", headers);
        for good in ["push.example", "localhost:8080", "127.0.0.1", "[::1]:80", "my_service"] {
            assert_eq!(host(&[("host", good)]), None, "{good}");
        }
        for bad in ["", "a b", "a,b", "user@a", "a:x", "a/b", "::1", "[::1", "a%zz", "ü"] {
            assert_eq!(host(&[("host", bad)]), Some("bad_request"), "{bad}");
        }
        assert_eq!(host(&[]), Some("bad_request"));
        assert_eq!(host(&[("host", "a"), ("host", "a")]), Some("bad_request"));
        let old = Request::builder().version(Version::HTTP_10).uri("/livez");
        assert!(check(&old.body(()).unwrap()).is_ok(), "HTTP/1.0 has no Host");
        let old = Request::builder().version(Version::HTTP_10).uri("/livez").header("host", "a b");
        assert!(check(&old.body(()).unwrap()).is_err(), "but if it has one, it is one");
    }

    #[test]
    fn a_header_with_one_value_is_there_once() {
        for name in SINGLE {
            let line = (name.as_str(), "x");
            assert_eq!(refusal("GET", "/livez", &[("host", "a"), line]), None, "{name}");
            assert_eq!(refusal("GET", "/livez", &[("host", "a"), line, line]), Some("bad_request"), "{name}");
        }
    }

    #[test]
    fn escapes_are_whole_and_stand_for_utf_8() {
        let url = |url: &str| refusal("GET", url, &[("host", "a")]);
        for good in ["/v1/users/a%2Fb", "/%C3%BC", "/?a=%20+%25&b=%c3%bc", "/?%41", "/", "/?"] {
            assert_eq!(url(good), None, "{good}");
        }
        for bad in ["/%zz", "/%", "/%2", "/a%2", "/%FF", "/%C3", "/?a=%zz", "/?a=%", "/?a=%4", "/?%FF=a"] {
            assert_eq!(url(bad), Some("bad_request"), "{bad}");
        }
        assert_eq!(url("/?device=%C3&x=%BC"), Some("bad_request"), "halves of a character");
    }

    #[test]
    fn a_body_that_is_packed_is_not_taken() {
        let coded = |method: &str, headers: &[(&str, &str)]| {
            refusal(method, "/v1/push", &[&[("host", "a")], headers].concat())
        };
        let name = "content-encoding";
        for good in ["identity", "Identity", "identity, identity", "", " , identity"] {
            assert_eq!(coded("POST", &[(name, good)]), None, "{good}");
        }
        let packed = Some("unsupported_encoding");
        for bad in ["gzip", "GZIP", "x-gzip", "br", "zstd", "identity, gzip", "gzip,identity", "unknown", "ü"]
        {
            assert_eq!(coded("POST", &[(name, bad)]), packed, "{bad}");
        }
        assert_eq!(coded("POST", &[(name, "identity"), (name, "deflate")]), packed);
        assert_eq!(coded("DELETE", &[(name, "gzip"), ("content-length", "10")]), packed);
        assert_eq!(coded("DELETE", &[(name, "gzip"), ("transfer-encoding", "chunked")]), packed);
        assert_eq!(coded("GET", &[(name, "gzip"), ("content-length", "0")]), None, "there is no body");
    }

    #[test]
    fn chunked_is_the_only_transfer_coding() {
        let coded = |values: &[&str]| {
            let lines = values.iter().map(|value| ("transfer-encoding", *value));
            refusal("POST", "/v1/push", &[("host", "a")].into_iter().chain(lines).collect::<Vec<_>>())
        };
        assert_eq!(coded(&["chunked"]), None);
        assert_eq!(coded(&["Chunked"]), None);
        let unknown = Some("unsupported_transfer_encoding");
        assert_eq!(coded(&["gzip, chunked"]), unknown);
        assert_eq!(coded(&["gzip", "chunked"]), unknown);
        assert_eq!(coded(&["identity, chunked"]), unknown);
        assert_eq!(coded(&["chunked, chunked"]), Some("bad_request"));
    }

    #[test]
    fn a_listed_token_is_found_in_any_place_and_compared_as_its_header_asks() {
        let headers = HeaderMap::from_iter([
            (header::CONNECTION, HeaderValue::from_static("keep-alive")),
            (header::UPGRADE, HeaderValue::from_static("h2c, WebSocket")),
        ]);
        let any_case = |token: &str| token.eq_ignore_ascii_case("websocket");
        assert!(lists(&headers, header::UPGRADE, any_case));
        assert!(!lists(&headers, header::CONNECTION, any_case));
        assert!(!lists(&headers, header::UPGRADE, |token| token == "websocket"));
        assert!(lists(&headers, header::UPGRADE, |token| token == "WebSocket"));
    }
}
