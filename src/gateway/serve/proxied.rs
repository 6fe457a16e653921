//! Connections that a balancer passes on: it says first whose they are, by the PROXY protocol.
//!
//! A balancer that passes on bytes and not requests cannot write a header. So it puts a few bytes before the first ones of the
//! client. They are read where the operator has said that they come, from the addresses that are named, and from nobody else:
//! anybody could write them. Version 2 is understood, whose length is known after 16 bytes, so that nothing is read that
//! belongs to the client.
//!
//! Source: HAProxy, "The PROXY protocol", versions 1 and 2, section 2.2.

use std::net::SocketAddr;

use ipnet::IpNet;
use proxy_header::{ParseConfig, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

use crate::gateway::address::is_trusted;
use crate::limits;

/// Who says first whose connections they pass on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Proxied(pub(crate) Vec<IpNet>);

/// Why a connection is given up.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProxyError {
    #[error("the header did not come in time")]
    TimedOut,
    #[error("the connection broke: {0}")]
    Io(#[from] std::io::Error),
    #[error("it does not begin with a header of the PROXY protocol, version 2")]
    NotOne,
    #[error("its header has {0} bytes")]
    TooLong(usize),
}

impl Proxied {
    /// Whose connection it is that comes from `peer`.
    pub(super) async fn client<I: AsyncRead + Unpin>(
        &self,
        io: &mut I,
        peer: SocketAddr,
    ) -> Result<SocketAddr, ProxyError> {
        if !is_trusted(&self.0, peer.ip()) {
            return Ok(peer);
        }
        let header =
            timeout(limits::HTTP_HEADER_TIMEOUT, read(io)).await.map_err(|_| ProxyError::TimedOut)??;
        let (header, _) = ProxyHeader::parse(&header, CONFIG).map_err(|_| ProxyError::NotOne)?;
        // Without an address it is a check of the balancer's own.
        Ok(header.proxied_address().map_or(peer, |address| address.source))
    }
}

/// The bytes of the header, and none behind them.
async fn read<I: AsyncRead + Unpin>(io: &mut I) -> Result<Vec<u8>, ProxyError> {
    let mut bytes = vec![0; FIXED_BYTES];
    io.read_exact(&mut bytes).await?;
    if !bytes.starts_with(SIGNATURE) {
        return Err(ProxyError::NotOne);
    }
    let rest = usize::from(u16::from_be_bytes([bytes[FIXED_BYTES - 2], bytes[FIXED_BYTES - 1]]));
    if rest > REST_BYTES_MAX {
        return Err(ProxyError::TooLong(FIXED_BYTES + rest));
    }
    bytes.resize(FIXED_BYTES + rest, 0);
    io.read_exact(&mut bytes[FIXED_BYTES..]).await?;
    Ok(bytes)
}

const CONFIG: ParseConfig = ParseConfig { include_tlvs: false, allow_v1: false, allow_v2: true };

/// What no protocol of a client begins with. Source: section 2.2 of the text.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, command, family, and length of the rest. Source: the same.
const FIXED_BYTES: usize = 16;
/// Addresses, and what balancers say beside. Guess: certificates of clients are the longest of that.
const REST_BYTES_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proxy_header::ProxiedAddress;

    use super::*;

    async fn client(peer: &str, bytes: &[u8]) -> Result<(String, u64), String> {
        let proxied = Proxied(vec!["10.0.0.0/8".parse().unwrap()]);
        let mut io = Cursor::new(bytes);
        let found = proxied.client(&mut io, peer.parse().unwrap()).await;
        found.map(|addr| (addr.to_string(), io.position())).map_err(|error| error.to_string())
    }

    fn header(source: &str, destination: &str) -> Vec<u8> {
        let address = ProxiedAddress::stream(source.parse().unwrap(), destination.parse().unwrap());
        let mut bytes = Vec::new();
        ProxyHeader::with_address(address).encode_v2(&mut bytes).unwrap();
        bytes.extend_from_slice(b"GET / HTTP/1.1\r\n");
        bytes
    }

    #[tokio::test]
    async fn a_balancer_says_whose_connection_it_is_and_what_follows_is_left() {
        let four = header("198.51.100.7:4711", "10.0.0.1:8080");
        assert_eq!(client("10.0.0.9:1", &four).await, Ok(("198.51.100.7:4711".to_owned(), 28)));
        let six = header("[2001:db8::7]:4711", "[2001:db8::1]:8080");
        assert_eq!(client("10.0.0.9:1", &six).await, Ok(("[2001:db8::7]:4711".to_owned(), 52)));
        let mut own = Vec::new();
        ProxyHeader::with_local().encode_v2(&mut own).unwrap();
        assert_eq!(client("10.0.0.9:1", &own).await.unwrap().0, "10.0.0.9:1", "a check of its own");
    }

    #[tokio::test]
    async fn nobody_else_is_asked_or_believed() {
        let four = header("198.51.100.7:4711", "10.0.0.1:8080");
        assert_eq!(client("192.0.2.1:1", &four).await, Ok(("192.0.2.1:1".to_owned(), 0)));
    }

    #[tokio::test]
    async fn a_balancer_that_says_nothing_or_nonsense_is_refused() {
        for bytes in [&b"GET / HTTP/1.1\r\n"[..], b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n"] {
            assert!(client("10.0.0.9:1", bytes).await.unwrap_err().contains("does not begin with"));
        }
        let mut long = header("198.51.100.7:4711", "10.0.0.1:8080");
        long[14] = 0xff;
        assert!(client("10.0.0.9:1", &long).await.unwrap_err().contains("bytes"));
        let mut unknown = header("198.51.100.7:4711", "10.0.0.1:8080");
        unknown[12] = 0x3f;
        assert!(client("10.0.0.9:1", &unknown).await.is_err(), "a later version");
        assert!(client("10.0.0.9:1", &unknown[..20]).await.unwrap_err().contains("broke"));
    }
}
