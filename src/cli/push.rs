//! `pushmesh push`: one message from an argument or stdin, or a stream of them.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Context;
use bytes::Bytes;
use clap::ValueEnum;
use serde::Deserialize;

use super::client::{Answer, ApiArgs, ApiClient, ErrorBody};
use super::exit::Exit;
use super::output::tell;
use super::server::encode;
use super::table::{Table, thousands};
use crate::id::{DeviceId, MessageId, UserId};
use crate::json;

mod lines;
#[cfg(test)]
mod tests;

/// The flags of `pushmesh push`.
#[derive(Debug, clap::Args)]
pub(crate) struct PushArgs {
    #[command(flatten)]
    api: ApiArgs,
    /// Whom to push to: user/ID, user/ID/DEVICE or all. A slash in an id is written %2F
    #[arg(long, value_name = "TARGET", required_unless_present = "lines")]
    to: Option<Address>,
    /// The message; - reads it from stdin
    #[arg(value_name = "DATA", required_unless_present = "lines")]
    data: Option<String>,
    /// Deliver as a binary frame instead of text
    #[arg(long)]
    binary: bool,
    /// Id of the message; the same id again is a retry and is not delivered twice
    #[arg(long, value_name = "ID")]
    id: Option<MessageId>,
    /// What to wait for
    #[arg(long, value_enum, default_value_t = Wait::Receipt)]
    wait: Wait,
    /// Push a file (or - for stdin) with one JSON object a line: {"to":{"user":"42"},"data":"hello"}
    #[arg(long, value_name = "FILE", conflicts_with_all = ["to", "data", "binary", "id", "wait"])]
    lines: Option<PathBuf>,
    /// Print the answers as JSON, one a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Wait {
    /// The answer of the node that holds the connection
    Receipt,
    /// Nothing: the push is accepted, and what becomes of it stays unknown
    None,
}

/// Whom a push is for, as written on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    All,
    User(UserId),
    Device(UserId, DeviceId),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Address::All);
        }
        let rest = text.strip_prefix("user/").ok_or("a target is user/ID, user/ID/DEVICE or all")?;
        let user = |text: &str| UserId::new(decode(text)).map_err(|error| error.to_string());
        let device = |text: &str| DeviceId::new(decode(text)).map_err(|error| error.to_string());
        match rest.split_once('/') {
            None => Ok(Address::User(user(rest)?)),
            Some((_, tail)) if tail.contains('/') => Err("a slash in an id is written %2F".to_owned()),
            Some((head, tail)) => Ok(Address::Device(user(head)?, device(tail)?)),
        }
    }
}

impl Address {
    fn path(&self, wait: Wait) -> String {
        let path = match self {
            Address::All => "/v1/broadcast".to_owned(),
            Address::User(user) => format!("/v1/users/{}/push", encode(user.as_str())),
            Address::Device(user, device) => {
                format!("/v1/users/{}/devices/{}/push", encode(user.as_str()), encode(device.as_str()))
            }
        };
        match wait {
            Wait::Receipt => path,
            Wait::None => path + "?wait=none",
        }
    }
}

/// `%2F` and the like become what they stand for; a percent sign before anything else is itself.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let pair = tail.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        let byte = pair.filter(|pair| pair.bytes().all(|b| b.is_ascii_hexdigit()));
        match byte.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) if first == b'%' => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Pushes and prints what became of it.
pub(crate) async fn run(args: PushArgs) -> anyhow::Result<Exit> {
    let api = ApiClient::new(&args.api)?;
    if let Some(path) = &args.lines {
        return lines::run(&api, path, args.json).await;
    }
    let (Some(to), Some(data)) = (&args.to, &args.data) else {
        anyhow::bail!("give --to and the message, or --lines");
    };
    let body = if data == "-" { read_stdin()? } else { Bytes::from(data.clone()) };
    anyhow::ensure!(
        args.binary || std::str::from_utf8(&body).is_ok(),
        "the message is not UTF-8 text; --binary sends it as it is"
    );
    let content_type = if args.binary { "application/octet-stream" } else { "text/plain; charset=utf-8" };
    let headers: Vec<_> = args.id.iter().map(|id| ("idempotency-key", id.as_str())).collect();
    let answer = api.post(&to.path(args.wait), content_type, &headers, body).await?;
    let report: Report = json::object(&answer.body).unwrap_or_default();
    let exit = judge(&answer, &report, to);
    if args.json {
        super::print_line(&answer.body)?;
    } else {
        for line in describe(&answer, &report) {
            super::print_line(line)?;
        }
    }
    if !answer.status.is_success() {
        tell(format!("pushmesh: {}", answer.error()));
    }
    Ok(exit)
}

fn read_stdin() -> anyhow::Result<Bytes> {
    let mut data = Vec::new();
    std::io::stdin().lock().read_to_end(&mut data).context("can not read stdin")?;
    Ok(Bytes::from(data))
}

/// What the API says became of a push or a broadcast. Absent fields are empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Report {
    id: String,
    delivered: u64,
    buffered: u64,
    overloaded: u64,
    interrupted: u64,
    id_reused: u64,
    sessions: Vec<SessionOutcome>,
    nodes: Vec<NodeOutcome>,
    error: Option<ErrorBody>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SessionOutcome {
    device: Option<String>,
    node: Option<String>,
    outcome: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NodeOutcome {
    node: String,
    outcome: String,
    delivered: u64,
}

/// The exit code: the best outcome among a user's sessions; of a broadcast, whether all nodes
/// answered and somebody was reached.
fn judge(answer: &Answer, report: &Report, to: &Address) -> Exit {
    if let Some(error) = &report.error {
        return by_word(&error.code);
    }
    if !answer.status.is_success() {
        return Exit::Error;
    }
    if answer.status == hyper::StatusCode::ACCEPTED {
        return Exit::Done;
    }
    let silent = report.nodes.iter().any(|node| node.outcome == "unreachable");
    let unsure = report.buffered + report.overloaded + report.interrupted + report.id_reused > 0;
    match to {
        Address::All if silent => Exit::NotDelivered,
        _ if report.delivered > 0 => Exit::Done,
        Address::All if !unsure => Exit::NoSession,
        _ => Exit::NotDelivered,
    }
}

/// The exit code for the word of an outcome or of an error.
fn by_word(word: &str) -> Exit {
    match word {
        "delivered" | "accepted" => Exit::Done,
        "no_session" => Exit::NoSession,
        "buffered" | "overloaded" | "unreachable" | "interrupted" | "id_reused" => Exit::NotDelivered,
        "unknown" | "isolated" | "not_ready" => Exit::NotDelivered,
        _ => Exit::Error,
    }
}

/// A sentence and, where there is more than one place, a table.
fn describe(answer: &Answer, report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    if answer.status == hyper::StatusCode::ACCEPTED {
        lines.push(format!("accepted, id {}", report.id));
    } else if !report.nodes.is_empty() {
        let others = [
            (report.buffered, "buffered"),
            (report.overloaded, "overloaded"),
            (report.interrupted, "interrupted"),
            (report.id_reused, "refused, as the id is another message's"),
        ];
        let others: String = others
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, word)| format!(", {} {word}", thousands(*count)))
            .collect();
        lines.push(format!(
            "delivered to {} sessions{others}, id {}",
            thousands(report.delivered),
            report.id
        ));
        let mut table = Table::new(&["NODE", "OUTCOME", ">DELIVERED"]);
        for node in &report.nodes {
            table.row([node.node.clone(), node.outcome.clone(), thousands(node.delivered)]);
        }
        lines.extend(table.take_lines());
    } else if !report.sessions.is_empty() {
        let total = report.sessions.len();
        lines.push(format!("delivered to {} of {total} sessions, id {}", report.delivered, report.id));
        let mut table = Table::new(&["DEVICE", "NODE", "OUTCOME"]);
        for session in &report.sessions {
            let node = session.node.clone().unwrap_or_default();
            let device = session.device.clone().unwrap_or_default();
            table.row([device, node, session.outcome.clone()]);
        }
        lines.extend(table.take_lines());
    } else if answer.status.is_success() {
        lines.push(format!("delivered to {} sessions, id {}", thousands(report.delivered), report.id));
    }
    lines
}

/// Counts by word, in alphabetical order.
type Counts = BTreeMap<String, u64>;
