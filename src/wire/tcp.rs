//! The TCP face of a node on this machine: sockets that accept, one for each thread for pushes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::serve::Listener;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Handle;
use tokio::time::sleep;
use tracing::warn;

use super::Seldom;

/// Accepts TCP connections and sends small frames at once.
pub struct TcpFace {
    listener: TcpListener,
    /// Accepts that failed, of all threads.
    failed: Arc<AtomicU64>,
    /// Whether the log was told lately, of any of them.
    told: Arc<Seldom>,
}

impl Listener for TcpFace {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        let (stream, addr) = loop {
            match self.listener.accept().await {
                Ok(accepted) => break accepted,
                Err(error) if is_of_one(&error) => {}
                Err(error) => self.refused(&error).await,
            }
        };
        // A socket that refuses this is slower, not broken.
        let _ = stream.set_nodelay(true);
        (stream, addr)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl TcpFace {
    /// Listens at `addr` on each of these threads.
    ///
    /// # Errors
    /// Those of the sockets. Whoever listens there already is in the way, also if it would share the address.
    pub(super) fn bind(
        addr: SocketAddr,
        threads: &[Handle],
        failed: &Arc<AtomicU64>,
    ) -> io::Result<Vec<Self>> {
        let told = Arc::default();
        let face = |addr, shared, thread: &Handle| {
            let listener = listen(addr, shared, thread)?;
            Ok(Self { listener, failed: Arc::clone(failed), told: Arc::clone(&told) })
        };
        let addr = match threads {
            [only] => return Ok(vec![face(addr, false, only)?]),
            // Sockets that share an address let others join them: another node, started by mistake, would take a part
            // of the clients. So the address has to be free first.
            several => listen(addr, false, &several[0])?.local_addr()?,
        };
        threads.iter().map(|thread| face(addr, true, thread)).collect()
    }

    /// Nothing can be accepted now: mostly there is no file to be had. Says so, and waits for a moment.
    async fn refused(&mut self, error: &io::Error) {
        let failed = self.failed.fetch_add(1, Ordering::Relaxed) + 1;
        if self.told.due() {
            warn!(%error, failed, "no connection can be accepted: raise the limit of open files, or lower --max-connections");
        }
        sleep(ACCEPT_PAUSE).await;
    }
}

/// A socket that accepts on this thread. The kernel spreads the connections over those that share an address.
fn listen(addr: SocketAddr, shared: bool, thread: &Handle) -> io::Result<TcpListener> {
    let _on = thread.enter();
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(shared)?;
    socket.bind(addr)?;
    let listener = socket.listen(BACKLOG)?;
    // What is accepted inherits it. A socket that refuses this is slower to find out who vanished.
    let _ = SockRef::from(&listener).set_tcp_keepalive(&keep_alive());
    Ok(listener)
}

/// Whether an accept failed because of that one caller.
fn is_of_one(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Connections that may wait to be accepted. Guess: what the kernel allows by default is less.
const BACKLOG: u32 = 1024;
/// How long to wait before the next accept after one that failed. Guess: soon enough, and it costs nothing.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How the kernel finds out that the other end of a silent connection has vanished: within 45 s. Guess.
fn keep_alive() -> TcpKeepalive {
    TcpKeepalive::new()
        .with_time(Duration::from_secs(30))
        .with_interval(Duration::from_secs(5))
        .with_retries(3)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::wire::Threads;

    const ANY: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

    fn bind(addr: SocketAddr, threads: &Threads) -> io::Result<Vec<TcpFace>> {
        TcpFace::bind(addr, threads.push(), &Arc::default())
    }

    #[tokio::test]
    async fn each_thread_accepts_at_the_same_address_and_each_gets_some() {
        let threads = Threads::start(2).unwrap();
        let faces = bind(ANY.into(), &threads).unwrap();
        let addr = faces[0].local_addr().unwrap();
        let (accepted, mut told) = tokio::sync::mpsc::channel(100);
        for (number, (mut face, thread)) in faces.into_iter().zip(threads.push()).enumerate() {
            let accepted = accepted.clone();
            thread.spawn(async move {
                loop {
                    let (stream, _) = face.accept().await;
                    let _ = accepted.send((number, stream)).await;
                }
            });
        }
        let (mut who, mut clients) = (BTreeSet::new(), Vec::new());
        // By chance one gets none of so many once in 2^99 runs.
        for _ in 0..100 {
            clients.push(TcpStream::connect(addr).await.unwrap());
            who.insert(told.recv().await.unwrap().0);
        }
        assert_eq!(who, [0, 1].into());
    }

    #[tokio::test]
    async fn nobody_joins_those_who_share_an_address() {
        let (one, two) = (Threads::start(1).unwrap(), Threads::start(2).unwrap());
        for (first, second) in [(&one, &two), (&two, &one), (&two, &two)] {
            let faces = bind(ANY.into(), first).unwrap();
            let addr = faces[0].local_addr().unwrap();
            assert_eq!(bind(addr, second).err().map(|error| error.kind()), Some(io::ErrorKind::AddrInUse));
            drop(faces);
            bind(addr, second).unwrap();
        }
    }
}
