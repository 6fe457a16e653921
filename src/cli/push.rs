//! `pushmesh push`: one message from an argument or stdin, or a stream of them.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Context;
use bytes::Bytes;
use clap::ValueEnum;
use hyper::StatusCode;

use super::client::{Answer, ApiArgs, ApiClient};
use super::exit::Exit;
use super::output::tell;
use super::server::encode;
use super::table::{Table, thousands};
use crate::gateway::schema::{Accepted, BroadcastAnswer, ErrorBody, NodeOutcome, PushAnswer};
use crate::id::{DeviceId, MessageId, NodeName, UserId};
use crate::json;
use crate::push::Tally;

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
    let report = Report::of(&answer, to);
    let exit = judge(&answer, &report);
    if args.json {
        super::print_line(&answer.body)?;
    } else {
        for line in describe(&report) {
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

/// What the API says became of a push or a broadcast.
#[derive(Debug, Default, PartialEq, Eq)]
struct Report {
    error: Option<ErrorBody>,
    /// What is known, also beside an error.
    what: Option<What>,
}

#[derive(Debug, PartialEq, Eq)]
enum What {
    Accepted(Accepted),
    Pushed(PushAnswer),
    Broadcast(BroadcastAnswer),
}

impl Report {
    /// Reads an answer. One that is nothing of ours is an empty report.
    fn of(answer: &Answer, to: &Address) -> Self {
        let body = &answer.body;
        let what = match (answer.status, to) {
            (StatusCode::ACCEPTED, _) => json::object(body).ok().map(What::Accepted),
            (_, Address::All) => json::object(body).ok().map(What::Broadcast),
            _ => json::object(body).ok().map(What::Pushed),
        };
        Self { error: answer.refusal(), what }
    }
}

/// The exit code: the best outcome among a user's sessions; of a broadcast, whether all nodes
/// answered and somebody was reached.
fn judge(answer: &Answer, report: &Report) -> Exit {
    if let Some(error) = &report.error {
        return by_word(&error.code.to_string());
    }
    match &report.what {
        _ if !answer.status.is_success() => Exit::Error,
        Some(What::Accepted(_)) => Exit::Done,
        Some(What::Pushed(push)) if push.delivered > 0 => Exit::Done,
        Some(What::Pushed(_)) => Exit::NotDelivered,
        Some(What::Broadcast(broadcast)) => {
            let Tally { delivered, buffered, overloaded, interrupted, id_reused } = broadcast.total;
            let silent = broadcast.nodes.iter().any(|node| node.outcome == NodeOutcome::Unreachable);
            match delivered {
                _ if silent => Exit::NotDelivered,
                0 if buffered + overloaded + interrupted + id_reused == 0 => Exit::NoSession,
                0 => Exit::NotDelivered,
                _ => Exit::Done,
            }
        }
        None => Exit::Error,
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
fn describe(report: &Report) -> Vec<String> {
    match &report.what {
        None => Vec::new(),
        Some(What::Accepted(accepted)) => vec![format!("accepted, id {}", accepted.id)],
        // The error says that there is nobody.
        Some(What::Pushed(push)) if push.sessions.is_empty() => Vec::new(),
        Some(What::Pushed(push)) => describe_push(push),
        Some(What::Broadcast(broadcast)) => describe_broadcast(broadcast),
    }
}

fn describe_push(push: &PushAnswer) -> Vec<String> {
    let total = push.sessions.len();
    let mut table = Table::new(&["DEVICE", "NODE", "OUTCOME"]);
    for session in &push.sessions {
        table.row([
            session.device.as_ref().map(DeviceId::to_string).unwrap_or_default(),
            session.node.as_ref().map(NodeName::to_string).unwrap_or_default(),
            session.outcome.to_string(),
        ]);
    }
    let head = format!("delivered to {} of {total} sessions, id {}", push.delivered, push.id);
    std::iter::once(head).chain(table.take_lines()).collect()
}

fn describe_broadcast(broadcast: &BroadcastAnswer) -> Vec<String> {
    let Tally { delivered, buffered, overloaded, interrupted, id_reused } = broadcast.total;
    let others = [
        (buffered, "buffered"),
        (overloaded, "overloaded"),
        (interrupted, "interrupted"),
        (id_reused, "refused, as the id is another message's"),
    ];
    let others: String = others
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!(", {} {word}", thousands(*count)))
        .collect();
    let mut table = Table::new(&["NODE", "OUTCOME", ">DELIVERED"]);
    for node in &broadcast.nodes {
        table.row([node.node.to_string(), node.outcome.to_string(), thousands(node.tally.delivered)]);
    }
    let head = format!("delivered to {} sessions{others}, id {}", thousands(delivered), broadcast.id);
    std::iter::once(head).chain(table.take_lines()).collect()
}

/// Counts by word, in alphabetical order.
type Counts = BTreeMap<String, u64>;
