//! A UDP socket that counts what it sends.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

/// Passes everything on to the socket of a node, and counts.
#[derive(Debug)]
pub(crate) struct Meter {
    socket: Arc<dyn AsyncUdpSocket>,
    bytes: AtomicU64,
    datagrams: AtomicU64,
}

/// What was sent so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    /// Bytes of the IP packets.
    pub(crate) bytes: u64,
    /// Their number.
    pub(crate) datagrams: u64,
}

impl Meter {
    /// Counts what goes through `socket`.
    pub(crate) fn new(socket: Arc<dyn AsyncUdpSocket>) -> Self {
        Self { socket, bytes: AtomicU64::new(0), datagrams: AtomicU64::new(0) }
    }

    /// What was sent so far.
    pub(crate) fn sent(&self) -> Sent {
        let datagrams = self.datagrams.load(Ordering::Relaxed);
        Sent { bytes: self.bytes.load(Ordering::Relaxed) + datagrams * PACKET_HEADER_BYTES, datagrams }
    }
}

impl std::ops::Sub for Sent {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self { bytes: self.bytes - earlier.bytes, datagrams: self.datagrams - earlier.datagrams }
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes in {} packets", self.bytes, self.datagrams)
    }
}

impl AsyncUdpSocket for Meter {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.socket).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.socket.try_send(transmit)?;
        let (len, segment) = (transmit.contents.len(), transmit.segment_size);
        // The kernel cuts a batch into packets of one size.
        let datagrams = segment.map_or(1, |segment| len.div_ceil(segment));
        self.bytes.fetch_add(len as u64, Ordering::Relaxed);
        self.datagrams.fetch_add(datagrams as u64, Ordering::Relaxed);
        Ok(())
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.socket.poll_recv(context, buffers, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}

/// Source: RFC 791 and RFC 768, without options.
const PACKET_HEADER_BYTES: u64 = 20 + 8;
