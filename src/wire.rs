//! The seam between a node and its world: sockets, clock, names and seed.
//!
//! Production and simulation run the same [`Node`](crate::node::Node) and differ only in the
//! [`Wire`] they hand to it. Every member is a trait of the library that uses it, but for the wall
//! clock and the look-up of names. Monotonic time is tokio's, which a simulation virtualises by itself.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use axum::serve::Listener;
use quinn::{AsyncUdpSocket, Runtime, TokioRuntime};
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::warn;

use crate::id::DeviceId;

mod files;

pub use files::OpenFiles;
pub(crate) use files::Seldom;

/// Everything through which a node touches the outside.
pub struct Wire<L> {
    /// The one UDP socket of the mesh.
    pub udp: Arc<dyn AsyncUdpSocket>,
    /// Timers and tasks for QUIC.
    pub runtime: Arc<dyn Runtime>,
    /// Accepts the TCP connections of clients and backends.
    pub tcp: L,
    /// How many of them the operating system allows.
    pub files: OpenFiles,
    /// Wall-clock time.
    pub clock: Arc<dyn Clock>,
    /// Finds the addresses of peers that are given by name.
    pub resolver: Arc<dyn Resolver>,
    /// Where every random choice of the node comes from.
    pub seed: [u8; 32],
}

impl Wire<TcpFace> {
    /// Real sockets on this machine; port 0 lets the kernel choose.
    ///
    /// # Errors
    /// [`BindError`] names the address that could not be bound.
    pub async fn bind(http: SocketAddr, mesh: SocketAddr) -> Result<Self, BindError> {
        let tcp = TcpListener::bind(http).await.map_err(|source| BindError {
            what: "--listen",
            addr: http,
            source,
        })?;
        // What is accepted inherits it. A socket that refuses this is slower to find out who vanished.
        let _ = SockRef::from(&tcp).set_tcp_keepalive(&keep_alive());
        let tcp = TcpFace { listener: tcp, failed: watch::Sender::new(0), told: Seldom::default() };
        let udp = std::net::UdpSocket::bind(mesh)
            .and_then(|socket| TokioRuntime.wrap_udp_socket(socket))
            .map_err(|source| BindError { what: "--mesh-listen", addr: mesh, source })?;
        let mut seed = [0; 32];
        StdRng::from_os_rng().fill_bytes(&mut seed);
        let files = OpenFiles::of_process(tcp.failed.subscribe());
        Ok(Self {
            udp,
            runtime: Arc::new(TokioRuntime),
            tcp,
            files,
            clock: Arc::new(SystemClock),
            resolver: Arc::new(SystemResolver),
            seed,
        })
    }
}

impl<L: Listener<Addr = SocketAddr>> Wire<L> {
    /// The address that HTTP and WebSocket clients reach.
    ///
    /// # Errors
    /// Those of the listener.
    pub fn http_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// The address that peers reach.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn mesh_addr(&self) -> io::Result<SocketAddr> {
        self.udp.local_addr()
    }
}

/// Accepts TCP connections and sends small frames at once.
pub struct TcpFace {
    listener: TcpListener,
    /// Accepts that failed.
    failed: watch::Sender<u64>,
    told: Seldom,
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
    /// Nothing can be accepted now: mostly there is no file to be had. Says so, and waits for a moment.
    async fn refused(&mut self, error: &io::Error) {
        self.failed.send_modify(|failed| *failed += 1);
        if self.told.due() {
            let failed = *self.failed.borrow();
            warn!(%error, failed, "no connection can be accepted: raise the limit of open files, or lower --max-connections");
        }
        sleep(ACCEPT_PAUSE).await;
    }
}

/// Whether an accept failed because of that one caller.
fn is_of_one(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// How long to wait before the next accept after one that failed. Guess: soon enough, and it costs nothing.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How the kernel finds out that the other end of a silent connection has vanished: within 45 s. Guess.
fn keep_alive() -> TcpKeepalive {
    TcpKeepalive::new()
        .with_time(Duration::from_secs(30))
        .with_interval(Duration::from_secs(5))
        .with_retries(3)
}

/// An address that could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot bind {what} {addr}: is another process using it, or is it not an address of this machine?")]
pub struct BindError {
    what: &'static str,
    addr: SocketAddr,
    source: io::Error,
}

/// Wall-clock time, for incarnations, stamps and token expiry. Never used to measure a duration.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> u64;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    fn now_ms(&self) -> u64 {
        // A clock before 1970 reads as 0: incarnations and stamps then grow by their other rules.
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Finds addresses by name. Asked for names only: an address that is written out is not looked up.
#[async_trait]
pub trait Resolver: Send + Sync + 'static {
    /// All addresses of `name`, which is `host:port`. May take as long as it likes, and may be dropped.
    async fn lookup(&self, name: &str) -> io::Result<Vec<SocketAddr>>;
}

/// The machine's resolver, with its files and servers, on a thread of its own.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn lookup(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        Ok(lookup_host(name).await?.collect())
    }
}

/// The node's random choices, all from one seed.
pub(crate) struct Entropy(Mutex<StdRng>);

impl Entropy {
    /// Starts from `seed`.
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self(Mutex::new(StdRng::from_seed(seed)))
    }

    /// 64 uniform bits.
    pub(crate) fn next_u64(&self) -> u64 {
        self.lock().next_u64()
    }

    /// A seed for a part that draws by itself.
    pub(crate) fn seed(&self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.lock().fill_bytes(&mut seed);
        seed
    }

    /// Uniform in `low..=high`.
    pub(crate) fn between(&self, low: u64, high: u64) -> u64 {
        assert!(low <= high, "an empty range has no member");
        match (high - low).checked_add(1) {
            Some(width) => low + self.next_u64() % width,
            None => self.next_u64(),
        }
    }

    /// Whatever is drawn last, the next one is as good: also after a panic.
    fn lock(&self) -> MutexGuard<'_, StdRng> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A device id for a client that names none.
    pub(crate) fn device(&self) -> DeviceId {
        DeviceId::new(format!("{:016x}{:016x}", self.next_u64(), self.next_u64()))
            .expect("32 hexadecimal digits are a valid device id")
    }
}
