//! What a page of another origin may read.
//!
//! Pages read what needs no API key: whether the node is there, its metrics and the description of its API. They cannot call
//! the API: a page that held an API key would show it to everybody who opens it. WebSockets are not bound by any of this;
//! whose page may open one is checked when the client is let in.
//!
//! Source: WHATWG Fetch, "CORS protocol".

use axum::http::{HeaderName, HeaderValue, Method, Request, header};
use axum::response::Response;

use crate::gateway::access::Access;

/// A page that asks.
pub(super) struct Page {
    origin: HeaderValue,
    /// It asks only what it may ask.
    is_preflight: bool,
}

impl Page {
    /// The page that made a request, if it was one and it asks for what it may read.
    pub(super) fn of<B>(request: &Request<B>) -> Option<Self> {
        if request.uri().path().starts_with("/v1/") {
            return None;
        }
        let headers = request.headers();
        let is_preflight = *request.method() == Method::OPTIONS
            && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        Some(Self { origin: headers.get(header::ORIGIN)?.clone(), is_preflight })
    }

    /// Lets the page read the answer, if its origin may connect.
    pub(super) fn may_read(self, access: &Access, response: &mut Response) {
        let headers = response.headers_mut();
        headers.append(header::VARY, HeaderValue::from_static("origin"));
        if !access.allows(&self.origin) {
            return;
        }
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, self.origin);
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("retry-after, x-request-id"),
        );
        if self.is_preflight {
            for (name, value) in PREFLIGHT {
                headers.insert(name, HeaderValue::from_static(value));
            }
        }
    }
}

/// What a page is told that asks what it may ask. Browsers hold on to it for ten minutes: guess, the longest that some do.
const PREFLIGHT: [(HeaderName, &str); 3] = [
    (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD"),
    (header::ACCESS_CONTROL_ALLOW_HEADERS, "x-request-id"),
    (header::ACCESS_CONTROL_MAX_AGE, "600"),
];

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;
    use crate::config::AuthConfig;

    fn told(method: &str, path: &str, headers: &[(&str, &str)]) -> Vec<String> {
        let auth = AuthConfig {
            origins: vec!["https://app.example".parse().unwrap()],
            dev: true,
            ..AuthConfig::default()
        };
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let page = Page::of(&request.body(()).unwrap());
        let mut response = ().into_response();
        if let Some(page) = page {
            page.may_read(&Access::new(&auth, None).unwrap(), &mut response);
        }
        let text =
            |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
        let mut told: Vec<_> = response.headers().iter().map(text).collect();
        told.sort();
        told
    }

    #[test]
    fn a_page_of_a_listed_origin_reads_what_needs_no_key() {
        let page = ("origin", "https://app.example");
        let read = [
            "access-control-allow-origin: https://app.example",
            "access-control-expose-headers: retry-after, x-request-id",
            "vary: origin",
        ];
        assert_eq!(told("GET", "/readyz", &[page]), read);
        let asks = ("access-control-request-method", "GET");
        let preflight = told("OPTIONS", "/readyz", &[page, asks]);
        assert!(preflight.contains(&"access-control-allow-methods: GET, HEAD".to_owned()), "{preflight:?}");
        assert_eq!(preflight.len(), 6);
    }

    #[test]
    fn nobody_else_does_and_no_page_calls_the_api() {
        assert_eq!(told("GET", "/readyz", &[("origin", "https://evil.example")]), ["vary: origin"]);
        assert!(told("GET", "/readyz", &[]).is_empty());
        assert!(told("POST", "/v1/users/u/push", &[("origin", "https://app.example")]).is_empty());
    }
}
