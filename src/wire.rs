//! The seam between a node and its world: sockets, clock, names, documents and seed.
//!
//! Production and simulation run the same [`Node`](crate::node::Node) and differ only in the
//! [`Wire`] they hand to it. Every member is a trait of the library that uses it, but for the wall
//! clock, the look-up of names and the fetching of documents. Monotonic time is tokio's, which a simulation virtualises by itself.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use axum::serve::Listener;
use quinn::{AsyncUdpSocket, Runtime, TokioRuntime};
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use tokio::net::lookup_host;

use crate::id::DeviceId;

mod fetch;
mod files;
pub(crate) mod roots;
mod tcp;
mod threads;
mod udp;

pub use fetch::{Fetcher, SystemFetcher};
pub use files::OpenFiles;
pub(crate) use files::Seldom;
pub use tcp::TcpFace;
pub use threads::Threads;
use udp::MeshSocket;

/// Everything through which a node touches the outside.
pub struct Wire<L> {
    /// The one UDP socket of the mesh.
    pub udp: Arc<dyn AsyncUdpSocket>,
    /// Timers and tasks for QUIC.
    pub runtime: Arc<dyn Runtime>,
    /// Where the node's tasks run.
    pub threads: Threads,
    /// Accepts the TCP connections of clients and backends: one for each thread for pushes, all at one address.
    pub tcp: Vec<L>,
    /// The same for the calls of backends, where they have an address of their own.
    pub api: Vec<L>,
    /// The same for operators and their tools.
    pub admin: Vec<L>,
    /// How many of them the operating system allows.
    pub files: OpenFiles,
    /// Whether `/metrics` shows what this process takes from its machine, which no simulation decides.
    pub process_metrics: bool,
    /// Wall-clock time.
    pub clock: Arc<dyn Clock>,
    /// Finds the addresses of peers that are given by name.
    pub resolver: Arc<dyn Resolver>,
    /// Fetches the keys of an identity provider.
    pub fetcher: Arc<dyn Fetcher>,
    /// Where every random choice of the node comes from.
    pub seed: [u8; 32],
}

impl Wire<TcpFace> {
    /// Real sockets on this machine, for a node on the runtime that calls; port 0 lets the kernel choose.
    ///
    /// # Errors
    /// [`BindError`] names the address that could not be bound.
    pub async fn bind(http: SocketAddr, mesh: SocketAddr) -> Result<Self, BindError> {
        Self::bind_on(http, mesh, Threads::current()).await
    }

    /// The same, for a node on these threads.
    ///
    /// # Errors
    /// [`BindError`] names the address that could not be bound.
    pub async fn bind_on(http: SocketAddr, mesh: SocketAddr, threads: Threads) -> Result<Self, BindError> {
        let accepts_failed = Arc::default();
        let tcp = TcpFace::bind(http, threads.push(), &accepts_failed).map_err(|source| BindError {
            what: "--listen",
            addr: http,
            source,
        })?;
        let udp = {
            // A socket belongs to the thread that it is made on.
            let _on = threads.links().enter();
            MeshSocket::bind(mesh).map_err(|source| BindError {
                what: "--mesh-listen",
                addr: mesh,
                source,
            })?
        };
        let mut seed = [0; 32];
        StdRng::from_os_rng().fill_bytes(&mut seed);
        Ok(Self {
            udp: Arc::new(udp),
            runtime: Arc::new(TokioRuntime),
            threads,
            tcp,
            api: Vec::new(),
            admin: Vec::new(),
            files: OpenFiles::of_process(accepts_failed),
            process_metrics: true,
            clock: Arc::new(SystemClock),
            resolver: Arc::new(SystemResolver),
            fetcher: Arc::new(SystemFetcher),
            seed,
        })
    }

    /// Backends call the API at this address, and no more at that of clients.
    ///
    /// # Errors
    /// [`BindError`] names the address that could not be bound.
    pub fn with_api(mut self, addr: SocketAddr) -> Result<Self, BindError> {
        let api = TcpFace::bind(addr, self.threads.push(), &self.files.accepts_failed);
        self.api = api.map_err(|source| BindError { what: "--api-listen", addr, source })?;
        Ok(self)
    }

    /// Operators and their tools find metrics at this address, and no more at that of clients. It is served beside the threads
    /// that carry pushes.
    ///
    /// # Errors
    /// [`BindError`] names the address that could not be bound.
    pub fn with_admin(mut self, addr: SocketAddr) -> Result<Self, BindError> {
        let control = std::slice::from_ref(self.threads.control());
        let admin = TcpFace::bind(addr, control, &self.files.accepts_failed);
        self.admin = admin.map_err(|source| BindError { what: "--admin-listen", addr, source })?;
        Ok(self)
    }
}

impl<L: Listener<Addr = SocketAddr>> Wire<L> {
    /// The address that HTTP and WebSocket clients reach.
    ///
    /// # Errors
    /// Those of the listener; and there is none.
    pub fn http_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.first().ok_or(io::ErrorKind::NotConnected)?.local_addr()
    }

    /// The address that peers reach.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn mesh_addr(&self) -> io::Result<SocketAddr> {
        self.udp.local_addr()
    }
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
