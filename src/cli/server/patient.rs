//! A TCP connection that lets the answer speak when sending fails.
//!
//! A server may refuse a request before it has read its body: a wrong key, a payload above the
//! limit. It answers and closes, the rest of the body meets a closed socket, and hyper reports the
//! failed write although the answer that explains it has arrived. Here a write to a closed socket
//! is swallowed, so that hyper goes on to read: the answer, or the end of a connection that really
//! broke, which is an error just the same.
//!
//! Source: RFC 9112 section 9.5, a client should watch for an answer while it sends.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// See the module.
#[derive(Debug)]
pub(super) struct Patient {
    tcp: TokioIo<TcpStream>,
}

impl Patient {
    /// Wraps an open connection.
    pub(super) fn new(tcp: TokioIo<TcpStream>) -> Self {
        Self { tcp }
    }
}

/// Turns "the peer is gone" into success with `value`.
fn swallow<T>(result: io::Result<T>, value: T) -> io::Result<T> {
    match result {
        Err(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {
            Ok(value)
        }
        other => other,
    }
}

impl Write for Patient {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, buf).map(|result| swallow(result, buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx).map(|result| swallow(result, ()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx).map(|result| swallow(result, ()))
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all = bufs.iter().map(|buf| buf.len()).sum();
        Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs).map(|result| swallow(result, all))
    }
}

impl Read for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl Connection for Patient {
    fn connected(&self) -> Connected {
        self.tcp.connected()
    }
}
