//! A client of the HTTP API: bearer key, JSON, readable errors.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{Method, Request, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::server::{Body, Server, ServerArgs};
use crate::config::Secret;
use crate::config::environment::variable;
use crate::gateway::schema::{ErrorBody, Word};
use crate::json::{self, Object};
use crate::text_file;

/// The flags of every command that calls the API.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ApiArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// File whose first key is presented; or PUSHMESH_API_KEY holds the key itself
    #[arg(long, env = "PUSHMESH_API_KEY_FILE", value_name = "FILE")]
    api_key_file: Option<PathBuf>,
}

/// The API of one node.
#[derive(Debug)]
pub(crate) struct ApiClient {
    server: Server,
    key: Option<Secret>,
}

impl ApiClient {
    /// Reads key and certificates; connects later.
    pub(crate) fn new(args: &ApiArgs) -> anyhow::Result<Self> {
        let key = match &args.api_key_file {
            Some(path) => {
                let text = text_file::read(path)
                    .with_context(|| format!("--api-key-file: cannot read {}", path.display()))?;
                let key = first_key(&text)
                    .with_context(|| format!("--api-key-file: {} holds no key", path.display()))?;
                Some(Secret::new(key))
            }
            None => variable("PUSHMESH_API_KEY").map(Secret::new),
        };
        Ok(Self { server: Server::new(&args.server)?, key })
    }

    /// Gets a JSON document.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.read(path, Request::builder().method(Method::GET)).await
    }

    /// Deletes something, and gives what the node says about it.
    pub(crate) async fn delete<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.read(path, Request::builder().method(Method::DELETE)).await
    }

    async fn read<T: DeserializeOwned>(
        &self,
        path: &str,
        request: hyper::http::request::Builder,
    ) -> anyhow::Result<T> {
        let answer = self.call(request, path, Bytes::new()).await?.ok()?;
        serde_json::from_slice(&answer.body).with_context(|| {
            format!("{} answered {path} with something else than expected", self.server.url())
        })
    }

    /// Posts a body and gives the whole answer, whatever its status.
    pub(crate) async fn post(
        &self,
        path: &str,
        content_type: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> anyhow::Result<Answer> {
        let mut request = Request::builder().method(Method::POST).header(CONTENT_TYPE, content_type);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.call(request, path, body).await
    }

    /// Posts a body that is still being produced, and gives the answer as soon as its head is
    /// there: both directions stream at the same time.
    pub(crate) async fn stream(
        &self,
        path: &str,
        content_type: &str,
        body: Body,
    ) -> anyhow::Result<Response<Incoming>> {
        let request = Request::builder().method(Method::POST).header(CONTENT_TYPE, content_type);
        let response = self.server.request(self.finish(request, path, body)?).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(Answer::read(response).await?.error().into())
    }

    async fn call(
        &self,
        request: hyper::http::request::Builder,
        path: &str,
        body: Bytes,
    ) -> anyhow::Result<Answer> {
        let body = Full::new(body).map_err(|never| match never {}).boxed_unsync();
        let request = self.finish(request, path, body)?;
        let answer = async { Answer::read(self.server.request(request).await?).await };
        timeout(ANSWER_TIMEOUT, answer)
            .await
            .with_context(|| format!("no answer from {} within {ANSWER_TIMEOUT:?}", self.server.url()))?
    }

    fn finish(
        &self,
        request: hyper::http::request::Builder,
        path: &str,
        body: Body,
    ) -> anyhow::Result<Request<Body>> {
        let request = match &self.key {
            Some(key) => request.header(AUTHORIZATION, format!("Bearer {}", key.expose())),
            None => request,
        };
        let request = request.uri(self.server.url().join(path)?).body(body);
        // The library's own message could quote the key.
        request.map_err(|_| {
            anyhow::anyhow!("the API key or the message id holds a character that no header can")
        })
    }
}

/// A complete answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl Answer {
    /// Collects the body, up to a bound.
    pub(crate) async fn read(response: Response<Incoming>) -> anyhow::Result<Self> {
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!("the answer broke off: {error}"))?.to_bytes();
        Ok(Self { status, body })
    }

    /// Itself if the status says so, else what the body says about it.
    fn ok(self) -> Result<Self, ApiError> {
        if self.status.is_success() { Ok(self) } else { Err(self.error()) }
    }

    /// The error in the body, if it is one of the API.
    pub(crate) fn refusal(&self) -> Option<ErrorBody> {
        #[derive(Deserialize)]
        struct WithError {
            error: Object<ErrorBody>,
        }
        let WithError { error: Object(error) } = json::object(&self.body).ok()?;
        Some(error)
    }

    /// What a body `{"error":{"code","message"}}` says, or as much as can be said without one.
    pub(crate) fn error(&self) -> ApiError {
        match self.refusal() {
            Some(error) => ApiError { status: self.status, error },
            None => {
                let text = String::from_utf8_lossy(&self.body);
                let first_line: String = text.lines().next().unwrap_or_default().chars().take(200).collect();
                let code = self.status.canonical_reason().unwrap_or("error").to_lowercase();
                ApiError {
                    status: self.status,
                    error: ErrorBody { code: Word::Other(code), message: first_line.into() },
                }
            }
        }
    }
}

/// The API refused a call.
#[derive(Debug, thiserror::Error)]
#[error("{}: {} (status {})", error.code, error.message, status.as_u16())]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) error: ErrorBody,
}

/// The first key of a file with one key a line and `#` comments.
fn first_key(text: &str) -> Option<&str> {
    text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))
}

/// Bytes of an answer that is collected. Guess: a page of sessions is far below.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// How long a call may take. Guess: far above the push timeout of any sane configuration.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &'static str) -> Answer {
        Answer { status: StatusCode::from_u16(status).unwrap(), body: Bytes::from(body) }
    }

    #[test]
    fn an_error_says_code_message_and_status() {
        let error =
            answer(404, r#"{"error":{"code":"no_session","message":"user 42 is not connected"},"id":"x"}"#);
        assert_eq!(error.error().to_string(), "no_session: user 42 is not connected (status 404)");
    }

    #[test]
    fn an_error_page_of_something_else_is_quoted_in_short() {
        let error = answer(502, "<html>\nupstream").error();
        assert_eq!(error.to_string(), "bad gateway: <html> (status 502)");
        assert!(answer(200, "").ok().is_ok());
    }

    #[test]
    fn the_first_key_of_a_file_is_presented() {
        assert_eq!(first_key("# backends\n\n  one \ntwo\n"), Some("one"));
        assert_eq!(first_key("# none\n"), None);
    }
}
