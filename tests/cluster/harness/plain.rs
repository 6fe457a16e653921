//! A caller of the HTTP face that writes its requests byte by byte.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_rustls::TlsConnector;

use super::client::Io;
use super::http::tls;
use super::node::Node;
use super::wait::within;

/// A connection to a node, plain or encrypted.
pub(crate) struct Plain {
    stream: Box<dyn Io>,
    /// What was read and belongs to a later answer.
    rest: Vec<u8>,
}

impl Plain {
    /// Connects.
    pub(crate) async fn open(node: &Node) -> Self {
        let tcp = dialled(node.addr).await;
        let stream: Box<dyn Io> = match node.roots.clone() {
            None => Box::new(tcp),
            Some(roots) => {
                let name = ServerName::try_from("localhost").expect("a literal that is valid");
                let connector = TlsConnector::from(Arc::new(tls(roots)));
                Box::new(connector.connect(name, tcp).await.expect("the certificate is trusted"))
            }
        };
        Self { stream, rest: Vec::new() }
    }

    /// Connects to another port of a node, without TLS.
    pub(crate) async fn at(addr: SocketAddr) -> Self {
        Self { stream: Box::new(dialled(addr).await), rest: Vec::new() }
    }

    /// Sends bytes as they are.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        within("a send", async {
            self.stream.write_all(bytes.as_ref()).await?;
            self.stream.flush().await
        })
        .await
    }

    /// The same to a node that listens.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.expect("the connection is open");
    }

    /// Sends `bytes` bytes of a body in pieces with a pause between them.
    pub(crate) async fn send_paced(
        &mut self,
        bytes: usize,
        pieces: usize,
        pause: Duration,
    ) -> std::io::Result<()> {
        for _ in 0..pieces {
            self.try_send(vec![b'x'; bytes / pieces]).await?;
            sleep(pause).await;
        }
        Ok(())
    }

    /// Says that nothing more comes, and goes on reading.
    pub(crate) async fn shut(&mut self) {
        within("a half close", self.stream.shutdown()).await.expect("the connection is open");
    }

    /// Head and body of the next answer, which has a length.
    pub(crate) async fn answer(&mut self) -> (u16, String) {
        within("an answer", async {
            loop {
                if let Some(answer) = self.take_answer() {
                    return answer;
                }
                let mut bytes = [0; 4_096];
                let read = self.stream.read(&mut bytes).await.expect("the answer is not broken off");
                assert!(read > 0, "the connection ended after {:?}", String::from_utf8_lossy(&self.rest));
                self.rest.extend_from_slice(&bytes[..read]);
            }
        })
        .await
    }

    fn take_answer(&mut self) -> Option<(u16, String)> {
        let head = self.rest.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
        let text = String::from_utf8_lossy(&self.rest[..head]).to_ascii_lowercase();
        let length = text.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        let length: usize = length.map_or(0, |length| length.parse().expect("a length is a number"));
        if self.rest.len() < head + length {
            return None;
        }
        let answer: Vec<u8> = self.rest.drain(..head + length).collect();
        let answer = String::from_utf8(answer).expect("an answer is text");
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        Some((status.expect("an answer has a status"), answer))
    }

    /// All that comes until the node closes its side, and whether it came to its end without a reset.
    pub(crate) async fn until_end(&mut self) -> (String, bool) {
        let mut bytes = std::mem::take(&mut self.rest);
        let ended = within("the end", self.stream.read_to_end(&mut bytes)).await;
        (String::from_utf8_lossy(&bytes).into_owned(), ended.is_ok())
    }
}

async fn dialled(addr: SocketAddr) -> TcpStream {
    let tcp = within("a connection", TcpStream::connect(addr)).await.expect("the node listens");
    tcp.set_nodelay(true).expect("TCP has this option");
    tcp
}
