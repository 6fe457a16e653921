//! The URL of a server that this process is a client of.

use axum::http::uri::Uri;

/// An absolute URL of http or https with a host. `None` for everything else, also for one with a user: nobody would send it.
pub(crate) fn read(text: &str) -> Option<Uri> {
    let uri: Uri = text.trim().parse().ok()?;
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    let authority = uri.authority()?;
    (is_http && !authority.host().is_empty() && !authority.as_str().contains('@')).then_some(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_scheme_of_http_and_a_host_and_no_user() {
        for good in
            ["http://127.0.0.1:4318", "https://a.example/b?c=d", " http://[::1]:8080/ ", "HTTPS://a.example"]
        {
            assert!(read(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "/b",
            "a.example",
            "127.0.0.1:4318",
            "http://",
            "http:///b",
            "ws://a",
            "http://:80",
            "http://u@a",
            "http://u:p@a",
            "http://a b",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
