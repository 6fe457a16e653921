//! One node: a `pushmesh node` process and the ways to talk to it.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use bytes::Bytes;
use rustls::RootCertStore;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::unix::pipe;
use tokio::sync::Mutex;

use super::client::{Client, Dial};
use super::cluster::unique;
use super::gate::Gate;
use super::http::{Answer, Http};
use super::process::{Process, Streams};
use super::wait::{eventually, within};

/// How to start a node.
#[derive(Clone)]
pub(crate) struct Launch {
    name: String,
    listen: String,
    args: Vec<String>,
    key: Option<String>,
    roots: Option<RootCertStore>,
    /// What stands before its mesh address.
    gate: Option<Arc<Gate>>,
    program: Option<PathBuf>,
}

/// A running node; dropping it kills it.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) addr: SocketAddr,
    /// Where peers reach it.
    pub(crate) mesh: SocketAddr,
    /// Where backends and operators reach it, if they have a port of their own.
    pub(crate) apart: [Option<SocketAddr>; 2],
    pub(crate) incarnation: u64,
    pub(crate) process: Process,
    pub(crate) http: Http,
    pub(super) roots: Option<RootCertStore>,
    /// What stands before its mesh address.
    pub(super) gate: Option<Arc<Gate>>,
    stdout: Mutex<Option<Stdout>>,
}

type Stdout = Lines<BufReader<pipe::Receiver>>;

impl Launch {
    /// A node with these flags, on loopback and ports of the kernel's choice.
    pub(crate) fn new(cluster: &str, name: &str) -> Self {
        let args = ["node", "--cluster", cluster, "--name", name, "--mesh-listen", "127.0.0.1:0"];
        let args = args.map(str::to_owned).to_vec();
        let (name, listen) = (name.to_owned(), "127.0.0.1:0".to_owned());
        Self { name, listen, args, key: None, roots: None, gate: None, program: None }
    }

    /// The same in `--dev`.
    pub(crate) fn dev(cluster: &str, name: &str) -> Self {
        Self::new(cluster, name).flags(["--dev"])
    }

    /// More flags.
    pub(crate) fn flags<S: Into<String>>(mut self, flags: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(flags.into_iter().map(Into::into));
        self
    }

    /// An address for HTTP that is known to be free.
    pub(crate) fn listen(mut self, addr: &str) -> Self {
        addr.clone_into(&mut self.listen);
        self
    }

    /// Nodes to join.
    pub(crate) fn peers<'a>(self, peers: impl IntoIterator<Item = &'a Node>) -> Self {
        peers
            .into_iter()
            .fold(self, |launch, peer| launch.flags(["--peer".to_owned(), peer.mesh.to_string()]))
    }

    /// The API key that the test presents.
    pub(crate) fn key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    /// Speaks https and trusts these.
    pub(crate) fn https(mut self, roots: RootCertStore) -> Self {
        self.roots = Some(roots);
        self
    }

    /// Of another build.
    pub(crate) fn program(mut self, program: &Path) -> Self {
        self.program = Some(program.to_owned());
        self
    }

    /// Puts a gate before its mesh address.
    pub(crate) fn behind(mut self, gate: Gate) -> Self {
        self.gate = Some(Arc::new(gate));
        self
    }

    /// Starts it, and waits until it listens.
    pub(crate) async fn start(self) -> Node {
        self.start_on(Streams::default(), &[]).await
    }

    /// The same with these streams and this environment. Where stdout is not the test's, the node is
    /// found by its log.
    pub(crate) async fn start_on(mut self, mut streams: Streams, env: &[(&str, &str)]) -> Node {
        let gate = self.gate;
        if let Some(gate) = &gate {
            self.args.extend(["--mesh-advertise".to_owned(), gate.addr.to_string()]);
        }
        self.args.extend(["--listen".to_owned(), self.listen]);
        streams.program = self.program;
        streams.stdout = streams.stdout.or_else(|| Some(Stdio::piped()));
        let (process, stdout) = Process::start_on(&self.args, env, streams);
        let mut stdout = stdout.map(|stdout| {
            let pipe = pipe::Receiver::from_owned_fd(OwnedFd::from(stdout)).expect("stdout is a pipe");
            BufReader::new(pipe).lines()
        });
        let line = match &mut stdout {
            Some(stdout) => next_line(stdout, &process).await,
            None => log_line(&process, "node started ").await.replace("http://", ""),
        };
        let given = |name: &str| {
            let mut fields = line.split(' ').filter_map(|field| field.split_once('='));
            fields.find(|(field, _)| *field == name).map(|(_, value)| value.to_owned())
        };
        let field = |name: &str| given(name).unwrap_or_else(|| panic!("{line:?} has {name}"));
        let (addr, mesh, incarnation) = (field("http"), field("mesh"), field("incarnation"));
        let addr: SocketAddr = addr.parse().expect("http is an address");
        let base = match self.roots {
            Some(_) => format!("https://localhost:{}", addr.port()),
            None => format!("http://{addr}"),
        };
        let mesh: SocketAddr = mesh.parse().expect("mesh is an address");
        if let Some(gate) = &gate {
            gate.leads_to(mesh);
        }
        Node {
            name: self.name,
            addr,
            apart: ["api", "admin"]
                .map(|name| given(name).map(|addr| addr.parse().expect("it is an address"))),
            mesh: gate.as_ref().map_or(mesh, |gate| gate.addr),
            incarnation: incarnation.parse().expect("an incarnation is a number"),
            process,
            http: Http::new(base, self.key, self.roots.clone().unwrap_or_else(RootCertStore::empty)),
            roots: self.roots,
            gate,
            stdout: Mutex::new(stdout),
        }
    }
}

async fn next_line(stdout: &mut Stdout, process: &Process) -> String {
    match within("a line on stdout", stdout.next_line()).await.expect("stdout is text") {
        Some(line) => line,
        None => panic!("the node ended: {}", process.stderr()),
    }
}

/// The line of the log with these words, once it is there.
async fn log_line(process: &Process, words: &str) -> String {
    eventually(&format!("{words:?} in the log"), async || {
        let said = process.stderr();
        said.lines().find(|line| line.contains(words)).map(str::to_owned).ok_or(said)
    })
    .await
}

impl Node {
    /// A node in `--dev` with these flags, alone in its cluster, once it is ready.
    pub(crate) async fn dev(flags: &[&str]) -> Self {
        let node = Launch::dev(&unique(), "n1").flags(flags.iter().copied()).start().await;
        node.ready().await;
        node
    }

    /// Waits for the line that says that it is ready.
    pub(crate) async fn ready(&self) {
        let mut stdout = self.stdout.lock().await;
        let stdout = stdout.as_mut().expect("the test has its stdout");
        let line = next_line(stdout, &self.process).await;
        assert_eq!(line, format!("pushmesh node {} ready", self.name));
    }

    /// Waits for the line of the next boot in the same process, which listens where this one did, and gives its
    /// incarnation.
    pub(crate) async fn next_boot(&self) -> u64 {
        let mut stdout = self.stdout.lock().await;
        let stdout = stdout.as_mut().expect("the test has its stdout");
        let line = next_line(stdout, &self.process).await;
        let (listens, incarnation) = line.rsplit_once("incarnation=").expect("it names the incarnation");
        assert!(listens.starts_with(&format!("pushmesh node {} listening http=", self.name)), "{line}");
        incarnation.parse().expect("an incarnation is a number")
    }

    /// The authorities that vouch for it, if it speaks TLS.
    pub(crate) fn roots(&self) -> Option<RootCertStore> {
        self.roots.clone()
    }

    /// GET.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.http.call("GET", path, &[], Bytes::new()).await
    }

    /// POST of a text.
    pub(crate) async fn post(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        self.http.call("POST", path, &[], body).await
    }

    /// DELETE.
    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.http.call("DELETE", path, &[], Bytes::new()).await
    }

    /// Pushes a text to all sessions of a user.
    pub(crate) async fn push(&self, user: &str, text: &str) -> Answer {
        self.post(&format!("/v1/users/{user}/push"), text.to_owned()).await
    }

    /// `GET /v1/stats`.
    pub(crate) async fn stats(&self) -> Value {
        let answer = self.get("/v1/stats").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json
    }

    /// The devices of a user and the nodes that hold them, in alphabetical order; `?` for a device whose
    /// name is not known.
    pub(crate) async fn sessions_of(&self, user: &str) -> Vec<(String, String)> {
        let answer = self.get(&format!("/v1/users/{user}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let sessions = answer.json["sessions"].as_array().expect("a user has a list of sessions");
        let connected = sessions.iter().any(|session| session["state"] != "parked");
        assert_eq!(answer.json["online"], connected, "{answer:?}");
        // A node that does not answer tells no name.
        let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
        let mut sessions: Vec<_> = sessions.iter().map(|s| (text(&s["device"]), text(&s["node"]))).collect();
        sessions.sort();
        sessions
    }

    /// The entry of a node in `GET /v1/nodes`; null where it is not listed.
    pub(crate) async fn sees(&self, name: &str) -> Value {
        let answer = self.get("/v1/nodes").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let nodes = answer.json["nodes"].as_array().expect("there is a list of nodes");
        nodes.iter().find(|node| node["name"] == name).cloned().unwrap_or_default()
    }

    /// One sample of `GET /metrics`, such as `pushmesh_takeovers_total`.
    pub(crate) async fn metric(&self, sample: &str) -> Option<f64> {
        let text = self.get("/metrics").await.text();
        let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok())
    }

    /// Prepares a WebSocket.
    pub(crate) fn dial(&self) -> Dial<'_> {
        Dial::new(self)
    }

    /// Connects as a user of a node in `--dev`.
    pub(crate) async fn connect(&self, user: &str, device: Option<&str>) -> Client {
        let dial = self.dial().user(user);
        match device {
            Some(device) => dial.device(device).open().await,
            None => dial.open().await,
        }
    }

    /// Bytes of memory that are resident.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.process.pid()));
        let statm = statm.expect("the process runs on Linux");
        let pages: u64 = statm.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("statm has numbers");
        pages * 4_096
    }
}
