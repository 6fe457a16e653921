//! One connection of a backend to one server, that is kept alive: HTTP/1.1 with as little work as
//! possible, because what the load costs is not there for the servers.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::dial::dial;
use crate::server::Failure;

/// The connection.
pub(crate) struct Api {
    stream: TcpStream,
    addr: SocketAddr,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

/// What was answered.
pub(crate) struct Answer<'a> {
    /// The status.
    pub(crate) status: u16,
    /// The whole body.
    pub(crate) body: &'a [u8],
}

impl Api {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens there.
    pub(crate) async fn connect(addr: SocketAddr) -> Result<Self, Failure> {
        Ok(Self { stream: dial(addr).await?, addr, request: Vec::new(), buffer: Vec::new() })
    }

    /// Sends a request and waits for the whole answer.
    ///
    /// # Errors
    /// The connection broke, or what came is not HTTP.
    pub(crate) async fn call(
        &mut self,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> Result<Answer<'_>, Failure> {
        self.request.clear();
        let (addr, len) = (self.addr, body.len());
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {addr}\r\nContent-Length: {len}\r\n\r\n");
        self.request.extend_from_slice(head.as_bytes());
        self.request.extend_from_slice(body);
        self.stream.write_all(&self.request).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(format!("{addr} closed the connection instead of answering").into());
            }
            if let Some((status, body)) = parse(&self.buffer)? {
                return match body {
                    Body::Whole(start) => Ok(Answer { status, body: &self.buffer[start..] }),
                    Body::Chunked(body) => {
                        self.buffer = body;
                        Ok(Answer { status, body: &self.buffer })
                    }
                };
            }
        }
    }
}

/// Where a body is.
enum Body {
    /// From here to the end.
    Whole(usize),
    /// Here, without the lengths between its chunks.
    Chunked(Vec<u8>),
}

/// The status and body of an answer, once it is complete.
fn parse(bytes: &[u8]) -> Result<Option<(u16, Body)>, Failure> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(start) = response.parse(bytes)? else { return Ok(None) };
    let status = response.code.ok_or("an answer without status")?;
    let header = |name: &str| {
        let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.and_then(|header| std::str::from_utf8(header.value).ok())
    };
    if header("transfer-encoding") == Some("chunked") {
        return Ok(unchunk(&bytes[start..])?.map(|body| (status, Body::Chunked(body))));
    }
    let len: usize = header("content-length").unwrap_or("0").parse()?;
    Ok((bytes.len() >= start + len).then_some((status, Body::Whole(start))))
}

/// The content of a chunked body, once it is complete.
fn unchunk(mut bytes: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
    let mut body = Vec::new();
    loop {
        let parsed = httparse::parse_chunk_size(bytes).map_err(|_| "a chunk without length")?;
        let httparse::Status::Complete((start, len)) = parsed else { return Ok(None) };
        let len = usize::try_from(len)?;
        let Some(chunk) = bytes.get(start..start + len) else { return Ok(None) };
        if len == 0 {
            return Ok((bytes.len() >= start + 2).then_some(body));
        }
        body.extend_from_slice(chunk);
        let Some(rest) = bytes.get(start + len + 2..) else { return Ok(None) };
        bytes = rest;
    }
}
