//! A `redis-server` of the bench's own, without persistence.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

use crate::process::Process;
use crate::server::Failure;

/// The process. Dropping it kills it.
pub(crate) struct Redis {
    process: Process,
    /// Where it listens.
    pub(crate) addr: SocketAddr,
}

impl Redis {
    /// What to tell who has none.
    pub(crate) const HINT: &str = "redis-server is not installed, so there is nothing to compare with \
        (Debian, Ubuntu: apt-get install redis-server; macOS: brew install redis)";

    /// Its version, if it is installed.
    pub(crate) fn version() -> Option<String> {
        let output = Command::new(PROGRAM).arg("--version").output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        Some(text.split_whitespace().find_map(|word| word.strip_prefix("v="))?.to_owned())
    }

    /// Starts one and blocks until it answers.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn start() -> Result<Self, Failure> {
        // It has no way to ask for any free port, and to say which it got.
        let addr = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
        let mut command = Command::new(PROGRAM);
        command.args(["--bind", "127.0.0.1", "--port", &addr.port().to_string()]);
        command.args(["--save", "", "--appendonly", "no", "--daemonize", "no", "--loglevel", "warning"]);
        // A broadcast is large for the subscribers' buffers of its default configuration.
        command.args(["--client-output-buffer-limit", "pubsub 0 0 0"]);
        let process = Process::start(command.stderr(Stdio::inherit()))?;
        let deadline = Instant::now() + Duration::from_secs(5);
        while let Err(error) = TcpStream::connect(addr) {
            if Instant::now() > deadline {
                return Err(format!("redis-server does not listen at {addr}: {error}").into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(Self { process, addr })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }
}

const PROGRAM: &str = "redis-server";
