//! What a node of a run is started with, the simulated side of its [`Wire`]: sockets on turmoil's network, the wall
//! clock of its host, and a seed.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::http::Uri;
use axum::serve::Listener;
use bytes::Bytes;
use pushmesh::wire::{Clock, Fetcher, OpenFiles, Resolver, Threads};
use pushmesh::{Wire, async_trait};
use rand::RngCore;
use tokio::time::{Duration, sleep};
use turmoil::net::TcpListener;

use crate::entropy;
use crate::line::Line;
use crate::socket::{Socket, VirtualRuntime};
use crate::world::World;

/// The sockets, clock and seed for a boot of the current host.
///
/// # Errors
/// A port is in use.
pub(crate) async fn wire(world: &Arc<World>, host: &str) -> io::Result<Wire<Face>> {
    let ip = turmoil::lookup(host);
    let mut rng = entropy::stream(world.seed(), &format!("{host} booted at {}", world.now_ms()));
    let mut seed = [0; 32];
    rng.fill_bytes(&mut seed);
    let udp = Socket::bind(Arc::clone(world), SocketAddr::new(ip, MESH_PORT)).await?;
    Ok(Wire {
        udp: Arc::new(udp),
        runtime: Arc::new(VirtualRuntime::new(Arc::clone(world))),
        threads: Threads::current(),
        tcp: vec![Face::bind(Arc::clone(world), ip).await?],
        api: Vec::new(),
        admin: Vec::new(),
        files: OpenFiles::default(),
        process_metrics: false,
        clock: Arc::new(HostClock { world: Arc::clone(world), host: host.to_owned() }),
        resolver: Arc::new(NoNames),
        fetcher: Arc::new(NoDocuments),
        seed,
    })
}

/// Accepts the TCP connections of a simulated host.
pub(crate) struct Face {
    world: Arc<World>,
    listener: TcpListener,
    local: SocketAddr,
}

impl Face {
    async fn bind(world: Arc<World>, ip: IpAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(("0.0.0.0", HTTP_PORT)).await?;
        Ok(Self { world, listener, local: SocketAddr::new(ip, HTTP_PORT) })
    }
}

impl Listener for Face {
    type Io = Line;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Line, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => return (Line::new(stream, Arc::clone(&self.world)), peer),
                // The client is gone again; the next one may not be.
                Err(_) => sleep(Duration::from_millis(1)).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }
}

/// The wall clock of a host.
struct HostClock {
    world: Arc<World>,
    host: String,
}

impl Clock for HostClock {
    fn now_ms(&self) -> u64 {
        self.world.wall_ms(&self.host)
    }
}

/// Peers are given by address: a look-up would leave the simulation.
struct NoNames;

#[async_trait]
impl Resolver for NoNames {
    async fn lookup(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        Err(io::Error::other(format!("{name} is a name, and peers are given by address")))
    }
}

/// Keys of an identity provider would come from outside of the simulation.
struct NoDocuments;

#[async_trait]
impl Fetcher for NoDocuments {
    async fn fetch(&self, url: &Uri, _: Option<&str>, _: usize) -> io::Result<Bytes> {
        Err(io::Error::other(format!("{url} is outside of the simulation")))
    }
}

/// Where nodes listen for HTTP and WebSockets.
pub(crate) const HTTP_PORT: u16 = 8080;
/// Where nodes listen for each other.
pub(crate) const MESH_PORT: u16 = 7400;
