//! Clients of `clients/typescript`, in a process of Node.js.

use std::ffi::OsStr;
use std::io::Write;
use std::net::SocketAddr;
use std::ops::Range;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

use super::lanes::Pushed;
use super::seen::{Arrival, Seen};

/// The clients of some users.
pub(super) struct Receivers {
    child: Child,
    input: ChildStdin,
    output: Option<ChildStdout>,
    users: Range<usize>,
}

impl Receivers {
    /// Starts them. Their connections break at random until [`finish`](Self::finish).
    pub(super) fn start(node: &OsStr, nodes: &[SocketAddr], users: Range<usize>) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/typescript/test/receivers.mjs");
        let urls = nodes.iter().map(|addr| format!("http://{addr}"));
        let range = [users.start.to_string(), users.end.to_string()];
        let mut child = Command::new(node)
            .arg(script)
            .args(range.into_iter().chain(urls))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Node.js can be started, and clients/typescript is built (npm ci && npm run build)");
        let input = child.stdin.take().expect("stdin is a pipe");
        let output = child.stdout.take();
        Self { child, input, output, users }
    }

    /// Lets them read all that was pushed, and gives what they have seen.
    pub(super) async fn finish(&mut self, pushed: &[Pushed]) -> Vec<Seen> {
        let last = pushed.iter().filter(|pushed| self.users.contains(&pushed.lane.user));
        let last: Vec<_> = last.map(|pushed| (pushed.lane.user, pushed.last)).collect();
        let mut totals = vec![0; self.users.len()];
        for (user, count) in last {
            totals[user - self.users.start] += count;
        }
        writeln!(self.input, "{}", serde_json::to_string(&totals).expect("numbers serialise"))
            .expect("the clients still read");
        let output = self.output.take().expect("they are asked once");
        let read = tokio::task::spawn_blocking(move || std::io::read_to_string(output));
        let said = read.await.expect("reading does not panic").expect("their answer is text");
        let answers: Vec<Value> =
            serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
        answers.iter().map(seen).collect()
    }
}

fn seen(answer: &Value) -> Seen {
    let list = |field: &str| answer[field].as_array().cloned().unwrap_or_default();
    let arrival = |message: &Value| {
        let (lane, number) = message["id"].as_str()?.split_once('-')?;
        let (lane, number) = (lane.parse().ok()?, number.parse().ok()?);
        let segment = message["segment"].as_str()?.to_owned();
        Some(Arrival { lane, number, segment, late: message["late"].as_bool()? })
    };
    Seen {
        arrivals: list("messages").iter().filter_map(arrival).collect(),
        complaints: list("complaints").iter().map(Value::to_string).collect(),
        resumed: answer["resumed"].as_u64().unwrap_or(0) as usize,
        partial: 0,
    }
}

impl Drop for Receivers {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
