//! Documents of other servers: the seam, and the machine's side of it.
//!
//! One request over one connection: what is fetched so is small and rare. TLS trusts the machine's certificates, or those that
//! are given, and both are read anew each time, so that a machine whose certificates change needs no restart. A redirect is not
//! followed: whoever may answer for a document is the server that the operator has named.
//!
//! Source: RFC 9110 and RFC 9112; the page of hyper's `client::conn`.

use std::io;
use std::pin::pin;
use std::sync::Arc;

use async_trait::async_trait;
use axum::http::uri::{Scheme, Uri};
use axum::http::{StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio_rustls::TlsConnector;

use super::roots;

/// Fetches documents.
#[async_trait]
pub trait Fetcher: Send + Sync + 'static {
    /// The document at `url`, an absolute one of http or https, which has at most `bytes_max` bytes. The server is trusted by the
    /// certificates of `ca_pem`, or by those of the machine. May take as long as it likes, and may be dropped.
    ///
    /// # Errors
    /// There is no answer with status 200 and such a body. The text is for an operator.
    async fn fetch(&self, url: &Uri, ca_pem: Option<&str>, bytes_max: usize) -> io::Result<Bytes>;
}

/// Over the machine's network.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemFetcher;

#[async_trait]
impl Fetcher for SystemFetcher {
    async fn fetch(&self, url: &Uri, ca_pem: Option<&str>, bytes_max: usize) -> io::Result<Bytes> {
        let host = url.host().ok_or_else(|| io::Error::other("the URL has no host"))?;
        // An IPv6 address has brackets in a URL and nowhere else.
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let is_secure = url.scheme() == Some(&Scheme::HTTPS);
        let port = url.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
        let stream = TcpStream::connect((host, port)).await?;
        if !is_secure {
            return exchange(stream, url, bytes_max).await;
        }
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let trusted = match ca_pem {
            Some(pem) => roots::of_pem(pem)?,
            None => spawn_blocking(roots::of_machine).await.map_err(io::Error::other)??,
        };
        let mut tls = roots::trusting(trusted);
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let connector = TlsConnector::from(Arc::new(tls));
        exchange(connector.connect(name, stream).await?, url, bytes_max).await
    }
}

/// Asks for `url` and reads the answer.
async fn exchange<S>(stream: S, url: &Uri, bytes_max: usize) -> io::Result<Bytes>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let host = url.authority().map_or("", |authority| authority.as_str());
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(header::HOST, host)
        .header(header::ACCEPT, "application/jwk-set+json, application/json")
        .header(header::USER_AGENT, concat!("pushmesh/", env!("CARGO_PKG_VERSION")))
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let mut answer = pin!(async move {
        let response = sender.send_request(request).await.map_err(io::Error::other)?;
        if response.status() != StatusCode::OK {
            return Err(io::Error::other(format!("the server answers with status {}", response.status())));
        }
        let body = Limited::new(response.into_body(), bytes_max).collect().await;
        body.map(|body| body.to_bytes()).map_err(io::Error::other)
    });
    tokio::select! {
        answer = &mut answer => answer,
        // The server has closed; what it has sent is still read.
        _ = connection => answer.await,
    }
}

#[cfg(test)]
mod tests;
