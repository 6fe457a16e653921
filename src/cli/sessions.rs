//! `pushmesh sessions`: who is connected, where and since when.
//!
//! The list comes in pages and is printed as it comes, so that a cluster with a million sessions
//! needs no memory here. It is no snapshot: who connects or leaves meanwhile may be in it or not.

use serde_json::value::RawValue;

use super::client::{ApiArgs, ApiClient};
use super::exit::Exit;
use super::output::{print_line, tell};
use super::progress::Progress;
use super::server::encode;
use super::table::{Table, age};
use crate::gateway::schema::{Presence, Session, SessionPage, User, UserSession};
use crate::id::{DeviceId, UserId};
use crate::json::{self, Object};
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

/// Asks page by page and prints.
pub(crate) async fn run(args: SessionsArgs) -> anyhow::Result<Exit> {
    let api = ApiClient::new(&args.api)?;
    let limit = args.limit.unwrap_or(u64::MAX);
    let mut printer = Printer::new(args.json, args.user.as_ref());
    let mut progress = Progress::new("sessions", true);
    let mut count = 0;
    let mut cursor: Option<String> = None;
    loop {
        let (mut sessions, next) = ask(&api, args.user.as_ref(), cursor.as_deref(), limit - count).await?;
        sessions.truncate(usize::try_from(limit - count).unwrap_or(usize::MAX));
        printer.print(&sessions)?;
        count += sessions.len() as u64;
        progress.at(count);
        // A server that repeats its cursor would otherwise keep us here for ever.
        let repeats = next.is_some() && next == cursor;
        cursor = next;
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

/// A page, or all sessions of a user, each as it came.
async fn ask(
    api: &ApiClient,
    user: Option<&UserId>,
    cursor: Option<&str>,
    left: u64,
) -> anyhow::Result<(Vec<Box<RawValue>>, Option<String>)> {
    let path = path(user, cursor, left);
    if user.is_some() {
        let Object(user): Object<User<Box<RawValue>>> = api.get(&path).await?;
        return Ok((user.sessions, None));
    }
    let Object(page): Object<SessionPage<Box<RawValue>>> = api.get(&path).await?;
    Ok((page.sessions, page.cursor))
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
    /// Whose sessions they are, if all are of one user.
    user: Option<UserId>,
}

impl Printer {
    fn new(json: bool, user: Option<&UserId>) -> Self {
        let table = (!json).then(|| Table::new(&["USER", "DEVICE", "NODE", ">SINCE"]));
        Self { table, user: user.cloned() }
    }

    fn print(&mut self, sessions: &[Box<RawValue>]) -> anyhow::Result<()> {
        for line in self.lines(sessions, SystemClock.now_ms())? {
            print_line(line)?;
        }
        Ok(())
    }

    fn lines(&mut self, sessions: &[Box<RawValue>], now_ms: u64) -> anyhow::Result<Vec<String>> {
        let Some(table) = &mut self.table else {
            return Ok(sessions.iter().map(|session| session.get().to_owned()).collect());
        };
        for session in sessions {
            let session = read(session, self.user.as_ref())?;
            table.row([
                session.user.as_ref().map(UserId::to_string).unwrap_or_default(),
                session.device.as_ref().map(DeviceId::to_string).unwrap_or_default(),
                session.node.to_string(),
                age(session.since_ms, now_ms) + if session.parked { " (parked)" } else { "" },
            ]);
        }
        Ok(table.take_lines())
    }
}

/// A session of a page, or one of `user`.
fn read(session: &RawValue, user: Option<&UserId>) -> serde_json::Result<Session> {
    let text = session.get().as_bytes();
    let Some(user) = user.cloned() else { return json::object(text) };
    let UserSession { device, node, since_ms, state, .. } = json::object(text)?;
    let parked = state == Presence::Parked;
    Ok(Session { user: Some(user), device, node, since_ms, parked })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"{"sessions":[{"user":"42","device":"phone","node":"n2","since_ms":1000,"x":1},
        {"user":null,"device":null,"node":"n3","since_ms":2000}],"cursor":"a/b=","silent":["n3"]}"#;
    const USER: &str = r#"{"user":"7","online":true,"state":"online","as_of_ms":1,"silent":[],"sessions":[
        {"device":"tablet","node":"n1","incarnation":1,"since_ms":1000,"state":"online","as_of_ms":1}]}"#;

    #[test]
    fn sessions_are_a_table_or_the_json_that_came() {
        let page: SessionPage<Box<RawValue>> = serde_json::from_str(PAGE).unwrap();
        let lines = Printer::new(false, None).lines(&page.sessions, 3_000).unwrap();
        assert_eq!(
            lines,
            ["USER  DEVICE  NODE  SINCE", "42    phone   n2       2s", "              n3       1s"]
        );
        let lines = Printer::new(true, None).lines(&page.sessions, 3_000).unwrap();
        assert_eq!(lines[1], r#"{"user":null,"device":null,"node":"n3","since_ms":2000}"#);
        let user: User<Box<RawValue>> = serde_json::from_str(USER).unwrap();
        let lines = Printer::new(false, Some(&user.user)).lines(&user.sessions, 3_000).unwrap();
        assert_eq!(lines, ["USER  DEVICE  NODE  SINCE", "7     tablet  n1       2s"]);
    }

    #[test]
    fn paths_ask_for_no_more_than_is_left_and_encode_what_they_carry() {
        assert_eq!(path(None, None, u64::MAX), "/v1/sessions?limit=1000");
        assert_eq!(path(None, Some("a/b="), 7), "/v1/sessions?limit=7&cursor=a%2Fb%3D");
        assert_eq!(path(Some(&UserId::new("a b").unwrap()), None, 7), "/v1/users/a%20b");
    }
}
