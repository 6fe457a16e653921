//! Real server processes for the benches: started on ports of the kernel's choice, killed with the
//! bench.
//!
//! Nothing here talks to a node; it only says where to do that, and what the process has used.

use std::io::{BufRead, BufReader, Lines};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

/// Why a bench could not go on. Benches are programs for people: the text is all that matters.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// One `pushmesh node --dev` process. Dropping it kills it.
pub(crate) struct Server {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    /// Where HTTP and WebSocket clients connect.
    pub(crate) http: SocketAddr,
    /// The UDP address of its mesh.
    pub(crate) mesh: SocketAddr,
}

impl Server {
    /// Starts a node and blocks until it listens. `flags` are added to those that every bench needs,
    /// and `log` takes its log.
    ///
    /// # Errors
    /// The binary does not start, or ends before it listens.
    pub(crate) fn start(
        name: &str,
        peers: &[SocketAddr],
        flags: &[String],
        log: Stdio,
    ) -> Result<Self, Failure> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pushmesh"));
        command.args(["node", "--dev", "--name", name, "--cluster", "bench"]);
        command.args(["--listen", "127.0.0.1:0", "--mesh-listen", "127.0.0.1:0"]);
        for peer in peers {
            command.args(["--peer", &peer.to_string()]);
        }
        let mut child = command.args(flags).stdout(Stdio::piped()).stderr(log).spawn()?;
        let stdout = BufReader::new(child.stdout.take().ok_or("a child without stdout")?).lines();
        // From here on an error drops the server, and with it the process.
        let mut server = Self { child, stdout, http: UNKNOWN, mesh: UNKNOWN };
        let listening = server.line()?;
        let field = |key: &str| -> Result<SocketAddr, Failure> {
            let value = listening.split_whitespace().find_map(|word| word.strip_prefix(key));
            Ok(value.ok_or("the node did not say where it listens")?.parse()?)
        };
        (server.http, server.mesh) = (field("http=")?, field("mesh=")?);
        Ok(server)
    }

    /// Blocks until the node says that it is ready.
    ///
    /// # Errors
    /// It ends before.
    pub(crate) fn ready(&mut self) -> Result<(), Failure> {
        let line = self.line()?;
        if line.ends_with("ready") { Ok(()) } else { Err(format!("the node says {line:?}").into()) }
    }

    fn line(&mut self) -> Result<String, Failure> {
        Ok(self.stdout.next().ok_or("the node ended")??)
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends the process at once, without a word to anybody, as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill(); // Fails on a process that has ended, which is what is wanted.
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// CPU time that a process used so far, user and system, in microseconds.
///
/// # Errors
/// There is no such process, or no `/proc`.
pub(crate) fn cpu_us(pid: u32) -> Result<u64, Failure> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after_name = stat.rsplit_once(')').ok_or("an odd /proc/PID/stat")?.1;
    let ticks: u64 =
        after_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap_or(0)).sum();
    Ok(ticks * 10_000) // Linux counts in hundredths of a second on every machine we know.
}

const UNKNOWN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);
