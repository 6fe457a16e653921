//! Why a user is where this node says it is: every row that it holds, and the way that a push would
//! take.

use std::collections::BTreeSet;

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::contact::Contacts;
use crate::directory::{Known, Standing};
use crate::gateway::Gateway;
use crate::gateway::caller::Caller;
use crate::gateway::url::UserPath;
use crate::id::{DeviceId, NodeName, UserId};
use crate::push::Knowledge;
use crate::router::{Names, Told, Way};

#[derive(Serialize)]
struct Explanation {
    user: UserId,
    /// The user as the directory keeps it.
    hash: String,
    takeover: String,
    /// The node that answers.
    #[serde(rename = "self")]
    own: NodeName,
    as_of_ms: u64,
    isolated: bool,
    joining: bool,
    rows: Vec<RowEntry>,
    route: Vec<RouteEntry>,
    unasked: BTreeSet<String>,
}

/// One row of the directory.
#[derive(Serialize)]
struct RowEntry {
    device: Option<DeviceId>,
    device_hash: String,
    node: NodeName,
    incarnation: u64,
    /// Text, because it has 64 bits.
    stamp: String,
    since_ms: u64,
    state: &'static str,
    visible: bool,
    wins: bool,
    why: String,
    section: SectionEntry,
    member: Option<MemberEntry>,
}

/// Where the copy of the row's section stands here.
#[derive(Serialize)]
struct SectionEntry {
    version: Option<u64>,
    hash: Option<String>,
    sessions: u64,
}

/// How this node sees the row's owner.
#[derive(Serialize)]
struct MemberEntry {
    state: String,
    since_ms: u64,
    heard_ms: u64,
}

/// What a push to the user would do now.
#[derive(Serialize)]
struct RouteEntry {
    device: Option<DeviceId>,
    device_hash: String,
    node: NodeName,
    way: &'static str,
    relays: Vec<NodeName>,
    why: String,
}

/// `GET /v1/explain/users/{user}`
pub(super) async fn user(caller: Caller, UserPath(user): UserPath) -> Response {
    let gateway = &caller.gateway;
    let hash = gateway.replica.hasher().user(&user);
    let known = gateway.replica.known(hash);
    let owners = known.iter().map(|row| (row.key, row.holder.owner.clone()));
    let names = gateway.router.names(owners).await;
    let contacts = Contacts::now(gateway);
    let route = known.iter().filter(|row| row.wins).map(|row| route(gateway, row, &names)).collect();
    let rows = known.iter().map(|row| entry(gateway, row, &known, &names, &contacts)).collect();
    let answer = Explanation {
        user,
        hash: hash.to_string(),
        takeover: gateway.config.takeover.to_string(),
        own: gateway.config.name.clone(),
        as_of_ms: contacts.as_of_ms(),
        isolated: gateway.roster.isolated(),
        joining: gateway.roster.knowledge() == Knowledge::Joining,
        rows,
        route,
        unasked: contacts.unasked(names.unasked),
    };
    Json(answer).into_response()
}

fn entry(gateway: &Gateway, row: &Known, all: &[Known], names: &Names, contacts: &Contacts) -> RowEntry {
    let Known { key, claim, holder, wins } = row;
    let head = gateway.replica.head(&holder.owner);
    let member = contacts.get(&holder.owner).map(|node| MemberEntry {
        state: node.state.clone(),
        since_ms: node.since_ms,
        heard_ms: node.heard_ms,
    });
    let told = names.of(&holder.owner, *key);
    RowEntry {
        why: why(row, all, &told),
        device: told.names().map(|names| names.device),
        device_hash: key.device.to_string(),
        node: holder.owner.clone(),
        incarnation: holder.incarnation.0,
        stamp: claim.stamp.raw().to_string(),
        since_ms: claim.stamp.unix_ms(),
        state: claim.state.as_str(),
        visible: holder.standing.is_seen(),
        wins: *wins,
        section: SectionEntry {
            version: head.map(|head| head.digest.position.version),
            hash: head.map(|head| format!("{:016x}", head.digest.hash)),
            sessions: gateway.replica.len_of(&holder.owner),
        },
        member,
    }
}

/// Why a row wins, or why not.
fn why(row: &Known, all: &[Known], told: &Told) -> String {
    let owner = &row.holder.owner;
    let reason = match row.holder.standing {
        Standing::Hidden => format!("{owner} is dead for this node, so what it claims is hidden"),
        Standing::Filling => format!("a part of a snapshot of {owner} that is still arriving"),
        Standing::Retired => format!("left over from a section of {owner} that is over"),
        Standing::Unproven if row.wins => {
            format!(
                "{owner} has just come back: its claim is followed, and closes no session before it is proven"
            )
        }
        Standing::Shown | Standing::Unproven => {
            let rivals: Vec<_> =
                all.iter().filter(|other| other.key == row.key && other.holder.standing.is_seen()).collect();
            match rivals.iter().find(|other| other.wins) {
                Some(winner) if !row.wins => format!(
                    "stamp {} of {} stands against {}",
                    winner.claim.stamp.raw(),
                    winner.holder.owner,
                    row.claim.stamp.raw()
                ),
                _ if rivals.len() == 1 => "the only visible claim of this device".to_owned(),
                _ => format!("the first of {} visible claims of this device", rivals.len()),
            }
        }
    };
    match told {
        Told::Here(_) => reason,
        Told::Gone => format!("{reason}; but {owner} says that it is gone, which is on its way here"),
        Told::Nothing => format!("{reason}; {owner} did not tell the name of the device"),
    }
}

fn route(gateway: &Gateway, row: &Known, names: &Names) -> RouteEntry {
    let node = row.holder.owner.clone();
    let way = gateway.router.way(&node);
    let (word, why) = match &way {
        Way::Here => ("here", "this node holds the connection".to_owned()),
        Way::Direct { awaited: true } => ("direct", format!("the link to {node} is up")),
        Way::Direct { awaited: false } => {
            ("direct", format!("{node} is suspect: sent, and answered `unreachable` without waiting"))
        }
        Way::Relay(_) => {
            ("relay", format!("no link to {node}, but gossip hears it: asked over another node"))
        }
        Way::Nowhere => {
            ("nowhere", format!("neither this node nor, as far as it knows, another reaches {node}"))
        }
    };
    let relays = if let Way::Relay(relays) = way { relays } else { Vec::new() };
    RouteEntry {
        device: names.of(&node, row.key).names().map(|names| names.device),
        device_hash: row.key.device.to_string(),
        node,
        way: word,
        relays,
        why,
    }
}
