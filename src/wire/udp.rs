//! The UDP socket of the mesh on this machine.
//!
//! It is quinn's own but for two things, each a system call or a wake less for each datagram that travels alone:
//!
//! - Whoever reads it asks until nothing is left, and where fewer datagrams came than there was room for, that is known without asking.
//! - The kernel tells a socket that is watched for room each time that a receiver has taken a datagram, though there was room all the time.
//!   So it is watched for room only while there was none.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use quinn::udp::{RecvMeta, Transmit, UdpSocketState};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A bound socket, on the thread that made it.
#[derive(Debug)]
pub(super) struct MeshSocket {
    /// Watched for what comes.
    io: AsyncFd<UdpSocket>,
    state: UdpSocketState,
    /// The last datagram was not taken.
    is_full: AtomicBool,
}

impl MeshSocket {
    /// Listens at `addr`.
    ///
    /// # Errors
    /// Those of the socket.
    pub(super) fn bind(addr: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(addr)?;
        let state = UdpSocketState::new((&socket).into())?; // It does not block from here on.
        Ok(Self { io: watch(socket, Interest::READABLE)?, state, is_full: AtomicBool::new(false) })
    }

    /// Ends when the socket has room for a datagram.
    async fn writable(&self) -> io::Result<()> {
        drop(watch(self.io.get_ref().try_clone()?, Interest::WRITABLE)?.writable().await?);
        self.is_full.store(false, Ordering::Relaxed);
        Ok(())
    }
}

impl AsyncUdpSocket for MeshSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writable { socket: self, waiting: None })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let sent = self.state.send(self.io.get_ref().into(), transmit);
        if sent.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            self.is_full.store(true, Ordering::Relaxed);
        }
        sent
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = ready!(self.io.poll_read_ready(cx))?;
            match self.state.recv(self.io.get_ref().into(), bufs, meta) {
                Ok(count) => {
                    // So that the socket is not asked before there is news of it. What has come since is news.
                    if count < bufs.len() {
                        ready.clear_ready();
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.get_ref().local_addr()
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }

    fn max_transmit_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.state.gro_segments()
    }
}

/// Has this thread's runtime watch a socket.
#[expect(
    deprecated,
    reason = "what is unsafe of its successor is a descriptor that changes: that of a socket does not"
)]
fn watch(socket: UdpSocket, interest: Interest) -> io::Result<AsyncFd<UdpSocket>> {
    AsyncFd::with_interest(socket, interest)
}

/// Waits until the socket takes datagrams again. Each connection has one of its own, because several may wait.
struct Writable {
    socket: Arc<MeshSocket>,
    waiting: Option<Pin<Box<dyn Future<Output = io::Result<()>> + Send + Sync>>>,
}

impl UdpPoller for Writable {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { socket, waiting } = &mut *self;
        if !socket.is_full.load(Ordering::Relaxed) {
            *waiting = None;
            return Poll::Ready(Ok(()));
        }
        let writable = waiting.get_or_insert_with(|| {
            let socket = Arc::clone(socket);
            Box::pin(async move { socket.writable().await })
        });
        let result = ready!(writable.as_mut().poll(cx));
        *waiting = None;
        Poll::Ready(result)
    }
}

impl fmt::Debug for Writable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writable").field("socket", &self.socket).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Waker;
    use std::time::Duration;

    use futures_util::FutureExt;
    use tokio::time::timeout;

    use super::*;

    const LOOPBACK: ([u8; 4], u16) = ([127, 0, 0, 1], 0);
    /// As many as quinn gives.
    const ROOM: usize = 32;

    /// The first bytes of what has come, at most `ROOM` datagrams of it.
    async fn receive(socket: &MeshSocket) -> Vec<u8> {
        let mut bytes = vec![[0; 2_048]; ROOM];
        let mut bufs: Vec<_> = bytes.iter_mut().map(|bytes| IoSliceMut::new(bytes)).collect();
        let mut meta = [RecvMeta::default(); ROOM];
        let received = poll_fn(|cx| socket.poll_recv(cx, &mut bufs, &mut meta));
        let count = timeout(Duration::from_secs(30), received).await.expect("they have come").unwrap();
        drop(bufs);
        bytes[..count].iter().map(|bytes| bytes[0]).collect()
    }

    fn knows_of_more(socket: &MeshSocket) -> bool {
        poll_fn(|cx| socket.io.poll_read_ready(cx).map(drop)).now_or_never().is_some()
    }

    #[tokio::test]
    async fn what_comes_is_received_however_it_is_spread_over_batches() {
        let socket = MeshSocket::bind(LOOPBACK.into()).unwrap();
        let sender = std::net::UdpSocket::bind(SocketAddr::from(LOOPBACK)).unwrap();
        sender.connect(socket.local_addr().unwrap()).unwrap();
        for burst in [1, 2, ROOM - 1, ROOM, ROOM + 1, 3, 1] {
            let sent: Vec<_> = (0..u8::try_from(burst).unwrap()).collect();
            for number in &sent {
                sender.send(&[*number]).unwrap();
            }
            let mut received = Vec::new();
            while received.len() < burst {
                received.extend(receive(&socket).await);
            }
            assert_eq!(received, sent);
        }
    }

    #[tokio::test]
    async fn a_batch_that_leaves_room_is_the_last_one_until_there_is_news() {
        let socket = MeshSocket::bind(LOOPBACK.into()).unwrap();
        let sender = std::net::UdpSocket::bind(SocketAddr::from(LOOPBACK)).unwrap();
        sender.connect(socket.local_addr().unwrap()).unwrap();
        for _ in 0..3 {
            sender.send(&[7]).unwrap();
            assert_eq!(receive(&socket).await, [7]);
            assert!(!knows_of_more(&socket), "it is not asked again");
        }
        for _ in 0..=ROOM {
            sender.send(&[7]).unwrap();
        }
        assert_eq!(receive(&socket).await.len(), ROOM);
        assert!(knows_of_more(&socket), "there may be more");
    }

    #[tokio::test]
    async fn what_a_receiver_takes_of_what_was_sent_is_no_news() {
        let [one, two] = [(); 2].map(|()| MeshSocket::bind(LOOPBACK.into()).unwrap());
        for _ in 0..3 {
            let transmit = Transmit {
                destination: two.local_addr().unwrap(),
                ecn: None,
                contents: &[7],
                segment_size: None,
                src_ip: None,
            };
            one.try_send(&transmit).unwrap();
            assert_eq!(receive(&two).await, [7]);
            assert!(
                one.io.poll_write_ready(&mut Context::from_waker(Waker::noop())).is_pending(),
                "it is not watched for room"
            );
        }
    }

    #[tokio::test]
    async fn a_socket_that_takes_datagrams_says_so_and_sends_them() {
        let socket = Arc::new(MeshSocket::bind(LOOPBACK.into()).unwrap());
        let mut poller = Arc::clone(&socket).create_io_poller();
        for _ in 0..2 {
            poll_fn(|cx| poller.as_mut().poll_writable(cx)).await.unwrap();
        }
        let destination = socket.local_addr().unwrap();
        let transmit = Transmit { destination, ecn: None, contents: &[9], segment_size: None, src_ip: None };
        socket.try_send(&transmit).unwrap();
        assert_eq!(receive(&socket).await, [9]);
    }
}
