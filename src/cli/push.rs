//! `pushmesh push`: one message from an argument or stdin, or a stream of them.

use std::io::Read;
use std::path::PathBuf;

use anyhow::Context;
use bytes::Bytes;

use super::client::{ApiArgs, ApiClient};
use super::exit::Exit;
use super::output::{print_line, tell};
use crate::id::MessageId;

mod address;
mod lines;
mod report;
#[cfg(test)]
mod tests;

pub(crate) use address::Address;
use address::Wait;
use report::{Report, describe, judge};

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
    /// What to wait for [default: what --wait-default of the node says, mostly receipt]
    #[arg(long, value_enum)]
    wait: Option<Wait>,
    /// Seconds that the message may wait for a client that is away and whose session is kept; 0 means not at all [default: as
    /// long as the session is kept]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    ttl: Option<u32>,
    /// Push a file (or - for stdin) with one JSON object a line: {"to":{"user":"42"},"data":"hello"}
    #[arg(long, value_name = "FILE", conflicts_with_all = ["to", "data", "binary", "id", "wait", "ttl"])]
    lines: Option<PathBuf>,
    /// Print the answers as JSON, one a line
    #[arg(long)]
    json: bool,
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
    let ttl = args.ttl.map(|seconds| seconds.to_string());
    let id = args.id.iter().map(|id| ("idempotency-key", id.as_str()));
    let headers: Vec<_> = id.chain(ttl.iter().map(|ttl| ("ttl", ttl.as_str()))).collect();
    let answer = api.post(&to.path(args.wait), content_type, &headers, body).await?;
    let report = Report::of(&answer, to);
    let exit = judge(&answer, &report);
    if args.json {
        print_line(&answer.body)?;
    } else {
        for line in describe(&report) {
            print_line(line)?;
        }
    }
    if !answer.status.is_success() {
        tell(format!("pushmesh: {}", answer.error()));
    }
    Ok(exit)
}

fn read_stdin() -> anyhow::Result<Bytes> {
    let mut data = Vec::new();
    std::io::stdin().lock().read_to_end(&mut data).context("cannot read stdin")?;
    Ok(Bytes::from(data))
}
