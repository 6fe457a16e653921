//! Where the node is that a command talks to, and how to reach it over http or https.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::http::uri::Scheme;
use hyper::{Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tower::ServiceExt;
use tower::util::MapResponse;

use crate::config::http_url;
use crate::text_file;
use crate::wire::roots;

mod patient;

use patient::Patient;

/// The flags of every command that talks to a node.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ServerArgs {
    /// Base URL of any node of the cluster
    #[arg(long, env = "PUSHMESH_URL", value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub(crate) url: BaseUrl,
    /// PEM certificates to trust for https, instead of those of this machine
    #[arg(long, env = "PUSHMESH_CA_FILE", value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
}

/// An http or https URL without query. Its path, if it has one, comes before every path of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BaseUrl {
    /// Without a slash at its end.
    text: String,
    https: bool,
}

impl BaseUrl {
    /// The address of `path` on this server; `path` starts with a slash and is encoded.
    pub(crate) fn join(&self, path: &str) -> anyhow::Result<Uri> {
        assert!(path.starts_with('/'), "a path starts with a slash");
        let url = format!("{}{path}", self.text);
        url.parse().with_context(|| format!("{url:?} is not a URL"))
    }
}

impl FromStr for BaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri = http_url::read(text).filter(|uri| uri.query().is_none()).ok_or(
            "a URL looks like http://127.0.0.1:8080 or https://push.example, without a user and a query",
        )?;
        let https = uri.scheme() == Some(&Scheme::HTTPS);
        Ok(Self { text: text.trim().trim_end_matches('/').to_owned(), https })
    }
}

impl std::fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// What a request carries.
pub(crate) type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// Opens connections.
type Tcp = MapResponse<HttpConnector, fn(TokioIo<TcpStream>) -> Patient>;

/// An HTTP client for one server; one serves a whole command.
#[derive(Debug)]
pub(crate) struct Server {
    url: BaseUrl,
    http: Client<HttpsConnector<Tcp>, Body>,
}

impl Server {
    /// Reads the trusted certificates, where https needs them; connects later.
    pub(crate) fn new(args: &ServerArgs) -> anyhow::Result<Self> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        tcp.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(args)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector::<Tcp>(tcp.map_response(Patient::new as fn(_) -> _));
        let http = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { url: args.url.clone(), http })
    }

    /// The URL that was given.
    pub(crate) fn url(&self) -> &BaseUrl {
        &self.url
    }

    /// Sends a request and waits for the head of the answer.
    pub(crate) async fn request(&self, request: Request<Body>) -> anyhow::Result<Response<Incoming>> {
        self.http.request(request).await.map_err(|error| {
            let refused = io_kind(&error) == Some(std::io::ErrorKind::ConnectionRefused);
            if refused {
                NobodyThere { url: self.url.clone() }.into()
            } else if error.is_connect() {
                anyhow::Error::new(error).context(format!("cannot connect to {}", self.url))
            } else {
                anyhow::Error::new(error).context(format!("no answer from {}", self.url))
            }
        })
    }
}

/// The port is closed.
#[derive(Debug, thiserror::Error)]
#[error("no pushmesh node answers at {url}; start one with `pushmesh node --dev` or give --url")]
pub(crate) struct NobodyThere {
    url: BaseUrl,
}

/// The kind of the I/O error that is the reason of `error`, if one is.
fn io_kind(error: &(dyn std::error::Error + 'static)) -> Option<std::io::ErrorKind> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return Some(io.kind());
        }
        cause = error.source();
    }
    None
}

/// Trusts the certificates of `--ca-file`, or else those of this machine, which are read for https alone.
fn tls(args: &ServerArgs) -> anyhow::Result<ClientConfig> {
    let trusted = match &args.ca_file {
        Some(path) => {
            let text = text_file::read(path)
                .with_context(|| format!("--ca-file: cannot read {}", path.display()))?;
            roots::of_pem(&text).with_context(|| format!("--ca-file {}", path.display()))?
        }
        None if args.url.https => {
            roots::of_machine().context("give the certificates of the server with --ca-file")?
        }
        None => RootCertStore::empty(),
    };
    Ok(roots::trusting(trusted))
}

/// `text` as one segment of a path or one value of a query; the slash is percent-encoded too.
pub(crate) fn encode(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, RESERVED)
}

/// All but the unreserved characters of RFC 3986 section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How long a TCP connect may take. Guess: several retransmissions.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_http_or_https_and_joins_paths() {
        let base: BaseUrl = "https://push.example/behind/".parse().unwrap();
        assert_eq!(base.join("/v1/nodes").unwrap(), "https://push.example/behind/v1/nodes");
        let base: BaseUrl = "http://[::1]:8080".parse().unwrap();
        assert_eq!(base.join("/v1/nodes").unwrap(), "http://[::1]:8080/v1/nodes");
        for wrong in ["", "127.0.0.1:8080", "ws://a", "http://", "http://a/?b=c", "http://u:p@a", "/v1"] {
            assert!(BaseUrl::from_str(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_segment_survives_every_character() {
        assert_eq!(encode("a-Z_0.~").to_string(), "a-Z_0.~");
        assert_eq!(encode("a/b?c d%é").to_string(), "a%2Fb%3Fc%20d%25%C3%A9");
    }
}
