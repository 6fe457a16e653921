//! Real server processes for the benches: started on ports of the kernel's choice, killed with the
//! bench.
//!
//! Nothing here talks to a node; it only says where to do that.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use crate::process::Process;

/// Why a bench could not go on. Benches are programs for people: the text is all that matters.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// One `pushmesh node --dev` process. Dropping it kills it.
pub(crate) struct Server {
    process: Process,
    /// Where HTTP and WebSocket clients connect.
    pub(crate) http: SocketAddr,
    /// The UDP address of its mesh.
    pub(crate) mesh: SocketAddr,
}

impl Server {
    /// Starts a node and blocks until it listens. `flags` are added to those that every bench needs,
    /// and `log` takes its log. Without `threads` it has as many as it takes by itself.
    ///
    /// # Errors
    /// The binary does not start, or ends before it listens.
    pub(crate) fn start(
        name: &str,
        peers: &[SocketAddr],
        flags: &[String],
        threads: Option<usize>,
        log: Stdio,
    ) -> Result<Self, Failure> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pushmesh"));
        Self::start_by(command.arg("node"), name, peers, flags, threads, log)
    }

    /// The same of another program that takes the same flags and says the same.
    ///
    /// # Errors
    /// Likewise.
    pub(crate) fn start_by(
        command: &mut Command,
        name: &str,
        peers: &[SocketAddr],
        flags: &[String],
        threads: Option<usize>,
        log: Stdio,
    ) -> Result<Self, Failure> {
        command.args(["--dev", "--name", name, "--cluster", "bench"]);
        command.args(["--listen", "127.0.0.1:0", "--mesh-listen", "127.0.0.1:0"]);
        for peer in peers {
            command.args(["--peer", &peer.to_string()]);
        }
        if let Some(threads) = threads {
            command.args(["--threads", &threads.to_string()]);
        }
        let mut process = Process::start(command.args(flags).stderr(log))?;
        let listening = process.line()?;
        let field = |key: &str| -> Result<SocketAddr, Failure> {
            let value = listening.split_whitespace().find_map(|word| word.strip_prefix(key));
            Ok(value.ok_or("the node did not say where it listens")?.parse()?)
        };
        let (http, mesh) = (field("http=")?, field("mesh=")?);
        Ok(Self { process, http, mesh })
    }

    /// Blocks until the node says that it is ready.
    ///
    /// # Errors
    /// It ends before.
    pub(crate) fn ready(&mut self) -> Result<(), Failure> {
        let line = self.process.line()?;
        if line.ends_with("ready") { Ok(()) } else { Err(format!("the node says {line:?}").into()) }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Ends the process at once, without a word to anybody, as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }
}
