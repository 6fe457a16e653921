//! A WebSocket client.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpSocket;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::http::{Answer, tls};
use super::node::Node;
use super::raw::RawClient;
use super::wait::{the_next_millisecond, within};

pub(crate) use tokio_tungstenite::tungstenite::Message;

/// A plain or an encrypted TCP connection.
pub(super) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// A WebSocket that is about to be opened.
#[derive(Clone)]
pub(crate) struct Dial<'a> {
    node: &'a Node,
    query: Vec<String>,
    headers: Vec<(String, String)>,
    receive_buffer: Option<u32>,
}

/// An open WebSocket. Dropping it breaks the connection without a goodbye.
pub(crate) struct Client {
    socket: WebSocketStream<Box<dyn Io>>,
    /// The subprotocol that the server chose.
    pub(crate) protocol: Option<String>,
}

/// How a connection ended.
#[derive(Debug)]
pub(crate) struct End {
    /// What arrived before.
    pub(crate) messages: Vec<Message>,
    /// Code and reason of the server's close frame; `None` where the connection broke without one.
    pub(crate) close: Option<(u16, String)>,
}

impl<'a> Dial<'a> {
    pub(super) fn new(node: &'a Node) -> Self {
        Self { node, query: Vec::new(), headers: Vec::new(), receive_buffer: None }
    }

    /// Adds `name=value` to the query. The value has to be one that needs no encoding.
    pub(crate) fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push(format!("{name}={value}"));
        self
    }

    /// `?user=`
    pub(crate) fn user(self, user: &str) -> Self {
        self.query("user", user)
    }

    /// `?device=`
    pub(crate) fn device(self, device: &str) -> Self {
        self.query("device", device)
    }

    /// `?token=`
    pub(crate) fn token(self, token: &str) -> Self {
        self.query("token", token)
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Offers the subprotocol with envelopes.
    pub(crate) fn envelopes(self) -> Self {
        self.header("sec-websocket-protocol", "pushmesh.v1")
    }

    /// Lets the kernel keep only so many bytes that the client has not read.
    pub(crate) fn receive_buffer(mut self, bytes: u32) -> Self {
        self.receive_buffer = Some(bytes);
        self
    }

    fn path(&self) -> String {
        format!("/v1/ws?{}", self.query.join("&"))
    }

    /// Connects.
    pub(crate) async fn open(self) -> Client {
        let path = self.path();
        self.try_open().await.unwrap_or_else(|error| panic!("{path} is refused: {error}"))
    }

    /// Connects, if the node lets it in.
    pub(crate) async fn try_open(self) -> Result<Client, String> {
        let path = self.path();
        let (socket, protocol) = within(&path, self.shake()).await?;
        Ok(Client { socket, protocol })
    }

    /// Connects, and then leaves frames alone: no pong, no closing handshake.
    pub(crate) async fn open_raw(self) -> RawClient {
        let path = self.path();
        let opened = within(&path, self.shake()).await;
        let (socket, _) = opened.unwrap_or_else(|error| panic!("{path} is refused: {error}"));
        RawClient::new(socket.into_inner())
    }

    /// Asks for a WebSocket that the server has to refuse, by the status of its answer.
    pub(crate) async fn refused(self) -> Answer {
        self.query("errors", "status").refused_as_it_asks().await
    }

    /// The same, whatever it asks for.
    pub(crate) async fn refused_as_it_asks(self) -> Answer {
        let answer = self.answer().await;
        assert_ne!(answer.status, 101, "the connection should be refused");
        answer
    }

    /// What the server says to the handshake. A WebSocket that it opens is dropped.
    pub(crate) async fn answer(self) -> Answer {
        let mut headers = vec![
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        headers.extend(self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        self.node.http.with_key(None).call("GET", &self.path(), &headers, "").await
    }

    async fn shake(self) -> Result<(WebSocketStream<Box<dyn Io>>, Option<String>), String> {
        // Nodes that have not heard of each other's claims order them by the milliseconds of their clocks: of two connections made one after
        // the other the second one is to be the later.
        the_next_millisecond().await;
        let socket = TcpSocket::new_v4().expect("a socket can be made");
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes).expect("the buffer can be made small");
        }
        let tcp = socket.connect(self.node.addr).await.expect("the node listens");
        tcp.set_nodelay(true).expect("TCP has this option");
        let (stream, scheme): (Box<dyn Io>, _) = match self.node.roots.clone() {
            None => (Box::new(tcp), "ws"),
            Some(roots) => {
                let name = ServerName::try_from("localhost").expect("a literal that is valid");
                let connector = TlsConnector::from(Arc::new(tls(roots)));
                (Box::new(connector.connect(name, tcp).await.expect("the certificate is trusted")), "wss")
            }
        };
        let url = format!("{scheme}://localhost:{}{}", self.node.addr.port(), self.path());
        let request = self.request(&url);
        let config =
            WebSocketConfig::default().read_buffer_size(BUFFER_BYTES).write_buffer_size(BUFFER_BYTES);
        let (socket, response) = client_async_with_config(request, stream, Some(config))
            .await
            .map_err(|error| error.to_string())?;
        let protocol = response.headers().get("sec-websocket-protocol");
        let protocol = protocol.map(|value| value.to_str().expect("a protocol is text").to_owned());
        Ok((socket, protocol))
    }

    fn request(&self, url: &str) -> Request {
        let mut request = url.into_client_request().expect("the test makes a valid URL");
        for (name, value) in &self.headers {
            let name: HeaderName = name.parse().expect("the test makes a valid header");
            request
                .headers_mut()
                .insert(name, HeaderValue::from_str(value).expect("the test makes a valid header"));
        }
        request
    }
}

impl Client {
    /// The next frame of any kind.
    async fn frame(&mut self) -> Option<Result<Message, String>> {
        let frame = within("a frame", self.socket.next()).await;
        frame.map(|frame| frame.map_err(|error| error.to_string()))
    }

    /// The next message.
    pub(crate) async fn next(&mut self) -> Message {
        loop {
            match self.frame().await {
                Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => return message,
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("expected a message, found {other:?}"),
            }
        }
    }

    /// The next message, which has to be text.
    pub(crate) async fn next_text(&mut self) -> String {
        match self.next().await {
            Message::Text(text) => text.as_str().to_owned(),
            other => panic!("expected text, found {} bytes of binary", other.len()),
        }
    }

    /// The next message, which has to be a JSON envelope.
    pub(crate) async fn next_json(&mut self) -> serde_json::Value {
        let text = self.next_text().await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text:?} is not JSON: {error}"))
    }

    /// The next message, which has to be a JSON envelope.
    ///
    /// # Errors
    /// The connection has ended, with that code if the server said one.
    pub(crate) async fn next_json_or_end(&mut self) -> Result<serde_json::Value, Option<u16>> {
        loop {
            match self.frame().await {
                Some(Ok(Message::Text(text))) => {
                    return Ok(
                        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
                    );
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(close))) => return Err(close.map(|close| close.code.into())),
                Some(Ok(other)) => panic!("expected text, found {other:?}"),
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    /// Waits for a ping of the server; messages must not come before it.
    pub(crate) async fn pinged(&mut self) {
        match self.frame().await {
            Some(Ok(Message::Ping(_))) => {
                // The answer is queued by the library, and written with the next flush.
                self.socket.flush().await.expect("the connection is open");
            }
            other => panic!("expected a ping, found {other:?}"),
        }
    }

    /// Code and reason of the server's close; no message may come before it.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        let end = self.end().await;
        assert!(end.messages.is_empty(), "unexpected messages before the close: {:?}", end.messages);
        end.close.expect("the server says why it closes")
    }

    /// Reads until the connection ends.
    pub(crate) async fn end(&mut self) -> End {
        let mut end = End { messages: Vec::new(), close: None };
        loop {
            match self.frame().await {
                Some(Ok(Message::Close(frame))) => {
                    end.close = frame.map(|frame| (u16::from(frame.code), frame.reason.as_str().to_owned()));
                }
                Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => end.messages.push(message),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return end,
            }
        }
    }

    /// Sends a message.
    pub(crate) async fn send(&mut self, message: Message) {
        within("a send", self.socket.send(message)).await.expect("the connection is open");
    }

    /// Closes politely, and waits for the server's answer.
    pub(crate) async fn close(mut self) -> Option<(u16, String)> {
        let bye = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        // The server may have closed already.
        let _ = within("a close", self.socket.close(Some(bye))).await;
        self.end().await.close
    }
}

/// Buffers of one client. Small, because a test may have ten thousand of them.
const BUFFER_BYTES: usize = 4 << 10;
