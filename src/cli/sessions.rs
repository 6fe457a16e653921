//! `pushmesh sessions`: who is connected, where and since when.
//!
//! The list comes in pages and is printed as it comes, so that a cluster with a million sessions
//! needs no memory here. It is no snapshot: who connects or leaves meanwhile may be in it or not.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::client::{ApiArgs, ApiClient};
use super::exit::Exit;
use super::output::tell;
use super::progress::Progress;
use super::server::encode;
use super::table::{Table, age};
use crate::id::UserId;
use crate::json::Object;
use crate::limits;
use crate::wire::{Clock, SystemClock};

/// The flags of `pushmesh sessions`.
#[derive(Debug, clap::Args)]
pub(crate) struct SessionsArgs {
    #[command(flatten)]
    api: ApiArgs,
    /// Only the sessions of this user; exit code 3 if there is none
    #[arg(long, value_name = "USER")]
    user: Option<UserId>,
    /// At most so many [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

/// A page of `GET /v1/sessions`, and with `cursor` absent also the answer of `GET /v1/users/{user}`.
#[derive(Debug, Deserialize)]
struct Page {
    sessions: Vec<Box<RawValue>>,
    #[serde(default)]
    cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
struct SessionRow {
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    device: Option<String>,
    #[serde(default)]
    node: Option<String>,
    #[serde(default)]
    since_ms: Option<u64>,
}

/// Asks page by page and prints.
pub(crate) async fn run(args: SessionsArgs) -> anyhow::Result<Exit> {
    let api = ApiClient::new(&args.api)?;
    let limit = args.limit.unwrap_or(u64::MAX);
    let mut printer = Printer::new(args.json, args.user.as_ref());
    let mut progress = Progress::new("sessions", true);
    let mut count = 0;
    let mut cursor: Option<String> = None;
    loop {
        let Object(page): Object<Page> =
            api.get(&path(args.user.as_ref(), cursor.as_deref(), limit - count)).await?;
        let left = usize::try_from(limit - count).unwrap_or(usize::MAX);
        let sessions = &page.sessions[..page.sessions.len().min(left)];
        printer.print(sessions)?;
        count += sessions.len() as u64;
        progress.at(count);
        // A server that repeats its cursor would otherwise keep us here for ever.
        let repeats = page.cursor.is_some() && page.cursor == cursor;
        cursor = page.cursor;
        if cursor.is_none() || repeats || count >= limit {
            break;
        }
    }
    progress.clear();
    match args.user {
        Some(user) if count == 0 => {
            tell(format!("pushmesh: user {user} has no session"));
            Ok(Exit::NoSession)
        }
        _ => Ok(Exit::Done),
    }
}

fn path(user: Option<&UserId>, cursor: Option<&str>, left: u64) -> String {
    if let Some(user) = user {
        return format!("/v1/users/{}", encode(user.as_str()));
    }
    let limit = left.min(limits::SESSIONS_PAGE_MAX as u64);
    match cursor {
        None => format!("/v1/sessions?limit={limit}"),
        Some(cursor) => format!("/v1/sessions?limit={limit}&cursor={}", encode(cursor)),
    }
}

/// Prints pages, as a table or as they are.
struct Printer {
    table: Option<Table>,
    user: String,
}

impl Printer {
    fn new(json: bool, user: Option<&UserId>) -> Self {
        let table = (!json).then(|| Table::new(&["USER", "DEVICE", "NODE", ">SINCE"]));
        Self { table, user: user.map(UserId::to_string).unwrap_or_default() }
    }

    fn print(&mut self, sessions: &[Box<RawValue>]) -> anyhow::Result<()> {
        for line in self.lines(sessions, SystemClock.now_ms())? {
            super::print_line(line)?;
        }
        Ok(())
    }

    fn lines(&mut self, sessions: &[Box<RawValue>], now_ms: u64) -> anyhow::Result<Vec<String>> {
        let Some(table) = &mut self.table else {
            return Ok(sessions.iter().map(|session| session.get().to_owned()).collect());
        };
        for session in sessions {
            let session: SessionRow = crate::json::object(session.get().as_bytes())?;
            table.row([
                session.user.unwrap_or_else(|| self.user.clone()),
                session.device.unwrap_or_default(),
                session.node.unwrap_or_default(),
                session.since_ms.map(|since| age(since, now_ms)).unwrap_or_default(),
            ]);
        }
        Ok(table.take_lines())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"{"sessions":[{"user":"42","device":"phone","node":"n2","since_ms":1000,"x":1},
        {"device":"tablet","node":null}],"cursor":"a/b="}"#;

    #[test]
    fn sessions_are_a_table_or_the_json_that_came() {
        let page: Page = serde_json::from_str(PAGE).unwrap();
        let user = UserId::new("7").unwrap();
        let lines = Printer::new(false, Some(&user)).lines(&page.sessions, 3_000).unwrap();
        let expected = ["USER  DEVICE  NODE  SINCE", "42    phone   n2       2s", "7     tablet"];
        assert_eq!(lines, expected);
        let lines = Printer::new(true, None).lines(&page.sessions, 3_000).unwrap();
        assert_eq!(lines[1], r#"{"device":"tablet","node":null}"#);
    }

    #[test]
    fn paths_ask_for_no_more_than_is_left_and_encode_what_they_carry() {
        let page: Page = serde_json::from_str(PAGE).unwrap();
        assert_eq!(path(None, None, u64::MAX), "/v1/sessions?limit=1000");
        assert_eq!(path(None, page.cursor.as_deref(), 7), "/v1/sessions?limit=7&cursor=a%2Fb%3D");
        assert_eq!(path(Some(&UserId::new("a b").unwrap()), None, 7), "/v1/users/a%20b");
    }
}
