//! QUIC's view of the simulated network: one UDP socket, timers and tasks.
//!
//! The socket hands each datagram to the [`Network`](crate::network::Network), which decides what
//! becomes of it, and what is left to turmoil. It never blocks a sender, as UDP does not.

use std::fmt;
use std::future::Future;
use std::io::{self, ErrorKind, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncTimer, AsyncUdpSocket, Runtime, UdpPoller};
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use turmoil::net::UdpSocket;

use crate::network::{Copy, Fate};
use crate::world::World;

/// A node's UDP socket.
pub(crate) struct Socket {
    world: Arc<World>,
    local: SocketAddr,
    udp: Arc<UdpSocket>,
    /// Waits for the next datagram; holds the socket's receiving side while it does.
    readable: Mutex<Option<Readable>>,
}

type Readable = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

impl Socket {
    /// Binds `port` of the current host, whose address is that of `local`.
    ///
    /// # Errors
    /// The port is in use.
    pub(crate) async fn bind(world: Arc<World>, local: SocketAddr) -> io::Result<Self> {
        let udp = Arc::new(UdpSocket::bind(("0.0.0.0", local.port())).await?);
        Ok(Self { world, local, udp, readable: Mutex::new(None) })
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut readable = self.readable.lock().expect("no panic happens under this lock");
        let waiting = readable.get_or_insert_with(|| {
            let udp = Arc::clone(&self.udp);
            Box::pin(async move { udp.readable().await })
        });
        let result = ready!(waiting.as_mut().poll(cx));
        *readable = None;
        Poll::Ready(result)
    }
}

impl Socket {
    fn send(&self, copy: Copy, bytes: &[u8], to: SocketAddr) {
        if copy == (Copy { after: Duration::ZERO, turned_bit: None }) {
            return send(&self.udp, bytes, to);
        }
        let mut bytes = bytes.to_vec();
        if let Some(bit) = copy.turned_bit {
            let bit = bit as usize % (8 * bytes.len());
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        self.send_after(sleep(copy.after), bytes, to);
    }

    fn send_after(&self, time: impl Future<Output = ()> + Send + 'static, bytes: Vec<u8>, to: SocketAddr) {
        let udp = Arc::clone(&self.udp);
        tokio::spawn(async move {
            time.await;
            send(&udp, &bytes, to);
        });
    }
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(AlwaysWritable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        assert!(transmit.segment_size.is_none(), "segmentation is not offered");
        let to = transmit.destination;
        let fate = self.world.packet(self.local, to, transmit.contents);
        match fate {
            Fate::Lost => {}
            Fate::Sent(copies) => copies.into_iter().for_each(|copy| self.send(copy, transmit.contents, to)),
            Fate::Held => {
                let moving = self.world.network().moving(self.local.ip(), to.ip());
                self.send_after(moving, transmit.contents.to_vec(), to);
            }
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_readable(cx))?;
            match self.udp.try_recv_from(&mut bufs[0]) {
                Ok((len, addr)) => {
                    self.world.received(addr, self.local, len);
                    let mut received = RecvMeta::default();
                    (received.addr, received.len, received.stride) = (addr, len, len);
                    meta[0] = received;
                    return Poll::Ready(Ok(1));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Socket({})", self.local)
    }
}

/// Sends a datagram as UDP does: nobody is told when it does not arrive.
fn send(udp: &UdpSocket, bytes: &[u8], to: SocketAddr) {
    let _ = udp.try_send_to(bytes, to);
}

/// UDP takes every datagram.
#[derive(Debug)]
struct AlwaysWritable;

impl UdpPoller for AlwaysWritable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Tokio's tasks and its virtual time. Tasks may be late by a few milliseconds, as on a busy machine.
pub(crate) struct VirtualRuntime {
    world: Arc<World>,
}

impl fmt::Debug for VirtualRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VirtualRuntime")
    }
}

impl VirtualRuntime {
    /// Runs tasks in that world.
    pub(crate) fn new(world: Arc<World>) -> Self {
        Self { world }
    }
}

impl Runtime for VirtualRuntime {
    fn new_timer(&self, at: std::time::Instant) -> Pin<Box<dyn AsyncTimer>> {
        Box::pin(Timer(Box::pin(sleep_until(Instant::from_std(at)))))
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        tokio::spawn(Late { future, world: Arc::clone(&self.world), until: None });
    }

    fn wrap_udp_socket(&self, _: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Err(io::Error::new(ErrorKind::Unsupported, "a simulated node has no real socket"))
    }

    fn now(&self) -> std::time::Instant {
        Instant::now().into_std()
    }
}

/// A task that is sometimes run later than it could be.
struct Late {
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
    world: Arc<World>,
    until: Option<Pin<Box<Sleep>>>,
}

impl Future for Late {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.until.is_none() {
            self.until = self.world.lateness().map(|late| Box::pin(sleep(late)));
        }
        if let Some(until) = &mut self.until {
            ready!(Future::poll(until.as_mut(), cx));
            self.until = None;
        }
        self.future.as_mut().poll(cx)
    }
}

#[derive(Debug)]
struct Timer(Pin<Box<Sleep>>);

impl AsyncTimer for Timer {
    fn reset(mut self: Pin<&mut Self>, at: std::time::Instant) {
        self.0.as_mut().reset(Instant::from_std(at));
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Future::poll(self.0.as_mut(), cx)
    }
}
