//! The HTTP client of the tests: every answer as status, headers and JSON. Answers have to be those that `openapi.json`
//! describes.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{HeaderMap, Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;

use super::contract;
use super::wait::within;

/// What a request carries.
pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A client of one node. A clone shares its connections.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    base: String,
    key: Option<String>,
    client: Client<HttpsConnector<HttpConnector>, Body>,
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The body, where it is JSON.
    pub(crate) json: Value,
}

impl Http {
    /// A client for `base`, such as `http://127.0.0.1:8080`, that presents `key`.
    pub(crate) fn new(base: String, key: Option<String>, roots: RootCertStore) -> Self {
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls(roots)).https_or_http().enable_http1().build();
        Self { base, key, client: Client::builder(TokioExecutor::new()).build(connector) }
    }

    /// The same with another key, or none.
    pub(crate) fn with_key(&self, key: Option<&str>) -> Self {
        Self { key: key.map(str::to_owned), ..self.clone() }
    }

    /// Sends a request and waits for its whole answer.
    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let what = format!("{method} {}{path:.80}", self.base);
        within(&what, self.try_call(method, path, headers, body))
            .await
            .unwrap_or_else(|error| panic!("{what}: {error}"))
    }

    /// The same for a server that may be going away.
    pub(crate) async fn try_call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer, String> {
        let response = self.send(method, path, headers, Full::new(body.into()).boxed_unsync()).await?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        let json: Value = serde_json::from_slice(&body).unwrap_or_default();
        if let Some(code) = json["error"]["code"].as_str() {
            contract::check_code(method, path, head.status.as_u16(), code);
        }
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body, json })
    }

    /// Sends a request, and gives the answer when its head is there.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> Result<Response<Incoming>, String> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).expect("the test makes a valid request");
        let response = self.client.request(request).await.map_err(|error| format!("{error:?}"))?;
        contract::check_status(method, path, response.status().as_u16());
        Ok(response)
    }
}

impl Answer {
    /// The code of an error answer; the body has to have the shape of all errors.
    pub(crate) fn code(&self) -> &str {
        let message = self.json["error"]["message"].as_str().unwrap_or_default();
        assert!(message.len() > 10, "an error says what to do: {self:?}");
        assert!(self.headers.contains_key("x-request-id"), "every answer has a request id: {self:?}");
        self.json["error"]["code"].as_str().unwrap_or_else(|| panic!("an error has a code: {self:?}"))
    }

    /// Status and code at once.
    pub(crate) fn error(&self) -> (u16, &str) {
        (self.status, self.code())
    }

    /// The text of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// TLS that trusts `roots`. The provider is named, because the crate links without a default one.
pub(crate) fn tls(roots: RootCertStore) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring supports the protocol versions that rustls calls safe")
        .with_root_certificates(roots)
        .with_no_client_auth()
}
