//! Why a user is where this node says it is: every row that it holds, and the route that a push would
//! take.

use axum::Json;
use axum::response::{IntoResponse, Response};

use super::contact::Contacts;
use crate::copies::CopiesOf;
use crate::directory::{Known, Standing};
use crate::gateway::caller::Caller;
use crate::gateway::parts::Gateway;
use crate::gateway::schema::{self, Explanation, Row};
use crate::gateway::url::UserPath;
use crate::push::Knowledge;
use crate::quorum::Looked;
use crate::router::{Names, NamesAnswer, Route};

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
    let copies = gateway.router.copies().of_user(hash);
    let is_shown =
        |of: &CopiesOf| !of.sessions.is_empty() || known.iter().any(|row| row.holder.owner == of.owner.name);
    let copies = copies.into_iter().filter(is_shown).map(copies_of).collect();
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
        copies,
        silent: contacts.silent(names.silent),
    };
    Json(answer).into_response()
}

fn copies_of(copies: CopiesOf) -> schema::Copies {
    let CopiesOf { owner, group, epoch, members, sessions } = copies;
    let session = |held: Looked| schema::CopiedSession {
        device_hash: held.key.device.to_string(),
        messages: held.messages as u64,
        last: held.last.map(|at| at.to_string()),
        fence: held
            .fence
            .map(|fence| schema::Fence { stamp: fence.stamp.raw().to_string(), node: fence.by.name }),
    };
    let sessions = sessions.into_iter().map(session).collect();
    schema::Copies { node: owner.name, incarnation: owner.incarnation.0, group, epoch, members, sessions }
}

fn entry(gateway: &Gateway, row: &Known, all: &[Known], names: &Names, contacts: &Contacts) -> Row {
    let Known { key, claim, holder, wins } = row;
    let head = gateway.replica.head(&holder.owner);
    let member = contacts.get(&holder.owner).map(|node| schema::Owner {
        state: node.state.clone(),
        since_ms: node.since_ms,
        heard_ms: node.heard_ms,
    });
    let answer = names.of(&holder.owner, *key);
    Row {
        why: why(row, all, &answer),
        device: answer.names().map(|names| names.device),
        device_hash: key.device.to_string(),
        node: holder.owner.clone(),
        incarnation: holder.incarnation.0,
        stamp: claim.stamp.raw().to_string(),
        since_ms: claim.stamp.unix_ms(),
        state: claim.state.as_str().to_owned(),
        visible: holder.standing.is_seen(),
        wins: *wins,
        section: schema::Copy {
            version: head.map(|head| head.digest.position.version),
            hash: head.map(|head| format!("{:016x}", head.digest.hash)),
            sessions: gateway.replica.len_of(&holder.owner),
        },
        member,
    }
}

/// Why a row wins, or why not.
fn why(row: &Known, all: &[Known], answer: &NamesAnswer) -> String {
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
    match answer {
        NamesAnswer::Here(_) => reason,
        NamesAnswer::Gone => format!("{reason}; but {owner} says that it is gone, which is on its way here"),
        NamesAnswer::Nothing => format!("{reason}; {owner} did not tell the name of the device"),
    }
}

fn route(gateway: &Gateway, row: &Known, names: &Names) -> schema::Route {
    let node = row.holder.owner.clone();
    let route = gateway.router.route(&node);
    let (word, why) = match &route {
        Route::Here => (schema::Way::Here, "this node holds the connection".to_owned()),
        Route::Direct { awaited: true } => (schema::Way::Direct, format!("the link to {node} is up")),
        Route::Direct { awaited: false } => (
            schema::Way::Direct,
            format!("{node} is suspect: sent, and answered `unreachable` without waiting"),
        ),
        Route::Relay(_) => {
            (schema::Way::Relay, format!("no link to {node}, but gossip hears it: asked over another node"))
        }
        Route::Nowhere => (
            schema::Way::Nowhere,
            format!("neither this node nor, as far as it knows, another reaches {node}"),
        ),
    };
    let relays = if let Route::Relay(relays) = route { relays } else { Vec::new() };
    schema::Route {
        device: names.of(&node, row.key).names().map(|names| names.device),
        device_hash: row.key.device.to_string(),
        node,
        way: word.into(),
        relays,
        why,
    }
}

#[cfg(test)]
pub(super) mod described {
    use axum::http::StatusCode;

    use crate::gateway::openapi::call::Call;
    use crate::gateway::schema::Explanation;

    pub(in crate::gateway) fn user() -> Call {
        let text = "Every claim that this node holds of the user, visible or not, and the way that a push would take. \
                    Answered also when there is none, and when the node is isolated or joining.";
        Call::backend("explainUser", "sessions", "Why a user is where this node says it is")
            .text(text)
            .answers::<Explanation>(StatusCode::OK, "What this node knows.")
    }
}
