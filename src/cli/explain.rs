//! `pushmesh explain`: why a user is where one node says it is.
//!
//! Shows every row that the node holds of the user, also those that count for nothing, and the way
//! that a push would take from there. Other nodes may see it differently: `--url` chooses who is asked.

use std::str::FromStr;

use serde_json::value::RawValue;

use super::client::{ApiArgs, ApiClient};
use super::exit::Exit;
use super::output::{print_line, tell};
use super::push::Address;
use super::server::encode;
use super::table::{Table, age};
use crate::gateway::schema::{CopiedSession, Copies, Explanation, Fence, Route, Row};
use crate::id::{DeviceId, UserId};
use crate::wire::{Clock, SystemClock};

/// The flags of `pushmesh explain`.
#[derive(Debug, clap::Args)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    api: ApiArgs,
    /// Whom to explain: user/ID. A slash in an id is written %2F
    #[arg(value_name = "USER")]
    subject: Subject,
    /// Print the answer as JSON, on one line
    #[arg(long)]
    json: bool,
}

/// A user, written as `pushmesh push` writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Subject(UserId);

impl FromStr for Subject {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(Address::User(user)) => Ok(Subject(user)),
            Ok(Address::Device(user, _)) => Err(format!(
                "all devices of a user are explained at once: give user/{}",
                encode(user.as_str())
            )),
            Ok(Address::All) => Err("one user is explained: give user/ID".to_owned()),
            Err(_) if !text.starts_with("user/") => Err("one user is explained: give user/ID".to_owned()),
            Err(error) => Err(error),
        }
    }
}

/// Asks and prints.
pub(crate) async fn run(args: ExplainArgs) -> anyhow::Result<Exit> {
    let Subject(user) = &args.subject;
    let path = format!("/v1/explain/users/{}", encode(user.as_str()));
    let answer: Box<RawValue> = ApiClient::new(&args.api)?.get(&path).await?;
    let explanation: Explanation = crate::json::object(answer.get().as_bytes())?;
    if args.json {
        print_line(answer.get())?;
    } else {
        for line in describe(&explanation, SystemClock.now_ms()) {
            print_line(line)?;
        }
    }
    if !explanation.rows.is_empty() {
        return Ok(Exit::Done);
    }
    let doubt = match (explanation.joining, explanation.isolated) {
        (true, _) => ", but it has not joined yet",
        (false, true) => ", but it reaches no other node",
        (false, false) => "",
    };
    tell(format!("pushmesh: {} knows no session of user {user}{doubt}", explanation.own));
    Ok(Exit::NoSession)
}

/// A line about the answer, a table of the rows and one of the route.
fn describe(explanation: &Explanation, now_ms: u64) -> Vec<String> {
    let mut lines = vec![head(explanation, now_ms)];
    if explanation.rows.is_empty() {
        return lines;
    }
    lines.push(String::new());
    lines.extend(rows(&explanation.rows, now_ms));
    lines.push(String::new());
    if explanation.route.is_empty() {
        lines.push("no route: none of these claims is visible".to_owned());
    } else {
        lines.extend(route(&explanation.route));
    }
    if !explanation.copies.is_empty() {
        lines.push(String::new());
        lines.extend(copies(&explanation.copies));
    }
    lines
}

fn head(explanation: &Explanation, now_ms: u64) -> String {
    let Explanation { user, takeover, own, as_of_ms, isolated, joining, silent, .. } = explanation;
    let as_of = age(*as_of_ms, now_ms);
    let joining = if *joining { ", joining" } else { "" };
    let isolated = if *isolated { ", isolated" } else { "" };
    let silent: String = silent.iter().map(|node| format!(" {node}")).collect();
    let silent = if silent.is_empty() { silent } else { format!(", silent{silent}") };
    format!("user {user}, seen by {own} as of {as_of} ago, policy {takeover}{joining}{isolated}{silent}")
}

fn rows(rows: &[Row], now_ms: u64) -> Vec<String> {
    let mut table = Table::new(&["DEVICE", "NODE", "STATE", "CLAIM", "STAMP", "VISIBLE", "WINS", "WHY"]);
    for row in rows {
        table.row([
            device(row.device.as_ref(), &row.device_hash),
            row.node.to_string(),
            row.member.as_ref().map(|member| member.state.clone()).unwrap_or_default(),
            format!("{} {}", row.state, age(row.since_ms, now_ms)),
            row.stamp.clone(),
            yes(row.visible),
            yes(row.wins),
            row.why.clone(),
        ]);
    }
    table.take_lines()
}

fn route(steps: &[Route]) -> Vec<String> {
    let mut table = Table::new(&["DEVICE", "NODE", "WAY", "WHY"]);
    for step in steps {
        let relays: String = step.relays.iter().map(|relay| format!(" {relay}")).collect();
        let over = if relays.is_empty() { "" } else { " over" };
        table.row([
            device(step.device.as_ref(), &step.device_hash),
            step.node.to_string(),
            format!("{}{over}{relays}", step.way),
            step.why.clone(),
        ]);
    }
    table.take_lines()
}

fn copies(all: &[Copies]) -> Vec<String> {
    let mut table =
        Table::new(&["OWNER", "GROUP", "EPOCH", "COPIES AT", "DEVICE", "HELD HERE", "LAST", "FENCE"]);
    for of in all {
        let members: Vec<_> = of.members.iter().map(ToString::to_string).collect();
        let head = [of.node.to_string(), of.group.to_string(), of.epoch.to_string(), members.join(" ")];
        let fence = |fence: &Fence| format!("{} of {}", fence.stamp, fence.node);
        let line = |session: &CopiedSession| {
            let last = session.last.clone().unwrap_or_default();
            let fence = session.fence.as_ref().map(fence).unwrap_or_default();
            [format!("#{}", session.device_hash), session.messages.to_string(), last, fence]
        };
        let sessions: Vec<_> = of.sessions.iter().map(line).collect();
        let none = || vec![[String::new(), "0".to_owned(), String::new(), String::new()]];
        for [device, messages, last, fence] in if sessions.is_empty() { none() } else { sessions } {
            let [owner, group, epoch, members] = head.clone();
            table.row([owner, group, epoch, members, device, messages, last, fence]);
        }
    }
    table.take_lines()
}

/// The name of a device, or its hash where only its owner knows the name and did not tell.
fn device(name: Option<&DeviceId>, hash: &str) -> String {
    name.map_or_else(|| format!("#{hash}"), DeviceId::to_string)
}

fn yes(yes: bool) -> String {
    if yes { "yes" } else { "no" }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = r#"{"user":"42","hash":"aa","takeover":"exclusive-device","self":"n1","as_of_ms":60000,
        "isolated":false,"joining":false,"later":1,
        "rows":[
          {"device":"phone","device_hash":"0b","node":"n2","incarnation":7,"stamp":"131072","since_ms":2000,
           "state":"connected","visible":true,"wins":true,"why":"the only visible claim of this device",
           "section":{"version":3,"hash":"cc","sessions":1},
           "member":{"state":"alive","since_ms":1,"heard_ms":2}},
          {"device":null,"device_hash":"0c","node":"n3","incarnation":8,"stamp":"65536","since_ms":1000,
           "state":"connected","visible":false,"wins":false,"why":"n3 is dead for this node",
           "section":{"version":null,"hash":null,"sessions":0},"member":null}],
        "route":[
          {"device":"phone","device_hash":"0b","node":"n2","way":"direct","relays":[],"why":"the link is up"},
          {"device":null,"device_hash":"0d","node":"n4","way":"relay","relays":["n5","n6"],"why":"no link"}],
        "silent":["n3","n4"]}"#;

    fn described(answer: &str) -> Vec<String> {
        describe(&serde_json::from_str(answer).unwrap(), 62_000)
    }

    #[test]
    fn an_explanation_is_a_line_and_two_tables() {
        let expected = [
            "user 42, seen by n1 as of 2s ago, policy exclusive-device, silent n3 n4",
            "",
            "DEVICE  NODE  STATE  CLAIM            STAMP   VISIBLE  WINS  WHY",
            "phone   n2    alive  connected 1m 0s  131072  yes      yes   the only visible claim of this device",
            "#0c     n3           connected 1m 1s  65536   no       no    n3 is dead for this node",
            "",
            "DEVICE  NODE  WAY               WHY",
            "phone   n2    direct            the link is up",
            "#0d     n4    relay over n5 n6  no link",
        ];
        assert_eq!(described(ANSWER), expected);
    }

    /// An answer without rows, changed.
    fn empty(changes: &[(&str, &str)]) -> String {
        let answer = r#"{"user":"7","hash":"aa","takeover":"one-per-user","self":"n1","as_of_ms":62000,"isolated":false,
            "joining":false,"rows":[],"route":[],"silent":[]}"#;
        changes.iter().fold(answer.to_owned(), |answer, (field, value)| {
            let (from, to) = (format!(r#""{field}":"#), format!(r#""{field}":{value},"was-{field}":"#));
            answer.replace(&from, &to)
        })
    }

    #[test]
    fn a_user_without_rows_is_one_line_and_rows_without_a_route_say_so() {
        let isolated = described(&empty(&[("isolated", "true")]));
        assert_eq!(isolated, ["user 7, seen by n1 as of 0s ago, policy one-per-user, isolated"]);
        let joining = described(&empty(&[("joining", "true")]));
        assert_eq!(joining, ["user 7, seen by n1 as of 0s ago, policy one-per-user, joining"]);
        let row = r#"[{"device":null,"device_hash":"0c","node":"n2","incarnation":1,"stamp":"1","since_ms":1,
            "state":"connected","visible":false,"wins":false,"why":"hidden",
            "section":{"version":null,"hash":null,"sessions":0},"member":null}]"#;
        let hidden = described(&empty(&[("rows", row)]));
        assert_eq!(hidden.last().unwrap(), "no route: none of these claims is visible");
    }

    #[test]
    fn only_a_user_can_be_explained() {
        let subject = |text: &str| text.parse::<Subject>();
        assert_eq!(subject("user/a%2Fb"), Ok(Subject(UserId::new("a/b").unwrap())));
        for (wrong, said) in [
            ("42", "give user/ID"),
            ("all", "give user/ID"),
            ("user/a%2Fb/phone", "give user/a%2Fb"),
            ("user/a/b/c", "%2F"),
        ] {
            let error = subject(wrong).unwrap_err();
            assert!(error.contains(said), "{wrong}: {error}");
        }
        assert!(subject("user/").is_err(), "an id is not empty");
    }
}
