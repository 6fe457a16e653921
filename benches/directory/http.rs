//! A kept-alive HTTP connection to a node: a question costs a round trip and no more.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::time::timeout;

use crate::dial::dial;
use crate::server::Failure;

/// A connection; questions go one after the other.
pub(crate) struct Http {
    sender: SendRequest<Full<Bytes>>,
    addr: SocketAddr,
}

impl Http {
    /// Connects to a node's HTTP face.
    ///
    /// # Errors
    /// Nobody listens there.
    pub(crate) async fn open(addr: SocketAddr) -> Result<Self, Failure> {
        Ok(Self { sender: connect(addr).await?, addr })
    }

    /// GET; the answer has to be a 200 with JSON.
    ///
    /// # Errors
    /// Any other answer, or none.
    pub(crate) async fn get(&mut self, path: &str) -> Result<Value, Failure> {
        match self.call("GET", path, Bytes::new()).await? {
            (200, json) => Ok(json),
            (status, json) => Err(format!("GET {path} at {}: {status} {json}", self.addr).into()),
        }
    }

    /// POST; gives the status and the JSON of any answer.
    ///
    /// # Errors
    /// There is no answer.
    pub(crate) async fn post(&mut self, path: &str, body: String) -> Result<(u16, Value), Failure> {
        self.call("POST", path, Bytes::from(body)).await
    }

    async fn call(&mut self, method: &str, path: &str, body: Bytes) -> Result<(u16, Value), Failure> {
        // A node closes a connection that was not used for ten seconds.
        if self.sender.is_closed() {
            self.sender = connect(self.addr).await?;
        }
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", self.addr.to_string())
            .body(Full::new(body))?;
        let exchange = async {
            self.sender.ready().await?;
            let response = self.sender.send_request(request).await?;
            let status = response.status().as_u16();
            let body = response.into_body().collect().await?.to_bytes();
            Ok((status, serde_json::from_slice(&body)?))
        };
        let late = || format!("{method} {path} at {}: no answer within {ANSWER_WITHIN:?}", self.addr);
        timeout(ANSWER_WITHIN, exchange).await.map_err(|_| late())?
    }
}

async fn connect(addr: SocketAddr) -> Result<SendRequest<Full<Bytes>>, Failure> {
    let stream = dial(addr).await?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection); // Ends with the sender; the sender tells its errors.
    Ok(sender)
}

/// Twice what the slowest call of the API is bounded by.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
